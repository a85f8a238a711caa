from __future__ import annotations

import pytest

from relay.admin.people import EVERYTHING, Scope
from relay.errors import BadRequest
from relay.web.admin.page_keys import SCOPE_NAMES_MAX, read_scope
from tests.support.admin_page import Visitor


@pytest.fixture
async def visitor() -> Visitor:
    """Somebody who is logged in."""
    visitor = Visitor()
    await visitor.log_in()
    return visitor


def test_a_scope_is_read_as_names_and_nothing_means_everything() -> None:
    """Commas or blanks between them."""
    assert read_scope({"agents": " ", "bots": ""}) == EVERYTHING
    assert read_scope({"agents": "a, b c", "bots": "1,2", "users": "U1"}) == Scope(
        frozenset("abc"), frozenset({1, 2}), frozenset({"U1"})
    )


@pytest.mark.parametrize(
    "form",
    [{"bots": "weather"}, {"bots": "1,²"}, {"bots": "9" * 20},
     {"users": " ".join(map(str, range(SCOPE_NAMES_MAX + 1)))}],
)  # fmt: skip
def test_a_scope_that_cannot_be_is_refused(form: dict[str, str]) -> None:
    """A key must never open more than was meant."""
    with pytest.raises(BadRequest):
        read_scope(form)


async def test_a_new_key_is_shown_once_and_has_its_scope(visitor: Visitor) -> None:
    """Its beginning is all that the table has of it."""
    answer = await visitor.send("/admin/keys", name="partner", agents="a", bots="1, 3")
    (key,) = visitor.store.keys.values()
    assert key.scope == Scope(agents=frozenset("a"), bots=frozenset({1, 3}))
    assert "ak_" + "0" * 63 + "1</output>" in answer.text
    page = (await visitor.see("/admin/keys")).text
    assert "0" * 20 not in page
    assert "agents: " in page


async def test_a_key_is_rotated_rescoped_and_revoked(visitor: Visitor) -> None:
    """And then nothing more can be done with it."""
    await visitor.send("/admin/keys", name="partner")
    answer = await visitor.send("/admin/keys/1/rotate")
    assert "ak_" + "0" * 63 + "2</output>" in answer.text
    await visitor.send("/admin/keys/1/scope", users="U1")
    assert visitor.store.keys[1].scope == Scope(users=frozenset({"U1"}))
    answer = await visitor.send("/admin/keys/1/revoke")
    assert answer.headers["location"] == "/admin/keys?notice=key_revoked"
    page = await visitor.see("/admin/keys?notice=key_revoked")
    assert "live streams end within 5 seconds" in page.text
    assert "Revoke…" not in page.text
    answer = await visitor.send("/admin/keys/1/rotate")
    assert answer.status_code == 400
    assert "was revoked; add another" in answer.text


async def test_what_is_wrong_is_told_beside_the_form(visitor: Visitor) -> None:
    """A scope, or a name."""
    answer = await visitor.send("/admin/keys", name="partner", bots="weather")
    assert answer.status_code == 400
    assert "bots are given by their numbers" in answer.text
    assert visitor.store.keys == {}
    await visitor.send("/admin/keys", name="partner")
    assert (await visitor.send("/admin/keys/1/scope", bots="x")).status_code == 400


async def test_a_key_that_opens_nothing_says_so(visitor: Visitor) -> None:
    """An empty set is not everything."""
    await visitor.store.create_key("shut", Scope(bots=frozenset()))
    assert "<li>bots: <b>none</b></li>" in (await visitor.see("/admin/keys")).text
