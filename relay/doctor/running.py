"""A relay that runs, as bots and devices see it: through its proxy, if it has one."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Final

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI, WebSocketException

from relay.doctor.finding import Finding, failure, fine, unseen, warning
from relay.doctor.http1 import Reply, Unreachable, fetch
from relay.errors import BadRequest
from relay.web.probe import PATH, PAUSE_S, PIECES
from relay.wire.jsontext import JsonValue

URL: Final = "url"
CABLE: Final = "cable"
BUFFERING: Final = "buffering"
ANSWER: Final = "answer"

SUBPROTOCOL: Final = "actioncable-v1-json"
TIMEOUT_S: Final = 10.0
DOCTOR: Final = "relay-doctor"
"""Message, agent and user of the doctor's question: no bot is bound to such a user."""

SENT_SPREAD_S: Final = (PIECES - 1) * PAUSE_S
"""The time between the first and the last piece, when the relay sends them."""

NOT_FOUND: Final = 404
OK: Final = 200

_PROXY_WS: Final = (
    "let the proxy pass upgrades on; nginx: proxy_http_version 1.1; "
    "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade"
)
_PROXY_BUFFER: Final = (
    "switch buffering off for event streams; nginx: proxy_buffering off, and no "
    "proxy_ignore_headers X-Accel-Buffering; Apache: flushpackets=on; "
    "a CDN: let these paths go by it"
)
_PROXY_GZIP: Final = (
    "leave text/event-stream out of what the proxy compresses: it gathers pieces to do so"
)


async def look_at_relay(url: str, access_key: str | None) -> list[Finding]:
    """Look at the relay at this address, which may be none."""
    base = url.rstrip("/")
    try:
        reply = await _get(f"{base}/healthz")
    except BadRequest:
        return [failure(URL, f"{url} is no address", "give one such as https://relay.example")]
    except Unreachable as error:
        return [failure(URL, f"{base}: {error}", "start the relay, or correct the address")]
    health = judge_health(base, reply)
    if health.mend:
        return [health]
    found = [health]
    for look in (
        partial(_readiness, base),
        partial(_cable, base, access_key),
        partial(_buffering, base),
        partial(_answer, base, access_key),
    ):
        try:
            found += await look()
        except Unreachable as error:
            found.append(failure(URL, f"{base} broke off: {error}", "look at the proxy's log"))
    found.append(
        unseen(
            URL,
            "how long the proxy lets a silent connection live cannot be seen in so short a time",
            "it must be more than RELAY_KEEPALIVE_SECONDS and RELAY_POLL_SECONDS; nginx: "
            "proxy_read_timeout 75s, as in deploy/nginx.conf",
        )
    )
    return found


async def _get(url: str, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await asyncio.to_thread(partial(fetch, url, headers=named, timeout_s=TIMEOUT_S))


# --- health -----------------------------------------------------------------------------


def judge_health(base: str, reply: Reply) -> Finding:
    """Judge what `/healthz` answers."""
    if reply.status == OK and _object(reply).get("status") == "ok":
        return fine(URL, f"{base} answers in {reply.arrivals[0] * 1000:.0f} ms")
    if reply.status == OK:
        return failure(URL, f"{base} answers, but it is not a relay", "correct the address")
    return failure(
        URL,
        f"{base}/healthz answers {reply.status}",
        "with 502 to 504 the proxy does not reach the relay: look at its upstream address",
    )


async def _readiness(base: str) -> list[Finding]:
    return judge_readiness(await _get(f"{base}/readyz"))


def judge_readiness(reply: Reply) -> list[Finding]:
    """Judge what `/readyz` answers: ready, or which parts are not."""
    if reply.status == OK:
        return [fine(URL, "it is ready: its database and its broker answer")]
    reasons = _object(reply).get("reasons")
    if not isinstance(reasons, dict):
        return [failure(URL, f"/readyz answers {reply.status}", "let the proxy pass it on")]
    return [
        failure(URL, f"not ready, {part}: {reason}", "run `relay doctor` where the relay runs")
        for part, reason in reasons.items()
    ]


# --- bots -------------------------------------------------------------------------------


async def _cable(base: str, access_key: str | None) -> list[Finding]:
    """Shake hands as a bot does; without a key the relay refuses it, but in its own words."""
    headers = {"Authorization": f"Bearer {access_key}"} if access_key else {}
    address = "ws" + base.removeprefix("http") + "/cable"
    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            connect(
                address,
                subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]  # its own type of string
                additional_headers=headers,
                compression=None,
                open_timeout=TIMEOUT_S,
            ) as socket,
        ):
            return [judge_cable(socket.subprotocol, await socket.recv(), known=bool(access_key))]
    except InvalidStatus as error:
        status = error.response.status_code
        return [failure(CABLE, f"an upgrade to a WebSocket is answered {status}", _PROXY_WS)]
    except (InvalidHandshake, InvalidURI) as error:
        return [failure(CABLE, f"no WebSocket can be opened: {error}", _PROXY_WS)]
    except (OSError, TimeoutError, WebSocketException) as error:
        why = str(error) or type(error).__name__
        return [failure(CABLE, f"the WebSocket broke off: {why}", "look at the proxy's log")]


def judge_cable(subprotocol: str | None, first: str | bytes, *, known: bool) -> Finding:
    """Judge the first frame of `/cable`; `known` is whether a key was sent along."""
    try:
        frame = json.loads(first)
    except ValueError:
        frame = None
    kind = frame.get("type") if isinstance(frame, dict) else None
    refused = kind == "disconnect" and isinstance(frame, dict)
    if kind != "welcome" and not refused:
        return failure(
            CABLE, "something else than a relay answers on /cable", "correct the address"
        )
    if subprotocol != SUBPROTOCOL:
        return warning(
            CABLE,
            f"the subprotocol {SUBPROTOCOL} got lost on the way",
            "let the proxy pass Sec-WebSocket-Protocol on: clients of ActionCable insist on it",
        )
    if known and refused:
        return failure(
            CABLE,
            "the access key is refused on /cable",
            "check the key (`relay key list`), and that the proxy passes Authorization on",
        )
    if known:
        return fine(CABLE, "a WebSocket opens, and the key is taken")
    return fine(CABLE, "a WebSocket opens; the relay asked for a token, as it should")


# --- devices ----------------------------------------------------------------------------


async def _buffering(base: str) -> list[Finding]:
    return judge_buffering(await _get(f"{base}{PATH}", Accept_Encoding="gzip, deflate, br"))


def judge_buffering(reply: Reply) -> list[Finding]:
    """Judge when the pieces of a stream came that was sent over 0.4 s."""
    if reply.status == NOT_FOUND:
        mend = "update the relay, or watch a real answer: `curl -N`"
        return [
            unseen(BUFFERING, f"there is no {PATH}: an older relay, or a proxy that hides it", mend)
        ]
    if reply.status != OK or not reply.arrivals:
        return [unseen(BUFFERING, f"{PATH} answers {reply.status}", "try again in a moment")]
    found = []
    encoding = reply.headers.get("content-encoding", "identity")
    if encoding != "identity":
        what = f"something on the way compresses event streams ({encoding})"
        found.append(warning(BUFFERING, what, _PROXY_GZIP))
    first_ms, spread_ms = reply.arrivals[0] * 1000, reply.spread_s * 1000
    sent_ms = SENT_SPREAD_S * 1000
    if reply.spread_s < SENT_SPREAD_S / 4:
        found.append(
            failure(
                BUFFERING,
                f"a stream of {sent_ms:.0f} ms came in one lump, after {first_ms:.0f} ms",
                _PROXY_BUFFER,
            )
        )
    elif len(reply.arrivals) < PIECES - 1 or reply.spread_s < SENT_SPREAD_S / 2:
        found.append(
            warning(
                BUFFERING,
                f"{PIECES} pieces came in {len(reply.arrivals)} lumps over {spread_ms:.0f} ms",
                _PROXY_BUFFER,
            )
        )
    else:
        what = f"{PIECES} pieces came one by one, over {spread_ms:.0f} ms"
        found.append(fine(BUFFERING, what))
    return found


async def _answer(base: str, access_key: str | None) -> list[Finding]:
    if not access_key:
        return [unseen(ANSWER, "no question was asked", "give a key with --access-key")]
    question = {
        "message_id": DOCTOR,
        "agent_id": DOCTOR,
        "user_id": DOCTOR,
        "message": [{"role": "user", "type": "text", "text": DOCTOR}],
    }
    headers = {"Authorization": f"Bearer {access_key}", "Content-Type": "application/json"}
    ask = partial(
        fetch,
        f"{base}/sse/rokid",
        method="POST",
        headers=headers,
        body=json.dumps(question).encode(),
        timeout_s=TIMEOUT_S,
    )
    return [judge_answer(await asyncio.to_thread(ask))]


def judge_answer(reply: Reply) -> Finding:
    """Judge the answer to a question of a user whom no bot is bound to."""
    error = reply.headers.get("relay-error")
    if error is not None:
        return failure(
            ANSWER,
            f"a question is refused: {error}",
            "check the key (`relay key list`), and that the proxy passes Authorization and the "
            "body on",
        )
    kind = reply.headers.get("content-type", "")
    if reply.status != OK or not kind.startswith("text/event-stream"):
        what = f"a question is answered {reply.status} with {kind or 'no type'}"
        return failure(ANSWER, what, "let the proxy pass POST /sse/rokid on as it is")
    if b"done" not in reply.body:
        return failure(ANSWER, "an answer came without its end", "look at the proxy's limits")
    return fine(ANSWER, f"a question is answered to its end, {reply.arrivals[0] * 1000:.0f} ms")


def _object(reply: Reply) -> dict[str, JsonValue]:
    try:
        value = json.loads(reply.body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
