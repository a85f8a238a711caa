"""uvicorn's configuration, which is all that its protocols are given, with the door in it."""

from __future__ import annotations

from collections.abc import Callable

import uvicorn
from starlette.responses import Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from relay.limits.door import Door
from relay.limits.refusal import Refusal


class HardenedConfig(uvicorn.Config):
    """All are set once it is made: uvicorn's own has some fifty parameters."""

    indoors: type[H11Protocol]
    """Who has a connection whose first head is whole (`relay.web.hardened.doorstep`)."""

    door: Door | None = None
    """Counts the connections. None: whoever wants to may connect."""

    turn_away: Callable[[Refusal], Response]
    """Makes the answer for a connection that is one too many. Not asked where there is no door."""


def door_of(config: uvicorn.Config) -> Door | None:
    """Return the door that this configuration has."""
    return config.door if isinstance(config, HardenedConfig) else None
