"""The limits of callers, as an operator set them."""

from __future__ import annotations

from dataclasses import dataclass

from relay.settings import Settings


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one process grants. 0 is no limit; a rate is per second."""

    connections: int = 0
    connections_per_address: int = 0
    connections_per_key: int = 0
    connections_per_bot: int = 0
    requests_per_address: float = 0.0
    asks_per_key: float = 0.0
    messages_per_key: float = 0.0
    bytes_per_key: float = 0.0
    messages_per_address: float = 0.0
    bytes_per_address: float = 0.0
    commands_per_connection: float = 0.0
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose addresses are not counted: many callers come from each."""


def allowance_of(settings: Settings) -> Allowance:
    """Return the limits of callers as the settings have them."""
    return Allowance(
        connections=settings.connections_max,
        connections_per_address=settings.connections_per_address,
        connections_per_key=settings.connections_per_key,
        connections_per_bot=settings.connections_per_bot,
        requests_per_address=settings.requests_per_address,
        asks_per_key=settings.asks_per_key,
        messages_per_key=settings.messages_per_key,
        bytes_per_key=settings.bytes_per_key,
        messages_per_address=settings.messages_per_address,
        bytes_per_address=settings.bytes_per_address,
        commands_per_connection=settings.commands_per_connection,
        trusted_proxies=settings.trusted_proxies,
    )
