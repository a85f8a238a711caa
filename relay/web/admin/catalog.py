"""Every operation of the admin API. Its routes and its document are made from this table."""

from __future__ import annotations

from relay.web.admin import live_operations as live
from relay.web.admin import people_operations as people
from relay.web.admin import trace_operations as traces
from relay.web.admin.desk import Desk
from relay.web.admin.export import MEDIA
from relay.web.admin.operations import Answers, Operation, operation
from relay.web.admin.schema import (
    BindingPath,
    BotCreate,
    BotPath,
    KeyChange,
    KeyCreate,
    KeyPath,
    LiveQuery,
    Nothing,
    StatisticsQuery,
    TraceDeleteQuery,
    TraceExportQuery,
    TraceListQuery,
    TracePath,
)
from relay.web.admin.schema_answers import (
    AccessKey,
    BindingList,
    Bot,
    BotList,
    Deleted,
    KeyList,
    LiveList,
    NewBinding,
    NewBot,
    NewKey,
    Statistics,
    Trace,
    TracePage,
)

GONE = Answers(status=204, media=())


def operations() -> list[Operation[Desk]]:
    """Return the table, in the order in which it is read."""
    return [*_traces(), *_live(), *_bots(), *_keys(), *_bindings()]


def _traces() -> list[Operation[Desk]]:
    return [
        operation(
            "listTraces",
            "traces",
            "GET /traces",
            "List traces by filter, a page at a time.",
            traces.list_traces,
            types=(Nothing, TraceListQuery, Nothing),
            answers=Answers(TracePage),
            refuses=True,
        ),
        operation(
            "deleteTraces",
            "traces",
            "DELETE /traces",
            "Delete all traces of a filter; without one only with `all=true`.",
            traces.delete_traces,
            types=(Nothing, TraceDeleteQuery, Nothing),
            answers=Answers(Deleted),
            refuses=True,
        ),
        operation(
            "exportTraces",
            "traces",
            "GET /traces/export",
            "Export all traces of a filter, newest first: a JSON object per line, or CSV.",
            traces.export_traces,
            types=(Nothing, TraceExportQuery, Nothing),
            answers=Answers(media=tuple(MEDIA.values())),
            refuses=True,
        ),
        operation(
            "showTrace",
            "traces",
            "GET /traces/{trace_id}",
            "Show one trace with its timeline, by the beginning of its or its stream's id.",
            traces.show_trace,
            types=(TracePath, Nothing, Nothing),
            answers=Answers(Trace),
        ),
        operation(
            "deleteTrace",
            "traces",
            "DELETE /traces/{trace_id}",
            "Delete one trace, by its whole id.",
            traces.delete_trace,
            types=(TracePath, Nothing, Nothing),
            answers=GONE,
        ),
        operation(
            "showStatistics",
            "traces",
            "GET /statistics",
            "Show loss, repairs and delays of a span of time.",
            traces.show_statistics,
            types=(Nothing, StatisticsQuery, Nothing),
            answers=Answers(Statistics),
            refuses=True,
        ),
    ]


def _live() -> list[Operation[Desk]]:
    return [
        operation(
            "listLive",
            "live",
            "GET /live",
            "List the streams that are open just now.",
            live.list_live,
            types=(Nothing, LiveQuery, Nothing),
            answers=Answers(LiveList),
        ),
        operation(
            "watchLive",
            "live",
            "GET /live/events",
            "Follow them: an event `snapshot`, then each second `opened`, `changed`, `closed`.",
            live.watch_live,
            types=(Nothing, Nothing, Nothing),
            answers=Answers(media=("text/event-stream",)),
        ),
    ]


def _bots() -> list[Operation[Desk]]:
    return [
        operation(
            "listBots",
            "bots",
            "GET /bots",
            "List all bots.",
            people.list_bots,
            types=(Nothing, Nothing, Nothing),
            answers=Answers(BotList),
        ),
        operation(
            "createBot",
            "bots",
            "POST /bots",
            "Add a bot; the answer holds its token.",
            people.create_bot,
            types=(Nothing, Nothing, BotCreate),
            answers=Answers(NewBot, status=people.CREATED),
            refuses=True,
        ),
        operation(
            "rotateBotToken",
            "bots",
            "POST /bots/{bot_id}/rotate",
            "Give a bot another token; the old one ends its connection.",
            people.rotate_bot,
            types=(BotPath, Nothing, Nothing),
            answers=Answers(NewBot),
            refuses=True,
        ),
        operation(
            "revokeBotToken",
            "bots",
            "POST /bots/{bot_id}/revoke",
            "Take a bot's token away, which ends its connection.",
            people.revoke_bot,
            types=(BotPath, Nothing, Nothing),
            answers=Answers(Bot),
            refuses=True,
        ),
        operation(
            "unbindBot",
            "bots",
            "DELETE /bots/{bot_id}/binding",
            "Part a bot from its user. Nothing happens where it has none.",
            people.unbind_bot,
            types=(BotPath, Nothing, Nothing),
            answers=Answers(Bot),
            refuses=True,
        ),
    ]


def _keys() -> list[Operation[Desk]]:
    return [
        operation(
            "listKeys",
            "access keys",
            "GET /keys",
            "List all access keys, those that were revoked too.",
            people.list_keys,
            types=(Nothing, Nothing, Nothing),
            answers=Answers(KeyList),
        ),
        operation(
            "createKey",
            "access keys",
            "POST /keys",
            "Add an access key; the answer holds the key.",
            people.create_key,
            types=(Nothing, Nothing, KeyCreate),
            answers=Answers(NewKey, status=people.CREATED),
            refuses=True,
        ),
        operation(
            "changeKey",
            "access keys",
            "PATCH /keys/{key_id}",
            "Give an access key another scope.",
            people.change_key,
            types=(KeyPath, Nothing, KeyChange),
            answers=Answers(AccessKey),
            refuses=True,
        ),
        operation(
            "rotateKey",
            "access keys",
            "POST /keys/{key_id}/rotate",
            "Replace an access key; streams that the old one opened run on.",
            people.rotate_key,
            types=(KeyPath, Nothing, Nothing),
            answers=Answers(NewKey),
            refuses=True,
        ),
        operation(
            "revokeKey",
            "access keys",
            "POST /keys/{key_id}/revoke",
            "Revoke an access key for good, which ends its live streams.",
            people.revoke_key,
            types=(KeyPath, Nothing, Nothing),
            answers=Answers(AccessKey),
            refuses=True,
        ),
    ]


def _bindings() -> list[Operation[Desk]]:
    return [
        operation(
            "listBindings",
            "bindings",
            "GET /bindings",
            "List all binding tokens, those that are used or expired too.",
            people.list_bindings,
            types=(Nothing, Nothing, Nothing),
            answers=Answers(BindingList),
        ),
        operation(
            "createBinding",
            "bindings",
            "POST /bots/{bot_id}/bindings",
            "Make a token with which one user binds to this bot, once.",
            people.create_binding,
            types=(BotPath, Nothing, Nothing),
            answers=Answers(NewBinding, status=people.CREATED),
            refuses=True,
        ),
        operation(
            "deleteBinding",
            "bindings",
            "DELETE /bindings/{binding_id}",
            "Make a binding token of no use. What was bound with it stays bound.",
            people.delete_binding,
            types=(BindingPath, Nothing, Nothing),
            answers=GONE,
        ),
    ]
