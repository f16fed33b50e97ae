import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.drafts import UploadState
from bot.errors import TumblrRefused
from bot.posts import Rejection
from bot.tumblr.npf import (
    LONGEST_BLOCK,
    MOST_BLOCKS,
    Exchange,
    ReblogSource,
    blocks_from_text,
    clean_tags,
    post_body,
    read_answer,
    read_post,
    read_reblog_comment,
    read_reblog_source,
    read_trail_text,
    reblog_text,
)
from tests.tumblr.conftest import UUID, npf

SAMPLES = Path(__file__).resolve().parents[2].parent / "shared" / "samples"
SAMPLE_FILES = sorted(SAMPLES.glob("*.json"))


def text_block(text, **fields):
    return {"type": "text", "text": text} | fields


def read(**fields):
    return read_post(json.dumps(npf(**fields)).encode())


# --- a valid post ---------------------------------------------------------------------------------------------


def test_a_plain_post():
    raw = json.dumps(
        npf(id=613138459105820672, id_string="613138459105820672", content=[text_block("One."), text_block("Two.")])
    ).encode()
    post = read_post(raw)
    assert (post.id, post.blog_uuid, post.blog_name, post.timestamp) == (
        "613138459105820672",
        UUID,
        "staff",
        1_700_000_000,
    )
    assert post.url.startswith("https://staff.tumblr.com/post/")
    assert post.text == "One.\n\nTwo."
    assert post.tags == ("one", "two words")
    assert post.is_example
    assert not post.is_pinned
    assert post.raw == raw


def test_a_mapping_is_read_like_its_json():
    fields = npf(id=2**60)
    post = read_post(fields)
    assert json.loads(post.raw) == fields
    assert read_post(post.raw) == post


@pytest.mark.parametrize(
    ("fields", "rejection"),
    [
        ({"state": "draft"}, Rejection.NOT_PUBLISHED),
        ({"state": "queued"}, Rejection.NOT_PUBLISHED),
        ({"state": "private"}, Rejection.NOT_PUBLISHED),
        ({"state": None}, Rejection.NOT_PUBLISHED),
        ({"content": []}, Rejection.GLITCHED),
        ({"content": None}, Rejection.GLITCHED),
        ({"content": {}}, Rejection.GLITCHED),
        ({"content": [text_block("")]}, Rejection.EMPTY),
        ({"content": [text_block(" \n\u00a0")]}, Rejection.EMPTY),
        ({"content": [text_block("a"), {"type": "image", "media": []}]}, Rejection.NOT_TEXT),
        ({"content": [{"type": "link", "url": "https://a.example"}]}, Rejection.NOT_TEXT),
        ({"content": [{"type": "audio"}]}, Rejection.NOT_TEXT),
        ({"content": [{"type": "video"}]}, Rejection.NOT_TEXT),
        ({"content": [{"type": "poll", "question": "?"}]}, Rejection.NOT_TEXT),
        ({"content": [text_block("a"), {"type": "hologram"}]}, Rejection.NOT_TEXT),
        ({"content": [text_block("a"), {"type": None}]}, Rejection.NOT_TEXT),
        ({"content": [text_block("a"), {"type": ["text"]}]}, Rejection.NOT_TEXT),
        ({"content": [text_block("a"), {"type": "paywall"}]}, Rejection.PAYWALL),
        ({"trail": [{"content": [text_block("x")], "post": {"id": "1"}}]}, Rejection.REBLOG),
        ({"content": [], "trail": [{"broken_blog_name": "gone", "content": []}]}, Rejection.REBLOG),
        ({"parent_post_url": "https://a.tumblr.com/post/1"}, Rejection.REBLOG),
        ({"parent_post_id": 613138459105820672}, Rejection.REBLOG),
        ({"parent_post_id": "613138459105820672"}, Rejection.REBLOG),
        ({"reblogged_from_id": "189334873364"}, Rejection.REBLOG),
        ({"layout": [{"type": "ask", "blocks": [0]}]}, Rejection.ASK),
        ({"layout": [{"type": "ask", "blocks": [0], "attribution": []}]}, Rejection.ASK),
        (
            {
                "layout": [
                    {"type": "rows", "display": []},
                    {"type": "ask", "blocks": [0], "attribution": {"type": "blog"}},
                ]
            },
            Rejection.ASK,
        ),
        ({"layout": {"type": "ask"}}, Rejection.ASK),
        ({"original_type": "note"}, Rejection.ASK),
        ({"original_type": "answer"}, Rejection.ASK),
        ({"asking_name": "Anonymous"}, Rejection.ASK),
        ({"is_submission": True}, Rejection.SUBMISSION),
        ({"post_author": "friend"}, Rejection.SUBMISSION),
        ({"anonymous_name": "somebody"}, Rejection.SUBMISSION),
        ({"community": {"name": "cats"}}, Rejection.COMMUNITY),
        ({"content": "<p>old</p>"}, Rejection.UNREADABLE),
        ({"content": 3}, Rejection.UNREADABLE),
        ({"content": {"0": text_block("a")}}, Rejection.UNREADABLE),
        ({"content": [text_block("a"), "b"]}, Rejection.UNREADABLE),
        ({"content": [{"type": "text"}]}, Rejection.UNREADABLE),
        ({"content": [text_block(7)]}, Rejection.UNREADABLE),
    ],
)
def test_what_is_no_example(fields, rejection):
    assert read(**fields).rejection is rejection


@pytest.mark.parametrize(
    "fields",
    [
        {"layout": []},
        {"layout": None},
        {"layout": {}},
        {"layout": "rows"},
        {"layout": [{"rows": [[0]]}]},
        {"layout": [[0]]},
        {"layout": [{"type": "rows", "display": [{"blocks": [0]}], "truncate_after": 0}]},
        {"layout": [{"type": "condensed", "blocks": [0]}]},
        {"trail": None},
        {"trail": {}},
        {"parent_post_id": None},
        {"parent_post_id": 0},
        {"parent_post_url": ""},
        {"original_type": "regular"},
        {"asking_name": ""},
        {"is_submission": False},
        {"community": None},
        {"post_author": None},
        {"something_new": {"deeply": ["odd"]}},
        {"tags": None},
        {"blog": []},
        {"timestamp": "1700000000"},
        {"content": [text_block("a", formatting=[{"type": "bold", "start": 0, "end": 1}], subtype=None)]},
        {"content": [text_block("a", formatting=[], subtype="fancy-new")]},
    ],
)
def test_odd_shapes_that_are_fine(fields):
    assert read(**fields).rejection is None


def test_a_post_in_the_old_format_is_unreadable():
    fields = npf(type="text", body="<p>old</p>")
    del fields["content"]
    assert read_post(fields).rejection is Rejection.UNREADABLE


# --- single fields --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "post_id"),
    [
        ({"id": 9007199254740993, "id_string": "9007199254740993"}, "9007199254740993"),
        ({"id": 9007199254740993, "id_string": None}, "9007199254740993"),
        ({"id": "9007199254740993", "id_string": ""}, "9007199254740993"),
        ({"id": 9.007199254740992e15, "id_string": "9007199254740993"}, "9007199254740993"),
        ({"id": None, "id_string": "12"}, "12"),
    ],
)
def test_ids_are_text(fields, post_id):
    assert read(**fields).id == post_id


@pytest.mark.parametrize("value", [None, "", 0, "0", True, -4, 1.5e15, "12a", "../1", [], {}, "١٢"])
def test_without_an_id_it_is_no_post(value):
    with pytest.raises(ValueError, match="id"):
        read(id=value, id_string=None)


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"3", b"{", b"\xff", b"<html>", b'{"a":' + b"[" * 100_000])
def test_what_is_no_object_is_no_post(raw):
    with pytest.raises(ValueError, match=r".*"):
        read_post(raw)


@pytest.mark.parametrize(
    ("fields", "timestamp"),
    [
        ({"timestamp": 1_584_734_400}, 1_584_734_400),
        ({"timestamp": "1584734400"}, 1_584_734_400),
        ({"timestamp": 1_584_734_400.0}, 1_584_734_400),
        ({"timestamp": None, "date": "2020-03-20 20:00:00 GMT"}, 1_584_734_400),
        ({"timestamp": None, "date": "yesterday"}, 0),
        ({"timestamp": None}, 0),
        ({"timestamp": True}, 0),
        ({"timestamp": -5}, 0),
        ({"timestamp": 10**19}, 0),
    ],
)
def test_timestamps(fields, timestamp):
    assert read(**fields).timestamp == timestamp


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "https://a b", "https://a\nb", 3, None, "", "https://" + "a" * 3000, "<https://a>"]
)
def test_an_address_that_is_none_is_left_out(url):
    assert read(post_url=url).url == ""


@pytest.mark.parametrize(
    ("value", "tags"),
    [(["a", "", None, 3, " b\n"], ("a", "b")), ("a,b", ()), ({}, ()), (None, ())],
)
def test_tags_that_are_none_are_left_out(value, tags):
    assert read(tags=value).tags == tags


@pytest.mark.parametrize("uuid", ["t:../../x", "staff", 7, None, "t:"])
def test_a_uuid_that_is_none_is_left_out(uuid):
    assert read(blog={"name": "staff", "uuid": uuid}).blog_uuid == ""


@pytest.mark.parametrize(
    ("value", "pinned"), [(True, True), (1, True), (False, False), (None, False), ("no", False), ([], False)]
)
def test_pinned(value, pinned):
    assert read(is_pinned=value).is_pinned is pinned


# --- unreadable JSON ------------------------------------------------------------------------------------------


def with_text(text):
    return (
        b'{"id_string":"12","blog_name":"staff","timestamp":5,"state":"published","content":[{"type":"text","text":'
        + text
        + b"}]}"
    )


@pytest.mark.parametrize("text", [b'"\xff"', b"1e999"])
def test_a_text_that_cannot_be_read_does_not_lose_the_post(text):
    raw = with_text(text)
    post = read_post(raw)
    assert (post.id, post.timestamp, post.rejection, post.text) == ("12", 5, Rejection.UNREADABLE, "")
    assert post.raw == raw


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        (rb'"a\ud800"', "a\ufffd"),
        (rb'"\ud800 b"', "\ufffd b"),
        (rb'"\uDC00\ud83d\ude00"', "\ufffd😀"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd😀"),
        (rb'"\\ud800 \ud800"', "\\ud800 \ufffd"),
    ],
)
def test_half_a_surrogate_pair_is_mended(text, read_as):
    post = read_post(with_text(text))
    assert (post.text, post.rejection) == (read_as, None)


def test_a_bottomless_nest_is_no_post():
    with pytest.raises(ValueError, match="deep"):
        read_post(with_text(b"[" * 100_000 + b"]" * 100_000))


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters() | st.characters(categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "uuid", "name", "subtype", "blocks", "x"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)
FIELDS = ["blog", "blog_name", "timestamp", "date", "post_url", "state", "tags", "content", "layout", "trail", "parent_post_id", "asking_name", "is_pinned", "community", "original_type", "can_reblog", "reblog_key"]  # fmt: skip


@given(st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES))
def test_nothing_with_an_id_is_ever_refused(fields):
    raw = json.dumps(npf(id_string="77") | fields).encode()
    post = read_post(raw)
    assert post.id == "77"
    assert post.timestamp >= 0
    assert isinstance(post.text, str)
    assert post.rejection is not None or post.text.strip()
    assert isinstance(read_trail_text(raw), str)


# --- text -----------------------------------------------------------------------------------------------------


def ordered(text, level=0):
    return text_block(text, subtype="ordered-list-item", indent_level=level)


def unordered(text, level=0):
    return text_block(text, subtype="unordered-list-item", indent_level=level)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([text_block("Head", subtype="heading1"), text_block("Body")], "Head\n\nBody"),
        ([text_block("a"), text_block(""), text_block("  "), text_block("b")], "a\n\nb"),
        ([text_block("two\nlines"), text_block("c")], "two\nlines\n\nc"),
        ([text_block("List:"), unordered("a"), unordered("b"), text_block("End")], "List:\n\n- a\n- b\n\nEnd"),
        ([ordered("a"), ordered("b"), text_block("x"), ordered("c")], "1. a\n2. b\n\nx\n\n1. c"),
        (
            [ordered("a"), ordered("deep", 1), ordered("deeper", 1), ordered("b"), ordered("deep", 1)],
            "1. a\n  1. deep\n  2. deeper\n2. b\n  1. deep",
        ),
        ([ordered("a"), unordered("b"), ordered("c")], "1. a\n- b\n1. c"),
        (
            [unordered("a", 9_999_999_999), unordered("b", -3), unordered("c", "1"), unordered("d", None)],
            " " * 14 + "- a\n- b\n  - c\n- d",
        ),
        (
            [text_block("A: hi", subtype="chat"), text_block("B: ho", subtype="chat"), text_block("c")],
            "A: hi\nB: ho\n\nc",
        ),
        ([text_block("q", subtype="quote"), text_block("r", subtype="quote")], "q\n\nr"),
        ([text_block("a\r\nb\rc\x00\x07d")], "a\nb\ncd"),
        ([{"type": "image", "alt_text": "no"}, text_block("caption")], "caption"),
    ],
)
def test_blocks_as_one_text(content, text):
    assert read(content=content).text == text


def test_the_whole_conversation_of_a_reblog():
    trail = [
        {"content": [text_block("first")], "post": {"id": "1"}},
        {"broken_blog_name": "gone", "content": []},
        "nonsense",
        {"content": [text_block("second"), {"type": "image"}]},
    ]
    raw = json.dumps(npf(trail=trail, content=[text_block("mine")])).encode()
    assert read_trail_text(raw) == "first\n\nsecond\n\nmine"
    assert read_post(raw).text == "mine"


# --- what may be reblogged ------------------------------------------------------------------------------------

OTHER = "t:Other0Blog"
ALLOWED = {UUID, "staff", OTHER, "other"}


def part(text="first", **fields):
    """One part of a trail, by an allowed blog."""
    return {
        "content": [text_block(text)],
        "layout": [],
        "post": {"id": "613138459105820001"},
        "blog": {"name": "other", "uuid": OTHER},
    } | fields


def reblogged(**fields):
    return reblog_text(json.dumps(npf(**fields)).encode(), ALLOWED)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "Hello there."),
        ({"layout": None, "trail": None}, "Hello there."),
        ({"layout": [], "trail": {}}, "Hello there."),
        ({"can_reblog": None}, "Hello there."),
        ({"is_pinned": True}, "Hello there."),
        ({"trail": [part()]}, "first\n\nHello there."),
        ({"trail": [part("first"), part("second")], "parent_post_id": 613138459105820001}, "first\n\nsecond\n\nHello there."),
        ({"trail": [part(layout=None)]}, "first\n\nHello there."),
        ({"trail": [part(layout=[{"type": "rows", "display": []}])]}, "first\n\nHello there."),
        ({"trail": [part(post={"id": 613138459105820001})]}, "first\n\nHello there."),
        ({"trail": [part(broken_blog_name=None)]}, "first\n\nHello there."),
        ({"trail": [part(blog={"name": "other"})]}, "first\n\nHello there."),
        ({"trail": [part(blog={"name": "renamed", "uuid": OTHER})]}, "first\n\nHello there."),
    ],
)  # fmt: skip
def test_a_conversation_that_may_be_reblogged(fields, text):
    assert reblogged(**fields) == text


@pytest.mark.parametrize(
    "fields",
    [
        {"state": "private"},
        {"state": "draft"},
        {"community": {"name": "cats"}},
        {"is_submission": True},
        {"post_author": "friend"},
        {"asking_name": "somebody"},
        {"layout": [{"type": "ask", "blocks": [0], "attribution": []}]},
        {"layout": [{"type": "ask", "blocks": [0]}], "trail": [part()]},
        {"content": [text_block("a"), {"type": "paywall"}]},
        {"content": [text_block("a"), {"type": "image"}]},
        {"content": [text_block("a"), {"type": "image"}], "trail": [part()]},
        {"content": [text_block(" ")]},
        {"content": []},
        {"content": [], "trail": [part()]},  # a reblog without a comment
        {"content": "<p>old</p>"},
        {"content": [text_block(7)]},
        {"can_reblog": False},
        {"reblog_key": None},
        {"blog": {"name": "staff"}},  # no UUID to send
        {"blog": {"name": "staff", "uuid": "t:Somebody0Else"}},
        # A reblog whose conversation was not handed over.
        {"trail": [], "parent_post_id": "613138459105820001"},
        {"trail": {"0": part()}},
        {"trail": "first"},
        {"trail": None, "reblogged_from_id": "613138459105820001"},
        {"trail": ["nonsense"]},
        {"trail": [None]},
        {"trail": [part(), []]},
        # Broken, or not text, or nothing, in any of its parts.
        {"trail": [part(broken_blog_name="gone")]},
        {"trail": [{"broken_blog_name": "other", "content": [text_block("first")]}]},
        {"trail": [part(post=None)]},
        {"trail": [part(post={"id": "0"})]},
        {"trail": [part(content=[])]},
        {"trail": [part(content=None)]},
        {"trail": [part(content=[text_block("")])]},
        {"trail": [part(content=[{"type": "image"}])]},
        {"trail": [part(content=[text_block("a"), {"type": "poll"}])]},
        {"trail": [part(content=[{"type": "text"}, text_block("a")])]},
        {"trail": [part(layout=[{"type": "ask", "blocks": [0], "attribution": []}])]},
        {"trail": [part(), part(broken_blog_name="gone")]},
        # From a blog that is not allowed, or nobody knows which.
        {"trail": [part(blog={"name": "stranger", "uuid": "t:Stranger"})]},
        {"trail": [part(blog={"name": "other", "uuid": "t:Stranger"})]},  # the name passed to somebody else
        {"trail": [part(blog={"name": "other", "uuid": "other"})]},
        {"trail": [part(blog={"name": "stranger"})]},
        {"trail": [part(blog={})]},
        {"trail": [part(blog=[])]},
        {"trail": [part(blog={"name": "stranger"}), part()]},
        {"trail": [part(), part(blog={"name": "stranger"}), part()]},
    ],
)
def test_what_may_not_be_reblogged(fields):
    assert reblogged(**fields) is None


@given(st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES), st.lists(st.dictionaries(st.sampled_from(["content", "layout", "post", "blog", "broken_blog_name"]), JSON_VALUES), max_size=3))  # fmt: skip
def test_whatever_comes_is_a_text_or_no_choice(fields, changes):
    raw = json.dumps(npf(trail=[part() | change for change in changes]) | fields).encode()
    text = reblog_text(raw, ALLOWED)
    if text is not None:
        assert text.strip()
        assert text == read_trail_text(raw)
        assert read_post(raw).rejection in {None, Rejection.REBLOG}
        assert read_reblog_source(raw).blog_uuid == UUID
        assert reblog_text(raw, set()) is None


@pytest.mark.parametrize("raw", [b"", b"null", b"{", b"<html>", b'{"a":' + b"[" * 100_000])
def test_what_cannot_be_read_may_not_be_reblogged(raw):
    assert reblog_text(raw, ALLOWED) is None


# --- answers, and comments on reblogs -------------------------------------------------------------------------

IMAGE = {"type": "image", "media": []}


def ask(*blocks, **fields):
    """The layout of a post whose blocks at these places are an ask."""
    return {"type": "ask", "blocks": list(blocks), **fields}


def answered(**fields):
    fields = {"content": [text_block("Why?"), text_block("Because.")], "layout": [ask(0)]} | fields
    return read_answer(json.dumps(npf(**fields)).encode())


@pytest.mark.parametrize(
    ("fields", "words", "own"),
    [
        ({}, "Why?", "Because."),
        ({"asking_name": "somebody", "original_type": "note"}, "Why?", "Because."),
        ({"layout": [ask(0, attribution=[])]}, "Why?", "Because."),
        ({"layout": [{"type": "rows", "display": [{"blocks": [0]}, {"blocks": [1]}]}, ask(0)]}, "Why?", "Because."),
        ({"layout": [ask(1)]}, "Because.", "Why?"),
        ({"layout": [ask("0")]}, "Why?", "Because."),
        (
            {"content": [text_block(word) for word in "abcd"], "layout": [ask(0, 1)]},
            "a\n\nb",
            "c\n\nd",
        ),
        ({"content": [text_block(word) for word in "abc"], "layout": [ask(0), ask(2)]}, "a\n\nc", "b"),
        (
            {
                "content": [text_block("a", subtype="unordered-list-item"), text_block("b", subtype="chat")],
                "layout": [ask(0)],
            },
            "- a",
            "b",
        ),
    ],
)
def test_an_answer_is_told_from_its_ask(fields, words, own):
    assert answered(**fields) == Exchange(words, own)


@pytest.mark.parametrize(
    "fields",
    [
        {"content": [text_block("Why?"), IMAGE, text_block("Because.")], "layout": [ask(0, 1)]},
        {"content": [text_block("Why?"), text_block("Because."), IMAGE]},
        {"content": [text_block("Why?")]},
        {"content": []},
        {"content": [text_block(" "), text_block("Because.")]},
        {"content": [text_block("Why?"), text_block(" ")]},
        {"content": [text_block("Why?"), {"type": "text"}]},
        {"content": "nothing"},
        {"layout": [ask()]},
        {"layout": [ask(0, 1)]},
        {"layout": [ask(0, 2)]},
        {"layout": [ask(-1)]},
        {"layout": [ask(True)]},
        {"layout": [ask(None)]},
        {"layout": [{"type": "ask"}]},
        {"layout": []},
        {"layout": [], "asking_name": "somebody"},
        {"state": "private"},
        {"state": "queued"},
        {"is_submission": True},
        {"post_author": "somebody"},
        {"community": {"name": "c"}},
        {"parent_post_id": "5"},
        {"trail": [{"content": [text_block("first")], "post": {"id": "1"}}]},
        {"content": [text_block("Why?"), text_block("Because."), {"type": "paywall"}]},
    ],
)
def test_what_is_no_answer_in_plain_words(fields):
    assert answered(**fields) is None


def commented(**fields):
    fields = {"content": [text_block("So true.")], "trail": [trail_part()], "parent_post_id": "5"} | fields
    return read_reblog_comment(json.dumps(npf(**fields)).encode())


def trail_part(*texts, **fields):
    content = [text_block(text) for text in texts or ("first",)]
    return {"content": content, "layout": [], "post": {"id": "1"}, "blog": {"name": "other", "uuid": "t:o"}} | fields


@pytest.mark.parametrize(
    ("fields", "words", "own"),
    [
        ({}, "first", "So true."),
        ({"trail": [trail_part("a", "b"), trail_part("c")]}, "a\n\nb\n\nc", "So true."),
        ({"content": [text_block("x"), text_block("y")]}, "first", "x\n\ny"),
        ({"parent_post_id": None}, "first", "So true."),
        ({"trail": [trail_part(layout=None)]}, "first", "So true."),
        (
            {"trail": [trail_part(content=[ordered("a"), ordered("b")])]},
            "1. a\n2. b",
            "So true.",
        ),
    ],
)
def test_a_comment_is_told_from_what_it_answers(fields, words, own):
    assert commented(**fields) == Exchange(words, own)


@pytest.mark.parametrize(
    "fields",
    [
        {"content": []},
        {"content": [text_block(" ")]},
        {"content": [text_block("So true."), IMAGE]},
        {"content": [IMAGE]},
        {"trail": []},
        {"trail": None},
        {"trail": [trail_part(), trail_part(content=[IMAGE])]},
        {"trail": [trail_part(content=[text_block("first"), IMAGE])]},
        {"trail": [trail_part(content=[{"type": "poll"}])]},
        {"trail": [trail_part(content=[])]},
        {"trail": [trail_part(" ")]},
        {"trail": [trail_part(broken_blog_name="gone")]},
        {"trail": [trail_part(post={})]},
        {"trail": [trail_part(layout=[ask(0)])]},
        {"trail": ["nothing"]},
        {"layout": [ask(0)]},
        {"asking_name": "somebody"},
        {"state": "private"},
        {"is_submission": True},
        {"community": {"name": "c"}},
        {"trail": [], "parent_post_id": None},
    ],
)
def test_what_is_no_comment_in_plain_words(fields):
    assert commented(**fields) is None


@given(
    st.dictionaries(
        st.sampled_from(["content", "layout", "trail", "state", "parent_post_id", "asking_name"]),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.text(max_size=5)
            | st.sampled_from(["ask", "text", "published"]),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["type", "text", "blocks", "content", "post", "id"]), inner, max_size=4
                )
            ),
            max_leaves=20,
        ),
    )
)
def test_whatever_comes_both_sides_have_words_or_there_is_no_exchange(fields):
    raw = json.dumps(npf() | fields).encode()
    for found in (read_answer(raw), read_reblog_comment(raw)):
        assert found is None or (found.words.strip() and found.own.strip())


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff"])
def test_what_cannot_be_read_is_no_exchange(raw):
    assert read_answer(raw) is None
    assert read_reblog_comment(raw) is None


# --- writing --------------------------------------------------------------------------------------------------


def without_spaces(text):
    return re.sub(r"\s", "", text)


@pytest.mark.parametrize(
    ("text", "paragraphs"),
    [
        ("", []),
        (" \n\n \t\n", []),
        ("one", ["one"]),
        ("one\n\ntwo", ["one", "two"]),
        ("one\r\n\r\ntwo\r\rthree", ["one", "two", "three"]),
        ("\n\none\n \t\n\n\ntwo\nthree  \n", ["one", "two\nthree"]),
        ("nul\x00l", ["null"]),
        ("half \ud800 pair", ["half ? pair"]),
    ],
)
def test_one_block_for_each_paragraph(text, paragraphs):
    assert blocks_from_text(text) == [{"type": "text", "text": paragraph} for paragraph in paragraphs]


@pytest.mark.parametrize(
    "text", ["word " * 3000, "x" * 10_000, "line of text\n" * 1000, " " * 9000 + "end", "😀" * 5000]
)
def test_a_long_paragraph_makes_several_blocks(text):
    blocks = blocks_from_text(text)
    assert all(0 < len(block["text"]) <= LONGEST_BLOCK for block in blocks)
    assert without_spaces("".join(block["text"] for block in blocks)) == without_spaces(text)
    if " " in text.strip():
        assert all(block["text"].endswith(("word", "text")) for block in blocks)


@given(st.text(alphabet=st.sampled_from("ab é😀\n\r\t"), max_size=300), st.integers(1, 40))
def test_no_word_is_lost_or_cut(text, times):
    blocks = blocks_from_text(text * times)
    words = " ".join(block["text"] for block in blocks).split()
    assert words == (text * times).split() or any(len(word) > LONGEST_BLOCK for word in (text * times).split())
    assert all(block["text"].strip() and len(block["text"]) <= LONGEST_BLOCK for block in blocks)
    assert not any(re.search(r"\n\s*\n", block["text"]) for block in blocks)


def test_more_than_a_post_holds_is_refused():
    assert len(blocks_from_text("a\n\n" * MOST_BLOCKS)) == MOST_BLOCKS
    with pytest.raises(TumblrRefused):
        blocks_from_text("a\n\n" * (MOST_BLOCKS + 1))
    with pytest.raises(TumblrRefused):
        post_body("é" * 600_000, (), UploadState.DRAFT)


@pytest.mark.parametrize(
    ("given_tags", "cleaned"),
    [
        (["one", "#two", "##three", " # four "], ("one", "two", "three", "four")),
        (["a,b", "c, d ,,e"], ("a", "b", "c", "d", "e")),
        (["Cats", "cats", "CATS "], ("Cats",)),
        (["two   words\nhere"], ("two words here",)),
        (["", "#", " , ", "\x00"], ()),
        (["x" * 141, "x" * 150], ("x" * 140,)),
        ([str(number) for number in range(40)], tuple(str(number) for number in range(30))),
    ],
)
def test_tags_as_tumblr_keeps_them(given_tags, cleaned):
    assert clean_tags(given_tags) == cleaned


@given(st.lists(st.text(max_size=200) | st.text(alphabet="aA#, \n", max_size=20), max_size=50))
def test_tags_always_fit(tags):
    cleaned = clean_tags(tags)
    assert len(cleaned) <= 30
    assert all(
        0 < len(tag) <= 140 and "," not in tag and not tag.startswith("#") and tag == tag.strip() for tag in cleaned
    )
    assert len({tag.casefold() for tag in cleaned}) == len(cleaned)
    assert clean_tags(cleaned) == cleaned
    ",".join(cleaned).encode()


@pytest.mark.parametrize("state", list(UploadState))
def test_the_body_of_a_post(state):
    assert post_body("Hi.\n\nThere.", ["a", "b c"], state) == {
        "content": [text_block("Hi."), text_block("There.")],
        "state": state.value,
        "tags": "a,b c",
    }


def test_without_tags_none_are_sent():
    assert "tags" not in post_body("Hi.", (), UploadState.DRAFT)


def test_the_body_of_a_reblog():
    raw = json.dumps(npf(id_string="99", reblog_key="fresh")).encode()
    source = read_reblog_source(raw)
    assert source == ReblogSource(UUID, "99", "fresh")
    body = post_body("", (), UploadState.QUEUE, source)
    assert body == {
        "content": [],
        "state": "queue",
        "parent_tumblelog_uuid": UUID,
        "parent_post_id": "99",
        "reblog_key": "fresh",
    }


@pytest.mark.parametrize(
    "fields",
    [{"can_reblog": False}, {"can_reblog": 0}, {"reblog_key": None}, {"blog": {}}, {"id": None, "id_string": None}],
)
def test_what_cannot_be_reblogged(fields):
    with pytest.raises(TumblrRefused):
        read_reblog_source(json.dumps(npf(**fields)).encode())
    with pytest.raises(TumblrRefused):
        read_reblog_source(b"nonsense")


def test_no_text_is_no_post():
    with pytest.raises(TumblrRefused):
        post_body(" \n ", ["tag"], UploadState.DRAFT)


def test_a_state_outside_the_closed_set_is_a_mistake():
    with pytest.raises(ValueError, match="queued"):
        post_body("Hi.", (), "queued")


# --- real posts -----------------------------------------------------------------------------------------------

EXPECTED = {"ask": Rejection.ASK, "reblog": Rejection.REBLOG, "image": Rejection.NOT_TEXT, "link": Rejection.NOT_TEXT, "quirky": Rejection.NOT_TEXT, "text": None}  # fmt: skip


@pytest.mark.skipif(not SAMPLE_FILES, reason="the real posts in ../shared/samples are not here")
@pytest.mark.parametrize("file", SAMPLE_FILES, ids=lambda file: file.stem)
def test_real_posts(file):
    raw = file.read_bytes()
    theirs = json.loads(raw)
    post = read_post(raw)
    assert post.id == theirs["id_string"]
    assert post.blog_uuid == theirs["blog"]["uuid"]
    assert (post.timestamp, post.url, list(post.tags)) == (theirs["timestamp"], theirs["post_url"], theirs["tags"])
    assert post.rejection == EXPECTED[file.stem.split("_")[1]]
    assert post.raw == raw
    words = [word for block in theirs["content"] if block["type"] == "text" for word in block["text"].split()]
    assert [word for word in post.text.split() if word in words] == words
    conversation = read_trail_text(raw)
    assert post.text in conversation
    for item in theirs["trail"]:
        assert all(block["text"].strip() in conversation for block in item["content"] if block["type"] == "text")
    answer = read_answer(raw)
    if post.rejection == Rejection.ASK:
        assert answer is not None
        asked = {place for each in theirs["layout"] if each["type"] == "ask" for place in each["blocks"]}
        for place, block in enumerate(theirs["content"]):
            assert block["text"].strip() in (answer.words if place in asked else answer.own)
    else:
        assert answer is None
    # All of them are below pictures.
    assert read_reblog_comment(raw) is None
