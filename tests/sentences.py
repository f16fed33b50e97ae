"""Every sentence that the bot can say of what went wrong, read from its source, with what to do next.

The parts that are only known when it happens are shown as "…". `tests/pages.py` makes `bot/SENTENCES.md` of it.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from tests.source_texts import ROOT, UNKNOWN, Module, Scope, expressions, modules, texts

CHECK = "what check finds"
"""The subject of what `python3 -m bot check` and the checks at the start find."""
_SETTINGS = "settings"


@dataclass(frozen=True, order=True)
class Sentence:
    """What is said, and what it says to do next; `subject` is the part of `bot/errors.py` that its type stands in."""

    subject: str
    text: str
    next_step: str


# --- the types of errors --------------------------------------------------------------------------------------


@cache
def error_types() -> dict[str, str]:
    """Every kind of BotError by its name, with its subject: the heading above it in `bot/errors.py`."""
    found = {"BotError": "the rest"}
    heading = "the rest"
    for line in (ROOT / "bot" / "errors.py").read_text("utf-8").splitlines():
        if title := re.match(r"# --- (.+?) -+$", line):
            heading = title[1]
        elif (named := re.match(r"class (\w+)\((\w+)\)", line)) and named[2] in found:
            found[named[1]] = heading
    elsewhere = [
        (node.name, base.id)
        for module in modules().values()
        for node in module.classes
        for base in node.bases
        if isinstance(base, ast.Name)
    ]
    found.update({name: found[base] for name, base in elsewhere if base in found and name not in found})
    return found


# --- collecting -----------------------------------------------------------------------------------------------


def _pairs(sentence: ast.expr, step: ast.expr, scope: Scope) -> Iterator[tuple[str, str]]:
    """Sentences with their next steps. Where both have as many forms, they were written side by side."""
    said, steps = texts(sentence, scope), texts(step, scope)
    yield from zip(said, steps, strict=True) if len(said) == len(steps) else itertools.product(said, steps)


def _arguments(call: ast.Call) -> tuple[ast.expr, ast.expr] | None:
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    sentence = call.args[0] if call.args else given.get("sentence")
    step = call.args[1] if len(call.args) > 1 else given.get("next_step")
    return (sentence, step) if sentence is not None and step is not None else None


def _errors(module: Module) -> Iterator[Sentence]:
    """Errors that are made in a module with a sentence of their own."""
    types = error_types()
    for node, scope in expressions(module):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in types and name != "SettingsError":
                arguments = _arguments(node)
                if arguments is not None:
                    yield from (Sentence(types[name], *pair) for pair in _pairs(*arguments, scope))
            case _:
                pass
    for kind in module.classes:
        if kind.name in types:
            yield from _of_type(kind, module)


def _of_type(kind: ast.ClassDef, module: Module) -> Iterator[Sentence]:
    """The sentence that a type of error has by itself."""
    for function in kind.body:
        if isinstance(function, ast.FunctionDef) and function.name == "__init__":
            for node in ast.walk(function):
                match node:
                    case ast.Call(func=ast.Attribute(attr="__init__")):
                        arguments = _arguments(node)
                        if arguments is not None:
                            scope = Scope(module, (function,))
                            pairs = _pairs(*arguments, scope)
                            yield from (Sentence(error_types()[kind.name], *pair) for pair in pairs)
                    case _:
                        pass


def _problems(name: str, module: Module) -> Iterator[Sentence]:
    """The lines about single options that a SettingsError carries."""
    if "SettingsError" not in module.imported and not name.startswith(("bot.config", "bot.settings")):
        return
    for node, scope in expressions(module):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="problems"), attr="append"), args=[line]):
                lines = [line]
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="problems"), attr="extend"), args=[ast.GeneratorExp(elt=line)]
            ):
                lines = [line]
            case ast.Call(func=ast.Name(id="SettingsError"), args=[ast.Tuple(elts=lines)]):
                pass
            case ast.Call(func=ast.Name(id="SettingsError"), args=[ast.Call(args=[ast.GeneratorExp(elt=line)])]):
                lines = [line]
            case ast.Yield(value=ast.expr() as line) if any("problems" in each.name for each in scope.functions):
                lines = [line]
            case _:
                continue
        step = "Correct it in config.toml, the environment or the secrets folder."
        yield from (Sentence(_SETTINGS, text, step) for line in lines for text in texts(line, scope))


def _findings(name: str, module: Module) -> Iterator[Sentence]:
    """What the checks find wrong."""
    if not (name == "bot.check.finding" or module.imported.get("Finding", ("",))[0].startswith("bot.check")):
        return
    for node, scope in expressions(module):
        match node:
            case ast.Call(func=ast.Name(id="Finding"), args=[_, result, remedy]):
                yield from (Sentence(CHECK, *pair) for pair in _pairs(result, remedy, scope) if pair[1])
            case _:
                pass


def unread() -> list[str]:
    """Where an error is made with a sentence that is none of the source's, so that none could be read: `place: call`."""
    types = error_types()
    return [
        f"{name}: {ast.unparse(node)}"
        for name, module in modules().items()
        for node, scope in expressions(module)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in types
        if (arguments := _arguments(node)) is not None and texts(arguments[0], scope) == [UNKNOWN]
    ]


@cache
def sentences() -> tuple[Sentence, ...]:
    """Everything, each once, by subject and in the order of the alphabet."""
    found: set[Sentence] = set()
    for name, module in modules().items():
        found.update(_errors(module))
        found.update(_problems(name, module))
        found.update(_findings(name, module))
    telling = {each for each in found if re.search(r"\w", each.text)}
    answered = {each.text for each in telling if re.search(r"\w", each.next_step)}
    kept = {each for each in telling if re.search(r"\w", each.next_step) or each.text not in answered}
    return tuple(sorted(kept, key=lambda each: (each.subject, each.text.strip(UNKNOWN + " `").casefold(), each)))
