"""What went wrong with a model: one text for the wearer, one line for the owner.

The wearer learns what helps, in their language, and never an address or a status code. The owner
learns whose fault it is (the settings here, the endpoint, the way there) and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from relay_sdk.bridge.endpoint import Endpoint

_DETAIL_CHARS_MAX = 300


class FailureKind(StrEnum):
    """The kinds of failure. The value goes into the relay's trace."""

    KEY = "model_key_refused"
    MODEL = "model_unknown"
    REQUEST = "model_request_refused"
    BUSY = "model_busy"
    SERVER = "model_server_error"
    UNREACHABLE = "model_unreachable"
    TIMEOUT = "model_timeout"
    CUT = "model_answer_cut"
    EMPTY = "model_answer_empty"
    FILTERED = "model_answer_filtered"
    TOOL = "model_tool_call_unusable"


_MISCONFIGURED = {
    "zh": "助手的模型还没有配置好，请联系管理员。",
    "en": "Your assistant's model is not set up correctly. Please tell its owner.",
}
_AWAY = {
    "zh": "暂时连不上助手的模型，请稍后再试。",
    "en": "Your assistant's model cannot be reached right now. Please try again later.",
}
_TEXTS: Mapping[FailureKind, Mapping[str, str]] = {
    FailureKind.KEY: _MISCONFIGURED,
    FailureKind.MODEL: _MISCONFIGURED,
    FailureKind.REQUEST: _MISCONFIGURED,
    FailureKind.BUSY: {
        "zh": "助手的模型现在太忙，请稍后再试。",
        "en": "Your assistant's model is too busy right now. Please try again in a moment.",
    },
    FailureKind.SERVER: _AWAY,
    FailureKind.UNREACHABLE: _AWAY,
    FailureKind.TIMEOUT: _AWAY,
    FailureKind.CUT: {
        "zh": "回答中断了，请再问一次。",
        "en": "The answer was interrupted. Please ask again.",
    },
    FailureKind.EMPTY: {
        "zh": "没有得到回答，请换个说法再问一次。",
        "en": "There was no answer. Please ask in other words.",
    },
    FailureKind.FILTERED: {
        "zh": "这个问题我不能回答。",
        "en": "I cannot answer that.",
    },
    FailureKind.TOOL: {
        "zh": "这个操作没能完成，请再说一次。",
        "en": "That did not work. Please say it again.",
    },
}

# Older versions of the library let the errors of httpx through in mid-stream.
_TIMEOUTS = frozenset({"APITimeoutError", "TimeoutException"})
_CONNECTION_ERRORS = frozenset({"APIConnectionError", "TransportError"})

_PASSING = frozenset({FailureKind.SERVER, FailureKind.UNREACHABLE})
_MAY_BE_BLIND = frozenset({FailureKind.MODEL, FailureKind.REQUEST, FailureKind.SERVER})


class ModelFailure(Exception):
    """The model gave no (whole) answer. `str()` is the line for the owner."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    @property
    def is_passing(self) -> bool:
        """Whether asking again at once may help. Never so once the answer has begun."""
        return self.kind in _PASSING

    @property
    def may_be_blindness(self) -> bool:
        """Whether a model that cannot see pictures fails like this. Endpoints do not agree."""
        return self.kind in _MAY_BE_BLIND

    def shown(self, lang: str) -> str:
        """Return what the glasses show. `lang` is a language tag, for example `zh-CN`."""
        texts = _TEXTS[self.kind]
        return texts["en" if lang.lower().startswith("en") else "zh"]


def read_failure(error: Exception, endpoint: Endpoint, *, begun: bool) -> ModelFailure | None:
    """Return what an error of the `openai` library means, or None where it is not one.

    `begun` says whether a part of the answer had come. The library is optional, so its errors are
    told apart by name.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    status = getattr(error, "status_code", None)
    detail = _detail(error, endpoint)
    if isinstance(status, int):
        return _refused(status, detail, endpoint)
    if names & _TIMEOUTS:
        return ModelFailure(FailureKind.TIMEOUT, f"{endpoint} has been silent for too long")
    if names & _CONNECTION_ERRORS and begun:
        return ModelFailure(FailureKind.CUT, f"{endpoint} broke off in the middle of the answer")
    if names & _CONNECTION_ERRORS:
        cause = error.__cause__ or error
        hint = f": {endpoint.is_it_running}" if endpoint.is_it_running else ""
        return ModelFailure(
            FailureKind.UNREACHABLE, f"cannot connect to {endpoint} ({cause}){hint}"
        )
    if "APIError" in names:  # an error event within the stream
        kind = FailureKind.CUT if begun else FailureKind.SERVER
        return ModelFailure(kind, f"{endpoint} reports an error: {detail}")
    if isinstance(error, ValueError):  # JSON that is none
        kind = FailureKind.CUT if begun else FailureKind.SERVER
        return ModelFailure(kind, f"{endpoint} sends what is no chat completion: {detail}")
    return None


def _refused(status: int, detail: str, endpoint: Endpoint) -> ModelFailure:
    match status:
        case 401 | 403:
            # No detail: some endpoints repeat the key in it.
            return ModelFailure(
                FailureKind.KEY, f"{endpoint} refuses the key ({status}): check {endpoint.key_from}"
            )
        case 404:
            return ModelFailure(
                FailureKind.MODEL,
                f"{endpoint} does not know the model {endpoint.model!r}, or the base URL is wrong "
                f"(404): {endpoint.what_404_means}{detail}",
            )
        case 429:
            return ModelFailure(
                FailureKind.BUSY,
                f"{endpoint} limits the rate, or a quota is used up (429): {detail}",
            )
        case _ if status >= 500:  # noqa: PLR2004 - where HTTP's server errors begin
            return ModelFailure(FailureKind.SERVER, f"{endpoint} fails ({status}): {detail}")
        case _:
            return ModelFailure(
                FailureKind.REQUEST, f"{endpoint} does not take the request ({status}): {detail}"
            )


def _detail(error: Exception, endpoint: Endpoint) -> str:
    """Return the error's own text on one line, without the key, and not too long."""
    text = " ".join(str(error).split())
    if endpoint.api_key:
        text = text.replace(endpoint.api_key, "***")
    return text[:_DETAIL_CHARS_MAX]
