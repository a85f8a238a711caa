"""Logging: structlog to stderr, with every credential taken out on the way.

The relay's own loggers and those of the standard library (uvicorn's among them, which logs a
WebSocket's path with its query, and a bot's token may be in there) end in the same formatter,
so no logger can go around `redact`.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Final, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from relay.log_errors import ErrorText

HIDDEN: Final = "[redacted]"

_NAMES: Final = r"[\w-]*token|access[_-]?key|api[_-]?key|ticket|secret|password|cookie"
_SECRET_NAME: Final = re.compile(rf"(?:{_NAMES}|(?:proxy-)?authorization)", re.IGNORECASE)
_BEARER: Final = re.compile(r"\b(bearer)\s+[^\s\"',;]+", re.IGNORECASE)
_HEADER: Final = re.compile(
    r"\b(authorization[\"']?\s*[=:,]\s*(?:b?[\"'])?)[^\"'\r\n]+", re.IGNORECASE
)
_PAIR: Final = re.compile(
    rf"(?<![A-Za-z0-9])({_NAMES})([\"']?\s*[=:]\s*(?:b?[\"'])?)[^\s&\"',;)\]}}]+", re.IGNORECASE
)
_TOKEN: Final = re.compile(
    r"(?<![0-9A-Za-z])(?:ak_|adm_)?[0-9a-f]{64}(?![0-9A-Za-z])", re.IGNORECASE
)
"""The shape of the tokens that the relay makes itself, wherever one stands."""


def redact_text(text: str) -> str:
    """Return the text without what a credential's name, `Bearer` or its own shape gives away."""
    text = _BEARER.sub(rf"\1 {HIDDEN}", text)
    text = _HEADER.sub(rf"\1{HIDDEN}", text)
    text = _PAIR.sub(rf"\1\2{HIDDEN}", text)
    return _TOKEN.sub(HIDDEN, text)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Structlog processor: hide credentials in every value, however deep it lies."""
    return cast("EventDict", _redact_value(event))


def _redact_value(value: object) -> object:
    match value:
        case str():
            return redact_text(value)
        case bytes():
            return redact_text(_text(value))
        case dict():
            return {name: _redact_field(str(name), item) for name, item in value.items()}
        case (str() | bytes() as name, str() | bytes()) if _SECRET_NAME.fullmatch(_text(name)):
            return [_text(name), HIDDEN]  # a header as ASGI has it
        case list() | tuple():
            return [_redact_value(item) for item in value]
        case None | bool() | int() | float():
            return value
        case _:
            # Whatever else is logged (an exception, a URL) is printed by its repr in the end.
            return redact_text(str(value))


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")


def _redact_field(name: str, value: object) -> object:
    return HIDDEN if _SECRET_NAME.fullmatch(name) else _redact_value(value)


def configure(
    log_format: Literal["console", "json"], level: str, stream: TextIO | None = None
) -> None:
    """Send all logs from `level` on to `stream` (stderr), one line each.

    Called once, by the composition root. Uvicorn must be run with `log_config=None`, else it
    puts its own handlers, which redact nothing, in front of this one.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.PositionalArgumentsFormatter(),
    ]
    render: Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=(stream or sys.stderr).isatty())
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            # Before `redact`: an exception's text and its traceback hold what it was raised with.
            structlog.processors.ExceptionRenderer(ErrorText(with_messages=level == "debug")),
            redact,
            render,
        ],
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level.lower()),
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> FilteringBoundLogger:
    """Return the logger of that name; made at import time it still follows `configure`."""
    return cast("FilteringBoundLogger", structlog.get_logger(name))
