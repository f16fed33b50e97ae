"""The errors a person can cause or meet.

Each carries one sentence that says what happened and one that says what to do next. Neither ever holds a
secret, a URL with a query, or the text of a network library's exception (those carry keys).
"""

from __future__ import annotations

import secrets
from enum import StrEnum


class BotError(Exception):
    """Something a person can act on.

    `sentence` says what happened, `next_step` what to do about it; both end with a full stop.
    """

    def __init__(self, sentence: str, next_step: str) -> None:
        super().__init__(sentence, next_step)
        self.sentence = sentence
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.sentence} {self.next_step}"


# --- settings -------------------------------------------------------------------------------------------------


class SettingsError(BotError):
    """One or more options are missing or wrong; `problems` has one line for each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        count = "One setting needs" if len(problems) == 1 else f"{len(problems)} settings need"
        super().__init__(f"{count} attention.", "Correct them in config.toml, the environment or the secrets folder.")


class OptionRefused(BotError):
    """A value that somebody gave to an option in Discord is not one that it takes."""


# --- the store ------------------------------------------------------------------------------------------------


class DatabaseInUse(BotError):
    """Another process, most likely a running bot, holds the database."""


class DatabaseLocked(BotError):
    """Another program, a database browser say, holds the database in the middle of a change."""


class DatabaseTooNew(BotError):
    """A newer version of this bot made the database."""


class DiskFull(BotError):
    """There is no room left for what was to be written. Nothing that was there is harmed."""


class NotWritable(BotError):
    """The data directory or the database takes no changes: a read-only volume, a wrong owner, a broken disk."""


class DatabaseDamaged(BotError):
    """The file is no database any more, or not a whole one."""


class BackupRefused(BotError):
    """A file that is no backup, a damaged or a newer one. Nothing was changed."""


# --- people ---------------------------------------------------------------------------------------------------


class NotAllowed(BotError):
    """Somebody who is neither the owner nor a reviewer used a command, a button or a form."""

    def __init__(self) -> None:
        super().__init__(
            "This bot answers only to its owner and reviewers.",
            "Ask its owner to make you a reviewer.",
        )


class DecidersOnly(BotError):
    """Somebody who may use the bot, but not decide, pressed a button that decides about a draft."""

    def __init__(self) -> None:
        super().__init__(
            "Only some roles decide about drafts here.",
            "The owner can give you such a role, or name another in `decider_role_ids` under [review].",
        )


class OwnerOnly(BotError):
    """A reviewer used what is the owner's alone: accounts, keys, consent."""

    def __init__(self) -> None:
        super().__init__("Only the owner of the bot may do this.", "Ask the owner.")


class WrongPlace(BotError):
    """Somebody used the bot in a direct message, on another server or in another channel."""


class NotKnownHere(BotError):
    """A command, a button or a form of another version of the bot, or one that somebody made up."""


class DiscordPermissionMissing(BotError):
    """The bot may not do something in a channel."""


class DiscordTokenRefused(BotError):
    """Discord knows no bot with this token."""

    def __init__(self) -> None:
        super().__init__(
            "Discord does not accept the token.",
            "Press Reset Token on the application's Bot page, and copy the new one whole.",
        )


class DiscordUnavailable(BotError):
    """No usable answer from Discord."""

    def __init__(self) -> None:
        super().__init__("Discord cannot be reached.", "Check the network, and try again later.")


class ServerNotJoined(BotError):
    """The bot was never added to a server, or is not there any more."""

    def __init__(self, server_id: int) -> None:
        super().__init__(f"The bot is not on the server {server_id}.", "Add it with its invite link.")


# --- jobs -----------------------------------------------------------------------------------------------------


def command_of(kind: str) -> str:
    """The slash command that begins jobs of a kind, without the slash."""
    return "voices compare" if kind == "compare" else kind


class JobAlreadyRunning(BotError):
    """A job of this kind is already under way; `job_id` names it."""

    def __init__(self, kind: str, job_id: int) -> None:
        self.job_id = job_id
        super().__init__(
            f"/{command_of(kind)} is already running.",
            "Wait until it is done, or stop it with the button on its message.",
        )


class UnexpectedFailure(BotError):
    """A defect of ours, or something nobody foresaw; the log has the traceback under `reference`."""

    def __init__(self) -> None:
        self.reference = secrets.token_hex(4)
        super().__init__(
            f"Something unexpected went wrong (reference {self.reference}).",
            "Nothing is lost; try again, and look for the reference in the log if it happens twice.",
        )


# --- work that cannot be done yet -----------------------------------------------------------------------------


class NothingToDo(BotError):
    """A stage has nothing to work on: no blog named, no posts, no dataset, too few examples, no voice."""


class Cap(StrEnum):
    """The caps on spending, by the names of their options under [budget]."""

    MONTH = "monthly_limit"
    DAY = "per_day"
    RUN = "per_run"


_BUDGETS = {
    Cap.MONTH: ("the monthly budget", "The owner can allow more for this month, or raise"),
    Cap.DAY: ("the budget of a day (UTC)", "Go on tomorrow, or let the owner raise"),
    Cap.RUN: ("the budget of a run", "Begin another run, or let the owner raise"),
}


class BudgetReached(BotError):
    """The next paid call would pass the owner's cap. Amounts are in US dollars; `missing` is what is lacking."""

    def __init__(self, used: float, limit: float, needed: float, cap: Cap = Cap.MONTH) -> None:
        self.missing = used + needed - limit
        self.cap = cap
        budget, way_out = _BUDGETS[cap]
        super().__init__(
            f"This would pass {budget}: {used:.2f} of {limit:.2f} dollars are used or set aside,"
            f" and the next call may cost {needed:.4f}.",
            f"{way_out} `{cap}` under [budget].",
        )


class DraftDecided(BotError):
    """Somebody pressed a button of a draft that has been decided already, or that is gone."""


class DraftChanged(DraftDecided):
    """A draft is not any more what it was when the upload was prepared: it is looked at again."""


# --- Tumblr ---------------------------------------------------------------------------------------------------


class BlogIdentifierError(BotError):
    """A text that names no blog."""


class BlogChanged(BotError):
    """The name of a downloaded blog belongs to another blog now: a person has to say which is meant."""


class NoConsent(BotError):
    """A blog of somebody else, without anybody's recorded word that it may be downloaded."""


class ConnectionFailed(BotError):
    """Connecting a Tumblr account did not work: a wrong key, a refused or stale authorisation, a wrong paste."""


class TumblrError(BotError):
    """Any failure of a call to Tumblr."""


class TumblrUnauthorized(TumblrError):
    """401: the keys or tokens are wrong or revoked."""


class TumblrForbidden(TumblrError):
    """403 from the API, or a block page: do not try again."""


class TumblrDailyPostsReached(TumblrForbidden):
    """403.8023: the account has made as many posts as Tumblr allows in a day."""


class TumblrQueueFull(TumblrForbidden):
    """403.8022: the blog's queue holds as many posts as Tumblr allows."""


class TumblrBlocked(TumblrForbidden):
    """A web page instead of the API's answer: this machine's address is blocked. Nothing is sent until `retry_at`."""

    def __init__(self, sentence: str, next_step: str, *, retry_at: float) -> None:
        super().__init__(sentence, next_step)
        self.retry_at = retry_at


class TumblrNotFound(TumblrError):
    """404: gone, renamed, explicit, or never there."""


class TumblrRefused(TumblrError):
    """400 and other final refusals of one request."""


class TumblrQuotaReached(TumblrError):
    """429; `retry_at` is in unix seconds, as Tumblr told or as we had to assume."""

    def __init__(self, sentence: str, next_step: str, *, retry_at: float) -> None:
        super().__init__(sentence, next_step)
        self.retry_at = retry_at


class TumblrUnavailable(TumblrError):
    """No usable answer to a *read*: refused, slow, cut off, 5xx, nonsense. May be tried again."""


class TumblrNotSent(TumblrError):
    """A *write* that never reached Tumblr. May be tried again."""


class TumblrOutcomeUnknown(TumblrError):
    """A *write* that may or may not have happened. Must never be tried again before looking at the blog."""


# --- model services -------------------------------------------------------------------------------------------


class ModelError(BotError):
    """Any failure of a call to a model service."""


class ModelUnauthorized(ModelError):
    """401: the API key is wrong or revoked."""


class ModelForbidden(ModelError):
    """403: the key may not do this."""


class TrainingNotAvailable(ModelForbidden):
    """403 `training_not_available`: the service takes no fine-tuning jobs from this organisation."""


class ModelQuotaExhausted(ModelError):
    """429 `insufficient_quota` and its like: no credit left, or a limit of money reached. Waiting does not help."""


class ModelRateLimited(ModelError):
    """429 `rate_limit_exceeded`; `retry_after` is in seconds."""

    def __init__(self, sentence: str, next_step: str, *, retry_after: float) -> None:
        super().__init__(sentence, next_step)
        self.retry_after = retry_after


class ModelRefused(ModelError):
    """400, 404, 413, 422, 501: this request will never work as it is; `code` is the service's, when it gave one."""

    def __init__(self, sentence: str, next_step: str, *, status: int, code: str | None = None) -> None:
        super().__init__(sentence, next_step)
        self.status = status
        self.code = code


class VoiceGone(ModelRefused):
    """404, 410, or Together's 400: the service does not write with the model of a trained voice, or no longer."""


class ModelContextTooLong(ModelRefused):
    """The request has more tokens than the model can read at once. Nothing was paid; a shorter one may be taken."""


class ModelUnavailable(ModelError):
    """No usable answer: refused, slow, cut off, 5xx, nonsense. May be tried again."""


class TrainingFailed(ModelError):
    """A fine-tuning job ended without a model; `code` is the service's, when it gave one."""

    def __init__(self, sentence: str, next_step: str, *, code: str | None = None) -> None:
        super().__init__(sentence, next_step)
        self.code = code
