"""What a bot is asked: the `execute_command` object of docs/protocol.md section 5.

The shape is the reference system's, so that every existing SDK understands it. Only
`metadata.session_id` differs in meaning: it names this one request, not the conversation.
"""

from __future__ import annotations

from relay.broker.base import StreamMeta
from relay.devices.base import Ask
from relay.wire.jsontext import JsonValue
from relay.wire.timestamp import beijing_iso

SOURCE = "rokid_lingzhu"
"""What existing SDKs expect as the source of a question from glasses."""


def execute_command(ask: Ask, meta: StreamMeta) -> dict[str, JsonValue]:
    """Return the command that asks the bot this question."""
    nested = ask.metadata.get("openclaw_session_id")
    return {
        "type": "execute_command",
        "command": "chat",
        "params": {"message": ask.text},
        "metadata": {
            "source": SOURCE,
            "agent_id": ask.agent_id,
            "user_id": ask.user_id,
            "full_messages": ask.messages,
            "original_metadata": dict(ask.metadata),
            "session_id": meta.stream_id,
            "conversation_id": meta.conversation_id,
            "openclaw_session_id": nested or f"bot_{meta.bot_id}",
            "trace_id": meta.trace_id,
        },
        "timestamp": beijing_iso(meta.opened_at),
    }
