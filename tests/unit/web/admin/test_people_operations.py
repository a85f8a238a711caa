"""Operations on bots, access keys and binding tokens."""

from __future__ import annotations

from tests.support.admin_api import admin_api


async def test_a_bot_is_made_rotated_and_revoked() -> None:
    """Each secret is in the answer that made it, and in no list."""
    async with admin_api() as api:
        made = await api.call("POST", "/bots", {"name": " one ", "user_id": "U1"})
        assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
        first, bot_id = made.json()["secret"], made.json()["record"]["bot_id"]
        api.live.online.add(bot_id)
        second = (await api.call("POST", f"/bots/{bot_id}/rotate")).json()["secret"]
        assert first != second
        revoked = (await api.call("POST", f"/bots/{bot_id}/revoke")).json()
        listed = await api.get("/bots")
    assert revoked["revoked"] is True
    assert listed.json()["bots"] == [revoked]
    assert (revoked["name"], revoked["online"]) == ("one", True)
    assert first not in listed.text
    assert second not in listed.text


async def test_a_bot_is_parted_from_its_user() -> None:
    """And may be parted again, which changes nothing."""
    async with admin_api() as api:
        await api.call("POST", "/bots", {"name": "one", "user_id": "U1"})
        taken = await api.call("POST", "/bots", {"name": "two", "user_id": "U1"})
        assert (taken.status_code, taken.json()["code"]) == (409, "conflict")
        for _ in range(2):
            assert (await api.call("DELETE", "/bots/1/binding")).json()["user_id"] is None


async def test_a_key_has_the_scope_that_it_was_given() -> None:
    """Null is everything and an empty list nothing, on the way in and out."""
    async with admin_api() as api:
        plain = (await api.call("POST", "/keys", {"name": "plain"})).json()["record"]
        scope = {"agents": None, "bots": [2, 1], "users": []}
        scoped = (await api.call("POST", "/keys", {"name": "k", "scope": scope})).json()["record"]
        key_id = scoped["key_id"]
        assert api.store.keys[key_id].scope.bots == frozenset({1, 2})
        change = {"scope": {"agents": ["a"]}}
        changed = (await api.call("PATCH", f"/keys/{key_id}", change)).json()
        listed = (await api.get("/keys")).json()["keys"]
    assert plain["scope"] == {"agents": None, "bots": None, "users": None}
    assert scoped["scope"] == {"agents": None, "bots": [1, 2], "users": []}
    assert changed["scope"] == {"agents": ["a"], "bots": None, "users": None}
    assert [key["scope"] for key in listed] == [plain["scope"], changed["scope"]]


async def test_a_revoked_key_is_not_rotated() -> None:
    """That is for good, and rotating it would bring it back."""
    async with admin_api() as api:
        await api.call("POST", "/keys", {"name": "k"})
        assert (await api.call("POST", "/keys/1/rotate")).json()["secret"].startswith("ak_")
        assert (await api.call("POST", "/keys/1/revoke")).json()["revoked_at"] is not None
        assert (await api.call("POST", "/keys/1/rotate")).status_code == 409


async def test_a_binding_token_is_made_and_deleted() -> None:
    """For one bot; it is listed without the token."""
    async with admin_api() as api:
        await api.call("POST", "/bots", {"name": "one"})
        made = await api.call("POST", "/bots/1/bindings")
        listed = await api.get("/bindings")
        binding_id = made.json()["record"]["binding_id"]
        deleted = await api.call("DELETE", f"/bindings/{binding_id}")
        again = await api.call("DELETE", f"/bindings/{binding_id}")
    assert (made.status_code, made.json()["record"]["bot_id"]) == (201, 1)
    assert listed.json()["bindings"] == [made.json()["record"]]
    assert made.json()["secret"] not in listed.text
    assert (deleted.status_code, again.status_code) == (204, 404)


async def test_what_is_not_there_is_not_found() -> None:
    """Whatever is asked of it."""
    async with admin_api() as api:
        for call in ("bots/9/rotate", "bots/9/revoke", "keys/9/rotate", "bots/9/bindings"):
            assert (await api.call("POST", f"/{call}")).status_code == 404
