"""Invariants 1 to 6: what a bot may rely on. One function each; it yields what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from relay.protocol.events import Chunk, EntryKind, RefusalCode
from relay.protocol.surrogates import join_halves
from relay.wire.bot import Acked, Connected, OpenStreamState, Refused
from tests.simulation.facts import BotCame, BotLeft, Granted, Told, Wrote
from tests.simulation.story import Shelf, Story


def i01_an_ack_means_that_it_is_stored(story: Story) -> Iterator[str]:
    """At the moment of each ACK, and of each statement of a `connected`; at the level told.

    And a `connected` leaves nothing out that was acknowledged before.
    """
    shelves: dict[str, Shelf] = {}
    epoch = ""
    acks = {fact.order: state for fact, state in story.acks()}
    for fact in story.facts:
        match fact.what:
            case Granted(epoch=made):
                epoch = made
                shelves.setdefault(made, Shelf())
            case Wrote() as wrote:
                shelves[wrote.epoch].take(wrote)
            case Told(message=Connected(durability=level)) if level != "memory":
                yield f"at {fact.at:.3f}: the level is told as {level}"
            case _:
                pass
        if (state := acks.get(fact.order)) is not None:
            of = state.epoch if isinstance(state, OpenStreamState) else epoch
            yield from _stated(story, shelves[of], state, fact.at)
    yield from _unsaid(story)


def _stated(story: Story, shelf: Shelf, state: Acked | OpenStreamState, at: float) -> Iterator[str]:
    if nowhere := [one for one in _sequences(story, state) if not shelf.has(one)]:
        yield f"at {at:.3f}: {nowhere[:5]} stated as stored, and nowhere"


def _sequences(story: Story, state: Acked | OpenStreamState) -> list[int]:
    """Return what is stated as stored."""
    found = [s for first, last in state.received for s in range(first, last + 1)]
    found += range(state.next_sequence)
    if isinstance(state, Acked) and state.sequence is not None and story.numbered:
        found.append(state.sequence)
    return found


def _unsaid(story: Story) -> Iterator[str]:
    """Yield what a `connected` leaves out that was acknowledged before, wherever, of one log."""
    came = [
        (fact.order, one.connection)
        for fact, one in story.run.ledger.of(BotCame)
        if one.bot_id == story.bot.bot_id
    ]
    made = [(fact.order, granted.epoch) for fact, granted in story.of(Granted) if granted.new]
    acknowledged: dict[str, set[int]] = {epoch: set() for _, epoch in made}
    for fact, state in story.acks():
        stated = set(_sequences(story, state))
        newest = max((number for order, number in came if order < fact.order), default=0)
        told = fact.what
        if isinstance(state, OpenStreamState):
            left_out = sorted(acknowledged[state.epoch] - stated)
            if left_out and isinstance(told, Told) and told.connection == newest:
                yield f"at {fact.at:.3f}: {left_out[:5]} left out of a greeting"
            epoch = state.epoch
        else:
            epoch = [epoch for order, epoch in made if order < fact.order][-1]
        acknowledged[epoch] |= stated


def i02_the_first_content_of_a_number_stands(story: Story) -> Iterator[str]:
    """What is stored does not change, and other content is never acknowledged."""
    if not story.numbered:
        return
    for epoch, shelf in story.shelves.items():
        for entry in shelf.entries:
            if entry.kind is EntryKind.CHUNK and entry.sequence is not None:
                first = shelf.contents[entry.sequence]
                if (first.content, first.part) != (entry.content, entry.part):
                    yield f"{epoch}: {entry.sequence} was stored twice, differently"
    accepted = story.shelf.contents
    same = Counter(
        chunk.sequence
        for _, _, chunk in story.chunks_heard()
        if chunk.sequence in accepted
        and (accepted[chunk.sequence].content, accepted[chunk.sequence].part)
        == (chunk.content, chunk.part)
    )
    acked = Counter(
        told.message.sequence for _, told in story.of(Told) if isinstance(told.message, Acked)
    )
    for sequence, times in acked.items():
        if sequence in accepted and len(story.shelves) == 1 and times > same[sequence]:
            yield f"{sequence} was acknowledged {times} times, and came {same[sequence]} times"


def i03_only_what_came_before_is_a_duplicate(story: Story) -> Iterator[str]:
    """A chunk that was merely overtaken is taken: a conflict needs two contents."""
    said: dict[int | None, set[object]] = {}
    for _, _, chunk in story.chunks_heard():
        said.setdefault(chunk.sequence, set()).add((chunk.content, chunk.part))
    for fact, told in story.of(Told):
        message = told.message
        if not isinstance(message, Refused) or message.code is not RefusalCode.CONFLICT:
            continue
        if len(said.get(message.sequence, ())) < 2:
            yield f"at {fact.at:.3f}: {message.sequence} refused as a conflict, and is none"


def i04_any_order_gives_the_same_text(story: Story) -> Iterator[str]:
    """The log has under each number what the bot said, in the order of the numbers."""
    for epoch, shelf in story.shelves.items():
        if story.numbered:
            yield from _said_under_its_number(story, epoch, shelf)
        else:
            arrived = iter(chunk.content for _, _, chunk in story.chunks_heard())
            for entry in shelf.entries:
                if entry.kind is EntryKind.CHUNK and entry.content not in arrived:
                    yield f"{epoch}: entry {entry.offset} is not what came, as it came"
                    break


def _said_under_its_number(story: Story, epoch: str, shelf: Shelf) -> Iterator[str]:
    parts = {chunk.sequence: chunk.part for _, _, chunk in story.chunks_heard()}
    if shelf.sequences != sorted(set(shelf.sequences)):
        yield f"{epoch}: the log's sequences are {shelf.sequences}"
    carry = ""
    for entry in shelf.entries:
        if entry.kind is not EntryKind.CHUNK:
            continue
        possible = [join_halves(carry, text) for text in story.said(entry.sequence)]
        found = [half for text, half in possible if text == entry.content]
        if not found:
            yield f"{epoch}: entry {entry.offset} is not what the bot said"
        carry = found[0] if found else ""
        if not story.wild and entry.part != parts.get(entry.sequence):
            yield f"{epoch}: entry {entry.offset} has another part"


def i05_every_chunk_is_answered(story: Story) -> Iterator[str]:
    """By an ACK that covers it or a refusal, unless its connection went first."""
    if not story.undisturbed:
        return  # an owner that loses its log takes unanswered ones with it; the bot resends them
    left = {gone.connection: fact.order for fact, gone in story.run.ledger.of(BotLeft)}
    answers = [(fact.order, told) for fact, told in story.of(Told)]
    for fact, heard, chunk in story.chunks_heard():
        if left.get(heard.connection, -1) > fact.order:
            continue
        after = (told for order, told in answers if order > fact.order)
        if not any(_answers(told, chunk, story) for told in after):
            yield f"at {fact.at:.3f}: no answer to chunk {chunk.sequence}"


def _answers(told: Told, chunk: Chunk, story: Story) -> bool:
    match told.message:
        case Acked(sequence=sequence, next_sequence=upto, received=received):
            number = chunk.sequence
            if number is None or not story.numbered:
                return True
            early = any(first <= number <= last for first, last in received)
            return sequence == number or number < upto or early
        case Refused(sequence=sequence):
            return sequence == chunk.sequence
        case _:
            return False


def i06_an_old_owner_changes_nothing(story: Story) -> Iterator[str]:
    """Each write that was taken bears the newest fence."""
    newest: dict[str, int] = {}
    for fact in story.facts:
        match fact.what:
            case Granted(epoch, fence):
                newest[epoch] = fence
            case Wrote(epoch, fence) if fence != newest[epoch]:
                yield f"at {fact.at:.3f}: fence {fence} wrote while {newest[epoch]} owns it"
            case _:
                pass
