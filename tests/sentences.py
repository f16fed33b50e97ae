"""Every sentence that the bot can say of what went wrong, read from its source, with what to do next.

The parts that are only known when it happens are shown as "…". `tests/pages.py` makes `bot/SENTENCES.md` of it.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
UNKNOWN = "…"
DEEPEST = 6
CHECK = "what check finds"
"""The subject of what `python3 -m bot check` and the checks at the start find."""
_SETTINGS = "settings"


@dataclass(frozen=True, order=True)
class Sentence:
    """What is said, and what it says to do next; `subject` is the part of `bot/errors.py` that its type stands in."""

    subject: str
    text: str
    next_step: str


@dataclass(eq=False)
class Module:
    tree: ast.Module
    constants: dict[str, ast.expr] = field(default_factory=dict)
    functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = field(default_factory=dict)
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Scope:
    """Where an expression stands: its module, and the functions around it, the innermost last."""

    module: Module
    functions: tuple[ast.FunctionDef | ast.AsyncFunctionDef, ...] = ()


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


def _modules() -> Iterator[tuple[str, Module]]:
    for folder in ("bot", "cogs"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            module = _module(name)
            if module is not None and not name.startswith("bot.demo"):
                yield name, module


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
        for _, module in _modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if isinstance(base, ast.Name)
    ]
    found.update({name: found[base] for name, base in elsewhere if base in found and name not in found})
    return found


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
        case ast.Call(func=ast.Name(id=name)) if name in scope.module.functions:
            function = scope.module.functions[name]
            returned = [each.value for each in ast.walk(function) if isinstance(each, ast.Return) and each.value]
            inner = Scope(scope.module, (function,))
            return [found for value in returned for found in _candidates(value, inner, depth + 1)] or [(node, scope)]
        case _:
            return [(node, scope)]


@cache
def _reasons() -> list[tuple[ast.expr, Scope]]:
    """Why there was no answer of Tumblr: what every NoAnswer is made with."""
    return [
        (keyword.value, scope)
        for _, module in _modules()
        for node, scope in _expressions(module)
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
    for node, scope in _expressions(module):
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
    text = re.sub(f"{UNKNOWN}{{2,}}", UNKNOWN, text)
    text = " ".join(text.split()) if text.strip() == text else re.sub(r"\s", " ", text)
    return re.sub(r"(?<!\.)\.\.$", ".", text)


# --- collecting -----------------------------------------------------------------------------------------------


@cache
def _expressions(module: Module) -> list[tuple[ast.AST, Scope]]:
    """Every call and yield of a module with where it stands."""

    def walk(node: ast.AST, scope: Scope) -> Iterator[tuple[ast.AST, Scope]]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            scope = Scope(module, (*scope.functions, node))
        if isinstance(node, ast.Call | ast.Yield):
            yield node, scope
        for child in ast.iter_child_nodes(node):
            yield from walk(child, scope)

    return list(walk(module.tree, Scope(module)))


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
    for node, scope in _expressions(module):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in types and name != "SettingsError":
                arguments = _arguments(node)
                if arguments is not None:
                    yield from (Sentence(types[name], *pair) for pair in _pairs(*arguments, scope))
            case _:
                pass
    for kind in ast.walk(module.tree):
        if isinstance(kind, ast.ClassDef) and kind.name in types:
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


def _problems(module: Module) -> Iterator[Sentence]:
    """The lines about single options that a SettingsError carries."""
    if not {"SettingsError"} & {*module.imported}:
        return
    for node, scope in _expressions(module):
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
    for node, scope in _expressions(module):
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
        for name, module in _modules()
        for node, scope in _expressions(module)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in types
        if (arguments := _arguments(node)) is not None and texts(arguments[0], scope) == [UNKNOWN]
    ]


@cache
def sentences() -> tuple[Sentence, ...]:
    """Everything, each once, by subject and in the order of the alphabet."""
    found: set[Sentence] = set()
    for name, module in _modules():
        found.update(_errors(module))
        found.update(_problems(module))
        found.update(_findings(name, module))
    telling = {each for each in found if re.search(r"\w", each.text)}
    answered = {each.text for each in telling if re.search(r"\w", each.next_step)}
    kept = {each for each in telling if re.search(r"\w", each.next_step) or each.text not in answered}
    return tuple(sorted(kept, key=lambda each: (each.subject, each.text.strip(UNKNOWN + " `").casefold(), each)))
