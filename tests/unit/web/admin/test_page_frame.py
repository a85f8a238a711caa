from __future__ import annotations

import pytest

from relay.web.admin.page_frame import FORM_BYTES_MAX, safe_next
from tests.support.admin import trace_row
from tests.support.admin_page import Visitor, hidden


@pytest.fixture
async def visitor() -> Visitor:
    """Somebody who is logged in."""
    visitor = Visitor()
    await visitor.log_in()
    return visitor


PAGES = ["/admin", "/admin/traces", "/admin/traces/trace-0001", "/admin/live", "/admin/bots"]
PAGES += ["/admin/keys", "/admin/find?q=x"]


@pytest.mark.parametrize("path", PAGES)
async def test_nothing_is_shown_to_those_who_are_not_logged_in(path: str) -> None:
    """They are led to the login, and from there back to where they wanted to go."""
    visitor = Visitor()
    visitor.store.rows["trace-0001"] = trace_row()
    answer = await visitor.see(path)
    assert (answer.status_code, answer.text) == (303, "")
    assert answer.headers["location"].startswith("/admin/login?next=%2Fadmin")


FORMS = ["/admin/traces/delete", "/admin/traces/trace-0001/delete", "/admin/bots", "/admin/logout"]
FORMS += [f"/admin/bots/1/{what}" for what in ("rotate", "revoke", "unbind", "binding")]
FORMS += ["/admin/keys", "/admin/bindings/1/delete"]
FORMS += [f"/admin/keys/1/{what}" for what in ("rotate", "revoke", "scope")]


@pytest.mark.parametrize("path", FORMS)
async def test_a_form_without_its_token_changes_nothing(visitor: Visitor, path: str) -> None:
    """Another site can make a browser send a form, but cannot know what this session was shown."""
    visitor.store.rows["trace-0001"] = trace_row()
    for csrf in ("", "x" * 24, "ü"):
        answer = await visitor.send(path, csrf=csrf, name="new", sure="yes")
        assert answer.status_code == 403
    assert len(visitor.store.rows) == 1
    assert [visitor.store.bots, visitor.store.keys, visitor.store.codes] == [{}, {}, {}]
    assert (await visitor.see("/admin")).status_code == 200, "the session goes on"


@pytest.mark.parametrize("path", FORMS)
async def test_a_form_without_a_session_is_refused(path: str) -> None:
    """It is not led to the login: what it held would be lost on the way."""
    answer = await Visitor().send(path, csrf="x")
    assert answer.status_code == 401


async def test_a_revoked_token_ends_its_sessions_at_once(visitor: Visitor) -> None:
    """The cookie is still good by itself."""
    csrf = hidden(await visitor.see("/admin"), "csrf")
    del visitor.store.admins[1]
    assert (await visitor.see("/admin")).status_code == 303
    assert (await visitor.send("/admin/bots", csrf=csrf, name="x")).status_code == 401


async def test_a_database_that_is_away_is_no_secret_and_no_crash(visitor: Visitor) -> None:
    """What to do, and nothing of what the driver said."""
    visitor.store.away = True
    answer = await visitor.see("/admin")
    assert answer.status_code == 503
    assert "try again in a moment" in answer.text
    assert "sqlite" not in answer.text


async def test_what_is_no_form_is_refused(visitor: Visitor) -> None:
    """Bytes that are no text, too many fields, too long a body."""
    for body, status in (
        (b"\xff\xfe", 400),
        (b"a=%ff", 400),
        (b"a&" * 300, 400),
        (b"a=" + b"x" * FORM_BYTES_MAX, 413),
    ):
        answer = await visitor.http.post("/admin/bots", content=body)
        assert answer.status_code == status, body[:9]


@pytest.mark.parametrize("number", ["0x1", "-1", "9" * 30, "²", "%00"])
async def test_what_is_no_number_is_not_found(visitor: Visitor, number: str) -> None:
    """Whatever stands in the path."""
    assert (await visitor.send(f"/admin/bots/{number}/rotate")).status_code == 404


@pytest.mark.parametrize(
    "given",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/admin/\\evil",
        "/admin/\r\nSet-Cookie: a=b",
        "javascript:alert(1)",
        "/adminx",
        "/admin/login?next=/admin/login",
        "/admin/logout",
        "",
        "/admin/" + "x" * 3000,
    ],
)
def test_a_login_leads_to_no_other_place(given: str) -> None:
    """Else a link to the login could lead anywhere."""
    assert safe_next(given) == "/admin"


def test_a_login_leads_back() -> None:
    """With the filters that were in the address."""
    for path in ("/admin", "/admin/traces?status=anomaly", "/admin?span=1h"):
        assert safe_next(path) == path


async def test_notices_are_ours(visitor: Visitor) -> None:
    """An address cannot put words into the page's mouth."""
    assert "12 traces were deleted." in (await visitor.see("/admin?notice=deleted_many&n=12")).text
    spoofed = await visitor.see("/admin?notice=Call+0900&n=<b>")
    assert "0900" not in spoofed.text
    assert "Some traces" in (await visitor.see("/admin?notice=deleted_many&n=<b>")).text
