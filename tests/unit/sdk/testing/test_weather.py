from __future__ import annotations

import pytest

from relay.protocol.events import Chunk, End
from relay.wire.bot import Acked, Closed
from relay_sdk.errors import UsageError
from relay_sdk.testing.weather import Weather

CHUNK = Chunk("a", 0)
ACKED = Acked("s1", None, 1, (), 8)
CLOSED = Closed("s1", "completed", 1, ())


def test_fair_weather_changes_nothing() -> None:
    """Before any block and after it."""
    weather = Weather()
    with weather.drop_chunks(every=2), weather.drop_acks(every=1), weather.delay_acks(1.0):
        pass
    assert [weather.copies(CHUNK) for _ in range(4)] == [1, 1, 1, 1]
    assert not weather.loses(ACKED)
    assert weather.delay_s(ACKED) == 0.0


def test_each_nth_chunk_is_dropped_or_repeated() -> None:
    """Counted from the beginning of the block; ends are left alone."""
    weather = Weather()
    with weather.drop_chunks(every=3):
        assert [weather.copies(CHUNK) for _ in range(6)] == [1, 1, 0, 1, 1, 0]
        assert weather.copies(End(1)) == 1
    with weather.repeat_chunks(every=2):
        assert [weather.copies(CHUNK) for _ in range(4)] == [1, 2, 1, 2]


def test_blocks_within_each_other_add_up() -> None:
    """Each counts every chunk for itself, also one that another block has dropped."""
    weather = Weather()
    with weather.drop_chunks(every=2), weather.drop_chunks(every=3), weather.repeat_chunks(every=5):
        assert [weather.copies(CHUNK) for _ in range(6)] == [1, 0, 0, 0, 2, 0]


def test_two_equal_blocks_end_one_by_one() -> None:
    """The inner one takes nothing of the outer one with it."""
    weather = Weather()
    with weather.delay_acks(1.0):
        with weather.delay_acks(1.0):
            assert weather.delay_s(ACKED) == 2.0
        assert weather.delay_s(ACKED) == 1.0
        assert weather.delay_s(CLOSED) == 0.0


def test_each_nth_acknowledgement_is_lost_and_nothing_else() -> None:
    """Not the word that the stream is closed."""
    weather = Weather()
    with weather.drop_acks(every=2):
        assert [weather.loses(ACKED) for _ in range(4)] == [False, True, False, True]
        assert not weather.loses(CLOSED)


def test_weather_in_which_nothing_can_arrive_is_a_mistake() -> None:
    """Every chunk lost, also when it is sent again."""
    with pytest.raises(UsageError, match="at least 2"), Weather().drop_chunks(every=1):
        pass
    with pytest.raises(UsageError, match="at least 1"), Weather().repeat_chunks(every=0):
        pass


def test_a_block_ends_by_an_exception_too() -> None:
    """The next test has fair weather."""
    weather = Weather()
    with pytest.raises(KeyError), weather.drop_acks(every=1):
        raise KeyError
    assert not weather.loses(ACKED)
