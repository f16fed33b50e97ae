"""The kinds of value that options have: how each is read, and what is said of one that is wrong."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated, cast
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticUseDefault

from bot.drafts import UploadState
from bot.examples import compile_pattern
from bot.training import TrainingApi


@dataclass(frozen=True, slots=True)
class Allowed:
    """What an option takes: a word for `--help`, and the words after "it takes"."""

    metavar: str
    text: str


def _blank_is_default(value: object) -> object:
    # An option that somebody emptied in the file, or that was always empty in an old one, is not a mistake.
    if value is None or (isinstance(value, str) and not value.strip()):
        raise PydanticUseDefault
    return value


def _strip(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _read_list(value: object) -> object:
    """Takes a list as TOML has it, or as one line of text: parts between commas, or a JSON list."""
    if isinstance(value, int) and not isinstance(value, bool):
        return [value]
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return cast("object", json.loads(value))
        except (ValueError, RecursionError):
            raise ValueError("not a JSON list") from None
    return [part for part in map(str.strip, value.split(",")) if part]


def _read_snowflake(value: object) -> int:
    """Takes an ID as Discord shows it. JavaScript rounds such numbers, so people are used to writing them as text."""
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,20}\s*", value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63:
        return value
    raise ValueError("not an ID")


def _read_moment(value: object) -> datetime:
    """Takes a date or a time of TOML's, or either as text; what names no time zone is UTC."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value.strip())
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        # A bare number is more likely to be a year than seconds since 1970, so it is neither.
        raise ValueError("not a date")  # noqa: TRY004  # pydantic collects only ValueErrors
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _check_pattern(value: str) -> str:
    compile_pattern(value)
    return value


def _check_path(value: Path) -> Path:
    if "\0" in str(value):
        raise ValueError("not a path")  # no system has such a one, and opening it raises no OSError
    return value


def read_secret(value: object) -> object:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    # What would break an HTTP header was not copied whole, or had something copied along with it.
    if isinstance(value, str) and not re.fullmatch(r"[!-~]+", value.strip()):
        raise ValueError("not a key")
    return _strip(value)


def is_loopback(host: str) -> bool:
    """Whether a host can only be this machine, going by its spelling alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_address(value: str) -> str:
    """Takes the address of a service; keys travel to it, so only TLS will do outside this machine."""
    if not re.fullmatch(r"[!-~]+", value):
        raise ValueError("not an address")
    address = urlsplit(value)
    _ = address.port  # raises ValueError itself
    host = address.hostname or ""
    if not host or address.username is not None or "?" in value or "#" in value:
        raise ValueError("not a plain address")
    if address.scheme != "https" and not (address.scheme == "http" and is_loopback(host)):
        raise ValueError("not safe")
    return value.rstrip("/")


_BILLION = 1_000_000_000


_Blank = BeforeValidator(_blank_is_default)


Text = Annotated[str, Allowed("TEXT", "a text")]


Name = Annotated[str, AfterValidator(str.strip), _Blank, Allowed("NAME", "a text")]


File = Annotated[Path, AfterValidator(_check_path), _Blank, Allowed("PATH", "a path")]


Texts = Annotated[
    list[Annotated[str, AfterValidator(str.strip)]],
    BeforeValidator(_read_list),
    _Blank,
    Allowed("LIST", "a list of texts"),
]


Patterns = Annotated[
    list[Annotated[str, AfterValidator(_check_pattern)]],
    BeforeValidator(_read_list),
    _Blank,
    Allowed("LIST", "a list of regular expressions"),
]


Moment = Annotated[
    datetime | None,
    BeforeValidator(_read_moment),
    _Blank,
    Allowed("DATE", 'a date such as 2024-05-01, a time such as 2024-05-01T12:00:00Z, or "" for none'),
]


FromZero = Annotated[int, Field(ge=0, le=_BILLION), _Blank, Allowed("NUMBER", "a whole number from 0 to 1,000,000,000")]


FromOne = Annotated[int, Field(ge=1, le=_BILLION), _Blank, Allowed("NUMBER", "a whole number from 1 to 1,000,000,000")]


Rewrites = Annotated[int, Field(ge=0, le=5), _Blank, Allowed("NUMBER", "a whole number from 0 to 5")]


Chance = Annotated[
    float, Field(ge=0, allow_inf_nan=False), _Blank, Allowed("NUMBER", "a number from 0 (never) to 1 (always)")
]


Share = Annotated[
    float, Field(ge=0, le=0.5, allow_inf_nan=False), _Blank, Allowed("NUMBER", "a number from 0 (none) to 0.5 (half)")
]


Flag = Annotated[bool, BeforeValidator(_strip), _Blank, Allowed("YES_OR_NO", "true or false")]


Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False), _Blank, Allowed("DOLLARS", "a number, 0 or more")]


Rate = Annotated[float, Field(ge=0, allow_inf_nan=False), _Blank, Allowed("NUMBER", "a number, 0 or more")]


Currency = Annotated[
    str,
    Field(pattern=r"^\S{0,10}$"),
    BeforeValidator(_strip),
    _Blank,
    Allowed("NAME", 'the code or the sign of a currency, such as EUR, or "" for none'),
]


Hour = Annotated[
    int | None,
    Field(ge=0, le=23),
    BeforeValidator(_strip),
    _Blank,
    Allowed("HOUR", 'a whole number from 0 to 23, or "" for none'),
]


Snowflake = Annotated[
    int | None,
    BeforeValidator(_read_snowflake),
    _Blank,
    Allowed("ID", "an ID of Discord's: a number of up to 19 digits"),
]


Snowflakes = Annotated[
    list[Annotated[int, BeforeValidator(_read_snowflake)]],
    BeforeValidator(_read_list),
    _Blank,
    Allowed("IDS", "a list of IDs of Discord's, each a number of up to 19 digits"),
]


Secret = Annotated[SecretStr, BeforeValidator(read_secret), _Blank, Allowed("SECRET", "a text without spaces inside")]


Address = Annotated[
    str,
    AfterValidator(_check_address),
    BeforeValidator(_strip),
    _Blank,
    Allowed("ADDRESS", "an https:// address without user name or query (http:// only to this machine)"),
]


Upload = Annotated[
    UploadState,
    BeforeValidator(_strip),
    _Blank,
    Allowed("STATE", "one of " + ", ".join(state.value for state in UploadState)),
]


Api = Annotated[
    TrainingApi,
    BeforeValidator(_strip),
    _Blank,
    Allowed("API", "one of " + ", ".join(api.value for api in TrainingApi)),
]


Price = Annotated[
    float | None, Field(ge=0, allow_inf_nan=False), _Blank, Allowed("DOLLARS", 'a number, 0 or more, or "" for none')
]


NO_SECRET = SecretStr("")
