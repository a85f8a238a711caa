"""The admin API on its paths."""

from __future__ import annotations

import pytest

from relay.web.admin.catalog import operations
from relay.web.admin.lockout import ATTEMPTS_MAX
from relay.web.admin.openapi import PREFIX
from relay.web.admin.problems import NotAcceptable, UnsupportedMediaType
from relay.web.admin.routes import BODY_MAX_BYTES, check_accept, check_content_type
from tests.support.admin_api import COOKIE, CSRF, Api, admin_api

PAGES = ["", "/", "/openapi.json", "/reference.css"]


async def test_nobody_is_told_anything_without_a_token() -> None:
    """Not even which paths and methods there are."""
    async with admin_api(headers={}) as api:
        calls = [(one.method, one.path) for one in operations()]
        calls += [("GET", path) for path in [*PAGES, "/nothing"]]
        calls += [("PUT", "/traces"), ("POST", "/openapi.json")]
        for method, path in calls:
            response = await api.call(method, path)
            assert (response.status_code, response.json()["code"]) == (401, "unauthorized")
            assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_the_document_and_its_page_are_served() -> None:
    """With the policy that keeps the page to itself."""
    async with admin_api() as api:
        told = await api.get("/openapi.json")
        page = await api.get("")
        style = await api.get("/reference.css")
    assert PREFIX + "/traces/{trace_id}" in told.json()["paths"]
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert style.headers["Content-Type"].startswith("text/css")


async def test_what_is_not_there_says_so() -> None:
    """A path, a method."""
    async with admin_api() as api:
        missing = await api.get("/nothing/here")
        method = await api.call("PUT", "/keys/1")
        page = await api.call("DELETE", "/openapi.json")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert (method.status_code, method.headers["Allow"]) == (405, "PATCH")
    assert (page.status_code, page.headers["Allow"]) == (405, "GET")


async def test_what_the_caller_does_not_take_is_not_sent() -> None:
    """And not done either, where it would have changed something."""
    async with admin_api() as api:
        refused = await api.get("/bots", Accept="text/html")
        made = await api.call("POST", "/bots", {"name": "a"}, Accept="text/html")
        table = await api.get("/traces/export?format=csv", Accept="text/csv")
        assert api.store.bots == {}
    assert (refused.status_code, refused.json()["code"]) == (406, "not_acceptable")
    assert (made.status_code, table.status_code) == (406, 200)


async def test_a_body_has_to_be_json_and_small() -> None:
    """Said by its header, and by its length."""
    async with admin_api() as api:
        url = f"{PREFIX}/bots"
        as_text = await api.http.post(url, content='{"name": "a"}')
        as_form = await api.http.post(url, data={"name": "a"})
        broken = await api.http.post(
            url, content="{", headers={"Content-Type": "application/json; charset=utf-8"}
        )
        large = await api.call("POST", "/bots", {"name": "a" * BODY_MAX_BYTES})
        assert api.store.bots == {}
    assert [as_text.status_code, as_form.status_code] == [415, 415]
    assert (broken.status_code, broken.json()["code"]) == (400, "bad_request")
    assert (large.status_code, large.json()["code"]) == (413, "limit_reached")


async def test_wrong_tokens_are_answered_with_a_wait() -> None:
    """After so many in a row, for whoever comes from there."""
    async with admin_api() as api:
        for _ in range(ATTEMPTS_MAX):
            wrong = await api.get("/bots", Authorization="Bearer wrong")
            assert wrong.status_code == 401
        locked = await api.get("/bots")
        assert (locked.status_code, locked.json()["code"]) == (429, "too_many_attempts")
        api.clock.advance(float(locked.headers["Retry-After"]))
        assert (await api.get("/bots")).status_code == 200


async def test_a_session_of_the_page_may_call_too() -> None:
    """With its token for whatever changes something."""
    async with admin_api(headers=COOKIE) as api:
        assert (await api.get("/bots")).status_code == 200
        refused = await api.call("POST", "/bots", {"name": "a"})
        assert (refused.status_code, refused.json()["code"]) == (403, "csrf_failed")
        made = await api.call("POST", "/bots", {"name": "a"}, X_CSRF_Token=CSRF)
        assert made.status_code == 201


@pytest.mark.parametrize(("path", "status"), [("/bots", 503), ("/traces/export", 503)])
async def test_a_database_that_is_away_is_no_secret_and_tells_none(path: str, status: int) -> None:
    """503, without the driver's words."""
    async with admin_api() as api:
        api.store.away = True
        response = await api.get(path)
    assert response.status_code == status
    assert "sqlite" not in response.text


async def test_a_mistake_in_the_relay_is_a_500_without_details() -> None:
    """The caller gets JSON, the operator's log the rest."""

    async def broken() -> None:
        raise RuntimeError("a secret")

    async with admin_api() as api:
        _break(api, broken)
        response = await api.get("/bots")
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert "secret" not in response.text


def _break(api: Api, broken: object) -> None:
    api.store.list_bots = broken  # type: ignore[assignment, method-assign]


@pytest.mark.parametrize(
    ("accept", "accepted"),
    [
        (None, True),
        ("", True),
        ("*/*", True),
        ("application/*;q=0.5", True),
        ("text/html, application/json", True),
        ("APPLICATION/JSON", True),
        ("text/html", False),
        ("application/json;q=0", False),
        ("application/json; q=0.000, text/html", False),
        (";;,", False),
    ],
)
def test_an_answer_is_in_a_format_that_the_caller_takes(
    accept: str | None, *, accepted: bool
) -> None:
    """RFC 9110, 12.5.1; a weight of 0 refuses."""
    if accepted:
        check_accept(accept, ("application/json",))
    else:
        with pytest.raises(NotAcceptable):
            check_accept(accept, ("application/json",))
    check_accept(accept, ())


@pytest.mark.parametrize("given", [None, "", "text/json", "application/jsonl", "application/xml"])
def test_only_json_is_read(given: str | None) -> None:
    """Its parameters do not matter."""
    check_content_type("Application/JSON; charset=utf-8")
    with pytest.raises(UnsupportedMediaType):
        check_content_type(given)
