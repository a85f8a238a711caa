"""What the lists of traces share: which are wanted, and one trace as a line."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Final

import typer

from relay.admin.traces import TraceFilter, TraceSummary
from relay.metrics import Hop
from relay.node.record import BOTH_HOPS
from relay.protocol.forensics import LossPosition
from relay.protocol.status import Outcome, Status
from relay.wire.timestamp import beijing_iso

if TYPE_CHECKING:
    from relay.store.store import Store

_SPAN: Final = re.compile(r"([0-9]{1,9})([smhd])")
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _one_of(*names: str) -> Callable[[str | None], str | None]:
    def check(given: str | None) -> str | None:
        if given is not None and given not in names:
            raise typer.BadParameter(f"{given!r} is none of {', '.join(names)}")
        return given

    return check


def moment_of(text: str) -> float:
    """Read `2h`, which is so long ago, or a date and time, in UTC where it names no zone.

    Returns Unix seconds, for a span whole ones. Raises `typer.BadParameter`.
    """
    if span := _SPAN.fullmatch(text):
        return max(0.0, time.time() // 1 - int(span[1]) * _UNIT_S[span[2]])
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        wanted = "30m, 2h, 7d, or a moment such as 2026-02-27T08:41"
        raise typer.BadParameter(f"{text!r} is none of {wanted}") from None


def fixed_times(where: TraceFilter) -> str:
    """Return the times as options that mean the same later: a cursor goes with one filter."""
    times = (("--since", where.since), ("--until", where.until))
    return "".join(
        f"{option} {datetime.fromtimestamp(at, UTC).isoformat()} "
        for option, at in times
        if at is not None
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which traces a command is about, as its options say."""

    where: TraceFilter
    bot: str | None
    """Its name or number, which only a store can turn into an id."""

    async def in_store(self, store: Store) -> TraceFilter:
        """Return the filter with the bot that is named. Raises `NotFound` where there is none."""
        from relay.store.bots import as_id

        if self.bot is None:
            return self.where
        # A number is taken as it is: its bot may be deleted by now.
        bot_id = as_id(self.bot)
        if bot_id is None:
            bot_id = (await store.bot_named(self.bot)).id
        return replace(self.where, bot_id=bot_id)


def takes_wanted(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command, whose first argument is a `Wanted`, the options that say it."""
    options = inspect.signature(_wanted, eval_str=True).parameters
    _, *others = inspect.signature(command, eval_str=True).parameters.values()

    @wraps(command)
    def run(**given: object) -> None:
        command(_wanted(**{name: given.pop(name) for name in options}), **given)  # type: ignore[arg-type]

    # Typer makes the options from it.
    vars(run)["__signature__"] = inspect.Signature([*options.values(), *others])
    return run


def _wanted(  # noqa: PLR0913 - each is an option
    *,
    status: Annotated[
        str | None,
        typer.Option(
            callback=_one_of(*(status.label for status in Status)),
            help="Only those, for example anomaly.",
        ),
    ] = None,
    outcome: Annotated[
        str | None,
        typer.Option(callback=_one_of(*Outcome), help="Only those, for example bot_gone."),
    ] = None,
    bot: Annotated[str | None, typer.Option(metavar="NAME_OR_ID", help="Only its.")] = None,
    conversation: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this one: the device's message_id.")
    ] = None,
    user: Annotated[str | None, typer.Option(metavar="ID", help="Only this user's.")] = None,
    position: Annotated[
        str | None,
        typer.Option(
            callback=_one_of(*LossPosition),
            help="Only where chunks are missing there: head, middle, tail or mixed.",
        ),
    ] = None,
    hop: Annotated[
        str | None,
        typer.Option(
            callback=_one_of(*Hop, BOTH_HOPS),
            help="Only where they were lost there: bot_to_relay, relay_to_device or both.",
        ),
    ] = None,
    sdk: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only of bots with this SDK, as `show` has it."),
    ] = None,
    anomaly: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only where the anomaly holds this.")
    ] = None,
) -> Wanted:
    where = TraceFilter(
        status=status,
        outcome=outcome,
        message_id=conversation,
        user_id=user,
        loss_position=position,
        loss_hop=hop,
        sdk_version=sdk,
        anomaly=anomaly,
    )
    return Wanted(where, bot)


_LINE: Final = "{:25}  {:32}  {:>6}  {:9}  {:11}  {:>9}  {:>7}  {}"


def heading() -> str:
    """Return the names of the columns."""
    return _LINE.format(
        "asked", "trace", "bot", "status", "outcome", "shown", "missing", "position"
    )


def line_of(trace: TraceSummary) -> str:
    """Return one trace: when and how it ended, what was shown of how much, what is missing."""
    when, whose = beijing_iso(trace.created_at), trace.bot_id or "-"
    shown = f"{trace.sse_chunk_count}/{trace.sdk_total_chunks or trace.sdk_chunk_count}"
    lost, where = trace.missing_count, trace.loss_position or ""
    cells = (when, trace.trace_id, whose, trace.status, trace.outcome, shown, lost, where)
    return _LINE.format(*cells).rstrip()
