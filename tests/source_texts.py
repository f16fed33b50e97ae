"""Reads texts out of the source, without running it: what an expression may say, however it is put together.

`tests/sentences.py` finds with it what the bot can say. What is only known at run time is `UNKNOWN`.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).parents[1]
UNKNOWN = "…"
_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
DEEPEST = 6
"""How far a name is followed from one place to the next."""


@dataclass(eq=False)
class Module:
    """What is at the top of a module, and every function in it, by their names."""

    tree: ast.Module
    constants: dict[str, ast.expr] = field(default_factory=dict)
    functions: dict[str, _Function] = field(default_factory=dict)
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)
    classes: list[ast.ClassDef] = field(default_factory=list)


@dataclass(frozen=True)
class Scope:
    """Where an expression stands: its module, and the functions around it, the innermost last."""

    module: Module
    functions: tuple[_Function, ...] = ()


@cache
def _module(name: str) -> Module | None:
    path = ROOT / name.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not path.is_file():
        return None
    module = Module(ast.parse(path.read_text("utf-8")))
    for node in module.tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value):
                module.constants[target] = value
            case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value):
                module.constants[target] = value
            case ast.ClassDef():
                module.classes.append(node)
            case _:
                pass
    for node in ast.walk(module.tree):
        match node:
            case ast.FunctionDef(name=function) | ast.AsyncFunctionDef(name=function):
                module.functions[function] = node
            case ast.ImportFrom(module=str(source), names=names):
                module.imported.update({alias.asname or alias.name: (source, alias.name) for alias in names})
            case _:
                pass
    return module


@cache
def modules() -> dict[str, Module]:
    """Every module of the bot by its dotted name; the demo's stand-ins speak for others."""
    paths = sorted(path for folder in ("bot", "cogs") for path in (ROOT / folder).rglob("*.py"))
    names = (".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths)
    found = {name: _module(name) for name in names if not name.startswith("bot.demo")}
    return {name: module for name, module in found.items() if module is not None}


@cache
def expressions(module: Module) -> list[tuple[ast.AST, Scope]]:
    """Every call and yield of a module with where it stands."""

    def walk(node: ast.AST, scope: Scope) -> Iterator[tuple[ast.AST, Scope]]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            scope = Scope(module, (*scope.functions, node))
        if isinstance(node, ast.Call | ast.Yield):
            yield node, scope
        for child in ast.iter_child_nodes(node):
            yield from walk(child, scope)

    return list(walk(module.tree, Scope(module)))


# --- texts out of expressions ---------------------------------------------------------------------------------


def _candidates(node: ast.expr, scope: Scope, depth: int) -> list[tuple[ast.expr, Scope]]:
    """The expressions that a name, a choice or a look-up may stand for; the expression itself where it is none."""
    if depth > DEEPEST:
        return [(node, scope)]
    match node:
        case ast.IfExp(body=body, orelse=otherwise):
            both = (body, otherwise)
            return [found for branch in both for found in _candidates(branch, scope, depth + 1)]
        case ast.Name(id=name):
            found = _named(name, scope, depth + 1)
            return found or [(node, scope)]
        case ast.Subscript(value=table) | ast.Call(func=ast.Attribute(value=table, attr="get")):
            found = _in_table(table, scope)
            if isinstance(node, ast.Call):
                found += [(default, scope) for default in node.args[1:]]
            return found or [(node, scope)]
        case ast.Attribute(attr="reason") if "NoAnswer" in scope.module.imported:
            return _reasons()
        case ast.Call(func=ast.Name(id=name)) if (found := _function(name, scope.module)) is not None:
            function, home = found
            returned = [each.value for each in ast.walk(function) if isinstance(each, ast.Return) and each.value]
            inner = Scope(home, (function,))
            return [value for each in returned for value in _candidates(each, inner, depth + 1)] or [(node, scope)]
        case _:
            return [(node, scope)]


def _function(name: str, module: Module) -> tuple[_Function, Module] | None:
    """The function that a name calls, in this module or where it is imported from."""
    if name in module.functions:
        return module.functions[name], module
    source, original = module.imported.get(name, ("", ""))
    home = _module(source) if source.startswith(("bot", "cogs")) else None
    return (home.functions[original], home) if home is not None and original in home.functions else None


@cache
def _reasons() -> list[tuple[ast.expr, Scope]]:
    """Why there was no answer of Tumblr: what every NoAnswer is made with."""
    return [
        (keyword.value, scope)
        for module in modules().values()
        for node, scope in expressions(module)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "NoAnswer"
        for keyword in node.keywords
        if keyword.arg == "reason"
    ]


def _in_table(table: ast.expr, scope: Scope) -> list[tuple[ast.expr, Scope]]:
    """The values of a mapping that stands at the top of the module."""
    match table:
        case ast.Name(id=name) if isinstance(written := scope.module.constants.get(name), ast.Dict):
            return [(value, Scope(scope.module)) for value in written.values]
        case _:
            return []


def _named(name: str, scope: Scope, depth: int) -> list[tuple[ast.expr, Scope]]:
    """What is assigned to a name: in the function, by the callers of the function, in the module, or elsewhere."""
    for index in range(len(scope.functions) - 1, -1, -1):
        function, around = scope.functions[index], Scope(scope.module, scope.functions[: index + 1])
        if found := list(_assigned(name, function, around, depth)):
            return found
        parameters = [parameter.arg for parameter in (*function.args.posonlyargs, *function.args.args)]
        if name in (*parameters, *(parameter.arg for parameter in function.args.kwonlyargs)):
            return list(_passed(name, parameters, function, scope.module, depth))
    if name in scope.module.constants:
        return _candidates(scope.module.constants[name], Scope(scope.module), depth)
    if name in scope.module.imported:
        source, original = scope.module.imported[name]
        elsewhere = _module(source)
        if elsewhere is not None and original in elsewhere.constants:
            return _candidates(elsewhere.constants[original], Scope(elsewhere), depth)
    return []


def _assigned(name: str, function: ast.AST, scope: Scope, depth: int) -> Iterator[tuple[ast.expr, Scope]]:
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                # A name that is made from itself, `text = f"{text}."`, would go round in circles.
                if name not in {inner.id for inner in ast.walk(value) if isinstance(inner, ast.Name)}:
                    yield from _candidates(value, scope, depth)
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=value):
                for place, target in enumerate(targets):
                    if isinstance(target, ast.Name) and target.id == name:
                        for found, where in _candidates(value, scope, depth):
                            if isinstance(found, ast.Tuple) and place < len(found.elts):
                                yield from _candidates(found.elts[place], where, depth)
            case _:
                pass


def _passed(
    name: str, parameters: list[str], function: ast.AST, module: Module, depth: int
) -> Iterator[tuple[ast.expr, Scope]]:
    """What the callers in the same module give for a parameter."""
    wanted = getattr(function, "name", "")
    place = parameters.index(name) if name in parameters else -1
    for node, scope in expressions(module):
        match node:
            case ast.Call(func=ast.Name(id=called)) if called == wanted:
                pass
            case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=called)) if called == wanted:
                pass
            case _:
                continue
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        index = place - (parameters[:1] == ["self"])
        if name in given:
            yield from _candidates(given[name], scope, depth)
        elif 0 <= index < len(node.args):
            yield from _candidates(node.args[index], scope, depth)


def texts(node: ast.expr, scope: Scope, depth: int = 0) -> list[str]:
    """The texts that an expression may have, each once; `UNKNOWN` stands for what is not written in the source."""
    found: list[str] = []
    for candidate, where in _candidates(node, scope, depth):
        match candidate:
            case ast.Constant(value=str(text)):
                found.append(text)
            case ast.JoinedStr(values=values):
                parts = [_part(value, where, depth + 1) for value in values]
                found += ["".join(combination) for combination in itertools.product(*parts)]
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                sides = (_part(side, where, depth + 1) for side in (left, right))
                found += ["".join(combination) for combination in itertools.product(*sides)]
            case _:
                found.append(UNKNOWN)
    tidied = list(dict.fromkeys(_tidy(text) for text in found))
    # What is given a full stop where it lacks one is one text, not two.
    return [text for text in tidied if f"{text}." not in tidied]


def _part(node: ast.expr, scope: Scope, depth: int) -> list[str]:
    """A part of a text. One that may be missing is shown as there; one that is partly unknown is wholly so."""
    if isinstance(node, ast.FormattedValue):
        node = node.value
    if depth > DEEPEST:
        return [UNKNOWN]
    found = [text for text in texts(node, scope, depth) if text]
    return [UNKNOWN] if not found or UNKNOWN in found else found


def _tidy(text: str) -> str:
    """On one line; `f"{sentence}."` of a sentence that has its full stop is that sentence."""
    text = re.sub(f"{UNKNOWN}( ?{UNKNOWN})+", UNKNOWN, text)
    text = " ".join(text.split()) if text.strip() == text else re.sub(r"\s", " ", text)
    return re.sub(r"(?<!\.)\.\.$", ".", text)
