"""The step for Discord: the bot's token, the server and the channel that it works in, and whom it obeys."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bot.client import invite_link
from bot.config import plain
from bot.errors import BotError, DiscordTokenRefused
from bot.setup.asking import TRIES, Load, ask, ask_and_try, choose, complaint, keep_option, keep_secret, show_secrets
from bot.setup.discord_account import BotAccount, Channel, bot_account, text_channels
from bot.setup.needed import TOKEN, secret_of

PORTAL = "https://discord.com/developers/applications"
_LATER = {"later", "no", "skip"}


def connect_discord(path: Path, load: Load) -> None:
    account = _connect_bot(load)
    if account is None:
        return
    token = secret_of(load(), TOKEN)
    print(f"The bot is called {plain(account.name)}.\n")
    print("This link adds it to a server, with the few permissions that it needs:\n")
    print(f"  {invite_link(account.application_id)}\n")
    _choose_server(path, load, token, account)
    _choose_channel(path, load, token)
    _choose_owners(path, load, account)


# --- the token ------------------------------------------------------------------------------------------------


def _connect_bot(load: Load) -> BotAccount | None:
    """The bot, once Discord has accepted a token; None where there is none, or nobody knows."""
    settings = load()
    current = secret_of(settings, TOKEN)
    is_fixed = TOKEN in show_secrets(settings, TOKEN)
    print()
    if is_fixed:
        print("What is set there wins over what setup could write, so the token is changed there.")
        return _look(current)
    if not current:
        print(f"The bot needs an application of yours at {PORTAL}")
        print("Press New Application there and give it a name. On its page Bot, press Reset Token and copy the token.")
        print("It needs no privileged intent. What you paste here is not shown.\n")
    tried = ask_and_try("Bot token", TOKEN, current, bot_account, DiscordTokenRefused)
    if tried is None:
        return None
    if tried.typed:
        keep_secret(load, TOKEN, tried.typed)
    return tried.found


def _look(token: str) -> BotAccount | None:
    try:
        return asyncio.run(bot_account(token))
    except BotError as error:
        print(error)
        return None


# --- the server and the channel -------------------------------------------------------------------------------


def _choose_server(path: Path, load: Load, token: str, account: BotAccount) -> None:
    chosen = [0]
    while chosen == [0]:
        servers = account.servers
        if servers:
            current = load().discord.guild_id
            name = next((server.name for server in servers if server.id == current), str(current or "not set"))
            print("It is on these servers:" if len(servers) > 1 else "It is on this server:")
            for number, server in enumerate(servers, 1):
                print(f"  {number}  {plain(server.name)}")
            print(f"\nIt works in: {plain(name)}")
            question = "The number of the server that it shall work in (Enter keeps it, 0 looks again): "
            chosen = choose(question, len(servers), most=1, least=0)
        else:
            print("It is on no server yet. Open the link in a browser, and choose a server of yours.")
            if ask("Press Enter when that is done, or type later: ").lower() in _LATER:
                return
        if chosen == [0]:
            account = _look(token) or account
            print()
    if chosen:
        keep_option(path, load, "discord.guild_id", account.servers[chosen[0] - 1].id)


def _choose_channel(path: Path, load: Load, token: str) -> None:
    settings = load().discord
    if settings.guild_id is None:
        return
    chosen, channels = [0], ()
    while chosen == [0]:
        try:
            channels = asyncio.run(text_channels(token, settings.guild_id))
        except BotError as error:
            print(f"{error}\n")
            return
        print("\nDrafts and progress appear in a channel. Choose a private one: what is not approved is seen there.")
        for number, channel in enumerate(channels, 1):
            print(f"  {number}  #{plain(channel.name)}{_remark(channel)}")
        current = settings.channel_id
        name = next((f"#{channel.name}" for channel in channels if channel.id == current), None)
        elsewhere = "not set" if current is None else f"{current}, which is not on this server"
        print(f"\nThey appear in: {plain(name or elsewhere)}")
        chosen = choose("The number of the channel (Enter keeps it, 0 looks again): ", len(channels), most=1, least=0)
    if not chosen:
        return
    channel = channels[chosen[0] - 1]
    keep_option(path, load, "discord.channel_id", channel.id)
    if channel.missing:
        print(f"Give the bot these permissions in that channel's settings: {', '.join(channel.missing)}.")
        print("`python3 -m bot check` says when it has them.")


def _remark(channel: Channel) -> str:
    remarks: list[str] = []
    if channel.missing:
        remarks.append(f"the bot lacks: {', '.join(channel.missing)}")
    if channel.is_open:
        remarks.append("everybody on the server reads it")
    return f"  ({'; '.join(remarks)})" if remarks else ""


# --- the owner ------------------------------------------------------------------------------------------------


def _choose_owners(path: Path, load: Load, account: BotAccount) -> None:
    owners = load().discord.owner_ids
    print(f"\nThe bot obeys the owner of its application: {plain(account.owner)}.")
    print("You may name others who may do everything too, by their IDs. Discord shows Copy User ID in a person's menu")
    print("once Developer Mode is on (Settings, Advanced).")
    print(f"Named beside the owner: {', '.join(map(str, owners)) or 'nobody'}")
    for _ in range(TRIES):
        answer = ask("Their IDs, such as 123456789012345678 (Enter keeps them, none forgets them): ")
        if not answer:
            return
        ids = [] if answer.lower() == "none" else answer.replace(",", " ").split()
        problem = complaint("discord.owner_ids", ids)
        if not problem:
            keep_option(path, load, "discord.owner_ids", [int(each) for each in ids])
            return
        print(problem)
    print("It stays as it is.")
