from __future__ import annotations

from relay.web.admin.lockout import ATTEMPTS_MAX
from tests.support.admin import ADMIN_TOKEN
from tests.support.admin_page import Visitor, hidden


async def test_the_token_opens_and_the_cookie_does_not_hold_it() -> None:
    """One login, and then the pages."""
    visitor = Visitor()
    answer = await visitor.log_in(onward="/admin/traces?status=anomaly")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/admin/traces?status=anomaly"
    assert ADMIN_TOKEN not in answer.headers["set-cookie"]
    assert "HttpOnly; SameSite=Strict" in answer.headers["set-cookie"]
    assert (await visitor.see("/admin")).status_code == 200


async def test_a_wrong_token_opens_nothing_and_is_not_shown_again() -> None:
    """The form comes back with what is wrong, and where it was going to."""
    visitor = Visitor()
    answer = await visitor.log_in("adm_wrong", onward="/admin/keys")
    assert answer.status_code == 401
    assert "not known, or was revoked" in answer.text
    assert "adm_wrong" not in answer.text
    assert hidden(answer, "next") == "/admin/keys"
    assert (await visitor.see("/admin")).status_code == 303


async def test_too_many_wrong_ones_have_to_wait() -> None:
    """Also the right one, until the lock is over; the answer says when."""
    visitor = Visitor()
    for _ in range(ATTEMPTS_MAX):
        assert (await visitor.log_in("adm_wrong")).status_code == 401
    answer = await visitor.log_in()
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "10"
    assert "try again in 10 s" in answer.text


async def test_another_site_cannot_log_a_browser_in() -> None:
    """A form that this browser was not shown is refused, and counts as no attempt."""
    visitor = Visitor()
    fields = {"login": "invented", "token": ADMIN_TOKEN}
    assert (await visitor.http.post("/admin/login", data=fields)).status_code == 403
    await visitor.see("/admin/login")
    assert (await visitor.http.post("/admin/login", data=fields)).status_code == 403


async def test_a_logout_ends_the_session_and_not_only_the_cookie() -> None:
    """A copy of the cookie is of no use."""
    visitor = Visitor()
    await visitor.log_in()
    copy = dict(visitor.http.cookies)
    answer = await visitor.send("/admin/logout")
    assert answer.headers["location"] == "/admin/login?logged_out"
    assert "You are logged out." in (await visitor.see("/admin/login?logged_out")).text
    visitor.http.cookies.update(copy)
    assert (await visitor.see("/admin")).status_code == 303


async def test_the_cookie_keeps_to_https_where_the_browser_came_by_it() -> None:
    """Behind a proxy that says so."""
    visitor = Visitor()
    visitor.http.headers["X-Forwarded-Proto"] = "https"
    visitor.http.base_url = "https://relay"
    answer = await visitor.log_in()
    assert answer.headers["set-cookie"].endswith("; Secure")


async def test_a_database_that_is_away_is_told_at_the_login() -> None:
    """And no attempt is counted."""
    visitor = Visitor()
    form = await visitor.see("/admin/login")
    visitor.store.away = True
    fields = {"login": hidden(form, "login"), "token": ADMIN_TOKEN}
    assert (await visitor.http.post("/admin/login", data=fields)).status_code == 503
