"""Every error the SDK raises, as a tree that says whose fault it is.

    RelaySdkError
    |-- Refusal           the relay does not want this; trying again would not help
    |   |-- Unauthorized    the bot's token, or the device's access key, is not known (any more)
    |   |-- Fenced          another process has connected with the same token
    |   `-- Rejected        the relay refuses the subscription or the question, or is too old
    |-- Unreachable       a device's question did not get to the relay; asking again may help
    |-- ReplyClosed       the relay has closed this answer; nothing more can be written to it
    `-- UsageError        the program's own mistake: what to do instead is in the message

A connection that breaks, and a relay that is down, are no errors: the bot reconnects, and so does
a device whose answer has begun.
"""

from __future__ import annotations


class RelaySdkError(Exception):
    """Base of everything the SDK raises on purpose."""


class Refusal(RelaySdkError):
    """The relay's final word. A bot has stopped; `message` says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Unauthorized(Refusal):
    """The relay does not know the token of a bot, or the access key of a device."""

    def __init__(
        self,
        message: str = (
            "the relay does not accept this token: check that it is whole and that it belongs to "
            "this relay, or make a new one with `relay bot add NAME`"
        ),
    ) -> None:
        super().__init__(message)


class Fenced(Refusal):
    """Another process connected with the same token, and the relay talks to the newest one."""

    def __init__(self) -> None:
        super().__init__(
            "another process has connected with this bot's token and has taken over: run one "
            "process per token, or make a token for each with `relay bot add NAME`"
        )


class Rejected(Refusal):
    """The relay refuses for another reason, which the message names.

    `code` is the relay's stable name for it where it has one, for example `unbound`.
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Unreachable(RelaySdkError):
    """A question did not get to the relay, or its answer to the question did not come back.

    `sent` says whether the relay may have taken the question all the same.
    """

    def __init__(self, why: str, *, sent: bool) -> None:
        super().__init__(
            f"the relay cannot be reached ({why}); is it running, and is this its URL?"
        )
        self.sent = sent


class ReplyClosed(RelaySdkError):
    """The relay has closed this answer before it ended; `outcome` says why."""

    def __init__(self, outcome: str) -> None:
        super().__init__(f"the relay has closed this answer ({outcome}); stop producing it")
        self.outcome = outcome


class UsageError(RelaySdkError):
    """The SDK was called in a way that cannot work; the message says what to do instead."""
