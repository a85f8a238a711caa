from __future__ import annotations

import pytest

from relay.protocol.events import Abort, Chunk, End, Nack, Part, PartKind, RefusalCode, Refuse
from relay.protocol.limits import SHOWN_CHARS_MAX
from relay.protocol.sender import StreamSender
from relay.protocol.sending import (
    Closed,
    SendEffect,
    SenderLimits,
    Settled,
    Stored,
    Transmit,
    Writable,
)
from relay.protocol.texthash import content_hash
from relay.wire.bot_client import encode_stream_message
from relay.wire.cable import FRAME_BYTES_MAX
from relay.wire.cable_client import CableClient

PHOTO = Part(PartKind.TOOL_CALL, '{"command":"take_photo"}')

LIMITS = SenderLimits(ack_timeout_s=2.0, resend_max_s=15.0, give_up_s=60.0)


def make_sender(*texts: str, credit: int = 10) -> StreamSender:
    """A sender that has written `texts` at time 0."""
    sender = StreamSender(credit, LIMITS)
    for text in texts:
        sender.write(text, 0.0)
    return sender


def sequences(effects: list[SendEffect]) -> list[int | None]:
    """The sequences of the chunks that are to be sent."""
    return [
        effect.message.sequence
        for effect in effects
        if isinstance(effect, Transmit) and isinstance(effect.message, Chunk)
    ]


def ends(effects: list[SendEffect]) -> list[End | Abort]:
    """The ends and errors that are to be sent."""
    return [
        effect.message
        for effect in effects
        if isinstance(effect, Transmit) and not isinstance(effect.message, Chunk)
    ]


class TestWriting:
    def test_chunks_are_numbered_from_zero_and_sent_at_once(self) -> None:
        """Each write within the credit is one chunk with the next sequence."""
        sender = StreamSender(10, LIMITS)
        assert sender.write("Hel", 0.0) == [Transmit(Chunk("Hel", 0))]
        assert sender.write("lo", 0.1) == [Transmit(Chunk("lo", 1))]

    def test_whitespace_is_content_and_nothing_is_not(self) -> None:
        """A blank chunk is sent; an empty write sends nothing and takes no sequence."""
        sender = StreamSender(10, LIMITS)
        assert sender.write("", 0.0) == []
        assert sender.write("\n\n", 0.0) == [Transmit(Chunk("\n\n", 0))]

    def test_long_text_is_split_at_code_points(self) -> None:
        """Content above the limit of a chunk becomes several chunks that join to the same text."""
        sender = StreamSender(10, LIMITS)
        text = "a" + "🦞" * 8_000
        pieces = [
            effect.message.content
            for effect in sender.write(text, 0.0)
            if isinstance(effect, Transmit) and isinstance(effect.message, Chunk)
        ]
        assert "".join(pieces) == text
        assert [len(piece.encode()) for piece in pieces] == [8_189, 8_192, 8_192, 7_428]

    def test_a_chunk_of_the_worst_characters_fits_a_frame(self) -> None:
        """JSON in JSON makes seven bytes of a control character; the frame limit still holds."""
        sender = StreamSender(10, LIMITS)
        client = CableClient('{"channel":"BotChannel","bot_id":"1","protocol":2}')
        for effect in sender.write("\x01" * 20_000, 0.0):
            assert isinstance(effect, Transmit)
            payload = encode_stream_message("s" * 64, effect.message)
            assert len(client.perform(payload).encode()) <= FRAME_BYTES_MAX

    def test_a_pair_of_surrogates_in_two_writes_is_joined(self) -> None:
        """Half an emoji waits for the other half."""
        sender = StreamSender(10, LIMITS)
        assert sender.write("x\ud83e", 0.0) == [Transmit(Chunk("x", 0))]
        assert sender.write("\udd9ey", 0.0) == [Transmit(Chunk("🦞y", 1))]

    def test_half_an_emoji_at_the_end_becomes_a_replacement_character(self) -> None:
        """What goes out is well-formed, and the hash is of what went out."""
        sender = make_sender("x\ud83e")
        effects = sender.end(1.0)
        assert effects == [Transmit(Chunk("\ufffd", 1))]
        assert ends(sender.receive(Stored(2, (), 10), 1.1)) == [End(2, content_hash("x\ufffd"))]

    def test_a_part_is_a_chunk_of_its_own(self) -> None:
        """Numbered and counted like text; the hash covers the text only."""
        sender = make_sender("a")
        assert sender.write_part(PHOTO, 0.0) == [Transmit(Chunk("", 1, PHOTO))]
        assert sender.write("b", 0.0) == [Transmit(Chunk("b", 2))]
        sender.end(0.0)
        final = sender.receive(Stored(3, (), 10), 0.1)
        assert ends(final) == [End(3, content_hash("ab"))]

    def test_a_part_between_two_halves_of_an_emoji_tears_nothing(self) -> None:
        """The half waits on, and the pair comes behind the part."""
        sender = make_sender("a\ud83e")
        assert sender.write_part(PHOTO, 0.0) == [Transmit(Chunk("", 1, PHOTO))]
        assert sender.write("\udd9e", 0.0) == [Transmit(Chunk("🦞", 2))]

    def test_a_part_larger_than_a_chunk_is_an_error_of_the_caller(self) -> None:
        """It cannot be split, and nothing is sent."""
        sender = StreamSender(10, SenderLimits(chunk_bytes_max=8))
        with pytest.raises(ValueError, match="a tool_call is at most 8 bytes"):
            sender.write_part(PHOTO, 0.0)
        fits = Part(PartKind.FOLLOW_UP, '["你"]')
        with pytest.raises(ValueError, match="at most 6 bytes"):
            StreamSender(10, SenderLimits(chunk_bytes_max=6)).write_part(fits, 0.0)
        assert sender.write_part(fits, 0.0) == [Transmit(Chunk("", 0, fits))]

    def test_a_part_waits_for_credit_and_is_sent_again_as_it_was(self) -> None:
        """What holds for text holds for it."""
        sender = make_sender("a", credit=1)
        assert sender.write_part(PHOTO, 0.0) == []
        assert not sender.writable
        sent = sender.receive(Stored(1, (), 1), 0.1)
        assert sent == [Transmit(Chunk("", 1, PHOTO))]
        again = sender.receive(Nack(((1, 1),)), 0.2)
        assert again == sent

    def test_a_part_of_a_settled_answer_is_dropped(self) -> None:
        """As text is: the relay has closed the stream."""
        sender = make_sender("a")
        sender.receive(Closed("cancelled", 1, ()), 0.1)
        assert sender.write_part(PHOTO, 0.2) == []

    def test_writing_after_the_end_is_an_error_of_the_caller(self) -> None:
        """`write` after `end` raises instead of losing text in silence."""
        sender = make_sender("a")
        sender.end(0.0)
        with pytest.raises(RuntimeError, match="ended"):
            sender.write("b", 0.0)


class TestCredit:
    def test_beyond_the_credit_nothing_is_sent(self) -> None:
        """With credit 2 the third chunk waits, and the sender says that it is not writable."""
        sender = make_sender("a", credit=2)
        states = [sender.writable]
        sender.write("b", 0.0)
        states.append(sender.writable)
        assert states == [True, False]
        assert sender.write("c", 0.0) == []

    def test_an_ack_opens_the_window(self) -> None:
        """The waiting chunk goes out, and whoever waits to write is woken once."""
        sender = make_sender("a", "b", "c", credit=2)
        assert sender.receive(Stored(1, (), 2), 0.1) == [Transmit(Chunk("c", 2))]
        assert sender.receive(Stored(3, (), 2), 0.2) == [Writable()]
        assert sender.receive(Stored(3, (), 2), 0.3) == []

    def test_an_ack_that_was_overtaken_does_not_change_the_credit(self) -> None:
        """The newest acknowledgement states the credit, whatever arrives after it."""
        sender = make_sender("a", "b", credit=2)
        sender.receive(Stored(2, (), 4), 0.1)
        sender.receive(Stored(1, (), 0), 0.2)
        assert sequences(sender.write("c", 0.3)) == [2]

    def test_the_end_never_overtakes_chunks_that_wait_for_credit(self) -> None:
        """Two seconds without an ACK do not release the end while a chunk was never sent."""
        sender = make_sender("a", "b", credit=1)
        assert sender.end(0.0) == []
        assert ends(sender.handle_timer(2.0)) == []
        assert sequences(sender.receive(Stored(1, (), 1), 3.0)) == [1]
        assert ends(sender.receive(Stored(2, (), 1), 3.1)) == [End(2, content_hash("ab"))]


class TestResending:
    def test_what_the_relay_misses_is_sent_again_at_once(self) -> None:
        """`missing` is answered with exactly the sequences in flight that it names."""
        sender = make_sender("a", "b", "c", "d")
        sender.receive(Stored(1, ((3, 3),), 10), 0.1)
        assert sequences(sender.receive(Nack(((0, 1), (3, 900_000_000))), 0.2)) == [1]

    def test_what_stays_unanswered_is_sent_again_with_doubling_delays(self) -> None:
        """2 s, 4 s, 8 s, 15 s, 15 s after the last time, until an ACK starts it anew."""
        sender = make_sender("a", "b")
        times = []
        for _ in range(5):
            deadline = sender.next_deadline()
            assert deadline is not None
            assert sequences(sender.handle_timer(deadline - 0.01)) == []
            assert sequences(sender.handle_timer(deadline)) == [0, 1]
            times.append(deadline)
        assert times == [2.0, 6.0, 14.0, 29.0, 44.0]
        sender.receive(Stored(1, (), 10), 44.5)
        assert sender.next_deadline() == 46.0

    def test_an_early_stored_chunk_is_not_sent_again(self) -> None:
        """A chunk in `received` is stored as well as one below `next_sequence`."""
        sender = make_sender("a", "b", "c")
        sender.receive(Stored(0, ((1, 2),), 10), 0.1)
        assert sequences(sender.handle_timer(2.0)) == [0]

    def test_a_chunk_refused_for_a_full_hold_is_sent_again_after_the_next_ack(self) -> None:
        """`hold_full` means: later. The next acknowledgement that is news makes it now."""
        sender = make_sender("a", "b", "c")
        assert sender.receive(Refuse(RefusalCode.HOLD_FULL, 2, ""), 0.1) == []
        assert sequences(sender.receive(Stored(2, (), 10), 0.2)) == [2]

    def test_a_chunk_refused_for_good_is_not_sent_again(self) -> None:
        """`invalid_content` is final for that chunk; the end does not wait for it."""
        sender = make_sender("a", "b")
        sender.end(0.0)
        sender.receive(Refuse(RefusalCode.INVALID_CONTENT, 1, ""), 0.1)
        assert ends(sender.receive(Stored(1, (), 10), 0.2)) == [End(2, content_hash("ab"))]
        assert sequences(sender.handle_timer(2.5)) == []

    def test_after_stream_full_only_the_end_is_sent(self) -> None:
        """The end tells how long the answer really was, so the relay can say what is missing."""
        sender = make_sender("a", "b", credit=2)
        sender.receive(Refuse(RefusalCode.STREAM_FULL, 1, ""), 0.1)
        sender.receive(Stored(1, (), 2), 0.2)
        assert sequences(sender.write("c", 0.3)) == []
        assert sender.end(0.4) == [Transmit(End(3, content_hash("abc")))]


class TestEnd:
    def test_the_end_is_sent_once_all_chunks_are_stored(self) -> None:
        """No ACK is outstanding: the end follows the last ACK immediately."""
        sender = make_sender("a", "b")
        assert sender.end(0.5) == []
        assert sender.receive(Stored(1, (), 10), 0.6) == []
        assert sender.receive(Stored(2, (), 10), 0.7) == [Transmit(End(2, content_hash("ab")))]

    def test_the_end_of_an_empty_answer_is_sent_at_once(self) -> None:
        """Nothing to wait for; the hash of nothing is "0"."""
        assert StreamSender(10, LIMITS).end(0.0) == [Transmit(End(0, "0"))]

    def test_the_end_goes_out_after_two_seconds_without_an_ack(self) -> None:
        """The hold is bounded; 2 s after `end()` it goes out even so."""
        sender = make_sender("a")
        sender.end(1.0)
        assert ends(sender.handle_timer(2.99)) == []
        assert ends(sender.handle_timer(3.0)) == [End(1, content_hash("a"))]

    def test_the_end_is_repeated_until_the_stream_is_closed(self) -> None:
        """2 s, 4 s, 8 s later, and no more once the relay has answered."""
        sender = StreamSender(10, LIMITS)
        sender.end(0.0)
        times = []
        for _ in range(4):
            deadline = sender.next_deadline()
            assert deadline is not None
            assert ends(sender.handle_timer(deadline)) == [End(0, "0")]
            times.append(deadline)
        assert times == [2.0, 6.0, 14.0, 29.0]
        closed = sender.receive(Closed("completed", 0, ()), 30.0)
        assert closed == [Settled("completed", 0, ())]
        assert sender.next_deadline() is None
        assert sender.handle_timer(100.0) == []

    def test_an_end_that_is_never_answered_settles_as_lost(self) -> None:
        """After `give_up_s` the outcome is `lost`, with what the relay never acknowledged."""
        sender = make_sender("a", "b", "c")
        sender.end(1.0)
        sender.receive(Stored(1, ((2, 2),), 10), 1.1)
        assert sender.handle_timer(61.0) == [Settled("lost", 3, ((1, 1),))]
        assert sender.settled

    def test_ending_twice_is_ending_once(self) -> None:
        """The second `end()` has no effect."""
        sender = StreamSender(10, LIMITS)
        sender.end(0.0)
        assert sender.end(0.1) == []

    def test_an_error_says_what_the_device_shows(self) -> None:
        """No more of it than a device is shown."""
        (effect,) = make_sender().abort("500", 0.0, "x" * (SHOWN_CHARS_MAX + 1))
        assert effect == Transmit(Abort("500", "x" * SHOWN_CHARS_MAX))

    def test_an_error_is_not_held(self) -> None:
        """`abort` goes out at once, without the chunks that wait for credit, and is repeated."""
        sender = make_sender("a", "b", credit=1)
        assert sender.abort("boom", 0.1) == [Transmit(Abort("boom"))]
        assert sequences(sender.receive(Stored(1, (), 5), 0.2)) == []
        assert ends(sender.handle_timer(2.1)) == [Abort("boom")]

    def test_a_stream_that_the_relay_closes_early_takes_no_more(self) -> None:
        """After `stream_closed` a write is without effect and a waiting writer is woken."""
        sender = make_sender("a", credit=1)
        effects = sender.receive(Closed("idle", 1, ()), 0.1)
        assert effects == [Settled("idle", 1, ()), Writable()]
        assert sender.write("b", 0.2) == []
        assert sender.end(0.3) == []

    def test_a_stream_that_the_relay_does_not_know_is_lost(self) -> None:
        """`unknown_stream` settles it at once, with all that was not stored."""
        sender = make_sender("a", "b")
        effects = sender.receive(Refuse(RefusalCode.UNKNOWN_STREAM, None, ""), 0.1)
        assert effects == [Settled("lost", 2, ((0, 1),))]


class TestReconnecting:
    def test_while_disconnected_nothing_is_sent_and_the_text_is_kept(self) -> None:
        """Writes are queued; timers of chunks stand still."""
        sender = make_sender("a")
        assert sender.connection_lost(0.5) == []
        assert sender.write("b", 0.6) == []
        assert sender.handle_timer(30.0) == []
        assert sequences(sender.connection_restored(0, (), 10, 30.1)) == [0, 1]

    def test_only_what_is_not_stored_is_sent_again(self) -> None:
        """The relay states `next_sequence` and the early ones; the rest goes out in order."""
        sender = make_sender("a", "b", "c", "d", "e")
        sender.connection_lost(0.5)
        effects = sender.connection_restored(1, ((3, 3),), 10, 1.0)
        assert sequences(effects) == [1, 2, 4]

    def test_a_relay_that_lost_its_memory_gets_everything_again(self) -> None:
        """A position below what was acknowledged is believed: the text starts over there."""
        sender = make_sender("a", "b", "c")
        sender.receive(Stored(3, (), 10), 0.1)
        sender.connection_lost(0.5)
        assert sequences(sender.connection_restored(0, (), 10, 1.0)) == [0, 1, 2]

    def test_the_end_is_repeated_at_once_where_it_was_sent(self) -> None:
        """Behind the chunks that are missing, without waiting for their ACKs."""
        sender = make_sender("a", "b")
        sender.end(0.1)
        sender.handle_timer(2.1)
        sender.connection_lost(2.5)
        effects = sender.connection_restored(1, (), 10, 3.0)
        assert effects == [Transmit(Chunk("b", 1)), Transmit(End(2, content_hash("ab")))]

    def test_an_end_that_was_not_sent_is_held_for_the_acks_again(self) -> None:
        """The break does not turn the hold into a timeout."""
        sender = make_sender("a")
        sender.end(0.1)
        sender.connection_lost(0.2)
        assert ends(sender.connection_restored(0, (), 10, 9.0)) == []
        assert ends(sender.handle_timer(10.9)) == []
        assert ends(sender.receive(Stored(1, (), 10), 10.95)) == [End(1, content_hash("a"))]

    def test_a_resume_respects_the_credit_that_it_states(self) -> None:
        """The rest follows with the ACKs."""
        sender = make_sender("a", "b", "c")
        sender.connection_lost(0.5)
        assert sequences(sender.connection_restored(0, (), 1, 1.0)) == [0]
        assert sequences(sender.receive(Stored(1, (), 1), 1.1)) == [1]

    def test_a_resume_that_repeats_is_harmless(self) -> None:
        """The same statement twice sends the same chunks twice, and the end stays one end."""
        sender = make_sender("a", "b")
        first = sender.connection_restored(1, (), 10, 1.0)
        assert sender.connection_restored(1, (), 10, 1.1) == first

    def test_a_connection_that_stays_away_settles_as_lost(self) -> None:
        """`give_up_s` after the break there is nobody left who waits for this answer."""
        sender = make_sender("a")
        sender.connection_lost(1.0)
        assert sender.next_deadline() == 61.0
        assert sender.handle_timer(61.0) == [Settled("lost", 1, ((0, 0),))]

    def test_a_restored_connection_starts_the_time_anew(self) -> None:
        """An answer that is still being written has no deadline of its own."""
        sender = make_sender("a")
        sender.connection_lost(1.0)
        sender.connection_restored(1, (), 10, 60.0)
        assert sender.next_deadline() is None
