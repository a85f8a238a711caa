"""Operations on bots, access keys and binding tokens. A secret is in the answer that made it."""

from __future__ import annotations

from starlette.responses import Response

from relay.admin.people import BindingRecord, BotRecord, KeyRecord, Made
from relay.web.admin.desk import Desk
from relay.web.admin.operations import Call, answer
from relay.web.admin.schema import (
    BindingPath,
    BotCreate,
    BotPath,
    KeyChange,
    KeyCreate,
    KeyPath,
    Nothing,
    scope_value,
)
from relay.web.admin.schema_answers import (
    BindingList,
    BotList,
    KeyList,
    NewBinding,
    NewBot,
    NewKey,
    tell_binding,
    tell_bot,
    tell_key,
)

CREATED = 201


async def list_bots(desk: Desk, _call: Call[Nothing, Nothing, Nothing]) -> Response:
    """Answer all bots."""
    online = desk.live.online_bots()
    return answer(BotList([tell_bot(bot, online) for bot in await desk.store.people.list_bots()]))


async def create_bot(desk: Desk, call: Call[Nothing, Nothing, BotCreate]) -> Response:
    """Add a bot."""
    made = await desk.store.people.create_bot(call.body.name, user_id=call.body.user_id)
    return answer(_new(desk, made), CREATED)


async def rotate_bot(desk: Desk, call: Call[BotPath, Nothing, Nothing]) -> Response:
    """Give a bot another token."""
    return answer(_new(desk, await desk.store.people.rotate_bot_token(call.path.bot_id)))


async def revoke_bot(desk: Desk, call: Call[BotPath, Nothing, Nothing]) -> Response:
    """Take a bot's token away."""
    bot = await desk.store.people.revoke_bot_token(call.path.bot_id)
    return answer(tell_bot(bot, desk.live.online_bots()))


async def unbind_bot(desk: Desk, call: Call[BotPath, Nothing, Nothing]) -> Response:
    """Part a bot from its user."""
    bot = await desk.store.bindings.unbind(call.path.bot_id)
    return answer(tell_bot(bot, desk.live.online_bots()))


async def list_keys(desk: Desk, _call: Call[Nothing, Nothing, Nothing]) -> Response:
    """Answer all access keys."""
    return answer(KeyList([tell_key(key) for key in await desk.store.people.list_keys()]))


async def create_key(desk: Desk, call: Call[Nothing, Nothing, KeyCreate]) -> Response:
    """Add an access key."""
    made = await desk.store.people.create_key(call.body.name, scope_value(call.body.scope))
    return answer(_new(desk, made), CREATED)


async def rotate_key(desk: Desk, call: Call[KeyPath, Nothing, Nothing]) -> Response:
    """Replace an access key."""
    return answer(_new(desk, await desk.store.people.rotate_key(call.path.key_id)))


async def revoke_key(desk: Desk, call: Call[KeyPath, Nothing, Nothing]) -> Response:
    """Revoke an access key."""
    return answer(tell_key(await desk.store.people.revoke_key(call.path.key_id)))


async def change_key(desk: Desk, call: Call[KeyPath, Nothing, KeyChange]) -> Response:
    """Give an access key another scope."""
    scope = scope_value(call.body.scope)
    return answer(tell_key(await desk.store.people.rescope_key(call.path.key_id, scope)))


async def list_bindings(desk: Desk, _call: Call[Nothing, Nothing, Nothing]) -> Response:
    """Answer all binding tokens."""
    return answer(
        BindingList([tell_binding(one) for one in await desk.store.bindings.list_bindings()])
    )


async def create_binding(desk: Desk, call: Call[BotPath, Nothing, Nothing]) -> Response:
    """Make a binding token."""
    return answer(_new(desk, await desk.store.bindings.create_binding(call.path.bot_id)), CREATED)


async def delete_binding(desk: Desk, call: Call[BindingPath, Nothing, Nothing]) -> Response:
    """Make a binding token of no use."""
    await desk.store.bindings.delete_binding(call.path.binding_id)
    return answer(None)


def _new(desk: Desk, made: Made) -> NewBot | NewKey | NewBinding:
    match made.record:
        case BotRecord():
            return NewBot(tell_bot(made.record, desk.live.online_bots()), made.secret)
        case KeyRecord():
            return NewKey(tell_key(made.record), made.secret)
        case BindingRecord():
            return NewBinding(tell_binding(made.record), made.secret)
