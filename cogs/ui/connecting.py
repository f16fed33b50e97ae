"""What people press and type to connect a Tumblr account, and what they are told. All of it is the owner's alone.

Nothing here depends on what an earlier process had in memory: ids are `connect:<action>`, forms are read by theirs, and
the blogs on offer are looked up when one is chosen. Keys come in by a form and are never shown, not even in part.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Self

import discord

from bot.account import is_one_of
from bot.app import App
from bot.client import Client
from bot.errors import BotError, ConnectionFailed, NothingToDo
from bot.permissions import Level
from bot.posts import Blog
from bot.store.consents import own_blogs
from bot.tumblr.connect import APPLICATIONS, PERMISSIONS
from bot.tumblr.quota import Quota
from cogs.ui.items import DurableButton, DurableSelect, Form, view_of
from cogs.ui.limits import OPTION_TEXT, SELECT_OPTIONS, cut, embed, foreign, web_address
from cogs.ui.words import relative

_LABELS = {
    "keys": ("Type them here", discord.ButtonStyle.secondary),
    "paste": ("Paste the address", discord.ButtonStyle.primary),
    "disconnect": ("Disconnect", discord.ButtonStyle.secondary),
    "forget": ("Yes, disconnect", discord.ButtonStyle.danger),
}
_LONGEST_KEY = 200
_LONGEST_ADDRESS = 2000

_KEYS_NEEDED = f"""\
The bot needs the consumer key and secret of an application of yours. Register one at {APPLICATIONS}. \
Any name will do, and `http://localhost/` as its default callback URL: nothing has to answer there.
Give both to the bot in one of these ways, the safest first:
1. In a terminal on the bot's machine, with `python3 -m bot setup`.
2. In the environment, as `TUMBLRBOT_TUMBLR__CONSUMER_KEY` and `TUMBLRBOT_TUMBLR__CONSUMER_SECRET`.
3. In the secrets folder, as the files `tumblrbot_tumblr__consumer_key` and `tumblrbot_tumblr__consumer_secret`.
4. With the button below. What you type here passes through Discord.

After 2 or 3 start the bot again. Then use /connect tumblr once more."""
_STEPS = """\
1. Open the link, and allow the connection there.
2. Tumblr then leads you to your application's callback address. Whatever that page shows, even an error, is fine.
3. Copy the whole address of that page, come back, and paste it with the button.

The address works once, and only for this bot."""


# --- the walk -------------------------------------------------------------------------------------------------


async def offer_connection(interaction: discord.Interaction[Client]) -> None:
    """Show the link, or what is needed before there can be one; the interaction is deferred already."""
    app = interaction.client.app
    if not app.account.has_consumer:
        await interaction.followup.send(
            embed=embed(title="Connect a Tumblr account", description=_KEYS_NEEDED), view=_view("keys"), ephemeral=True
        )
        return
    try:
        link = await app.account.begin_connecting()
    except ConnectionFailed as error:  # the keys are wrong, so others are needed
        shown = embed(title="Connect a Tumblr account", description=f"{error}\n\n{_KEYS_NEEDED}")
        await interaction.followup.send(embed=shown, view=_view("keys"), ephemeral=True)
        return
    await _show_link(interaction, link)


async def _show_link(interaction: discord.Interaction[Client], link: str) -> None:
    text = _STEPS
    if interaction.client.app.account.has_account:
        text += "\nThe account that is connected now stays so until the new connection has been tested."
    view = view_of(discord.ui.Button(label="Open Tumblr", url=web_address(link)), ConnectButton("paste"))
    await interaction.followup.send(
        embed=embed(title="Connect a Tumblr account", description=text), view=view, ephemeral=True
    )


async def _take_keys(interaction: discord.Interaction[Client], _: re.Match[str], values: dict[str, str]) -> None:
    await interaction.response.defer(ephemeral=True, thinking=True)
    link = await interaction.client.app.account.set_consumer(values.get("key", ""), values.get("secret", ""))
    await _show_link(interaction, link)


async def _take_address(interaction: discord.Interaction[Client], _: re.Match[str], values: dict[str, str]) -> None:
    await interaction.response.defer(ephemeral=True, thinking=True)
    app = interaction.client.app
    account = await app.account.finish_connecting(values.get("address", ""))
    blogs = await own_blogs(app.database)
    description = f"The bot uses this account from now on.{_overruled(app)}"
    if blogs:
        description += "\nChoose below where approved drafts go, and which blogs to learn from."
    shown = embed(title=f"Connected as {foreign(account.name)}", description=description, fields=[_blogs_field(blogs)])
    await interaction.followup.send(embed=shown, view=_view(choices=blogs, app=app), ephemeral=True)


async def show_connection(interaction: discord.Interaction[Client]) -> None:
    """Show what is connected, and whether it works; the interaction is deferred already."""
    app = interaction.client.app
    if not app.account.has_account:
        missing = "" if app.account.has_consumer else " It also needs a consumer key and secret."
        shown = embed(
            title="Tumblr", description=f"No account is connected.{missing} /connect tumblr leads through all of it."
        )
        await interaction.followup.send(embed=shown, ephemeral=True)
        return
    title, test = "Tumblr", "Tumblr accepts the connection."
    try:
        account = await app.account.account()
    except BotError as error:
        test = str(error)
    else:
        title = f"Connected as {foreign(account.name)}" if account else title
    blogs = await own_blogs(app.database)
    fields = [
        ("Test", test, False),
        _blogs_field(blogs),
        ("Calls left", _calls_left(app.tumblr.quota), True),
        ("The tokens come from", foreign(await app.account.tokens_place()), True),
    ]
    await interaction.followup.send(
        embed=embed(title=title, fields=fields), view=_view("disconnect", choices=blogs, app=app), ephemeral=True
    )


async def _disconnect(interaction: discord.Interaction[Client]) -> None:
    await interaction.response.defer(ephemeral=True, thinking=True)
    app = interaction.client.app
    await app.account.disconnect()
    await interaction.followup.send(
        f"The bot has forgotten the tokens.{_overruled(app)} Tumblr keeps the permission until you take it back at"
        f" {PERMISSIONS}. /connect tumblr connects an account again.",
        ephemeral=True,
    )


def _overruled(app: App) -> str:
    if not app.account.overruled_by:
        return ""
    places = foreign(" and ".join(app.account.overruled_by))
    return f" But {places} will win over this at the next start: correct or remove it there."


def _blogs_field(blogs: Sequence[Blog]) -> tuple[str, str, bool]:
    lines = [foreign(blog.name) for blog in blogs[:SELECT_OPTIONS]]
    text = cut(", ".join(lines), 800) or "none"
    if len(blogs) > SELECT_OPTIONS:
        text += (
            f"\nand {len(blogs) - SELECT_OPTIONS:,} more. To use one of those, set `upload_blog_identifier` or"
            " `download_blog_identifiers` in config.toml."
        )
    return "Blogs", text, False


def _calls_left(quota: Quota) -> str:
    parts: list[str] = []
    for name, left, resets_at in (
        ("this hour", quota.hour_remaining, quota.hour_resets_at),
        ("today", quota.day_remaining, quota.day_resets_at),
    ):
        if left is not None:
            more = f", all again {relative(resets_at)}" if resets_at is not None else ""
            parts.append(f"{left:,} {name}{more}")
    return "\n".join(parts) or "not known yet"


# --- buttons --------------------------------------------------------------------------------------------------


class ConnectButton(DurableButton, template=r"connect:(?P<action>keys|paste|disconnect|forget)", needs=Level.OWNER):
    """Opens a form, or disconnects."""

    def __init__(self, action: str) -> None:
        self.action = action
        label, style = _LABELS[action]
        super().__init__(discord.ui.Button(label=label, style=style, custom_id=f"connect:{action}"))

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(match["action"])

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        match self.action:
            case "keys":
                await interaction.response.send_modal(_keys_form())
            case "paste":
                await interaction.response.send_modal(_paste_form())
            case "forget":
                await _disconnect(interaction)
            case _:
                await interaction.response.send_message(
                    "Disconnect? Downloads and uploads then stop until an account is connected again. What is here"
                    " already stays.",
                    view=_view("forget"),
                    ephemeral=True,
                )


# --- forms ----------------------------------------------------------------------------------------------------


def _keys_form() -> discord.ui.Modal:
    form = discord.ui.Modal(title="The application's keys", custom_id="connect:keys:form")
    form.add_item(_field("Consumer key", "key"))
    form.add_item(_field("Consumer secret", "secret"))
    return form


def _paste_form() -> discord.ui.Modal:
    form = discord.ui.Modal(title="Paste the address", custom_id="connect:paste:form")
    form.add_item(
        discord.ui.TextInput(
            label="The whole address of the page",
            custom_id="address",
            style=discord.TextStyle.paragraph,
            placeholder="https://…?oauth_token=…&oauth_verifier=…#_=_",
            max_length=_LONGEST_ADDRESS,
        )
    )
    return form


def _field(label: str, custom_id: str) -> discord.ui.TextInput[Any]:
    return discord.ui.TextInput(
        label=label, custom_id=custom_id, placeholder="This passes through Discord.", max_length=_LONGEST_KEY
    )


KEYS_FORM = Form(re.compile("connect:keys:form"), Level.OWNER, _take_keys)
PASTE_FORM = Form(re.compile("connect:paste:form"), Level.OWNER, _take_address)


# --- the blogs ------------------------------------------------------------------------------------------------


class BlogSelect(DurableSelect, template=r"connect:(?P<use>upload|learn)", needs=Level.OWNER):
    """Chooses among the account's blogs: where drafts go, or what to learn from."""

    def __init__(self, use: str, blogs: Sequence[Blog] = (), chosen: Sequence[Blog] = ()) -> None:
        self.use = use
        uploads = use == "upload"
        # Said in every option: once something is chosen, Discord shows that alone, and not what it is for.
        lead = "Drafts go to" if uploads else "Learn from"
        options = [
            discord.SelectOption(
                label=cut(f"{lead} {' '.join(blog.name.split()) or blog.uuid}", OPTION_TEXT),
                value=blog.uuid,
                description=cut(" ".join(blog.title.split()), OPTION_TEXT) or None,
                default=blog in chosen,
            )
            for blog in blogs[:SELECT_OPTIONS]
        ]
        super().__init__(
            discord.ui.Select(
                custom_id=f"connect:{use}",
                placeholder="Where approved drafts go" if uploads else "Which blogs to learn from",
                max_values=1 if uploads else max(1, len(options)),
                options=options,
            )
        )

    @classmethod
    def read(cls, match: re.Match[str]) -> Self:
        return cls(match["use"])

    async def pressed(self, interaction: discord.Interaction[Client]) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        app = interaction.client.app
        own = await own_blogs(app.database)
        blogs = [blog for blog in own if blog.uuid in self.item.values]
        if len(blogs) < len(self.item.values) or not blogs:
            raise NothingToDo("That blog is not among the account's any more.", "Use /connect show for those that are.")
        names = ", ".join(f"**{foreign(blog.name)}**" for blog in blogs)
        if self.use == "upload":
            caveat = await app.account.choose_destination(blogs[0])
            text = f"Drafts written from now on go to {names}. Those already written keep the blog that they show."
        else:
            caveat = await app.account.choose_sources(blogs, offered=own[:SELECT_OPTIONS])
            text = f"/download now fetches the posts of {names}."
        await interaction.followup.send(cut(f"{text} {caveat}", 2000), ephemeral=True)


def _view(*actions: str, choices: Sequence[Blog] = (), app: App | None = None) -> discord.ui.View:
    """The two menus of blogs, if there are any to choose from, and under them these buttons."""
    view = view_of()
    if choices and app is not None:
        upload, learn = app.settings.upload_blog_identifier, app.settings.download_blog_identifiers
        view.add_item(BlogSelect("upload", choices, [blog for blog in choices if is_one_of(upload, [blog])][:1]))
        view.add_item(
            BlogSelect("learn", choices, [blog for blog in choices if any(is_one_of(text, [blog]) for text in learn)])
        )
    for action in actions:
        view.add_item(ConnectButton(action))
    return view
