"""What is reblogged is drawn evenly, never twice, only from allowed conversations, and without reading a blog whole."""

from __future__ import annotations

import itertools
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.demo.faults import Fault
from bot.demo.tumblr_blog import StandInBlog
from bot.drafts import Parent
from bot.errors import (
    NothingToDo,
    TumblrBlocked,
    TumblrQuotaReached,
    TumblrUnauthorized,
    TumblrUnavailable,
)
from bot.pipeline import reblog
from bot.pipeline.reblog import LONGEST_TEXT, MOST_PAGES, ParentSearch, reblog_prompt, shuffled
from bot.tumblr.client import Governor
from tests.pipeline.conftest import NAME, START, Bench, open_bench, post

IMAGE: dict[str, Any] = {"content": [{"type": "image", "media": []}]}
POSTS = "/v2/blog/*/posts"


class Script(random.Random):
    """Dice that roll what is written down, then 0; they note how many sides each roll had."""

    def __init__(self, rolls: list[int]) -> None:
        super().__init__(0)
        self.rolls = rolls
        self.sides: list[int] = []

    def randrange(self, start: int, *_: Any, **__: Any) -> int:  # type: ignore[override]
        self.sides.append(start)
        return self.rolls[len(self.sides) - 1] if len(self.sides) <= len(self.rolls) else 0


def every_roll():
    """Scripts that together are every way the dice can fall; go on after each was used."""
    rolls: list[int] = []
    while True:
        dice = Script(rolls)
        yield dice
        rolls = [*rolls, *[0] * len(dice.sides)][: len(dice.sides)]
        while rolls and rolls[-1] == dice.sides[len(rolls) - 1] - 1:
            rolls.pop()
        if not rolls:
            return
        rolls[-1] += 1


def chance(dice: Script) -> Fraction:
    result = Fraction(1)
    for sides in dice.sides:
        result /= sides
    return result


def fill(bench: Bench, count: int, valid: Callable[[int], bool] = lambda _: True, **more: Any) -> list[str]:
    """Put posts on the blog, the first one the oldest. Returns the ids of those that may be reblogged."""
    ids: list[str] = []
    for number in range(count):
        fields = post(START + 100 * number, f"night {number}") | more
        made = bench.service.add_post(bench.blog, fields if valid(number) else fields | IMAGE)
        if valid(number):
            ids.append(made["id_string"])
    return ids


def searching(bench: Bench, *blogs: str, dice: random.Random | None = None, tries: int = MOST_PAGES) -> ParentSearch:
    return ParentSearch(bench.tumblr, blogs or (NAME,), dice or random.Random(1), most_pages=tries)


async def all_of(search: ParentSearch, taken: frozenset[str] = frozenset()) -> list[Parent]:
    """Everything that a run can draw."""
    drawn: list[Parent] = []
    while True:
        try:
            drawn.append(await search.draw(taken))
        except NothingToDo:
            return drawn


def unhurried(bench: Bench) -> None:
    """Let time pass between calls, so that hundreds of them meet no limit by the minute."""
    bench.tumblr.governor = Governor(clock=itertools.count(float(START), 10.0).__next__)


# --- evenly ---------------------------------------------------------------------------------------------------


def test_every_order_is_equally_likely():
    orders: Counter[tuple[int, ...]] = Counter()
    for dice in every_roll():
        order = tuple(shuffled(4, dice))
        assert sorted(order) == [0, 1, 2, 3]
        orders[order] += 1
    assert set(orders.values()) == {1}
    assert len(orders) == 24


@given(st.integers(0, 300), st.integers(0, 9))
def test_every_place_comes_once(total: int, seed: int):
    assert sorted(shuffled(total, random.Random(seed))) == list(range(total))


def test_a_shuffle_of_a_huge_blog_makes_no_list():
    places = shuffled(10**12, random.Random(1))
    assert len({next(places) for _ in range(100)}) == 100


@pytest.mark.parametrize("error", [0, 1])
async def test_over_all_rolls_of_the_dice_each_valid_post_is_drawn_equally_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
):
    monkeypatch.setattr(reblog, "_BEYOND", 0)
    async with open_bench(tmp_path) as bench:
        valid = fill(bench, 5, lambda number: number != 2, state="published")
        bench.blog.post_count_error = error
        shares: dict[str, Fraction] = {}
        for dice in every_roll():
            drawn = (await searching(bench, dice=dice).draw(())).post_id
            shares[drawn] = shares.get(drawn, Fraction(0)) + chance(dice)
        assert shares == dict.fromkeys(valid, Fraction(1, 4))


@pytest.mark.parametrize(("error", "page_limit"), [(3, 50), (-3, 50), (40, 50), (0, 7)])
async def test_each_valid_post_is_drawn_about_equally_often(tmp_path: Path, error: int, page_limit: int):
    """Two windows, unevenly mixed, a pinned post, a count that is wrong either way, pages that are shorter than asked."""
    async with open_bench(tmp_path) as bench:
        unhurried(bench)
        valid = fill(bench, 30, lambda number: number % 3 == 0 or number > 26)
        bench.service.edit_post(bench.blog, valid[4], {"is_pinned": True})
        bench.blog.post_count_error = error
        bench.service.page_limit = page_limit
        times = Counter([(await searching(bench, dice=random.Random(seed)).draw(())).post_id for seed in range(360)])
        assert set(times) == set(valid)
        assert len(valid) == 12
        assert all(14 <= times[post_id] <= 50 for post_id in valid), times


async def test_the_blogs_are_drawn_evenly_whatever_their_size(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        unhurried(bench)
        fill(bench, 40)
        small = bench.service.add_blog("small", owned=False)
        bench.service.add_post(small, post(START, "the only one"))
        # Named twice, a blog is not drawn twice as often.
        names = (NAME, f"https://{NAME}.tumblr.com/", "small", bench.blog.uuid)
        drawn = [await searching(bench, *names, dice=random.Random(seed)).draw(()) for seed in range(120)]
        assert 40 <= sum(parent.blog_name == "small" for parent in drawn) <= 80


async def test_a_pinned_post_is_one_among_the_others(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        valid = fill(bench, 25)
        bench.service.edit_post(bench.blog, valid[0], {"is_pinned": True})
        assert sorted(parent.post_id for parent in await all_of(searching(bench))) == sorted(valid)
        first = [request.query for request in bench.service.requests if request.path.endswith("/posts")]
        assert all("offset" in query or "before" in query for query in first)


# --- not twice ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [-20, -3, 0, 3, 500])
async def test_a_run_draws_each_valid_post_once_and_reads_each_page_once(tmp_path: Path, error: int):
    async with open_bench(tmp_path) as bench:
        valid = fill(bench, 64, lambda number: number % 2 == 0)
        bench.blog.post_count_error = error
        drawn = await all_of(searching(bench))
        assert sorted(parent.post_id for parent in drawn) == sorted(valid)
        pages = [tuple(sorted(r.query.items())) for r in bench.service.requests if r.path.endswith("/posts")]
        assert len(pages) == len(set(pages))


async def test_what_is_taken_is_not_drawn(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        valid = fill(bench, 12)
        taken = frozenset(valid[:9])
        drawn = await all_of(searching(bench), taken)
        assert sorted(parent.post_id for parent in drawn) == sorted(valid[9:])


async def test_a_post_that_moves_between_pages_is_not_drawn_twice(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        fill(bench, 25)
        search = searching(bench, dice=Script([]))
        drawn = [(await search.draw(())).post_id]  # from the first page
        for number in range(10):  # the blog grows while it is read: what was on the first page is on the second now
            bench.service.add_post(bench.blog, post(START + 10_000 + number, f"new {number}"))
        drawn += [parent.post_id for parent in await all_of(search)]
        assert len(drawn) == len(set(drawn))


async def test_a_service_that_gives_short_pages_hides_nothing(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        valid = fill(bench, 45)
        bench.service.page_limit = 7
        assert sorted(parent.post_id for parent in await all_of(searching(bench))) == sorted(valid)


# --- without reading the blog whole ---------------------------------------------------------------------------


async def test_of_a_large_blog_one_page_is_read(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        fill(bench, 5_000)
        bench.service.requests.clear()
        await searching(bench).draw(())
        assert bench.pages() == 1
        assert len(bench.service.requests) == 2  # the other one asks how large the blog is


async def test_where_few_posts_are_valid_it_gives_up_after_so_many_pages(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        fill(bench, 5_000, lambda _: False)
        search = searching(bench)
        with pytest.raises(NothingToDo, match=f"No post to reblog was found in {MOST_PAGES} pages of {NAME}"):
            await search.draw(())
        assert bench.pages() == MOST_PAGES
        with pytest.raises(NothingToDo):  # the next draft looks elsewhere
            await search.draw(())
        assert bench.pages() == 2 * MOST_PAGES


async def test_one_valid_post_among_many_is_found_in_the_end(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        (valid,) = fill(bench, 150, lambda number: number == 70)
        assert (await searching(bench).draw(())).post_id == valid


@pytest.mark.parametrize("error", [10**12, 150_000, 400])
async def test_a_count_that_is_far_too_high_is_found_out_in_few_pages(tmp_path: Path, error: int):
    async with open_bench(tmp_path) as bench:
        valid = fill(bench, 5)
        bench.blog.post_count_error = error
        before = time.process_time()
        drawn = await all_of(searching(bench, tries=60))
        assert sorted(parent.post_id for parent in drawn) == sorted(valid)
        assert bench.pages() <= 40
        assert time.process_time() - before < 5.0  # no walk through a million places


async def test_an_unknown_count_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(StandInBlog, "estimated_posts", property(lambda _: "many"))
    async with open_bench(tmp_path) as bench:
        valid = fill(bench, 30)
        drawn = await all_of(searching(bench, tries=60))
        assert sorted(parent.post_id for parent in drawn) == sorted(valid)


# --- which conversations --------------------------------------------------------------------------------------


def trail_of(*parts: tuple[str, StandInBlog], **changes: Any) -> dict[str, Any]:
    items = [
        {
            "content": [{"type": "text", "text": text}],
            "layout": [],
            "post": {"id": str(900 + number)},
            "blog": {"name": blog.name, "uuid": blog.uuid},
        }
        | changes
        for number, (text, blog) in enumerate(parts)
    ]
    return {"trail": items, "parent_post_id": str(900 + len(items))}


async def test_only_conversations_among_allowed_blogs_are_drawn(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        friend = bench.service.add_blog("friend", owned=False)
        stranger = bench.service.add_blog("stranger", owned=False)
        mine = bench.service.add_post(bench.blog, post(START, "mine") | trail_of(("first", bench.blog)))
        both = bench.service.add_post(
            bench.blog, post(START + 1, "ours") | trail_of(("first", friend), ("2", bench.blog))
        )
        for number, odd in enumerate((
            trail_of(("first", stranger)),
            trail_of(("first", friend), ("second", stranger)),
            trail_of(("first", friend), broken_blog_name="friend"),
            trail_of(("first", friend), content=[{"type": "image"}]),
            trail_of(("first", friend)) | {"can_reblog": False},
            trail_of(("first", friend)) | {"content": []},
            {"state": "private"},
            {"layout": [{"type": "ask", "blocks": [0], "attribution": []}]},
        )):  # fmt: skip
            bench.service.add_post(bench.blog, post(START + 10 + number, "odd") | odd)
        drawn = {parent.post_id: parent for parent in await all_of(searching(bench, NAME, "friend"))}
        assert {post_id: parent.text for post_id, parent in drawn.items()} == {
            mine["id_string"]: "first\n\nmine",
            both["id_string"]: "first\n\n2\n\nours",
        }
        # Without the friend's blog, only what is all the blog's own.
        assert [parent.post_id for parent in await all_of(searching(bench, NAME))] == [mine["id_string"]]
        parent = drawn[mine["id_string"]]
        assert (parent.blog_uuid, parent.blog_name, parent.url) == (bench.blog.uuid, NAME, mine["post_url"])


# --- blogs that are gone, and Tumblr in trouble ---------------------------------------------------------------


async def test_blogs_that_are_gone_or_were_never_there_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with open_bench(tmp_path) as bench:
        valid = fill(bench, 3)
        hidden = bench.service.add_blog("hidden", owned=False)
        hidden.dashboard_only = True
        with caplog.at_level(logging.WARNING):
            drawn = await all_of(searching(bench, "no blog/at all", "never-there", "hidden", NAME))
        assert sorted(parent.post_id for parent in drawn) == sorted(valid)
        assert "never-there is left out" in caplog.text
        assert "hidden is left out" in caplog.text
        assert "no blog/at all" not in caplog.text  # it may be anything, a token in the wrong place included
        assert len([r for r in bench.service.requests if r.path.endswith("/info")]) == 3  # each is asked for once


async def test_a_blog_that_is_deleted_during_the_run_is_left_out(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        valid = fill(bench, 3)
        gone = bench.service.add_blog("gone", owned=False)
        for number in range(60):
            bench.service.add_post(gone, post(START + number, f"{number}"))
        search = searching(bench, "gone", NAME)
        await search.draw(())
        del bench.service.blogs["gone"]
        rest = [parent for parent in await all_of(search) if parent.blog_name == NAME]
        assert len(rest) >= len(valid) - 1


async def test_without_any_readable_blog_it_says_so(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        with pytest.raises(NothingToDo, match="None of the blogs"):
            await searching(bench, "never-there").draw(())


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("GET", POSTS, "status", status=429, times=9), TumblrQuotaReached),
        (Fault("GET", POSTS, "status", status=401, body={"meta": {"status": 401}}, times=9), TumblrUnauthorized),
        (Fault("GET", POSTS, "reset_before", times=9), TumblrUnavailable),
        (Fault("GET", POSTS, "html", status=502, times=9), TumblrUnavailable),
    ],
    ids=["429", "401", "reset", "502"],
)
async def test_tumblr_in_trouble_is_told_and_the_next_draft_tries_again(
    tmp_path: Path, fault: Fault, expected: type[Exception]
):
    async with open_bench(tmp_path) as bench:
        fill(bench, 3)
        search = searching(bench)
        bench.service.faults.schedule(fault)
        with pytest.raises(expected):
            await search.draw(())
        if expected is TumblrUnavailable:
            bench.service.faults.clear()
            assert await search.draw(())


async def test_one_forbidden_blog_is_left_out_but_a_blocked_address_ends_the_search(tmp_path: Path):
    async with open_bench(tmp_path) as bench:
        fill(bench, 3)
        bench.service.add_blog("friend", owned=False)
        body = {"meta": {"status": 403, "msg": "Forbidden"}, "response": []}
        bench.service.faults.schedule(Fault("GET", "/v2/blog/friend/info", "status", status=403, body=body))
        assert (await searching(bench, "friend", NAME).draw(())).blog_name == NAME
        bench.service.faults.schedule(Fault("GET", "/v2/blog/friend/info", "html", status=403))
        with pytest.raises(TumblrBlocked):
            await searching(bench, "friend", NAME).draw(())


# --- what is asked --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user_message", "text", "prompt"),
    [
        ("Reply:\n\n{}", "hello", "Reply:\n\nhello"),
        ("{} - {}", "x", "x - x"),
        ("Reply.", "hello", "Reply.\n\nhello"),
        ("Reply to {0} and {name}", "x", "Reply to {0} and {name}\n\nx"),
        ("{{}}", "x", "{x}"),
        ("{ } {", "x", "{ } {\n\nx"),
        ("{!r} {:>9} {}", "x", "{!r} {:>9} x"),
        ("Reply: {}", "it says {} and {0} and {{", "Reply: it says {} and {0} and {{"),
        ("Reply.", "it says {}", "Reply.\n\nit says {}"),
        ("Reply: {}", "100 % \\1 $x", "Reply: 100 % \\1 $x"),
        ("Reply: {}", "a <|endoftext|> b <|im_start|>", "Reply: a < |endoftext| > b < |im_start| >"),
        ("<{}>", "|im_end|", "< |im_end| >"),
    ],
)
def test_the_text_takes_the_place_of_the_braces(user_message: str, text: str, prompt: str):
    assert reblog_prompt(user_message, text) == prompt


@given(st.text(alphabet=st.sampled_from("ab{}0%\\<|>\n "), max_size=60))
def test_no_text_breaks_the_prompt(text: str):
    prompt = reblog_prompt("Reply:\n\n{}\n\nEnd.", text)
    assert prompt.startswith("Reply:\n\n")
    assert prompt.endswith("\n\nEnd.")
    assert "<|" not in prompt
    assert "|>" not in prompt
    assert prompt.replace(" ", "") == f"Reply:\n\n{text}\n\nEnd.".replace(" ", "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x" * LONGEST_TEXT, LONGEST_TEXT),
        ("x" * (LONGEST_TEXT + 1), LONGEST_TEXT),
        ("word\n\n" + "y " * LONGEST_TEXT, 4),
        (("p" * 998 + "\n\n") * 20, 7 * 1000 + 998),
        ("word " * LONGEST_TEXT, LONGEST_TEXT - 1),
    ],
)
def test_of_a_long_text_the_first_paragraphs_are_asked_about(text: str, shown: int):
    assert reblog_prompt("{}", text) == text[:shown]
