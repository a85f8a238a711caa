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
    Outcome.BOUND: {
        "zh": "绑定成功，现在可以提问了。",
        "en": "Your assistant is linked now. Go ahead and ask.",
    },
    Outcome.CANCELLED: {
        "zh": "这次回答已停止，需要时请再问一次。",
        "en": "This answer was stopped. Please ask again if you still need it.",
    },
    Outcome.LOST: {
        "zh": "抱歉，回答中断了，请再问一次。",
        "en": "Sorry, the answer was interrupted. Please ask again.",
    },
    "revoked": {
        "zh": "访问密钥已停用，这次回答已停止，请联系管理员。",
        "en": "The access key was revoked, so this answer was stopped. Please ask your operator.",
    },
    # How a user is bound to a bot. `{bot}` is its name, which an operator chose.
    "bind_say": {
        "zh": "您还没有绑定助手。请向管理员要一个绑定码，然后直接说出或输入这十个字符。",
        "en": "No assistant is linked to you yet. Say or type the code from your operator.",
    },
    "bind_photo": {
        "zh": "您还没有绑定助手。请向管理员要一个绑定二维码，对准它拍照；也可以直接说出绑定码。",
        "en": "No assistant is linked to you yet. Look at your operator's QR code or say its code.",
    },
    "bind_done": {
        "zh": "绑定成功，您的助手是“{bot}”，现在可以提问了。",
        "en": "Done: your assistant is {bot}. Go ahead and ask.",
    },
    "bind_unreadable": {
        "zh": "照片里没有看清二维码，请靠近一些再拍一张，或者直接说出绑定码。",
        "en": "I could not read a QR code in the photo. Please come closer, or say the code.",
    },
    "bind_unknown": {
        "zh": "没有找到这个绑定码，请核对一下再试，或向管理员要一个新的。",
        "en": "I do not know this code. Please check it, or ask your operator for a new one.",
    },
    "bind_used": {
        "zh": "这个绑定码已经用过了，请向管理员要一个新的。",
        "en": "This code has been used already. Please ask your operator for a new one.",
    },
    "bind_expired": {
        "zh": "这个绑定码已经过期，请向管理员要一个新的。",
        "en": "This code has expired. Please ask your operator for a new one.",
    },
    "bind_bot_taken": {
        "zh": "这个助手已经绑定了别的用户，请联系管理员。",
        "en": "This assistant is linked to another user already. Please ask your operator.",
    },
    "bind_user_taken": {
        "zh": "您已经绑定了另一个助手，请先联系管理员解绑。",
        "en": "You are linked to another assistant already. Please ask your operator to unlink it.",
    },
    "bind_too_many": {
        "zh": "尝试的次数太多了，请过十分钟再试。",
        "en": "Too many tries. Please wait ten minutes and try again.",
    },
    "bind_failed": {
        "zh": "抱歉，绑定没有成功，请稍后再试一次。",
        "en": "Sorry, linking did not work. Please try again in a moment.",
    },
    # Why a request was not taken: the codes of `relay.errors`.
    "unauthorized": {
        "zh": "访问密钥无效，请检查智能体的配置。",
        "en": "The access key is not valid. Please check the agent's settings.",
    },
    "out_of_scope": {
        "zh": "这个访问密钥不能用来问这个助手，请联系管理员。",
        "en": "This access key may not ask this assistant. Please ask your operator.",
    },
    "bad_request": {
        "zh": "没有听清您的问题，请再问一次。",
        "en": "Sorry, I could not understand that. Please ask again.",
    },
    "limit_reached": {
        "zh": "现在请求太多，请稍后再试。",
        "en": "Too many requests right now. Please try again in a moment.",
    },
    "rate_limited": {
        "zh": "请求太频繁了，请稍后再试。",
        "en": "Too many questions in a short time. Please try again in a moment.",
    },
    "overloaded": {
        "zh": "现在使用的人太多，请稍后再试。",
        "en": "The service is very busy right now. Please try again in a moment.",
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
