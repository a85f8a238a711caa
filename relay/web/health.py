"""`GET /healthz` and `GET /readyz`.

Healthy is whoever answers: a supervisor restarts what is not. Ready is whoever may be given
work: a load balancer takes away what is not. A database that is down makes a relay unready
and not unhealthy, for a restart would not help it and would break every stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Check = Callable[[], Awaitable[str | None]]
"""Returns None where all is well, else the reason in one line that holds no secret."""

CHECK_TIMEOUT_S = 2.0
"""A part that does not answer in this time is not ready. Load balancers wait about 5 s."""

_HEADERS = {"Cache-Control": "no-store"}


def health_routes(checks: Mapping[str, Check]) -> list[Route]:
    """Return the two routes. `checks` are run side by side at each `/readyz`."""

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok"}, headers=_HEADERS)

    async def readyz(_request: Request) -> Response:
        answers = await asyncio.gather(*(_run(check) for check in checks.values()))
        reasons = {
            name: reason for name, reason in zip(checks, answers, strict=True) if reason is not None
        }
        if reasons:
            body = {"status": "unready", "reasons": reasons}
            return JSONResponse(body, status_code=503, headers=_HEADERS)
        return JSONResponse({"status": "ready"}, headers=_HEADERS)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]


async def _run(check: Check) -> str | None:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check()
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT_S:g} s"
    except Exception as error:  # noqa: BLE001 - whatever fails, the answer is: not ready
        # The class alone: a driver's message may quote the address with its password.
        return type(error).__name__
