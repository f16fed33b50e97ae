"""The options one by one, as the model has them: name, default, description, place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from bot.config.kinds import Allowed
from bot.config.model import PREFIX, Settings

SECRETS_DIRECTORY = Path("/run/secrets")


SECRETS_FILE = "secrets.toml"
"""The name of the bot's own file of secrets, in the data directory."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option of the model. `default` is as TOML writes it; `name` is dotted: `discord.channel_id`."""

    name: str
    description: str
    allowed: Allowed
    default: object
    is_secret: bool
    annotation: object

    @property
    def section(self) -> str:
        return self.name.rpartition(".")[0]

    @property
    def key(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def flag(self) -> str:
        return "--" + self.name.replace(".", "-").replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable; a secret's file has the same name, in capitals or not."""
        return PREFIX + self.name.replace(".", "__").upper()


@cache
def options() -> Mapping[str, Option]:
    """Every option by its dotted name, in the order of the model."""
    return {option.name: option for option in _walk(Settings, "")}


@cache
def sections() -> Mapping[str, str]:
    """The dotted name of every section, and what it is for."""
    return dict(_walk_sections(Settings, ""))


def _model_of(field: FieldInfo) -> type[BaseModel] | None:
    annotation: object = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _walk(model: type[BaseModel], prefix: str) -> Iterator[Option]:
    for name, field in model.model_fields.items():
        section = _model_of(field)
        if section is not None:
            yield from _walk(section, f"{prefix}{name}.")
            continue
        metadata: list[object] = field.metadata
        yield Option(
            name=prefix + name,
            description=field.description or "",
            allowed=next(item for item in metadata if isinstance(item, Allowed)),
            default=as_toml(field.default),
            is_secret=field.annotation is SecretStr,
            annotation=field.annotation,
        )


def _walk_sections(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        section = _model_of(field)
        if section is not None:
            yield prefix + name, field.description or ""
            yield from _walk_sections(section, f"{prefix}{name}.")


def as_toml(value: object) -> object:
    """A value of the model as TOML can hold it; a secret becomes nothing."""
    if value is None or isinstance(value, SecretStr):
        return ""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, StrEnum):
        return value.value
    return value


def secret_places(option: Option) -> str:
    """Where a secret belongs, as the end of a sentence."""
    return f"set {option.variable}, or put it into the file {option.variable.lower()} in {SECRETS_DIRECTORY}"


def toml(value: object) -> str:
    import tomlkit  # noqa: PLC0415  # only who writes the file waits for it

    return tomlkit.item(value).as_string()
