"""Everything that the relay itself says to a person, in both languages.

Kind, short, and honest: what happened and what helps. Never a bot's raw error, which may hold
addresses, keys and stack traces.
"""

from __future__ import annotations

from collections.abc import Mapping

from relay.protocol.status import Outcome

TEXTS: Mapping[str, Mapping[str, str]] = {
    # How a stream ended, where the answer itself does not say it.
    Outcome.FAILED: {
        "zh": "抱歉，回答时出了点问题，请再问一次。",
        "en": "Sorry, something went wrong while answering. Please ask again.",
    },
    Outcome.IDLE: {
        "zh": "抱歉，等了很久没有收到回答，请再问一次。",
        "en": "Sorry, the answer took too long. Please ask again.",
    },
    Outcome.BOT_GONE: {
        "zh": "抱歉，助手的连接断开了，请稍后再问一次。",
        "en": "Sorry, the assistant lost its connection. Please ask again in a moment.",
    },
    Outcome.BOT_OFFLINE: {
        "zh": "助手现在不在线，请稍后再试。",
        "en": "Your assistant is offline right now. Please try again later.",
    },
    Outcome.UNBOUND: {
        "zh": "您还没有绑定助手，请先完成绑定再提问。",
        "en": "No assistant is linked to you yet. Please link one first.",
    },
    Outcome.CANCELLED: {
        "zh": "这次回答已停止，需要时请再问一次。",
        "en": "This answer was stopped. Please ask again if you still need it.",
    },
    Outcome.LOST: {
        "zh": "抱歉，回答中断了，请再问一次。",
        "en": "Sorry, the answer was interrupted. Please ask again.",
    },
    # Why a request was not taken: the codes of `relay.errors`.
    "unauthorized": {
        "zh": "访问密钥无效，请检查智能体的配置。",
        "en": "The access key is not valid. Please check the agent's settings.",
    },
    "bad_request": {
        "zh": "没有听清您的问题，请再问一次。",
        "en": "Sorry, I could not understand that. Please ask again.",
    },
    "limit_reached": {
        "zh": "现在请求太多，请稍后再试。",
        "en": "Too many requests right now. Please try again in a moment.",
    },
    "internal": {
        "zh": "抱歉，服务出了点问题，请稍后再试。",
        "en": "Sorry, something went wrong. Please try again later.",
    },
    # What stands for a question without words.
    "image": {"zh": "[图片]", "en": "[image]"},
    "unknown": {"zh": "[未知内容]", "en": "[unknown content]"},
}


def text(code: str, lang: str) -> str:
    """Return the text for an `Outcome` or an error code; a code without one says `internal`.

    `lang` is `"zh"` or `"en"`; anything else is answered in Chinese.
    """
    by_language = TEXTS.get(code, TEXTS["internal"])
    return by_language.get(lang, by_language["zh"])
