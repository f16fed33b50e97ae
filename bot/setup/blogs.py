"""The step for the blogs of the connected account: which one is written to, and which are learned from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from bot.config import plain
from bot.errors import BlogIdentifierError, TumblrUnauthorized
from bot.posts import Blog
from bot.setup.asking import Load, choose, keep_option
from bot.setup.needed import ACCOUNT, secret_of
from bot.setup.tumblr import credentials_of, tumblr_account
from bot.tumblr.identifiers import parse_identifier


def choose_blogs(path: Path, load: Load) -> None:
    settings = load()
    if not all(secret_of(settings, name) for name in ACCOUNT):
        print("Once an account is connected, its blogs are listed here for you to choose.")
        return
    try:
        account = asyncio.run(tumblr_account(credentials_of(settings), settings.tumblr.api_url))
    except TumblrUnauthorized as error:
        print(f"{error.sentence} Run setup again, and connect the account anew.")
        return
    print(f"Connected as {plain(account.name)}.\n")
    if not account.blogs:
        print("The account has no blog.")
        return
    _choose(path, load, account.blogs)


def is_one_of(identifier: str, blogs: Sequence[Blog]) -> bool:
    """Whether what somebody calls a blog is one of these."""
    try:
        parsed = parse_identifier(identifier)
    except BlogIdentifierError:
        return False
    return any(parsed in (blog.name, blog.uuid) for blog in blogs)


def _choose(path: Path, load: Load, blogs: Sequence[Blog]) -> None:
    settings = load()
    print("Its blogs:")
    for number, blog in enumerate(blogs, 1):
        print(f"  {number}  {plain(blog.name)}  {plain(blog.title)}".rstrip())
    print(f"\nApproved drafts go to: {plain(settings.upload_blog_identifier) or 'not set'}")
    chosen = choose("The number of the blog that they shall go to (Enter keeps it): ", len(blogs), most=1)
    if chosen:
        keep_option(path, load, "upload_blog_identifier", blogs[chosen[0] - 1].name)
    names = settings.download_blog_identifiers
    print(f"\nPosts are learned from: {plain(', '.join(names)) or 'not set'}")
    question = "The numbers of your blogs to learn from, such as 1 2 (Enter keeps them): "
    chosen = choose(question, len(blogs), most=len(blogs))
    if chosen:
        others = [name for name in names if not is_one_of(name, blogs)]
        keep_option(path, load, "download_blog_identifiers", [*(blogs[number - 1].name for number in chosen), *others])
