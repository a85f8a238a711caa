"""The relay: an ordered, acknowledged log between streaming bots and SSE devices."""
