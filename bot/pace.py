"""How long the bot waits between looks."""

from __future__ import annotations

from dataclasses import dataclass

from bot.pipeline.courier import LOOK_AFTER, RETRY_AFTER
from bot.tumblr.quota import MINUTE_CALLS


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the bot waits between looks, in seconds. The demo and the tests hurry."""

    message_edit: float = 2.0
    training_poll: float = 10.0
    """Between looks at a training, and at the batches of a screening."""
    training_settle: float = 60.0
    """For so long a service may still act on a call of a training that it did not answer."""
    reminder_look: float = 60.0
    notice_look: float = 10.0
    """Between looks for what the owner is to be told."""
    settings_look: float = 3.0
    """Between looks at config.toml, which somebody may edit."""
    first_backup: float = 60.0
    """After a start; by then whatever was under way goes on."""
    first_check: float | None = 10.0
    """After the client is ready; None: the bot does not look at itself."""
    check_again: float = 600.0
    """Between looks at itself for as long as something is missing."""
    clock_look: float | None = 30.0
    """Between looks at whether the clock was set; None: it is not looked at."""
    look_after: tuple[float, ...] = LOOK_AFTER
    retry_after: tuple[float, ...] = RETRY_AFTER
    tumblr_deadline: float = 30.0
    tumblr_retry: float = 1.0
    tumblr_calls: int = MINUTE_CALLS
    """How many calls to Tumblr a minute may have; a stand-in takes more."""
