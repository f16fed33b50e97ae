"""Reading the settings from all their places, and telling which place an option comes from."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
)

from bot.config.files import read_toml
from bot.config.model import PREFIX, Settings
from bot.config.nesting import names_in, nest, setting_at, value_at
from bot.config.options import SECRETS_DIRECTORY, SECRETS_FILE, options, secret_places
from bot.config.secrets_file import kept_secrets, read_secrets_file
from bot.config.wording import named, plain, problems_of, suggestion
from bot.errors import SettingsError
from bot.words import in_system_words

logger = logging.getLogger(__name__)


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
    given = nest(overrides or {})
    variables = dict(os.environ if environment is None else environment)
    files = {} if secrets_directory is None else _read_secret_files(secrets_directory, problems)
    written = read_toml(path, problems)

    problems.extend(
        f"{named(name)}: no such option.{suggestion(name)}" for name in names_in(given) if name not in options()
    )
    for name in names_in(written):
        option = options().get(name)
        if option is None:
            logger.warning("%s: ignored the unknown option %s.%s", path.name, named(name), suggestion(name))
        elif option.is_secret and value_at(written, name) != "":
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
            logger.warning("Ignored the unknown variable or secret %s.%s", plain(variable), suggestion(name))

    data_directory = _data_directory(given, variables, files, written)
    kept = {} if data_directory is None else kept_secrets(data_directory / SECRETS_FILE, problems)
    sources = (
        InitSettingsSource(Settings, given),
        _Variables(Settings, variables),
        _Variables(Settings, files),
        InitSettingsSource(Settings, nest(kept)),
        InitSettingsSource(Settings, written),
    )
    try:
        settings = build(*sources)
    except ValidationError as error:
        problems.extend(problems_of(error))
    else:
        if not problems:
            return settings
    raise SettingsError(tuple(problems))


def require(settings: Settings, *names: str) -> None:
    """Raise a SettingsError that lists those of the named options which are empty, with where to set each."""
    problems: list[str] = []
    for name in names:
        option = options()[name]
        value = setting_at(settings, name)
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
    written = read_toml(path, [])
    named = set(names_in(written))
    kept = read_secrets_file(settings.data_directory / SECRETS_FILE, [])
    elsewhere = secrets_elsewhere(options(), environment=environment, secrets_directory=secrets_directory)
    found: dict[str, str] = {}
    for name, option in options().items():
        if name in overrides:
            found[name] = f"the command line, {option.flag}"
        elif name in elsewhere:
            found[name] = elsewhere[name]
        elif option.is_secret and value_at(kept, name):
            found[name] = f"{SECRETS_FILE} in the data directory"
        elif name in named and not (option.is_secret and value_at(written, name) == ""):
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
        return build(
            InitSettingsSource(Settings, {name: given[name]} if name in given else {}),
            _Variables(Settings, {key: value for key, value in variables.items() if key.upper() == variable}),
            _Variables(Settings, {key: value for key, value in files.items() if key.upper() == variable}),
            InitSettingsSource(Settings, {name: written[name]} if name in written else {}),
        ).data_directory
    except ValidationError:
        return None


def build(*sources: PydanticBaseSettingsSource) -> Settings:
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
        problems.append(f"The secrets folder cannot be read: {in_system_words(error)}.")
        return {}
    files: dict[str, str] = {}
    for path in paths:
        try:
            files[path.name] = path.read_text("utf-8").strip()
        except OSError as error:
            problems.append(f"The secret {plain(path.name)} cannot be read: {in_system_words(error)}.")
        except UnicodeDecodeError:
            problems.append(f"The secret {plain(path.name)} cannot be read: it is not UTF-8 text.")
    return files
