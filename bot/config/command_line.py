"""Every option as an option of the command line."""

from __future__ import annotations

import argparse

from bot.config.options import options

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
