"""The pages that are made from the source are up to date, complete, and lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.pages import COMMAND, pages, rooms
from tests.sentences import sentences, unread
from tests.source_texts import ROOT, UNKNOWN

BOT_PAGE = (ROOT / "bot" / "README.md").read_text("utf-8")
OF_THEIR_OWN = ("JobAlreadyRunning(", "BudgetReached(")
PICTURES = ROOT / ".pictures"
LARGEST_PICTURE = 150_000  # bytes


@pytest.fixture(scope="module")
def made() -> dict[Path, str]:
    return pages()


@pytest.mark.parametrize("page", ["README.md", "bot/OPTIONS.md", "bot/README.md", "bot/SENTENCES.md"])
def test_what_is_made_from_the_source_is_up_to_date(made: dict[Path, str], page: str):
    assert (ROOT / page).read_text("utf-8") == made[ROOT / page], f"out of date: {COMMAND}"


def test_no_page_names_a_place_on_this_machine(made: dict[Path, str]):
    for page, text in made.items():
        assert not re.search(rf"(?<![\w.])/(work|tmp|home|root)/|{re.escape(str(ROOT))}", text), page


# --- sentences ------------------------------------------------------------------------------------------------


def test_no_error_is_made_whose_sentence_cannot_be_found():
    """It is written at the place, or belongs to the type, or is passed on from where it was written."""
    for place in unread():
        assert any(word in place for word in (".sentence", "error.problems", *OF_THEIR_OWN)), place


@pytest.mark.parametrize(
    ("text", "next_step"),
    [
        # of a type; written at the place; from a table; put together; from a branch; through a parameter; with a reason
        ("Discord does not accept the token.", "Press Reset Token on the application's Bot page, and copy the new one whole."),
        ("There is no such voice.", "/voices list shows them all with their numbers."),
        ("This would pass the budget of a run: … of … dollars are used or set aside, and the next call may cost ….",
         "Begin another run, or let the owner raise `…` under [budget]."),
        ("… does not know what was asked for (status …): “…”.", "Check the model's name and `base_url` under [openai]."),
        ("The safety check of … broke down, which is no verdict on your posts. It says: ….",
         "Try the same again; mostly it passes then."),
        ("Tumblr's answer could not be read.",
         "Paste the address once more; if Tumblr does not accept it then, begin again with a new link."),
        ("Tumblr could not be reached, so nothing was sent.", "Try again in a few minutes."),
    ],
)  # fmt: skip
def test_sentences_are_found_however_they_are_written(text: str, next_step: str):
    steps = [each.next_step for each in sentences() if each.text == text]
    assert next_step in steps


def test_every_sentence_says_something_and_ends():
    for each in sentences():
        assert re.search(r"\w", each.text), each
        assert each.text.endswith((".", f"{UNKNOWN}?", UNKNOWN)), each
        assert re.search(rf"[.{UNKNOWN}]$|: [a-z]+ [^.]+$", each.next_step), f"{each}: neither a sentence nor a command"


# --- the map --------------------------------------------------------------------------------------------------


def test_the_map_names_every_room():
    listed = re.findall(r"^\| `((?:bot|cogs)/[\w/.]+)` \|", BOT_PAGE, re.MULTILINE)
    there = {
        f"{house}/{path.name}{'/' if path.is_dir() else ''}"
        for house in ("bot", "cogs")
        for path in (ROOT / house).iterdir()
        if (path.suffix == ".py" and path.name != "__init__.py") or (path / "__init__.py").is_file()
    }
    assert set(listed) == set(rooms()) == there
    assert len(listed) == len(there)


def test_what_the_page_for_developers_names_exists():
    prose = re.sub(r"^\| `(bot|cogs)/.*$", "", BOT_PAGE, flags=re.MULTILINE)
    source = "\n".join(path.read_text("utf-8") for path in (*ROOT.glob("bot/**/*.py"), *ROOT.glob("cogs/**/*.py")))
    for span in re.findall(r"`([^`]+)`", prose):
        if span.startswith("python3 -m "):
            module = span.split()[2].replace(".", "/")
            assert (ROOT / f"{module}.py").is_file() or (ROOT / module / "__main__.py").is_file(), span
        elif span.startswith(("/", "--", "[")):
            assert span.strip("[]") in source + (ROOT / "pyproject.toml").read_text("utf-8"), span
        elif "/" in span or ("." in span.strip(".") and not span.startswith(("client.", "@"))):
            assert any((folder / span).exists() for folder in (ROOT, ROOT / "bot")), span
        else:
            words = source + (ROOT / "tests" / "cogs" / "test_strangers.py").read_text("utf-8")
            words += (ROOT / "tests" / "test_readme.py").read_text("utf-8")
            assert re.search(rf"\b{re.escape(span.strip('@').split('(')[0].rpartition('.')[2])}\b", words), span


def test_links_between_the_pages_lead_somewhere():
    for page in ("OPTIONS.md", "README.md", "SENTENCES.md"):
        text = (ROOT / "bot" / page).read_text("utf-8")
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert (ROOT / "bot" / target).exists(), (page, target)


# --- pictures -------------------------------------------------------------------------------------------------


def test_the_pictures_are_those_of_the_readme_and_small():
    shown = set(re.findall(r"[(\"]\.pictures/(\w+\.png)[)\"]", (ROOT / "README.md").read_text("utf-8")))
    assert (
        shown == {path.name for path in PICTURES.iterdir()} == {"demo.png", "draft.png", "status.png", "training.png"}
    )
    for name in shown:
        picture = (PICTURES / name).read_bytes()
        assert picture.startswith(b"\x89PNG\r\n")
        assert len(picture) < LARGEST_PICTURE
