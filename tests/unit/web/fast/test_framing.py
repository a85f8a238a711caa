"""Bodies in chunks, as a reader of HTTP/1.1 takes them."""

from __future__ import annotations

import h11
from hypothesis import example, given
from hypothesis import strategies as st

from relay.web.fast.framing import Framing


@example([b"x" * size for size in (1, 1_023, 1_024, 1_025)])
@given(st.lists(st.binary(min_size=1, max_size=300) | st.just(b"x" * 70_000), max_size=5))
def test_a_chunk_is_framed_as_h11_frames_it(parts: list[bytes]) -> None:
    """The same bytes, whatever their number."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    server.next_event()
    server.send(h11.Response(status_code=200, headers=[]))
    framing = Framing()
    for part in parts:
        assert framing.chunk_of(part) == server.send(h11.Data(data=part))


def test_what_many_readers_are_written_is_framed_once() -> None:
    """The same object for the same object, and never another one's frame."""
    framing, data = Framing(), b"".join([b"event", b"s"])
    assert framing.chunk_of(data) is framing.chunk_of(data)
    other = b"".join([b"EVENT", b"S"])
    assert framing.chunk_of(other) == b"6\r\nEVENTS\r\n"
    assert framing.chunk_of(data) == b"6\r\nevents\r\n"
