"""Generated blogs: the same posts each time, of the lengths that blogs have."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import msgspec

from bot.posts import Blog
from bot.store import posts as store
from bot.store.database import Database
from bot.tumblr.npf import read_post

BLOG_TO_DOWNLOAD = "harbour"
STORED_BLOG = "lighthouse"
STORED_UUID = "t:bench-bench-bench-bench-0"
NEWEST = 1_750_000_000
_PAGE = 1_000
_VOCABULARY = (
    "the a of and to in it was is that for on with as his they at be this from have or by one had not but what "
    "all were when we there can an your which their said if do will each about how up out them then she many "
    "some so these would other into has more her two like him see time could no make than first been its who "
    "now people my made over did down only way find use may water long little very after words called just "
    "where most know lighthouse kettle gull fog lamp stairs keeper harbour biscuit weather soup commodore rail "
    "promptly lens brass teaspoon"
)


def texts(count: int, *, seed: int = 1) -> Iterator[str]:
    """Posts of 3 to 120 words, most of them short; no two are alike."""
    dice = random.Random(seed)
    vocabulary = _VOCABULARY.split()
    for number in range(count):
        words = dice.choices(vocabulary, k=3 + int(117 * dice.random() ** 3))
        yield f"{' '.join(words)}, day {number}."


def posts(count: int) -> Iterator[dict[str, object]]:
    """The texts as posts, newest first, one a minute."""
    for number, text in enumerate(texts(count)):
        paragraphs = text.split(", ")
        yield {
            "timestamp": NEWEST - 60 * number,
            "state": "published",
            "content": [{"type": "text", "text": paragraph} for paragraph in paragraphs],
            "tags": ["weather", "gull"],
        }


async def store_posts(database: Database, count: int) -> None:
    """Put the posts into the store, as a download would have done."""
    blog = Blog(STORED_UUID, STORED_BLOG, "Lighthouse", f"https://{STORED_BLOG}.tumblr.com/", count)
    async with database.write() as connection:
        await store.upsert_blog(connection, blog, 0.0)
    page = []
    for number, found in enumerate(posts(count), 1):
        raw = {
            **found,
            "id_string": str(2**59 + count - number),
            "original_type": "regular",
            "reblog_key": "k",
            "layout": [],
            "trail": [],
            "blog_name": STORED_BLOG,
            "blog": {"name": STORED_BLOG, "uuid": STORED_UUID, "url": blog.url},
            "post_url": f"https://{STORED_BLOG}.tumblr.com/post/{number}",
        }
        page.append(read_post(msgspec.json.encode(raw)))
        if len(page) == _PAGE or number == count:
            async with database.write() as connection:
                # Seen now: the blog is nobody's, and what was not seen for long is removed while a row is measured.
                await store.save_page(connection, STORED_UUID, page, time.time())
            page = []
