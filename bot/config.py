"""Settings: one model, read from the command line, the environment, a secrets folder, `secrets.toml` and `config.toml`.

The first of these that names an option wins, in that order; what none of them names has its default. The model below
is the only list of options: `config.toml.example`, the comments in a person's file, `--help` and the sentences about
wrong values are all made from it.

`secrets.toml` lies in the data directory, readable by its owner alone. It holds what /connect, `setup` and `import`
were given, and nothing but secrets is read from it.
"""

from __future__ import annotations

import argparse
import codecs
import copy
import difflib
import errno
import ipaddress
import json
import logging
import os
import re
import stat
import tempfile
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, cast
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUseDefault
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from bot.budget import Caps
from bot.drafts import UploadState
from bot.errors import SettingsError
from bot.examples import compile_pattern
from bot.training import TrainingApi

logger = logging.getLogger(__name__)

PREFIX = "TUMBLRBOT_"
SECRETS_DIRECTORY = Path("/run/secrets")
SECRETS_FILE = "secrets.toml"
"""The name of the bot's own file of secrets, in the data directory."""
RENAMED = {"examples_file": "training_data_file", "user_input": "user_message"}
"""Names that tumblrbot 1.x used, and what they are called now."""

Use = Literal["generation", "fine_tuning", "moderation"]


# --- the kinds of value ---------------------------------------------------------------------------------------


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


def _read_secret(value: object) -> object:
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
Secret = Annotated[SecretStr, BeforeValidator(_read_secret), _Blank, Allowed("SECRET", "a text without spaces inside")]
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


# --- the model ------------------------------------------------------------------------------------------------


class Section(BaseModel):
    """What all sections share: they do not change, and do not show values in pydantic's own messages."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class DiscordSettings(Section):
    token: Secret = Field(
        default=NO_SECRET, description="The token of the bot, from the Bot page of Discord's developer portal."
    )
    guild_id: Snowflake = Field(
        default=None, description="The server that the bot works in; its commands are registered only there."
    )
    channel_id: Snowflake = Field(default=None, description="The private channel where progress and drafts appear.")
    owner_ids: Snowflakes = Field(
        default=[],
        description="The people who may do everything. Left empty, that is whoever owns the bot's application.",
    )
    reviewer_role_ids: Snowflakes = Field(
        default=[], description="The roles whose members may use the commands and decide on drafts beside the owner."
    )


class TumblrSettings(Section):
    consumer_key: Secret = Field(
        default=NO_SECRET,
        description="The OAuth consumer key of an application registered at https://www.tumblr.com/oauth/apps.",
    )
    consumer_secret: Secret = Field(default=NO_SECRET, description="The consumer secret that goes with it.")
    oauth_token: Secret = Field(
        default=NO_SECRET, description="The token by which that application may act for your account."
    )
    oauth_token_secret: Secret = Field(default=NO_SECRET, description="The secret that goes with the token.")
    api_url: Address = Field(
        default="https://api.tumblr.com", description="Where Tumblr's API is; the demo points it elsewhere."
    )
    upload_state: Upload = Field(
        default=UploadState.DRAFT,
        description="What becomes of an approved draft on the blog: draft leaves it among the blog's drafts, queue adds"
        " it to the queue, published posts it at once, private posts it for you alone.",
    )


class GenerationSettings(Section):
    base_url: Address = Field(default="", description="The service that writes, if it is not the one of [openai].")
    api_key: Secret = Field(default=NO_SECRET, description="The key for that service, if it has one of its own.")
    model: Name = Field(
        default="gpt-6-luna",
        description="The model that writes from real posts in its prompt while no tuned model is active.",
    )


class FineTuningSettings(Section):
    base_url: Address = Field(default="", description="The service that fine-tunes, if it is not the one of [openai].")
    api_key: Secret = Field(default=NO_SECRET, description="The key for that service, if it has one of its own.")
    model: Name = Field(default="", description="The model to start from; left empty, that is base_model.")
    api: Api = Field(
        default=TrainingApi.AUTO,
        description="How that service takes trainings: openai (its files and fine-tuning jobs), azure (the same,"
        " with files as Azure wants them), together (Together's own); auto goes by the address.",
    )


class ModerationSettings(Section):
    base_url: Address = Field(
        default="", description="The service that screens texts, if it is not the one of [openai]."
    )
    api_key: Secret = Field(default=NO_SECRET, description="The key for that service, if it has one of its own.")
    model: Name = Field(default="omni-moderation-latest", description="The model that screens examples and drafts.")


class OpenAISettings(Section):
    api_key: Secret = Field(default=NO_SECRET, description="The API key of the model service.")
    base_url: Address = Field(
        default="https://api.openai.com/v1",
        description="The model service: OpenAI's, or any other that speaks its API. The key above is sent only there.",
    )
    generation: GenerationSettings = Field(
        default_factory=GenerationSettings, description="Writing drafts; what is left empty is taken from [openai]."
    )
    fine_tuning: FineTuningSettings = Field(
        default_factory=FineTuningSettings, description="Training a voice; what is left empty is taken from [openai]."
    )
    moderation: ModerationSettings = Field(
        default_factory=ModerationSettings, description="Screening texts; what is left empty is taken from [openai]."
    )


class BudgetSettings(Section):
    monthly_limit: Dollars = Field(
        default=20.0,
        description="US dollars that paid calls may cost in one calendar month (UTC). A run that would pass it stops"
        " and asks. With 0 nothing is called that costs money.",
    )
    per_run: Dollars = Field(
        default=0.0,
        description="US dollars that paid calls of one run of a command may cost; 0 sets no cap beside the month's.",
    )
    per_day: Dollars = Field(
        default=0.0,
        description="US dollars that paid calls may cost in one day (UTC); 0 sets no cap beside the month's.",
    )
    currency: Currency = Field(
        default="",
        description='Your own currency, such as "EUR": amounts are shown in it beside the dollars, once currency_rate'
        " is set. The limits above and the services' bills stay in dollars.",
    )
    currency_rate: Rate = Field(
        default=0.0, description="How much of your currency one US dollar is, such as 0.92; 0 shows dollars only."
    )

    @property
    def caps(self) -> Caps:
        return Caps(self.per_run, self.per_day)


class GuardSettings(Section):
    rewrites: Rewrites = Field(
        default=2,
        description="How often a draft is written anew that copies a post, repeats a draft, is flagged or cut off;"
        " after that it is shown as held back, with why. Each time is a paid call.",
    )
    screen_drafts: Flag = Field(
        default=True,
        description="Whether each draft is screened by the model of [openai.moderation], where there is a key for it.",
    )
    allowed_phrases: Texts = Field(
        default=[],
        description="Phrases that drafts may share with your posts, such as the way you greet; they do not count when a"
        " draft is held against posts and other drafts.",
    )


class ReviewSettings(Section):
    approvals_needed: FromOne = Field(
        default=1, description="How many people have to approve a draft before it goes to the blog."
    )
    decider_role_ids: Snowflakes = Field(
        default=[],
        description="The roles whose members may decide on drafts, beside the owner, among those who may use the bot."
        " Left empty, that is everybody who may use it.",
    )
    expiry_days: FromZero = Field(
        default=0,
        description="Days after which a draft that nobody has done anything about is rejected by the bot; Undo brings"
        " it back. 0 keeps drafts waiting for ever.",
    )
    reminder_hour: Hour = Field(
        default=None,
        description='The hour of the day (UTC, 0 to 23) at which the channel is told what waits; "" sends no reminder.'
        " Nobody is pinged.",
    )
    posts_a_day: FromZero = Field(
        default=0,
        description="How many approved drafts are published in a day, at even distances, where upload_state is queue or"
        " published; 0 sends each as soon as it is approved.",
    )
    teach_typed_text: Flag = Field(
        default=False,
        description="Whether texts that people typed in Discord (edited drafts) may go into the preferences that /data"
        " export writes. Discord wants their consent before such text is used for training.",
    )


class RetentionSettings(Section):
    other_blogs_days: FromOne = Field(
        default=3,
        description="Days that posts of blogs which are not yours are kept before they are purged. Tumblr's terms for"
        " applications allow three.",
    )
    backups: FromZero = Field(
        default=7,
        description="How many nightly backups are kept in the folder backups of data_directory; 0 keeps none. One that"
        " holds posts which have to be purged goes with them.",
    )


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Where a kind of call goes, with which key, and the model it asks for."""

    base_url: str
    api_key: SecretStr
    model: str


class Settings(BaseSettings):
    """Every option. `Settings(...)` reads nothing but its arguments; `load_settings` reads the world."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        enable_decoding=False,
        validate_default=False,  # a blank stands for the default, so a blank default would go round in circles
    )

    download_blog_identifiers: Texts = Field(
        default=[], description='The blogs to learn from, by name or address: ["staff", "changes.tumblr.com"].'
    )
    data_directory: File = Field(
        default=Path("data"),
        description="The folder of the bot's database, bot.sqlite3, with the downloaded posts in it.",
    )
    date_limit: Moment = Field(
        default=None,
        description='Posts from before this do not become examples; "" sets no limit. Without a zone it is UTC.',
    )
    post_limit: FromZero = Field(
        default=0,
        description="How many posts of each blog, counted from the newest, may become examples; 0 sets no limit. Posts"
        " that date_limit or filtered_words leave out are not counted; duplicates among those counted are left out.",
    )
    moderation_batch_size: FromOne = Field(
        default=25, description="The most posts to screen in one call; long posts make a call smaller by themselves."
    )
    custom_prompts_file: File = Field(
        default=Path("data/custom_prompts.jsonl"),
        description="A file of your own examples: on each line a JSON object of prompts and their answers.",
    )
    filtered_words: Patterns = Field(
        default=[],
        description="Posts with one of these words do not become examples. Case does not matter. Each is a regular"
        r" expression, best written between single quotes: ['secret', 'c\+\+'].",
    )
    include_answers: Flag = Field(
        default=False,
        description="Whether answered asks become examples too: the ask is what the model is asked, your answer what it"
        " learns to say. date_limit, post_limit and filtered_words (in ask and answer) count for them as well.",
    )
    include_reblog_comments: Flag = Field(
        default=False,
        description="Whether what you wrote below a reblogged post becomes an example too: the post, in the words of"
        " reblog_user_message, is what the model is asked. Other people's words go into the training data with it."
        " date_limit, post_limit and filtered_words (in both) count for these as well.",
    )
    held_out_share: Share = Field(
        default=0.1,
        description="Which share of the posts, the newest ones, is kept out of the training to measure a voice by. A"
        " dataset of fewer than 50 examples holds none out.",
    )
    example_token_limit: FromZero = Field(
        default=0,
        description="How many tokens an example may have, its instructions included; longer ones are left out and"
        " reported. 0 sets no limit.",
    )
    training_data_file: File = Field(
        default=Path("data/training_data.jsonl"), description="Where the finished examples are written for you to read."
    )
    developer_message: Text = Field(
        default="You write the posts of one Tumblr blog, in its author's own voice. Answer with the post alone.",
        description="The instructions that go before every example and every request for a post. A voice is asked with"
        " the words it was trained with; a change takes effect with the next training.",
    )
    user_message: Text = Field(
        default="Write the next post for the blog.",
        description="The request that each example answers. Like developer_message, it belongs to the training.",
    )
    expected_epochs: FromOne = Field(
        default=3, description="How many times fine-tuning goes through the examples, for the estimate of its cost."
    )
    token_price: Price = Field(
        default=None,
        description="US dollars for a million tokens of fine-tuning base_model, for the estimate of its cost; left"
        " empty, a table of known prices is used.",
    )
    job_id: Name = Field(
        default="", description="A fine-tuning job that is already under way at the service, to be followed to its end."
    )
    base_model: Name = Field(
        default="gpt-4.1-mini-2025-04-14",
        description="The model that is fine-tuned. OpenAI takes fine-tuning jobs until 6 January 2027, and only from"
        " those who tuned before.",
    )
    fine_tuned_model: Name = Field(default="", description="A model that was fine-tuned before, to write with.")
    upload_blog_identifier: Name = Field(
        default="", description="Your blog that approved drafts are uploaded to, by name or address."
    )
    draft_count: FromOne = Field(
        default=10, description="How many drafts one run writes, unless the command says otherwise."
    )
    tags_chance: Chance = Field(
        default=0.1, description="How often a draft is given tags: 0 is never, 1 is always. Tags cost a second call."
    )
    tags_developer_message: Text = Field(
        default="List the few subjects that matter most in the text you are given, as short tags.",
        description="The instructions by which tags are found for a draft.",
    )
    reblog_blog_identifiers: Texts = Field(default=[], description="The blogs whose posts a draft may reblog.")
    reblog_chance: Chance = Field(
        default=0.1, description="How often a draft is a reblog of one of their posts: 0 is never, 1 is always."
    )
    reblog_user_message: Text = Field(
        default="Write a reply to this post, to be reblogged with it:\n\n{}",
        description="The request for a reblog; the text of the post takes the place of {}.",
    )
    discord: DiscordSettings = Field(
        default_factory=DiscordSettings, description="Where the bot lives, and who may use it."
    )
    tumblr: TumblrSettings = Field(
        default_factory=TumblrSettings,
        description="The account that posts are uploaded with. `python -m bot setup` or /connect connects it.",
    )
    openai: OpenAISettings = Field(default_factory=OpenAISettings, description="The service that runs the models.")
    budget: BudgetSettings = Field(default_factory=BudgetSettings, description="What may be spent.")
    guards: GuardSettings = Field(
        default_factory=GuardSettings, description="What a draft must not be, and what happens when it is."
    )
    review: ReviewSettings = Field(
        default_factory=ReviewSettings,
        description="Deciding on drafts, when approved ones go to the blog, and what decisions teach.",
    )
    retention: RetentionSettings = Field(default_factory=RetentionSettings, description="How long things are kept.")

    @classmethod
    def settings_customise_sources(  # pyright: ignore[reportImplicitOverride]  # typing.override is Python 3.12's
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Keep `Settings(...)` from reading the environment behind its caller's back."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @property
    def database_file(self) -> Path:
        return self.data_directory / "bot.sqlite3"

    def training_price(self, model: str) -> float | None:
        """The owner's own price for training a model, in US dollars for a million tokens; None: none was set."""
        return self.token_price if model in {self.base_model, self.openai.fine_tuning.model} else None

    def endpoint(self, use: Use) -> EndpointSettings:
        """Where calls for `use` go.

        The key of [openai] is lent only to its own host: a service with a `base_url` elsewhere is sent the key that
        was given for it, or none.
        """
        uses: dict[Use, GenerationSettings | FineTuningSettings | ModerationSettings] = {
            "generation": self.openai.generation,
            "fine_tuning": self.openai.fine_tuning,
            "moderation": self.openai.moderation,
        }
        own = uses[use]
        base_url = own.base_url or self.openai.base_url
        api_key = own.api_key
        if not api_key.get_secret_value() and _origin(base_url) == _origin(self.openai.base_url):
            api_key = self.openai.api_key
        return EndpointSettings(base_url, api_key, own.model or self.base_model)


def _origin(address: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port


# --- the list of options --------------------------------------------------------------------------------------


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
            default=_as_toml(field.default),
            is_secret=field.annotation is SecretStr,
            annotation=field.annotation,
        )


def _walk_sections(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        section = _model_of(field)
        if section is not None:
            yield prefix + name, field.description or ""
            yield from _walk_sections(section, f"{prefix}{name}.")


def _as_toml(value: object) -> object:
    """A value of the model as TOML can hold it; a secret becomes nothing."""
    if value is None or isinstance(value, SecretStr):
        return ""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, StrEnum):
        return value.value
    return value


# --- loading --------------------------------------------------------------------------------------------------


def load_settings(
    path: Path = Path("config.toml"),
    *,
    overrides: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    secrets_directory: Path | None = SECRETS_DIRECTORY,
) -> Settings:
    """Read the settings from everywhere; what stands first here wins.

    `overrides` (dotted names, from the command line), environment variables (`TUMBLRBOT_DISCORD__TOKEN`,
    `TUMBLRBOT_POST_LIMIT`; an empty one is as good as none), files of the secrets folder with the same names (in small
    letters or capitals), the secrets that `write_secrets` kept in the data directory (which the other places name), and
    the TOML file at `path` (which may be missing). A list is written `a,b` outside of TOML, or as a JSON list where a
    part has a comma in it.

    Unknown names are logged as warnings, so that an older or newer file does not stop the bot.

    Raises:
        SettingsError: with one line for every problem found, none of which shows a secret.
    """
    problems: list[str] = []
    given = _nest(overrides or {})
    variables = dict(os.environ if environment is None else environment)
    files = {} if secrets_directory is None else _read_secret_files(secrets_directory, problems)
    written = _read_toml(path, problems)

    problems.extend(
        f"{plain(name)}: no such option.{_suggestion(name)}" for name in _names_in(given) if name not in options()
    )
    for name in _names_in(written):
        option = options().get(name)
        if option is None:
            logger.warning("%s: ignored the unknown option %s.%s", path.name, plain(name), _suggestion(name))
        elif option.is_secret and _value_at(written, name) != "":
            logger.warning(
                "%s holds the secret %s. It is safer in %s or in a file of the secrets folder.",
                path.name,
                name,
                option.variable,
            )
    known = {option.variable for option in options().values()}
    for variable in sorted({*variables, *files}):
        if variable.upper().startswith(PREFIX) and variable.upper() not in known:
            name = variable[len(PREFIX) :].lower().replace("__", ".")
            logger.warning("Ignored the unknown variable or secret %s.%s", plain(variable), _suggestion(name))

    data_directory = _data_directory(given, variables, files, written)
    kept = {} if data_directory is None else _kept_secrets(data_directory / SECRETS_FILE, problems)
    sources = (
        InitSettingsSource(Settings, given),
        _Variables(Settings, variables),
        _Variables(Settings, files),
        InitSettingsSource(Settings, _nest(kept)),
        InitSettingsSource(Settings, written),
    )
    try:
        settings = _build(*sources)
    except ValidationError as error:
        problems.extend(_problems_of(error))
    else:
        if not problems:
            return settings
    raise SettingsError(tuple(problems))


def require(settings: Settings, *names: str) -> None:
    """Raise a SettingsError that lists those of the named options which are empty, with where to set each."""
    problems: list[str] = []
    for name in names:
        option = options()[name]
        value = _setting_at(settings, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if value is None or value in ("", []):
            place = secret_places(option) if option.is_secret else f"set it in config.toml or as {option.variable}"
            problems.append(f"{name}: not set, and needed here; {place}.")
    if problems:
        raise SettingsError(tuple(problems))


def secrets_elsewhere(
    names: Iterable[str],
    *,
    environment: Mapping[str, str] | None = None,
    secrets_directory: Path | None = SECRETS_DIRECTORY,
) -> dict[str, str]:
    """Those of the named options which the environment or the secrets folder sets, with words for where.

    They win over what `write_secrets` writes, so whoever writes there has to be told. Blocks on the disk.
    """
    variables = dict(os.environ if environment is None else environment)
    files = {} if secrets_directory is None else _read_secret_files(secrets_directory, [])
    places: dict[str, str] = {}
    for name in names:
        for given, place in ((files, f"the file {{}} in {secrets_directory}"), (variables, "the variable {}")):
            for found, value in given.items():
                if found.upper() == options()[name].variable and value.strip():
                    places[name] = place.format(found)
    return places


def places(
    settings: Settings,
    path: Path,
    overrides: Mapping[str, object],
    *,
    environment: Mapping[str, str] | None = None,
    secrets_directory: Path | None = SECRETS_DIRECTORY,
) -> dict[str, str]:
    """Where each option is set that is not left to its default, in words: the place that wins at the next start.

    A file that cannot be read sets nothing here. Blocks on the disk.
    """
    written = _read_toml(path, [])
    named = set(_names_in(written))
    kept = _read_secrets_file(settings.data_directory / SECRETS_FILE, [])
    elsewhere = secrets_elsewhere(options(), environment=environment, secrets_directory=secrets_directory)
    found: dict[str, str] = {}
    for name, option in options().items():
        if name in overrides:
            found[name] = f"the command line, {option.flag}"
        elif name in elsewhere:
            found[name] = elsewhere[name]
        elif option.is_secret and _value_at(kept, name):
            found[name] = f"{SECRETS_FILE} in the data directory"
        elif name in named and not (option.is_secret and _value_at(written, name) == ""):
            found[name] = path.name
    return found


def _data_directory(
    given: Mapping[str, object],
    variables: Mapping[str, str],
    files: Mapping[str, str],
    written: Mapping[str, object],
) -> Path | None:
    """The data directory, even where other options are wrong; None if it is wrong itself, which is reported later."""
    name = "data_directory"
    variable = options()[name].variable
    try:
        return _build(
            InitSettingsSource(Settings, {name: given[name]} if name in given else {}),
            _Variables(Settings, {key: value for key, value in variables.items() if key.upper() == variable}),
            _Variables(Settings, {key: value for key, value in files.items() if key.upper() == variable}),
            InitSettingsSource(Settings, {name: written[name]} if name in written else {}),
        ).data_directory
    except ValidationError:
        return None


def _build(*sources: PydanticBaseSettingsSource) -> Settings:
    """Settings out of sources, the first of which wins; raises ValidationError."""
    # A parameter of BaseSettings that type checkers do not see, because they go by the fields of the class.
    return Settings(_build_sources=(sources, {}))  # pyright: ignore[reportCallIssue]


class _Variables(EnvSettingsSource):
    """Options out of a mapping of `TUMBLRBOT_…` names: the environment, or the files of a secrets folder."""

    def __init__(self, settings_cls: type[BaseSettings], variables: Mapping[str, str]) -> None:
        self._variables = variables
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:  # pyright: ignore[reportImplicitOverride]  # Python 3.12's
        return {name.lower(): value for name, value in self._variables.items() if value.strip()}


def _read_secret_files(directory: Path, problems: list[str]) -> dict[str, str]:
    try:
        paths = [path for path in sorted(directory.iterdir()) if path.name.upper().startswith(PREFIX)]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        problems.append(f"The secrets folder cannot be read: {_reason(error)}.")
        return {}
    files: dict[str, str] = {}
    for path in paths:
        try:
            files[path.name] = path.read_text("utf-8").strip()
        except OSError as error:
            problems.append(f"The secret {plain(path.name)} cannot be read: {_reason(error)}.")
        except UnicodeDecodeError:
            problems.append(f"The secret {plain(path.name)} cannot be read: it is not UTF-8 text.")
    return files


def _read_toml(path: Path, problems: list[str]) -> dict[str, object]:
    try:
        written: dict[str, object] = tomllib.loads(_decode(path.read_bytes()))
    except FileNotFoundError:
        return {}
    except OSError as error:
        problems.append(f"{path.name} cannot be read: {_reason(error)}.")
        return {}
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problems.append(f"{path.name} cannot be read: line {line} is not UTF-8 text.")
        return {}
    except tomllib.TOMLDecodeError as error:
        # tomllib's messages name keys, lines and columns, never a value.
        problems.append(f"{path.name} cannot be read, it is not TOML: {plain(str(error))}.")
        return {}
    return _renamed(written)


def _renamed(written: dict[str, object]) -> dict[str, object]:
    """The tables of a file under today's names; where both stand, the new one counts."""
    renamed = {name: value for name, value in written.items() if name not in RENAMED}
    for old, new in RENAMED.items():
        if old in written:
            renamed.setdefault(new, written[old])
    return renamed


def _decode(content: bytes) -> str:
    # Windows editors put a mark at the start that TOML does not know.
    return content.removeprefix(codecs.BOM_UTF8).decode("utf-8")


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()


def _nest(values: Mapping[str, object]) -> dict[str, object]:
    """`{"discord.token": x}` as `{"discord": {"token": x}}`."""
    nested: dict[str, object] = {}
    for name, value in values.items():
        *parents, key = name.split(".")
        table = nested
        for parent in parents:
            inner = table.get(parent)
            inner = cast("dict[str, object]", inner) if isinstance(inner, dict) else {}
            table[parent] = inner
            table = inner
        table[key] = value
    return nested


def _names_in(values: Mapping[str, object], prefix: str = "") -> Iterator[str]:
    """The dotted names in nested tables; of a table that is no section, only its own."""
    for key, value in values.items():
        name = prefix + key
        if name in sections():
            if isinstance(value, dict):
                yield from _names_in(cast("Mapping[str, object]", value), f"{name}.")
        else:
            yield name


def _value_at(values: Mapping[str, object], name: str) -> object:
    table = values
    *parents, key = name.split(".")
    for parent in parents:
        inner = table.get(parent)
        if not isinstance(inner, dict):
            return None
        table = cast("Mapping[str, object]", inner)
    return table.get(key)


def _setting_at(settings: Settings, name: str) -> object:
    value: object = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name, [*options(), *sections()], n=1)
    return f" Did you mean {near[0]}?" if near else ""


def _problems_of(error: ValidationError) -> Iterator[str]:
    seen: set[str] = set()
    for detail in error.errors(include_url=False, include_context=False):
        parts = [str(part) for part in detail["loc"]]
        for length in range(len(parts), 0, -1):
            name = ".".join(parts[:length])
            option = options().get(name)
            if option is not None:
                place = "".join(f"[{part}]" for part in parts[length:])
                value = "the value (not shown)" if option.is_secret else _shown(detail["input"])
                yield f"{name}{place}: {value} is not allowed; it takes {option.allowed.text}."
                break
            if name in sections() and name not in seen:
                # What stands in a section's place may be a secret.
                seen.add(name)
                yield f"{name}: the value (not shown) is not allowed; it is a section, with options of its own."
                break


_MOST_SHOWN = 60
_LOOKS_LIKE_A_KEY = re.compile(r"(?=[\w.-]*(?:[0-9]|[A-Z]))(?=[\w.-]*[A-Za-z])[\w.-]{20,}")


def _shown(value: object) -> str:
    """A wrong value in one short line; nothing that might be a key pasted into the wrong place."""
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, dict):
        return "a table"
    if not isinstance(value, str):
        return plain(str(value))
    if "://" in value:
        try:
            address = urlsplit(value)
            host, port = address.hostname or "", address.port
        except ValueError:
            return "this address"
        more = "/…" if address.path.strip("/") or address.query or address.fragment or "@" in address.netloc else ""
        return json.dumps(plain(f"{address.scheme}://{host}{f':{port}' if port else ''}{more}"), ensure_ascii=False)
    if _LOOKS_LIKE_A_KEY.search(value):
        return f"a text of {len(value)} characters (not shown, it looks like a key)"
    return json.dumps(plain(value), ensure_ascii=False)


def plain(text: str, *, most: int = _MOST_SHOWN) -> str:
    """Text from outside on one short line, with nothing in it that a terminal would obey."""
    line = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return line if len(line) <= most else line[: most - 1] + "…"


# --- the file -------------------------------------------------------------------------------------------------

_HEADING = """\
The settings of the bot. An option on the command line, an environment variable, or a file of the secrets folder wins
over what is written here: post_limit, say, is also --post-limit or TUMBLRBOT_POST_LIMIT, and guild_id of [discord] is
--discord-guild-id or TUMBLRBOT_DISCORD__GUILD_ID. An option that is missing here has its default.
"""
_WIDTH = 110


def example_text() -> str:
    """The file as it is made for somebody who has none, and `config.toml.example`."""
    return _file_text({option.name: option.default for option in options().values()})


def settings_text(settings: Settings) -> str:
    """The file as it would be with everything that is in force; no secret is in it."""
    return _file_text({name: _as_toml(_setting_at(settings, name)) for name in options()})


def _file_text(values: Mapping[str, object]) -> str:
    parts = [_comment(_HEADING)]
    parts += [_block(option, values[option.name]) for option in options().values() if not option.section]
    parts += [_section_text(section, values) for section in sections()]
    return "\n".join(parts)


def ensure_file(path: Path) -> bool:
    """Make the file if it is missing; else add what options it lacks, and touch nothing that is there.

    Returns whether it wrote. A file that cannot be read or written is left alone (`load_settings` says what is wrong
    with it, and defaults do for what is missing).
    """
    try:
        content = path.read_bytes()
        text = _decode(content)
        present = set(_names_in(_renamed(tomllib.loads(text))))
    except FileNotFoundError:
        content, text, changed = b"", "", example_text()
    except (OSError, ValueError):  # broken TOML and broken UTF-8 are ValueErrors
        return False
    else:
        missing = {
            option.name: option.default
            for option in options().values()
            if option.name not in present and not option.is_secret
        }
        changed = _add_options(text, missing)
    if changed == text:
        return False
    try:
        replace_file(path, content, changed)
    except OSError as error:
        logger.warning("%s cannot be brought up to date: %s.", path.name, _reason(error))
        return False
    return True


def read_options(path: Path) -> dict[str, object]:
    """What a settings file says, by dotted names of today: as TOML has it, unchecked, unknown names too.

    A missing file says nothing.

    Raises:
        SettingsError: the file cannot be read.
    """
    problems: list[str] = []
    written = _read_toml(path, problems)
    if problems:
        raise SettingsError(tuple(problems))
    return {name: _value_at(written, name) for name in _names_in(written)}


def without_secrets(content: bytes, settings: Settings) -> bytes:
    """A settings file's content with every secret taken out of it, those of `settings` in its comments too.

    Raises:
        ValueError: it is no TOML.
    """
    text = _decode(content)
    written = tomllib.loads(text)
    names = [name for name, option in options().items() if option.is_secret and _value_at(written, name) is not None]
    text = _set_options(text, dict.fromkeys(names, ""))
    for value in secret_values(settings):
        text = text.replace(value, "")
    tomllib.loads(text)
    return text.encode("utf-8")


def secret_values(settings: Settings) -> frozenset[str]:
    """Every secret that is set."""
    found = (_setting_at(settings, option.name) for option in options().values() if option.is_secret)
    values = {secret.get_secret_value() for secret in found if isinstance(secret, SecretStr)}
    return frozenset(values - {""})


def problems_with(values: Mapping[str, object]) -> dict[str, str]:
    """Those of some values (dotted names of options) which are not allowed, with a line about each."""
    found: dict[str, str] = {}
    for name, value in values.items():
        try:
            _build(InitSettingsSource(Settings, _nest({name: value})))
        except ValidationError as error:
            found[name] = " ".join(_problems_of(error))
    return found


def parse_options(values: Mapping[str, object]) -> dict[str, object]:
    """Values as people or files give them (dotted names of options), as the model holds them.

    Raises:
        SettingsError: for unknown names and values that are not allowed.
    """
    unknown = [name for name in values if name not in options()]
    if unknown:
        raise SettingsError(tuple(f"{plain(name)}: no such option.{_suggestion(name)}" for name in unknown))
    try:
        settings = _build(InitSettingsSource(Settings, _nest(values)))
    except ValidationError as error:
        raise SettingsError(tuple(_problems_of(error))) from None
    return {name: _setting_at(settings, name) for name in values}


NEEDS_RESTART = frozenset({"discord.guild_id", "data_directory", "tumblr.api_url"})
"""What a running bot cannot change: its commands are registered on that server, its database is open, its connections
are made. All else but the secrets is read whenever it is used."""


def stays_on_machine(option: Option) -> bool:
    """Whether an option is set on the bot's own machine alone, never from Discord.

    Whoever takes over an owner's account at Discord must not send keys to another address, write files elsewhere, or
    make others owners.
    """
    return option.allowed.metavar in {"ADDRESS", "PATH"} or option.name == "discord.owner_ids"


def with_options(settings: Settings, values: Mapping[str, object]) -> Settings:
    """The same settings with other values (dotted names, as the model holds them)."""
    for name, value in values.items():
        *parents, key = name.split(".")
        tables: list[BaseModel] = [settings]
        for parent in parents:
            tables.append(getattr(tables[-1], parent))
        changed = tables.pop().model_copy(update={key: value})
        for parent in reversed(parents):
            changed = tables.pop().model_copy(update={parent: changed})
        settings = cast("Settings", changed)
    return settings


def default_text(option: Option) -> str:
    """An option's default as config.toml writes it."""
    return _toml(option.default)


def option_text(settings: Settings, name: str) -> str:
    """An option as config.toml writes it; of a secret only whether it is set."""
    value = _setting_at(settings, name)
    if isinstance(value, SecretStr):
        return "set" if value.get_secret_value() else "not set"
    return _toml(_as_toml(value))


def write_options(path: Path, values: Mapping[str, object]) -> tuple[str, ...]:
    """Set options (dotted names) in the file, and leave the rest of it as it is. Blocks on the disk.

    Returns the names of those that were not there before, or had another value.

    Raises:
        SettingsError: for unknown names, secrets and values that are not allowed, and for a file that cannot be read
            or written. Then no option was changed.
    """
    problems: list[str] = []
    for name in values:
        option = options().get(name)
        if option is None:
            problems.append(f"{plain(name)}: no such option.{_suggestion(name)}")
        elif option.is_secret:
            problems.append(f"{name}: a secret is not written to {path.name}; {secret_places(option)}.")
    try:
        settings = _build(InitSettingsSource(Settings, _nest(values)))
    except ValidationError as error:
        raise SettingsError((*problems, *_problems_of(error))) from None
    if problems:
        raise SettingsError(tuple(problems))
    new = {name: _as_toml(_setting_at(settings, name)) for name in values}

    if not path.exists():
        ensure_file(path)
    written = _read_toml(path, problems)
    if problems:
        raise SettingsError(tuple(problems))
    present = set(_names_in(written))
    try:
        content = path.read_bytes()
        text = _decode(content)
        changed = _set_options(text, {name: value for name, value in new.items() if name in present})
        changed = _add_options(changed, {name: value for name, value in new.items() if name not in present})
        if not _is_same(tomllib.loads(changed), tomllib.loads(text), new):
            raise SettingsError(
                tuple(f"{name}: {path.name} is written in a way that cannot be changed here; edit it." for name in new)
            )
        if changed != text:
            replace_file(path, content, changed)
    except OSError as error:
        raise SettingsError((f"{path.name} cannot be written: {_reason(error)}.",)) from None
    return tuple(name for name in values if _fingerprint(_value_at(written, name)) != _fingerprint(new[name]))


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in textwrap.wrap(text, _WIDTH - 2, break_on_hyphens=False))


def _block(option: Option, value: object) -> str:
    """An option as lines of the file: its comment, then its value; of a secret only where it belongs."""
    if option.is_secret:
        return _comment(f"{option.key}: {option.description} A secret, not kept in this file: {secret_places(option)}.")
    return f"{_comment(option.description)}{option.key} = {_toml(value)}\n"


def secret_places(option: Option) -> str:
    """Where a secret belongs, as the end of a sentence."""
    return f"set {option.variable}, or put it into the file {option.variable.lower()} in {SECRETS_DIRECTORY}"


def _toml(value: object) -> str:
    import tomlkit  # noqa: PLC0415  # only who writes the file waits for it

    return tomlkit.item(value).as_string()


def _section_text(section: str, values: Mapping[str, object]) -> str:
    """A whole section: its header, the options in `values`, and where its secrets belong."""
    parts = [f"{_comment(sections()[section])}[{section}]\n"]
    parts += [
        _block(option, values.get(option.name))
        for option in options().values()
        if option.section == section and (option.is_secret or option.name in values)
    ]
    return "\n".join(parts)


def _set_options(text: str, values: Mapping[str, object]) -> str:
    """The text of a file with options changed that are in it."""
    import tomlkit  # noqa: PLC0415  # only who writes the file waits for it

    old = tomllib.loads(text)
    document = tomlkit.parse(text)
    for name, value in values.items():
        current = next((past for past, now in RENAMED.items() if now == name and name not in old), name)
        if _fingerprint(_value_at(old, current)) == _fingerprint(value):
            continue  # a list keeps its line breaks and comments
        *parents, key = current.split(".")
        table = cast("dict[str, object]", document)
        for parent in parents:
            table = cast("dict[str, object]", table[parent])
        table[key] = value
    return tomlkit.dumps(document)


def _add_options(text: str, values: Mapping[str, object]) -> str:
    """The text of a file with options added, each with its comment, at the end of its section.

    tomlkit would put them behind the comment that stands above the next section, so lines are inserted here instead.
    A section in a form that takes no lines (an inline table) is left alone.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    for section in ("", *sections()):
        added = {name: value for name, value in values.items() if options()[name].section == section}
        if not added:
            continue
        position = _end_of(text, section)
        if position is None:
            before, block, after = text, _section_text(section, added), ""
        else:
            before, after = text[:position], text[position:]
            block = "\n".join(_block(options()[name], value) for name, value in added.items())
        block = block.replace("\n", newline)
        if before:
            block = newline + block if before.endswith("\n") else newline + newline + block
        if after and not after.startswith(("\n", "\r\n")):
            block += newline
        changed = before + block + after
        try:
            fits = _is_same(tomllib.loads(changed), tomllib.loads(text), added)
        except tomllib.TOMLDecodeError:
            fits = False
        text = changed if fits else text
    return text


def _end_of(text: str, section: str) -> int | None:
    """Where the last line of a section ends, not counting blank lines and what belongs to the next header."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)  # str.splitlines knows more line ends than TOML
    headers = [(number, _header(lines, number)) for number, line in enumerate(lines) if line.lstrip().startswith("[")]
    headers = [(number, name) for number, name in headers if name is not None]
    start = 0 if not section else next((number + 1 for number, name in headers if name == section), None)
    if start is None:
        return None
    end = next((number for number, _ in headers if number >= start), len(lines))
    if end < len(lines):
        while end > start and lines[end - 1].lstrip().startswith("#"):
            end -= 1
    while end > start and not lines[end - 1].strip():
        end -= 1
    return sum(map(len, lines[:end]))


def _header(lines: list[str], number: int) -> str | None:
    """The section that a line opens; "" if it opens anything else, None if it is no header but part of a value."""
    try:
        tomllib.loads("".join(lines[:number]))
        opened: dict[str, object] = tomllib.loads(lines[number])
    except tomllib.TOMLDecodeError:
        return None
    parts: list[str] = []
    while opened:
        ((part, value),) = opened.items()
        if not isinstance(value, dict):
            return ""
        parts.append(part)
        opened = cast("dict[str, object]", value)
    return ".".join(parts)


def _is_same(changed: dict[str, object], original: dict[str, object], values: Mapping[str, object]) -> bool:
    """Whether a changed file says what the original says, except for `values`."""
    expected = _renamed(original)
    for name, value in values.items():
        *parents, key = name.split(".")
        table = expected
        for parent in parents:
            table = cast("dict[str, object]", table.setdefault(parent, {}))
        table[key] = value
    return _fingerprint(_renamed(changed)) == _fingerprint(expected)


def _fingerprint(value: object) -> str:
    # As text, because not-a-number is not equal to itself and 1 is equal to 1.0.
    return json.dumps(value, sort_keys=True, default=str)


def replace_file(path: Path, old: bytes, text: str, *, mode: int | None = None) -> None:
    """Write a file so that at any moment it is the old one or the new one, whole; without a `mode` it keeps its own.

    A file that cannot be exchanged (mounted by itself into a container, or owned by somebody else) is written in place.
    """
    content = (codecs.BOM_UTF8 if old.startswith(codecs.BOM_UTF8) else b"") + text.encode("utf-8")
    path = path.resolve()  # a link stays a link
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                file.close()  # Windows exchanges no open file
                _take_over(path, temporary)
                if mode is not None:
                    temporary.chmod(mode)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.errno not in {errno.EBUSY, errno.EACCES, errno.EPERM, errno.EROFS} or not path.exists():
            raise
        if mode is not None:
            path.chmod(mode)
        path.write_bytes(content)


def _take_over(path: Path, temporary: Path) -> None:
    """Give the new file the owner and the mode of the one that it replaces."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    if hasattr(os, "chown") and (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(temporary, status.st_uid, status.st_gid)
    temporary.chmod(stat.S_IMODE(status.st_mode))


# --- the file of secrets --------------------------------------------------------------------------------------

_SECRETS_HEADING = """\
The secrets that the bot was given: keep this file to yourself. It is written by /connect, setup and import, which keep
what stands in it but not its comments. An environment variable or a file of the secrets folder wins over it.
"""
_PRIVATE = 0o600


def write_secrets(data_directory: Path, values: Mapping[str, str | None]) -> None:
    """Keep secrets (dotted names of options) in `secrets.toml` of the data directory; None forgets one.

    The file is made if it is missing, with its folder, and is readable by its owner alone; what else stands in it
    stays. Blocks on the disk.

    Raises:
        SettingsError: for names of no secrets and values that are no keys, and for a file that cannot be read or
            written. Then nothing was changed. It shows no value.
    """
    path = data_directory / SECRETS_FILE
    problems: list[str] = []
    for name, value in values.items():
        option = options().get(name)
        if option is None:
            problems.append(f"{plain(name)}: no such option.{_suggestion(name)}")
        elif not option.is_secret:
            problems.append(f"{name}: not a secret, so not written to {path.name}.")
        elif value is not None and not _is_key(value):
            problems.append(f"{name}: the value (not shown) is not allowed; it takes {option.allowed.text}.")
    old = _read_secrets_file(path, problems)
    if problems:
        raise SettingsError(tuple(problems))
    new = copy.deepcopy(old)
    for name, value in values.items():
        _put(new, name.split("."), None if value is None else value.strip())
    try:
        if new != old:
            import tomlkit  # noqa: PLC0415  # only who writes the file waits for it

            data_directory.mkdir(parents=True, exist_ok=True)
            replace_file(path, b"", f"{_comment(_SECRETS_HEADING)}\n{tomlkit.dumps(new)}", mode=_PRIVATE)
        elif is_open_to_others(path):
            path.chmod(_PRIVATE)
    except OSError as error:
        raise SettingsError((f"{path} cannot be written: {_reason(error)}.",)) from None


def _is_key(value: str) -> bool:
    try:
        _read_secret(value)
    except ValueError:
        return False
    return True


def _put(table: dict[str, object], parts: Sequence[str], value: str | None) -> None:
    """Set or remove a value in nested tables; a section that nothing is left in goes too."""
    part, *rest = parts
    if not rest and value is None:
        table.pop(part, None)
    elif not rest:
        table[part] = value
    else:
        inner = cast("dict[str, object]", table.setdefault(part, {}))
        _put(inner, rest, value)
        if not inner:
            del table[part]


def _kept_secrets(path: Path, problems: list[str]) -> dict[str, object]:
    """The secrets in the file, by their dotted names."""
    written = _read_secrets_file(path, problems)
    kept: dict[str, object] = {}
    for name in _names_in(written):
        option = options().get(name)
        if option is None:
            shown = "(not shown, it looks like a key)" if _LOOKS_LIKE_A_KEY.search(name) else plain(name)
            logger.warning("%s: ignored the unknown option %s.%s", path.name, shown, _suggestion(name))
        elif not option.is_secret:
            logger.warning("%s: ignored %s, which is no secret. It belongs in config.toml.", path.name, name)
        else:
            kept[name] = _value_at(written, name)
    if kept and is_open_to_others(path):
        logger.warning("%s is open to others on this machine. Make it yours alone: chmod 600 %s", path.name, path)
    return {name: value for name, value in kept.items() if value != ""}


def _read_secrets_file(path: Path, problems: list[str]) -> dict[str, object]:
    """The tables of the file. Problems name places and nothing that stands there: it may be a secret."""
    try:
        written: dict[str, object] = tomllib.loads(_decode(path.read_bytes()))
    except FileNotFoundError:
        return {}
    except OSError as error:
        problems.append(f"{path} cannot be read: {_reason(error)}.")
        return {}
    except UnicodeDecodeError:
        problems.append(f"{path} cannot be read: it is not UTF-8 text.")
        return {}
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"\bline [0-9]+", str(error))
        problems.append(f"{path} cannot be read: {line.group() if line else 'its end'} is not TOML.")
        return {}
    for section in sections():
        if not isinstance(_value_at(written, section), dict | None):
            problems.append(f"{path} cannot be read: {section} is a section, with options of its own.")
            return {}
    return written


def is_open_to_others(path: Path) -> bool:
    """Whether others than the file's owner may read or change it, on systems where files say that."""
    try:
        return os.name == "posix" and bool(path.stat().st_mode & 0o077)
    except OSError:
        return False


# --- the command line -----------------------------------------------------------------------------------------

_DESTINATION = "option "


def add_option_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every option to a parser, as `--post-limit` or `--discord-channel-id`. Secrets stay off command lines.

    (Every user of a machine may read the command lines on it.)
    """
    group = parser.add_argument_group("settings", "These win over the environment and config.toml.")
    for option in options().values():
        if not option.is_secret:
            group.add_argument(
                option.flag,
                dest=_DESTINATION + option.name,
                default=argparse.SUPPRESS,
                metavar=option.allowed.metavar,
                help=option.description,
            )


def overrides_from(namespace: argparse.Namespace) -> dict[str, object]:
    """What `add_option_arguments` found on the command line, for `load_settings`."""
    found: dict[str, object] = vars(namespace)
    return {name.removeprefix(_DESTINATION): value for name, value in found.items() if name.startswith(_DESTINATION)}
