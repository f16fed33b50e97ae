"""Numbers of things in words, for everything that speaks to people."""

from __future__ import annotations


def counted(number: int, one: str, several: str = "") -> str:
    """A number of things: "1 post", "12 posts"."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def in_system_words(error: Exception) -> str:
    """Why a file could not be used, as the system says it: "permission denied". Never its path."""
    if isinstance(error, UnicodeError):
        return "not a text in UTF-8"
    said = error.strerror if isinstance(error, OSError) else None
    return (said or type(error).__name__).lower()
