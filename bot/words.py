"""Numbers of things in words, for everything that speaks to people."""

from __future__ import annotations


def counted(number: int, one: str, several: str = "") -> str:
    """A number of things: "1 post", "12 posts"."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"
