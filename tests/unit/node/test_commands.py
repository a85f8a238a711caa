"""What a bot is asked, as existing SDKs understand it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.devices.base import Ask
from relay.node.commands import execute_command
from relay.wire.jsontext import JsonValue
from tests.support.node import META

ASK = Ask(
    "conversation",
    "agent",
    "user",
    "what is this?",
    messages=[{"role": "user", "type": "text", "text": "what is this?"}],
    metadata={"lang": "en"},
)


def test_a_question_is_the_command_of_the_document() -> None:
    """docs/protocol.md, section 5; `session_id` is the stream's id and not the conversation's."""
    assert execute_command(ASK, META) == {
        "type": "execute_command",
        "command": "chat",
        "params": {"message": "what is this?"},
        "metadata": {
            "source": "rokid_lingzhu",
            "agent_id": "agent",
            "user_id": "user",
            "full_messages": [{"role": "user", "type": "text", "text": "what is this?"}],
            "original_metadata": {"lang": "en"},
            "session_id": "s",
            "conversation_id": "conversation",
            "openclaw_session_id": "bot_1",
            "trace_id": "trace",
        },
        "timestamp": "2026-02-27T10:00:00+08:00",
    }


@pytest.mark.parametrize(("given", "used"), [("mine", "mine"), ("", "bot_9"), (None, "bot_9")])
def test_the_bots_own_memory_is_named_where_the_device_names_it(
    given: JsonValue, used: str
) -> None:
    """Without a name it is one for all streams of the bot."""
    ask = replace(ASK, metadata={"openclaw_session_id": given})
    command = execute_command(ask, replace(META, bot_id=9))
    metadata = command["metadata"]
    assert isinstance(metadata, dict)
    assert metadata["openclaw_session_id"] == used
    assert metadata["original_metadata"] == {"openclaw_session_id": given}
