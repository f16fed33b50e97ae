import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.errors import BlogIdentifierError
from bot.tumblr.identifiers import parse_identifier

SAFE = re.compile(
    r"[a-z0-9-]{1,32}|t:[A-Za-z0-9_-]{1,64}|(?=.{4,253}\Z)([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]{2,63}", re.ASCII
)


@pytest.mark.parametrize(
    ("text", "identifier"),
    [
        ("staff", "staff"),
        ("  Staff \n", "staff"),
        ("@staff", "staff"),
        ("a-1-b", "a-1-b"),
        ("x" * 32, "x" * 32),
        ("staff.tumblr.com", "staff"),
        ("STAFF.Tumblr.com.", "staff"),
        ("https://staff.tumblr.com", "staff"),
        ("http://staff.tumblr.com/", "staff"),
        ("https://www.staff.tumblr.com/", "staff"),
        ("https://staff.tumblr.com/post/613138459105820672/thanks-for-your-questions", "staff"),
        ("staff.tumblr.com/post/1?a=b#c", "staff"),
        ("https://staff.tumblr.com?x=y", "staff"),
        ("www.tumblr.com/staff", "staff"),
        ("tumblr.com/staff", "staff"),
        ("https://www.tumblr.com/staff", "staff"),
        ("https://www.tumblr.com/@staff", "staff"),
        ("https://www.tumblr.com/%40staff", "staff"),
        ("tumblr.com/@staff/", "staff"),
        ("https://www.tumblr.com/staff/613138459105820672/slug?source=share", "staff"),
        ("https://www.tumblr.com/blog/staff", "staff"),
        ("https://www.tumblr.com/blog/view/staff", "staff"),
        ("https://www.tumblr.com/blog/view/staff/613138459105820672", "staff"),
        ("https://www.tumblr.com/dashboard/blog/staff/613138459105820672", "staff"),
        ("https://at.tumblr.com/staff/a-post/abcdef", "staff"),
        ("<https://www.tumblr.com/staff>", "staff"),
        ("`staff`", "staff"),
        ("staff\u200b", "staff"),
        ("blog.example.org", "blog.example.org"),
        ("https://Blog.Example.org/post/1", "blog.example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("t:0aY0xL2Fi1OFJg4YxpmegQ", "t:0aY0xL2Fi1OFJg4YxpmegQ"),
        ("T:0aY0xL2Fi1OFJg4YxpmegQ", "t:0aY0xL2Fi1OFJg4YxpmegQ"),
        ("t:-a64sEP6vr6hAYZAAkXnvQ", "t:-a64sEP6vr6hAYZAAkXnvQ"),
        ("https://www.tumblr.com/blog/view/t:0aY0xL2Fi1OFJg4YxpmegQ", "t:0aY0xL2Fi1OFJg4YxpmegQ"),
    ],
)
def test_every_way_to_name_a_blog(text, identifier):
    assert parse_identifier(text) == identifier


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "@", "x" * 33, "two words", "under_score", "staff/../../user/info", "../staff", "staff?npf=false", "staff#x",
        "staff/posts", "t:", "t:abc/../x", "t:a b", "t:" + "a" * 65, "tumblr.com", "https://www.tumblr.com/", "www.tumblr.com/dashboard",
        "https://www.tumblr.com/tagged/cats", "https://www.tumblr.com/communities/cats", "https://www.tumblr.com/blog/", "api.tumblr.com",
        "64.media.tumblr.com", "a.b.tumblr.com", "user@staff.tumblr.com", "user:pw@example.org", "example.org:8080", "127.0.0.1", "[::1]", "localhost/x",
        "ftp://staff.tumblr.com", "javascript://staff.tumblr.com", "https://staff", "a..b", ".", "..", "-a.example", "a-.example", "example.1",
        "\u212aelvin", "stäff", "стафф", "x." * 130 + "org", "a" * 3000, "staff.tumblr.com/" + "a" * 3000, "staff\x00", "staff\r\nHost: x", "www.tumblr.com/%2e%2e", "www.tumblr.com/a%2fb",
    ],
)  # fmt: skip
def test_what_names_no_blog(text):
    with pytest.raises(BlogIdentifierError) as caught:
        parse_identifier(text)
    if len(text) > 3:
        assert text not in str(caught.value)  # it may be a secret in the wrong field


HOSTLE = st.text(alphabet=st.sampled_from("aZ09-_./:@%?#\\ \t\u200b\u212aé。tT"), max_size=40)
ADDRESSES = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "https://", "HTTP://", "//", "t:"]),
    st.sampled_from(["", "www.tumblr.com/", "tumblr.com/blog/view/", "x.tumblr.com", "x.org/"]),
    st.one_of(HOSTLE, st.text(max_size=40)),
)


@given(st.one_of(st.text(), HOSTLE, ADDRESSES))
@example("a.xn--")
def test_the_result_is_always_safe_in_a_path(text):
    try:
        identifier = parse_identifier(text)
    except BlogIdentifierError:
        return
    assert SAFE.fullmatch(identifier)
    assert "/" not in identifier
    assert ".." not in identifier
    assert parse_identifier(identifier) == identifier
