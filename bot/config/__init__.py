"""Settings: one model, read from the command line, the environment, a secrets folder, `secrets.toml` and `config.toml`.

The first of these that names an option wins, in that order; what none of them names has its default. The model is the
only list of options: `config.toml.example`, the comments in a person's file, `--help` and the sentences about wrong
values are all made from it.

`secrets.toml` lies in the data directory, readable by its owner alone. It holds what /connect, `setup` and `import`
were given, and nothing but secrets is read from it.
"""

from __future__ import annotations

from bot.config.changes import (
    NEEDS_RESTART,
    default_text,
    option_text,
    parse_options,
    problems_with,
    secret_values,
    stays_on_machine,
    with_options,
    without_secrets,
)
from bot.config.command_line import add_option_arguments, overrides_from
from bot.config.files import is_open_to_others, replace_file
from bot.config.kinds import is_loopback
from bot.config.loading import load_settings, places, require, secrets_elsewhere
from bot.config.model import (
    PREFIX,
    BudgetSettings,
    DiscordSettings,
    GenerationSettings,
    GuardSettings,
    ModerationSettings,
    OpenAISettings,
    ReviewSettings,
    Settings,
    TumblrSettings,
    Use,
)
from bot.config.options import SECRETS_DIRECTORY, SECRETS_FILE, Option, options, secret_places, sections
from bot.config.secrets_file import write_secrets
from bot.config.settings_file import ensure_file, example_text, read_options, settings_text, write_options
from bot.config.wording import plain

__all__ = [
    "NEEDS_RESTART",
    "PREFIX",
    "SECRETS_DIRECTORY",
    "SECRETS_FILE",
    "BudgetSettings",
    "DiscordSettings",
    "GenerationSettings",
    "GuardSettings",
    "ModerationSettings",
    "OpenAISettings",
    "Option",
    "ReviewSettings",
    "Settings",
    "TumblrSettings",
    "Use",
    "add_option_arguments",
    "default_text",
    "ensure_file",
    "example_text",
    "is_loopback",
    "is_open_to_others",
    "load_settings",
    "option_text",
    "options",
    "overrides_from",
    "parse_options",
    "places",
    "plain",
    "problems_with",
    "read_options",
    "replace_file",
    "require",
    "secret_places",
    "secret_values",
    "secrets_elsewhere",
    "sections",
    "settings_text",
    "stays_on_machine",
    "with_options",
    "without_secrets",
    "write_options",
    "write_secrets",
]
