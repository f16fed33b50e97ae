"""The parts of the documents that are made from the source: `python3 -m tests.pages` writes them anew.

`bot/OPTIONS.md` is every option, `bot/SENTENCES.md` everything the bot can say of what went wrong; in `bot/README.md` it
is the map of the house, in `README.md` the table of costs. `tests/test_pages.py` fails while one is out of date.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from bot.config import Option, options, sections
from bot.language.prices import likely_cost, price_of, priced_models, training_cost
from tests.sentences import CHECK, sentences
from tests.source_texts import ROOT, UNKNOWN

COMMAND = "python3 -m tests.pages"


def _cell(text: str) -> str:
    """A text in a table: its own marks are shown, not obeyed; what is between backticks stays code."""
    parts = text.replace("\n", " ").split("`")
    for at in range(0, len(parts), 2):
        parts[at] = re.sub(r"([\\*_<>\[\]])", r"\\\1", parts[at])
    return "`".join(parts).replace("|", "\\|")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _with(page: Path, part: str, lines: Iterable[str]) -> str:
    """A page with other lines between the two marks of a part."""
    text = page.read_text("utf-8")
    marks = f"<!-- the {part} begin: made by {COMMAND} -->\n", f"<!-- the {part} end -->\n"
    before, begin, rest = text.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise LookupError(f"{page.relative_to(ROOT)} lacks one of {marks}")
    return "".join((before, begin, "\n", "\n".join(lines), "\n", end, after))


# --- options --------------------------------------------------------------------------------------------------

_OPTIONS = f"""\
# Every option

Made from the settings themselves by `{COMMAND}`; [the README](../README.md) says how they work together.

Each can be set in four places:

- in `config.toml`, below the heading of its section. In Discord, `/config set` writes there.
- as an environment variable: `TUMBLRBOT_POST_LIMIT`, or `TUMBLRBOT_REVIEW__POSTS_A_DAY` for one of a section.
- as a file of the secrets folder, with the name of the variable: `/run/secrets/tumblrbot_discord__token`.
- on the command line of `run`: `--post-limit 50`, `--review-posts-a-day 4`.

Secrets are not taken from the command line, and the bot writes none of them to `config.toml`. Setup, `/connect`,
`/config secret` and import keep them in `secrets.toml` of the data directory.
"""


def _default(option: Option) -> str:
    if option.is_secret:
        return "It is a secret."
    if option.default in ("", []):
        return "Default: none."
    default = str(option.default).lower() if isinstance(option.default, bool) else str(option.default)
    return f"Default: `{' '.join(default.split())}`."


def _options_page() -> str:
    lines = [_OPTIONS]
    for section, found in groupby(options().values(), key=lambda option: option.section):
        about = sections().get(section, "What most people set.")
        lines += [f"## {f'[{section}]' if section else 'At the top of the file'}", "", _cell(about), ""]
        for option in found:
            places = f"`{option.variable}`" if option.is_secret else f"`{option.variable}`, `{option.flag}`"
            lines += [f"### `{option.key}`", "", _cell(option.description), ""]
            lines += [f"Takes {_cell(option.allowed.text)}. {_default(option)} Also: {places}.", ""]
    return "\n".join(lines)


# --- sentences ------------------------------------------------------------------------------------------------

_SENTENCES = f"""\
# What to do when the bot says …

Every sentence about what went wrong, with what to do next. Made from the source by `{COMMAND}`. The
parts that are only known when it happens are shown as {UNKNOWN}, so look for the words around them.
"""
_HEADINGS = {
    "settings": "Settings",
    "the store": "The database, the disk and backups",
    "people": "Who may do what, Discord",
    "jobs": "Jobs",
    "work that cannot be done yet": "Commands, drafts, voices and money",
    "Tumblr": "Tumblr",
    "model services": "Model services",
    CHECK: "What check finds",
    "the rest": "Setup, import and the rest",
}


def _sentences_page() -> str:
    found = {subject: list(each) for subject, each in groupby(sentences(), key=lambda each: each.subject)}
    lines = [_SENTENCES]
    for subject, heading in _HEADINGS.items():
        steps: dict[str, list[str]] = {}
        for each in found.pop(subject, []):
            steps.setdefault(each.text, []).append(each.next_step if each.next_step != UNKNOWN else "It says.")
        rows = ((_cell(text), "<br>or: ".join(map(_cell, which))) for text, which in steps.items())
        lines += [f"## {heading}", "", *_table(("it says", "what to do"), rows)]
    if found:
        raise LookupError(f"_HEADINGS lacks {sorted(found)}, parts of bot/errors.py")
    return "\n".join(lines)


# --- the map of the house -------------------------------------------------------------------------------------


def _about(path: Path) -> str:
    """The first paragraph of what a module says of itself."""
    said = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    if not said:
        raise LookupError(f"{path.relative_to(ROOT)} does not say what it is for")
    return " ".join(said.partition("\n\n")[0].split())


def rooms() -> dict[str, str]:
    """Every package and module at the top of `bot/` and `cogs/`, and what it says of itself."""
    found: dict[str, str] = {}
    for house in ("bot", "cogs"):
        packages = sorted((ROOT / house).glob("*/__init__.py"))
        modules = sorted(path for path in (ROOT / house).glob("*.py") if path.name != "__init__.py")
        found.update({f"{house}/{path.parent.name}/": _about(path) for path in packages})
        found.update({f"{house}/{path.name}": _about(path) for path in modules})
    return found


def _map() -> Iterator[str]:
    return _table(("room", "what it is for"), ((f"`{name}`", _cell(about)) for name, about in rooms().items()))


# --- costs ----------------------------------------------------------------------------------------------------

POSTS, POST_TOKENS, EPOCHS, DRAFTS = 1_000, 150, 3, 100
_FEW_SHOT, _TUNED = "gpt-6-luna", "gpt-4.1-mini"


def _costs() -> Iterator[str]:
    """What typical work costs at OpenAI, by the bot's own table of prices and its own way to estimate."""
    training = f"Training a voice on {POSTS:,} posts of {POST_TOKENS} tokens, {EPOCHS} epochs"
    rows = [
        (training, model, f"${training_cost(model, POSTS * POST_TOKENS, EPOCHS, None):.2f}")
        for model in priced_models(tunable=True)
    ]
    few_shot = likely_cost(_FEW_SHOT, same_tokens=5_000, other_tokens=1_000, output_tokens=POST_TOKENS, calls=DRAFTS)
    tuned = likely_cost(_TUNED, same_tokens=0, other_tokens=100, output_tokens=POST_TOKENS, calls=DRAFTS)
    rows.append(
        (
            f"Writing {DRAFTS} drafts without training, 6,000 tokens of posts in each prompt",
            _FEW_SHOT,
            f"${few_shot.dollars:.2f}",
        )
    )
    rows.append((f"Writing {DRAFTS} drafts with a trained voice", _TUNED, f"${tuned.dollars:.2f}"))
    yield from _table(("what", "model", "about"), rows)
    yield "The prices that the bot goes by; for a model that can be trained, those of a trained one:\n"
    prices = [(model, price) for model in priced_models() if (price := price_of(model)) is not None]
    head = ("US dollars for a million tokens", "training", "input", "cached", "output", "as of")
    yield from _table(
        head,
        (
            (
                model,
                "cannot be trained" if price.training is None else f"{price.training:.2f}",
                *(f"{dollars:.2f}" for dollars in (price.input, price.cached, price.output)),
                price.checked_on.isoformat(),
            )
            for model, price in prices
        ),
    )


def pages() -> dict[Path, str]:
    """What each of these files should hold."""
    folder = ROOT / "bot"
    return {
        folder / "OPTIONS.md": _options_page(),
        folder / "SENTENCES.md": _sentences_page(),
        folder / "README.md": _with(folder / "README.md", "rooms", _map()),
        ROOT / "README.md": _with(ROOT / "README.md", "costs", _costs()),
    }


if __name__ == "__main__":
    for file, text in pages().items():
        file.write_text(text, "utf-8")
        print(file.relative_to(ROOT))
