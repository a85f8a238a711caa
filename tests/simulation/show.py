"""The log of a run, for people: one line for each thing that was seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from relay.protocol.events import Abort, Chunk, End, Entry, Summary
from relay.wire.bot import Acked, Cancel, Closed, Command, Connected, Missing, Outbound, Refused
from tests.simulation.facts import (
    Asked,
    BotCame,
    BotLeft,
    Dropped,
    Fact,
    Granted,
    Handed,
    Happened,
    Heard,
    Joined,
    Left,
    Probed,
    Row,
    Sample,
    Settled,
    Shown,
    Told,
    What,
    Wrote,
)
from tests.simulation.plan import Plan
from tests.simulation.run import Run

TEXT_MAX = 24


def show_plan(plan: Plan) -> list[str]:
    """Return what a seed means."""
    settings = plan.settings
    broker = (
        f"a shared broker {plan.broker_s * 1000:g} ms away" if plan.shared else "its own broker"
    )
    lines = [
        f"seed {plan.seed}: {plan.nodes} node(s), {broker}, heals at {plan.heals_at:.2f} s",
        f"  window {settings.window}, credit {settings.credit}",
        f"  at most {settings.held_bytes_max} bytes held and {settings.stream_bytes_max} in all",
        f"  barrier {settings.barrier_seconds:g} s, gap {settings.gap_seconds:g} s",
        f"  idle {settings.idle_seconds:g} s, grace of bots {settings.bot_grace_seconds:g} s",
        f"  grace of devices {settings.device_grace_seconds:g} s",
    ]
    lines += [f"  bot {bot.bot_id}: {bot.kind}, {bot.weather}" for bot in plan.bots]
    for number, question in enumerate(plan.questions):
        lines.append(
            f"  question {number} at {question.at:.2f} for bot {question.bot_id}: "
            f"{len(question.pieces)} pieces, {question.ending}, summary {question.summary} "
            f"{question.summary_s:g} s behind the end"
        )
        lines += [f"    device {place}: {device}" for place, device in enumerate(question.devices)]
    lines += [
        f"  at {fault.at:.3f}: {fault.fault} ({fault.which}) for {fault.lasts_s:g} s"
        for fault in plan.faults
    ]
    return lines


def show_run(run: Run, *, samples: bool = False) -> list[str]:
    """Return what was seen, in its order."""
    facts = run.ledger.facts
    return [_line(fact) for fact in facts if samples or not isinstance(fact.what, Sample)]


def _line(fact: Fact) -> str:
    return f"{fact.at:10.4f}  {fact.stream_id or '':5} {_what(fact.what)}"


def _what(what: What) -> str:  # noqa: C901, PLR0911, PLR0912 - one for each kind
    match what:
        case Happened(words):
            return f"*** {words}"
        case Asked(number, key, bot_id):
            return f"question {number} for bot {bot_id}, with key {key}"
        case Granted(epoch, fence, new):
            return f"log {epoch} {'made' if new else 'claimed'}, fence {fence}"
        case Wrote(epoch, fence, entries, held):
            also = f" hold {[chunk.sequence for chunk in held]}" if held else ""
            return f"log {epoch}/{fence} < {_entries(entries)}{also}"
        case Dropped():
            return "log forgotten"
        case Heard(connection, message):
            return f"bot@{connection} > {_message(message)}"
        case Told(connection, message):
            return f"bot@{connection} < {_told(message)}"
        case BotCame(connection, bot_id, protocol):
            return f"bot@{connection} is bot {bot_id}, protocol {protocol}"
        case BotLeft(connection):
            return f"bot@{connection} is gone"
        case Settled(outcome):
            return f"the bot knows: {outcome}"
        case Joined(reader, device, epoch, after, prompt, node):
            pace = "" if prompt else ", slowly"
            return f"{device}@{reader} reads {epoch} behind {after} on {node}{pace}"
        case Handed(reader, entries):
            return f"@{reader} < {_entries(entries)}"
        case Left(reader):
            return f"@{reader} is gone"
        case Shown(device, text, outcome):
            return f"{device} is done: {outcome or 'nothing'}, {len(text)} characters"
        case Probed(tried, let_in):
            return f"{tried}: {'LET IN' if let_in else 'refused'}"
        case Row(row, node):
            return f"trace of {node}: {row.outcome}, {row.status}, missing {row.missing_sequences}"
        case Sample(node, live):
            return f"{node}: {live.status}, {live.received} received, {live.held} held"
        case _:
            assert_never(what)


def _entries(entries: Sequence[Entry]) -> str:
    return " ".join(
        f"{entry.offset}:{entry.kind.value}"
        + ("" if entry.sequence is None else f"({entry.sequence})")
        + ("" if entry.outcome is None else f"({entry.outcome.value}, n={entry.total_chunks})")
        for entry in entries
    )


def _message(message: Chunk | End | Summary | Abort) -> str:
    match message:
        case Chunk():
            part = "" if message.part is None else f" {message.part.kind.value}"
            return f"chunk {message.sequence} {message.content[:TEXT_MAX]!r}{part}"
        case End():
            return f"end, n={message.total_chunks}"
        case Summary():
            return f"summary, n={message.total_chunks}, {len(message.total_content)} characters"
        case Abort():
            return f"error {message.error[:TEXT_MAX]!r}"


def _told(message: Outbound) -> str:
    match message:
        case Acked():
            more = f" and {message.received}" if message.received else ""
            credit = f", credit {message.credit}"
            return f"ack of {message.sequence}: below {message.next_sequence}{more}{credit}"
        case Connected():
            return f"connected, {[_state(state) for state in message.streams]}"
        case Missing():
            return f"missing {message.ranges}"
        case Refused():
            return f"refused {message.sequence}: {message.code.value}"
        case Closed():
            return f"closed: {message.outcome}, n={message.total_chunks}, missing {message.missing}"
        case Command():
            return f"command, credit {message.credit}"
        case Cancel():
            return f"cancel: {message.reason}"
        case _:
            return type(message).__name__


def _state(state: object) -> str:
    if isinstance(state, Closed):
        return f"{state.stream_id} closed {state.outcome}"
    return f"{getattr(state, 'stream_id', '')} {getattr(state, 'status', '')} below " + str(
        getattr(state, "next_sequence", "")
    )
