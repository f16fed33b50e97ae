"""The sample blog: enough of the owner's own words, every odd shape beside them, and nothing of anybody else."""

import json
import re
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bot.demo import sample_blog
from bot.demo.sample_blog import BLOG_NAME, BLOG_TITLE, BLOG_UUID, load_posts
from bot.posts import Rejection
from bot.tumblr.identifiers import parse_identifier
from bot.tumblr.npf import read_post

JSONL = Path(sample_blog.__file__).with_name("sample_blog.jsonl")


@pytest.fixture(scope="module")
def posts():
    return load_posts()


@pytest.fixture(scope="module")
def read(posts):
    return [read_post(post) for post in posts]


def block_types(post):
    return {block["type"] for block in post["content"]}


def test_at_least_150_posts_are_examples(read):
    assert sum(post.is_example for post in read) >= 150


def test_the_reader_finds_every_kind_of_post_that_is_no_example(read):
    found = {post.rejection for post in read}
    assert found == {
        None,
        Rejection.NOT_PUBLISHED,
        Rejection.ASK,
        Rejection.REBLOG,
        Rejection.NOT_TEXT,
        Rejection.GLITCHED,
    }


def test_the_reader_knows_where_a_post_is_from(read, posts):
    for post, raw in zip(read, posts, strict=True):
        assert (post.blog_name, post.blog_uuid) == (BLOG_NAME, BLOG_UUID)
        assert (post.id, post.timestamp, post.url) == (raw["id_string"], raw["timestamp"], raw["post_url"])


def test_ids_are_unique_and_break_when_read_as_a_double(posts):
    assert len({post["id"] for post in posts}) == len(posts)
    for post in posts:
        assert post["id_string"] == str(post["id"])
        assert post["id"] > 2**53
        assert int(float(post["id"])) != post["id"]


def test_two_calls_give_equal_posts_that_do_not_share_anything(posts):
    changed = load_posts()
    assert changed == posts
    changed[0]["tags"].append("changed")
    assert load_posts() == posts


def test_newest_first(posts):
    assert all((a["timestamp"], a["id"]) > (b["timestamp"], b["id"]) for a, b in pairwise(posts))


def test_about_two_years_at_irregular_times(posts):
    times = [post["timestamp"] for post in posts]
    assert 700 < (times[0] - times[-1]) / 86_400 < 760
    assert len({a - b for a, b in pairwise(times)}) > 150


def test_the_date_is_the_timestamp(posts):
    for post in posts:
        assert datetime.strptime(post["date"] + "+0000", "%Y-%m-%d %H:%M:%S GMT%z").timestamp() == post["timestamp"]


def test_the_file_is_utf8_in_order_of_time():
    lines = [json.loads(line) for line in JSONL.read_bytes().decode("utf-8", errors="strict").splitlines()]
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)


def test_no_two_posts_say_the_same(read):
    texts = [post.text for post in read if post.text]
    assert len(set(texts)) == len(texts)


def test_the_lengths_vary(read):
    words = sorted(len(post.text.split()) for post in read if post.is_example)
    assert words[0] < 6
    assert words[-3] >= 180
    assert words[len(words) // 10] < 20 < words[len(words) // 2] < 60 < words[len(words) * 9 // 10]


def test_one_voice(read):
    text = "\n".join(post.text for post in read if post.is_example)
    for phrase in ("commodore biscuit", "the boat is late", "the light is lit", "the fog has filed a complaint"):
        assert text.count(phrase) >= 4
    # Capitals belong to iron letters and to what is said by lamp or very loudly.
    assert not re.search(r"(?:^|[.?!] )[A-Z][a-z]", text)


def test_plain_paragraphs_contain_no_blank_lines_and_lists_are_blocks(posts):
    blocks = [block for post in posts for block in post["content"] if block["type"] == "text"]
    assert all(block["text"].strip() == block["text"] and "\n\n" not in block["text"] for block in blocks)
    subtypes = {block.get("subtype") for block in blocks}
    assert {None, "heading1", "heading2", "chat", "ordered-list-item", "unordered-list-item"} <= subtypes


def test_every_address_is_tumblrs_or_nowhere(posts):
    addresses = re.findall(r"[a-z]+://[^\s\"]+", json.dumps(posts))
    hosts = {urlsplit(address).hostname for address in addresses}
    assert hosts
    assert all(host == "tmblr.co" or host.endswith((".tumblr.com", ".example.invalid")) for host in hosts)


def test_the_blog_can_be_asked_for():
    assert parse_identifier(BLOG_NAME) == BLOG_NAME
    assert parse_identifier(BLOG_UUID) == BLOG_UUID
    assert BLOG_TITLE


def test_asks_named_anonymous_and_with_an_empty_list(posts):
    layouts = [layout for post in posts for layout in post["layout"] if layout["type"] == "ask"]
    attributions = [layout.get("attribution", "absent") for layout in layouts]
    assert "absent" in attributions
    assert [] in attributions
    assert any(isinstance(attribution, dict) and attribution["blog"]["name"] for attribution in attributions)


def test_reblogs_with_and_without_comment_and_a_broken_trail_item(posts):
    reblogs = [post for post in posts if post["trail"]]
    assert {bool(post["content"]) for post in reblogs} == {True, False}
    items = [item for post in reblogs for item in post["trail"]]
    broken = [item for item in items if "broken_blog_name" in item]
    assert broken
    assert all("post" not in item and "blog" not in item for item in broken)
    for post in reblogs:
        parent = post["trail"][-1]
        assert post["parent_post_id"] == post["reblogged_from_id"] == parent["post"]["id"]
        assert post["parent_tumblelog_uuid"] == parent["blog"]["uuid"] == parse_identifier(parent["blog"]["uuid"])
        ids = [int(item["post"]["id"]) for item in post["trail"] if "post" in item]
        assert ids == sorted(ids)
        assert ids[-1] < post["id"]


@pytest.mark.parametrize("kind", ["image", "poll", "link"])
def test_blocks_other_than_text(posts, kind):
    assert any(kind in block_types(post) for post in posts)


def test_one_empty_post(posts):
    assert sum(not post["content"] and not post["trail"] for post in posts) == 1


def test_one_private_post(posts):
    assert [post["state"] for post in posts if post["state"] != "published"] == ["private"]


def test_one_pinned_post_that_is_not_the_newest(posts):
    assert sum(post["is_pinned"] for post in posts) == 1
    assert not posts[0]["is_pinned"]


def test_two_posts_in_one_second(posts):
    assert sum(a["timestamp"] == b["timestamp"] for a, b in pairwise(posts)) == 1


def test_one_post_is_back_dated(posts):
    later = posts[0]["id"]
    out_of_order = 0
    for post in posts:
        out_of_order += post["id"] > later
        later = min(later, post["id"])
    assert out_of_order == 1
