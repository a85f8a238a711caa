from __future__ import annotations

import pytest

from tests.support.admin_page import Visitor


@pytest.fixture
async def visitor() -> Visitor:
    """Somebody who is logged in."""
    visitor = Visitor()
    await visitor.log_in()
    return visitor


async def test_a_new_bots_token_is_shown_once(visitor: Visitor) -> None:
    """In an answer that no cache keeps and that has no address of its own."""
    answer = await visitor.send("/admin/bots", name="weather", user_id="U1")
    (bot,) = visitor.store.bots.values()
    assert (bot.name, bot.user_id) == ("weather", "U1")
    assert f'<output id="secret">{"0" * 63}1</output>' in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert "location" not in answer.headers
    page = await visitor.see("/admin/bots")
    assert "0" * 20 not in page.text
    assert "00000000…" in page.text


async def test_a_name_that_will_not_do_is_told_beside_the_form(visitor: Visitor) -> None:
    """With what was typed."""
    answer = await visitor.send("/admin/bots", name=" ", user_id="U<7>")
    assert answer.status_code == 400
    assert "a name is 1 to 255 printable characters" in answer.text
    assert 'value="U&lt;7&gt;"' in answer.text


async def test_a_bot_is_rotated_revoked_and_unbound(visitor: Visitor) -> None:
    """Each by a form of its own."""
    await visitor.send("/admin/bots", name="weather", user_id="U1")
    answer = await visitor.send("/admin/bots/1/rotate")
    assert f"{'0' * 63}2</output>" in answer.text
    answer = await visitor.send("/admin/bots/1/revoke")
    assert answer.headers["location"] == "/admin/bots?notice=bot_revoked"
    assert visitor.store.bots[1].revoked
    await visitor.send("/admin/bots/1/unbind")
    assert visitor.store.bots[1].user_id is None
    assert (await visitor.send("/admin/bots/9/revoke")).status_code == 404


async def test_a_binding_token_comes_as_a_code_for_the_camera(visitor: Visitor) -> None:
    """And as text, with when it expires; afterwards only its beginning is shown."""
    await visitor.send("/admin/bots", name="weather")
    answer = await visitor.send("/admin/bots/1/binding")
    assert "<svg" in answer.text.split("<main")[1]
    assert "bind_" + "0" * 63 + "2" in answer.text
    assert "(in 9 min)" in answer.text
    page = await visitor.see("/admin/bots")
    assert "waits, expires in 9 min" in page.text
    await visitor.send("/admin/bindings/2/delete")
    assert visitor.store.codes == {}


async def test_who_is_online_is_told_in_words(visitor: Visitor) -> None:
    """Not by a colour alone."""
    await visitor.send("/admin/bots", name="weather")
    assert "offline" in (await visitor.see("/admin/bots")).text
    visitor.live.online.add(1)
    assert "</span> online" in (await visitor.see("/admin/bots")).text
