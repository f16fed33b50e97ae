"""The one place that proves Discord's limits."""

import discord
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config import Settings
from bot.drafts import Closest, Draft, DraftState, Finding, Parent, UploadState
from cogs.ui import limits
from cogs.ui.draft_buttons import draft_view
from cogs.ui.draft_embed import render
from cogs.ui.draft_forms import split_for_form
from cogs.ui.limits import cut, embed, foreign, length

texts = st.text(max_size=6000) | st.text(alphabet="ab 🏴‍☠️👨‍👩‍👧\n", max_size=6000)


def test_length_counts_as_discord_does():
    assert length("a") == 1
    assert length("🙂") == 2


@given(texts, st.integers(min_value=1, max_value=5000))
def test_cut_keeps_the_limit_and_the_beginning(text: str, limit: int):
    shortened = cut(text, limit)
    assert length(shortened) <= limit
    if length(text) <= limit:
        assert shortened == text
    else:
        assert text.startswith(shortened.removesuffix("…"))


@given(
    title=texts,
    description=texts,
    author=texts,
    footer=texts,
    fields=st.lists(st.tuples(texts, texts, st.booleans()), max_size=30),
)
def test_every_embed_keeps_every_limit(title, description, author, footer, fields):
    made = embed(title=title, description=description, author=author, footer=footer, fields=fields)
    assert length(made.title or "") <= 256
    assert length(made.description or "") <= 4096
    assert length(made.author.name or "") <= 256
    assert length(made.footer.text or "") <= 2048
    assert len(made.fields) <= 25
    parts = [made.title, made.description, made.author.name, made.footer.text]
    for field in made.fields:
        assert 1 <= length(field.name or "") <= 256
        assert 1 <= length(field.value or "") <= 1024
        parts += [field.name, field.value]
    assert sum(length(part or "") for part in parts) <= 6000


def test_an_escape_of_their_own_does_not_undo_ours():
    assert foreign("\\[click](https://example.invalid)") == "\\\\\\[click\\]\\(https://example.invalid)"


def test_an_address_stays_whole():
    assert foreign("see https://example.invalid/a_b_c now") == "see https://example.invalid/a_b_c now"


@pytest.mark.parametrize(
    ("text", "forbidden"),
    [
        ("@everyone look", "@everyone"),
        ("<@123456789012345678>", "<@1"),
        ("[click me](https://example.invalid)", "](http"),
        ("join discord.gg/abcdef", "discord.gg/"),
        ("```\ncode\n```", "```"),
        ("# a heading", "\n# "),
        ("||secret||", "||secret||"),
        ("<t:0:R>", "<t:"),
        ("**bold**", "**bold**"),
        ("https://a.invalid/```\ncode https://a.invalid/```", "```"),
        ("https://a.invalid/||secret||", "||secret||"),
    ],
)
def test_foreign_text_loses_its_teeth(text: str, forbidden: str):
    assert forbidden not in "\n" + foreign(text)


@pytest.mark.parametrize("opened", ["\u202e", "\u202a\u202b", "\u2067", "\u2066\u202e"])
def test_what_turns_the_direction_of_writing_ends_with_its_line(opened: str):
    """Else a name would turn the rest of our own sentence round."""
    closing = {"\u202a": "\u202c", "\u202b": "\u202c", "\u202e": "\u202c", "\u2066": "\u2069", "\u2067": "\u2069"}
    for line in foreign(f"{opened}eve\n{opened}").split("\n"):
        for mark in opened:
            assert line.count(closing[mark]) == sum(closing[each] == closing[mark] for each in opened)
    balanced = f"{opened}eve{''.join(closing[mark] for mark in reversed(opened))}"
    assert foreign(balanced) == balanced


@given(texts)
def test_a_form_loses_nothing_of_a_text(text: str):
    parts = split_for_form(text)
    assert "".join(parts) == text
    assert all(length(part) <= limits.MODAL_INPUT for part in parts)


@given(
    text=texts,
    note=texts,
    tags=st.lists(st.text(max_size=140), max_size=30),
    state=st.sampled_from(DraftState),
    parent=st.none() | st.builds(Parent, st.just("t:x"), texts, st.just("5"), texts, st.just("https://a.example/(5)")),
    found=texts,
)
def test_every_draft_can_be_shown(text, note, tags, state, parent, found):
    draft = Draft(
        id=1,
        state=state,
        text=text,
        tags=tuple(tags),
        prompt="",
        voice_id=1,
        voice_name=text,
        job_id=None,
        replaces=None,
        blog="staff",
        upload_state=UploadState.DRAFT,
        created_at=0.0,
        cost=0.0,
        version=1,
        shown_version=0,
        channel_id=None,
        message_id=None,
        post_id=None,
        post_url=None,
        decided_by="somebody",
        decided_at=0.0,
        note=note,
        edited=False,
        parent=parent,
        reason=found,
        held_back=bool(found),
        findings=(Finding("close", found),),
        closeness=0.5,
        closest=Closest(found, "https://a.example/(6)"),
        approved_by=("somebody", text[:32]),
        publish_at=5.0,
    )
    rendered = render(draft, Settings())
    shown = rendered.embed
    assert isinstance(shown, discord.Embed)
    assert length("".join(_texts(shown))) <= 6000
    assert length(shown.description or "") <= limits.DESCRIPTION
    if rendered.is_whole:
        assert foreign(text).strip() in (shown.description or "")
    else:
        assert "Read all" in [getattr(item, "label", "") for item in draft_view(draft, is_whole=False).children]  # type: ignore[union-attr]
    assert "staff" in (shown.fields[0].value or "") or state is DraftState.REPLACED or state is DraftState.REJECTED


def _texts(shown: discord.Embed) -> list[str]:
    fields = [text for field in shown.fields for text in (field.name or "", field.value or "")]
    return [shown.description or "", shown.author.name or "", shown.footer.text or "", *fields]


def test_neither_a_word_nor_an_escape_is_cut_in_two():
    assert cut("the edge of a person", 12) == "the edge of…"
    assert cut("the edge of a person", 10) == "the edge…"
    assert cut("x" * 40, 10) == f"{'x' * 9}…", "what is longer than a word is cut where it must be"
    assert cut(f"see {'x' * 40}", 20) == f"see {'x' * 15}…"
    for limit in range(2, 30):
        before = cut(foreign("snake_case *and* more _of_ it_"), limit).removesuffix("…")
        assert (len(before) - len(before.rstrip("\\"))) % 2 == 0
