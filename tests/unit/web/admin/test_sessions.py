from __future__ import annotations

import pytest
from itsdangerous import URLSafeSerializer
from starlette.types import Scope

from relay.clock import ManualClock
from relay.web.admin.gate import AdminSession
from relay.web.admin.sessions import COOKIE, LOGIN_COOKIE, SESSION_S, Sessions, is_https

SECRET = b"s" * 32


@pytest.fixture
def clock() -> ManualClock:
    """Time of its own."""
    return ManualClock(1_000.0)


@pytest.fixture
def sessions(clock: ManualClock) -> Sessions:
    """Sessions that are signed with `SECRET`."""
    return Sessions(SECRET, clock.now)


def request(cookies: str = "", scheme: str = "http", **headers: str) -> Scope:
    """A request with these cookies."""
    named = {"cookie": cookies, **{name.replace("_", "-"): text for name, text in headers.items()}}
    raw = [(name.encode(), text.encode()) for name, text in named.items()]
    return {"type": "http", "scheme": scheme, "headers": raw}


def value(set_cookie: str) -> str:
    """What the browser sends back."""
    return set_cookie.partition(";")[0]


def read(sessions: Sessions, cookies: str) -> AdminSession:
    """The session of a request with these cookies, which has one."""
    session = sessions.session_of(request(cookies))
    assert session is not None
    return session


def test_a_session_is_known_again_and_survives_a_restart(clock: ManualClock) -> None:
    """Only the signing key is needed; another process has it too."""
    cookie = value(Sessions(SECRET, clock.now).start(7, secure=False))
    session = read(Sessions(SECRET, clock.now), f"other=1; bad[=x; {cookie}")
    assert session.admin_id == 7
    assert len(session.csrf) >= 22


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(sessions: Sessions) -> None:
    """And of everything of the relay but the page and its API."""
    attributes = sessions.start(7, secure=True).split("; ")[1:]
    assert attributes == [
        "Path=/admin", f"Max-Age={SESSION_S:.0f}", "HttpOnly", "SameSite=Strict", "Secure",
    ]  # fmt: skip
    assert "Secure" not in sessions.start(7, secure=False)


def test_a_session_ends_after_its_time(sessions: Sessions, clock: ManualClock) -> None:
    """Whatever the browser does with the cookie."""
    cookie = value(sessions.start(7, secure=False))
    clock.advance(SESSION_S - 1)
    assert sessions.session_of(request(cookie)) is not None
    clock.advance(1)
    assert sessions.session_of(request(cookie)) is None


def test_a_logout_ends_the_cookie_and_not_only_the_browsers_copy(sessions: Sessions) -> None:
    """A copy that somebody else took is of no use either; another session goes on."""
    cookie, other = (value(sessions.start(7, secure=False)) for _ in range(2))
    ended = sessions.end(read(sessions, cookie))
    assert "Max-Age=0" in ended
    assert value(ended) == f"{COOKIE}="
    assert sessions.session_of(request(cookie)) is None
    assert sessions.session_of(request(other)) is not None


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "7",
        URLSafeSerializer(b"another key", salt="relay.admin-session").dumps([7, "x", 2**40]),
        URLSafeSerializer(SECRET, salt="relay.stream-ticket").dumps([7, "x", 2**40]),
        URLSafeSerializer(SECRET, salt="relay.admin-session").dumps(["7", "x", 2**40]),
        "x" * 5000,
    ],
)
def test_what_was_not_made_here_is_no_session(sessions: Sessions, forged: str) -> None:
    """Another key, another purpose of the same key, another shape."""
    assert sessions.session_of(request(f"{COOKIE}={forged}")) is None


def test_a_changed_cookie_is_no_session(sessions: Sessions) -> None:
    """Not one character of it."""
    cookie = value(sessions.start(7, secure=False))
    changed = cookie.replace("=W", "=X", 1)
    assert changed != cookie
    assert sessions.session_of(request(changed)) is None


def test_a_login_form_is_only_taken_from_the_browser_that_was_shown_it(sessions: Sessions) -> None:
    """Else another site could log a browser in as somebody else."""
    token, set_cookie = sessions.offer_login(request(), secure=False)
    assert sessions.login_is_ours(request(value(set_cookie)), token)
    assert not sessions.login_is_ours(request(value(set_cookie)), "")
    assert not sessions.login_is_ours(request(), token)
    assert not sessions.login_is_ours(request(), "")


def test_a_second_window_leaves_the_first_ones_form_good(sessions: Sessions) -> None:
    """The browser keeps its cookie; what was not made here is replaced."""
    token, set_cookie = sessions.offer_login(request(), secure=False)
    again, _ = sessions.offer_login(request(value(set_cookie)), secure=False)
    assert again == token
    for planted in ("short", "<script>" * 3, "x" * 25):
        fresh, _ = sessions.offer_login(request(f"{LOGIN_COOKIE}={planted}"), secure=False)
        assert len(fresh) == 24
        assert fresh != planted


def test_a_proxy_may_say_that_the_browser_came_by_https() -> None:
    """Then the cookie keeps to https."""
    assert is_https(request(scheme="https"))
    assert is_https(request(x_forwarded_proto="HTTPS, http"))
    assert not is_https(request(x_forwarded_proto="http"))
    assert not is_https(request())
