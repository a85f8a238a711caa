"""Every error the relay raises, as a tree that says whose fault it is.

RelayError
|-- RequestError            the caller's fault: tell it what to do
|   |-- BadRequest            the request cannot be understood
|   |-- Unauthorized          no credential, or one that is not known
|   |-- OutOfScope            the credential is known, and this is not among what it may do
|   |-- NotFound              there is nothing with this id
|   |-- UnknownStream         no such stream, or not one that the caller may read
|   |-- PositionGone          the position cannot be served from this log
|   `-- LimitReached          too much, too fast or too many
|       |-- RateLimited         of one key, bot, address or stream: the others are served
|       `-- Overloaded          of everybody: the relay takes no more just now
|-- BrokerError             the broker, or a race that it decided
|   |-- StreamExists          the stream id is taken
|   |-- Fenced                a newer owner has been granted; let go
|   |-- OffsetMismatch        the log is not where the writer believed
|   `-- BrokerUnavailable     nobody knows whether the write happened
|-- StoreError              the database; never on the way of a chunk
`-- SettingsError           the operator's fault, at start
"""

from __future__ import annotations


class RelayError(Exception):
    """Base of everything the relay raises on purpose."""


class RequestError(RelayError):
    """The caller can do something about it. `code` is stable, `message` says what to do."""

    code = "request_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRequest(RequestError):
    """The request cannot be understood; `field` names what is wrong with it."""

    code = "bad_request"

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class Unauthorized(RequestError):
    """No credential was given, or it is not (or no longer) known."""

    code = "unauthorized"


class OutOfScope(RequestError):
    """The credential is known, but it may not open or read this."""

    code = "out_of_scope"


class NotFound(RequestError):
    """There is nothing with this id (any more)."""

    code = "not_found"


class UnknownStream(RequestError):
    """There is no such stream, or the caller may not read it. Callers are not told which."""

    code = "unknown_stream"

    def __init__(self, stream_id: str) -> None:
        super().__init__("no such stream; it may have expired, or another access key opened it")
        self.stream_id = stream_id


class PositionGone(RequestError):
    """The position belongs to another epoch, or lies outside the log."""

    code = "position_gone"


class LimitReached(RequestError):
    """A limit of the relay; `retry_after_s` says when to come back, where that helps."""

    code = "limit_reached"

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RateLimited(LimitReached):
    """A key, a bot, an address or a stream has as much as it may; `limit` names what."""

    code = "rate_limited"

    def __init__(self, message: str, *, limit: str, retry_after_s: float) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.limit = limit


class Overloaded(LimitReached):
    """The relay has as much as it may, whoever asks."""

    code = "overloaded"


class BrokerError(RelayError):
    """The broker, or a race that the broker decided."""


class StreamExists(BrokerError):
    """A log with this stream id exists already."""


class Fenced(BrokerError):
    """A newer owner was granted the stream; whatever this one wanted to write is void."""


class OffsetMismatch(BrokerError):
    """The log's next offset is not the one that the writer expected."""


class BrokerUnavailable(BrokerError):
    """The broker did not answer: the outcome of the write is unknown."""


class StoreError(RelayError):
    """The database failed. Delivery never waits for it."""


class SettingsError(RelayError):
    """A setting is malformed, unknown or contradicts another.

    `variable` is the environment variable, `value` what it held (hidden where it is a secret),
    `allowed` what may stand there.
    """

    def __init__(self, variable: str, value: str, allowed: str) -> None:
        super().__init__(f"{variable}={value!r}: {allowed}")
        self.variable = variable
        self.value = value
        self.allowed = allowed
