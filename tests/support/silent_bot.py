"""A bot to kill: answers its first question with 0, 1, 2 and then falls silent.

python -m tests.support.silent_bot CABLE_URL
"""

from __future__ import annotations

import json
import sys

from websockets.sync.client import connect

IDENTIFIER = '{"channel":"BotChannel"}'


def main(url: str) -> None:
    """Say `ready` once it can be asked; wait for ever in the end."""
    with connect(url, compression=None) as socket:
        socket.send(json.dumps({"command": "subscribe", "identifier": IDENTIFIER}))
        for raw in socket:
            frame = json.loads(raw)
            if frame.get("type") == "confirm_subscription":
                print("ready", flush=True)  # noqa: T201 - whoever started us waits for it
            message = frame.get("message")
            if isinstance(message, dict) and message.get("type") == "execute_command":
                for sequence in range(3):
                    data = {
                        "type": "stream_chunk",
                        "session_id": message["metadata"]["session_id"],
                        "sequence": sequence,
                        "content": str(sequence),
                    }
                    command = {"command": "message", "identifier": IDENTIFIER}
                    socket.send(json.dumps({**command, "data": json.dumps(data)}))


if __name__ == "__main__":
    main(sys.argv[1])
