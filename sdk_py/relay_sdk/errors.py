"""Every error the SDK raises, as a tree that says whose fault it is.

    RelaySdkError
    |-- Refusal           the relay does not want this bot; connecting again would not help
    |   |-- Unauthorized    the token is not known (any more)
    |   |-- Fenced          another process has connected with the same token
    |   `-- Rejected        the relay refuses the subscription, or is too old for this SDK
    |-- ReplyClosed       the relay has closed this answer; nothing more can be written to it
    `-- UsageError        the program's own mistake: what to do instead is in the message

A connection that breaks, and a relay that is down, are no errors: the bot reconnects.
"""

from __future__ import annotations


class RelaySdkError(Exception):
    """Base of everything the SDK raises on purpose."""


class Refusal(RelaySdkError):
    """The relay's final word. The bot has stopped; `message` says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Unauthorized(Refusal):
    """The relay does not know the token."""

    def __init__(self) -> None:
        super().__init__(
            "the relay does not accept this token: check that it is whole and that it belongs to "
            "this relay, or make a new one with `relay bot add NAME`"
        )


class Fenced(Refusal):
    """Another process connected with the same token, and the relay talks to the newest one."""

    def __init__(self) -> None:
        super().__init__(
            "another process has connected with this bot's token and has taken over: run one "
            "process per token, or make a token for each with `relay bot add NAME`"
        )


class Rejected(Refusal):
    """The relay refuses for another reason, which the message names."""


class ReplyClosed(RelaySdkError):
    """The relay has closed this answer before it ended; `outcome` says why."""

    def __init__(self, outcome: str) -> None:
        super().__init__(f"the relay has closed this answer ({outcome}); stop producing it")
        self.outcome = outcome


class UsageError(RelaySdkError):
    """The SDK was called in a way that cannot work; the message says what to do instead."""
