"""A yardstick: the relay that one writes in an afternoon, with a queue for each listener.

It loses what comes before the listener, what comes while the listener is away, and what is behind
the end; it acknowledges what it has not stored, keeps no trace and asks nobody who they are.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

HEARTBEAT: Final = b": connected\n\n"


class Naive:
    """The listeners, by the name of their stream."""

    def __init__(self) -> None:
        self._queues: dict[str, set[asyncio.Queue[dict[str, str | int]]]] = {}

    async def cable(self, websocket: WebSocket) -> None:
        """Take chunks from a bot."""
        await websocket.accept()
        try:
            while True:
                command = json.loads(await websocket.receive_text())
                identifier = command["identifier"]
                if command["command"] == "subscribe":
                    confirm = {"identifier": identifier, "type": "confirm_subscription"}
                    await websocket.send_text(json.dumps(confirm))
                    continue
                chunk = json.loads(command["data"])
                for queue in self._queues.get(chunk["session_id"], ()):
                    queue.put_nowait(chunk)
                message = {
                    "type": "chunk_received",
                    "sequence": chunk["sequence"],
                    "session_id": chunk["session_id"],
                }
                await websocket.send_text(
                    json.dumps({"identifier": identifier, "message": message})
                )
        except WebSocketDisconnect:
            pass

    async def listen(self, request: Request) -> StreamingResponse:
        """Give chunks to a device."""
        queue: asyncio.Queue[dict[str, str | int]] = asyncio.Queue()
        self._queues.setdefault(request.path_params["stream"], set()).add(queue)

        async def events() -> AsyncIterator[bytes]:
            yield HEARTBEAT
            while True:
                chunk = await queue.get()
                answer = {"type": "answer", "answer_stream": chunk["content"], "is_finish": False}
                yield f"event: message\ndata: {json.dumps(answer)}\n\n".encode()

        return StreamingResponse(events(), media_type="text/event-stream")


async def main() -> None:
    """Serve on a free port of 127.0.0.1 and print its address."""
    naive = Naive()
    routes = [WebSocketRoute("/cable", naive.cable), Route("/sse/{stream}", naive.listen)]
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(Starlette(routes=routes), log_level="warning", lifespan="off")
    config.timeout_graceful_shutdown = 1
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    asyncio.run(main())
