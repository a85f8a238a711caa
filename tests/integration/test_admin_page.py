"""The admin page in a headless Chromium, as an operator works with it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Page, expect

from relay.admin.people import Scope
from relay.web.admin.lockout import ATTEMPTS_MAX
from tests.support.admin import FakeAdminStore, FakeLive, live_stream, trace_row
from tests.support.admin_page import (
    held,
    incident,
    long_answer,
    page_app,
    serving,
    some_day,
)
from tests.support.browser import CONTRAST, NAMELESS, chromium, log_in, looking

pytestmark = pytest.mark.needs("chromium")

PAGES = [
    "/admin",
    "/admin/traces",
    "/admin/traces?status=anomaly&span=24h",
    "/admin/traces/trace-0001",
    "/admin/traces/trace-0003",
    "/admin/traces/trace-0004",
    "/admin/live",
    "/admin/bots",
    "/admin/keys",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all; each test has windows of its own, with cookies of their own."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def store() -> FakeAdminStore:
    """A day of streams, among them the incident; some bots and keys."""
    store = FakeAdminStore(
        [incident(1), incident(2, repaired=True), held(3), long_answer(4), *some_day(120)]
    )

    have(store.create_bot("weather", user_id="U1"))
    have(store.create_bot("kitchen", user_id=None))
    have(store.create_key("production", Scope()))
    have(store.create_key("partner", Scope(agents=frozenset({"a" * 32}))))
    have(store.create_binding(2))
    return store


@pytest.fixture
def live() -> FakeLive:
    """Two open streams."""
    return FakeLive([live_stream(1), live_stream(2, missing=1, bot_connected=False)], {1})


@pytest.fixture
def url(store: FakeAdminStore, live: FakeLive) -> Iterator[str]:
    """Where the page and its API are served."""
    with serving(page_app(store, live)) as url:
        yield url


def have(wish: Coroutine[object, object, object]) -> None:
    """Have the store in memory do something: the browser's own loop runs in this thread."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, wish).result()


def tab_to(page: Page, selector: str) -> None:
    """Press the tab key until this has the focus, which must be seen."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("(s) => document.activeElement.matches(s)", selector):
            outline = "getComputedStyle(document.activeElement).outlineStyle"
            assert page.evaluate(outline) != "none"
            return
    raise AssertionError(f"the tab key does not lead to {selector}")


def test_from_the_login_to_the_lost_chunks_by_keyboard_alone(browser: Browser, url: str) -> None:
    """The token, Enter, the search box, and the rows of the drawing by the arrow keys."""
    with looking(browser, url) as page:
        page.goto("/admin")
        # A browser gives the focus behind the load, and drops what is typed before.
        expect(page.locator("#token")).to_be_focused()
        page.keyboard.insert_text("adm_" + "a" * 64)
        page.keyboard.press("Enter")
        page.wait_for_selector(".top")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        tab_to(page, "nav a[href='/admin/traces']")
        page.keyboard.press("Enter")
        page.wait_for_url("**/admin/traces")
        tab_to(page, "a[href^='/admin/traces/trace-0001']")
        page.keyboard.press("Enter")
        expect(page.locator(".story")).to_contain_text("57 of 60 chunks reached the device.")
        tab_to(page, ".drawing")
        page.keyboard.press("End")
        expect(page.locator(".tip")).to_have_text("Chunk 59\nMISSING, never arrived")
        page.keyboard.press("ArrowUp")
        expect(page.locator("[data-said]")).to_contain_text("Chunk 58")
        page.keyboard.press("Escape")
        expect(page.locator(".tip")).to_be_hidden()


def test_wrong_tokens_are_told_and_then_have_to_wait(browser: Browser, url: str) -> None:
    """Until then the form is there again; the right one is no way round the lock."""
    with looking(browser, url) as page:
        page.goto("/admin/login")
        for _ in range(ATTEMPTS_MAX):
            page.fill("#token", "adm_wrong")
            page.keyboard.press("Enter")
            expect(page.locator("[role=alert]")).to_contain_text("not known, or was revoked")
        page.fill("#token", "adm_" + "a" * 64)
        page.keyboard.press("Enter")
        expect(page.locator("[role=alert]")).to_contain_text("try again in 10 s")


def test_a_form_with_another_token_is_refused(
    browser: Browser, url: str, store: FakeAdminStore
) -> None:
    """403, and nothing has changed."""
    with looking(browser, url) as page:
        log_in(page, "/admin/bots")
        page.evaluate("document.querySelector('.add [name=csrf]').value = 'invented'")
        page.fill("#name", "intruder")
        with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
            page.click("text=Add bot")
        assert answered.value.status == 403
        assert "intruder" not in {bot.name for bot in store.bots.values()}


def test_filters_are_chosen_and_end_up_in_the_address(browser: Browser, url: str) -> None:
    """Without empty ones; a chip takes one away; a head sorts; the search box jumps."""
    with looking(browser, url) as page:
        log_in(page, "/admin/traces")
        page.click("summary:text('Filter')")
        page.select_option("#f-status", "anomaly")
        page.select_option("#f-loss_position", "tail")
        page.click("text=Apply")
        page.wait_for_url("**/admin/traces?status=anomaly&loss_position=tail")
        found = page.locator("tr.anomaly").count()
        assert found == page.locator("tbody tr").count() > 1
        page.click("th >> text=Chunks")
        page.wait_for_url("**&sort=chunks&dir=desc")
        expect(page.locator("th[aria-sort=descending]")).to_contain_text("Chunks")
        page.click(".chosen a >> text=Lost where")
        page.wait_for_url("**/admin/traces?status=anomaly&sort=chunks&dir=desc")
        expect(page.locator("tbody tr").first).to_contain_text("5,000 -> 4,959")
        page.fill("#find", "stream-0003")
        page.keyboard.press("Enter")
        page.wait_for_url("**/admin/traces/trace-0003")


def test_times_are_the_operators_own(browser: Browser, url: str) -> None:
    """In Beijing the stream of 15:05:40 UTC was at 23:05:40, and is found by that."""
    with looking(browser, url, zone="Asia/Shanghai") as page:
        log_in(page, "/admin/traces")
        first = page.locator("a[href^='/admin/traces/trace-0001'] time")
        expect(first).to_have_text("2025-06-15 23:05:40")
        expect(first).to_have_attribute("title", "2025-06-15 15:05:40 UTC")
        page.click("summary:text('Filter')")
        page.fill("#f-since", "2025-06-15T23:05:40")
        page.fill("#f-until", "2025-06-15T23:05:41")
        page.click("text=Apply")
        page.wait_for_url("**tz=480")
        assert page.locator("tbody tr").count() == 1
        expect(page.locator("tbody tr")).to_contain_text("60 -> 57")
        assert page.input_value("#f-since") == "2025-06-15T23:05:40"


def test_hovering_over_the_drawing_tells_exact_times(browser: Browser, url: str) -> None:
    """Of each row; the missing ones are red, and the table says the same."""
    with looking(browser, url) as page:
        log_in(page, "/admin/traces/trace-0001")
        rows = page.locator("svg.timeline .chunk")
        assert rows.count() == 60
        rows.nth(20).hover()
        tip = page.locator(".tip")
        expect(tip).to_contain_text(re.compile(r"^Chunk 20\nreceived   4,\d\d\d\.\d ms"))
        rows.nth(58).hover()
        expect(tip).to_have_text("Chunk 58\nMISSING, never arrived")
        page.mouse.move(0, 0)
        expect(tip).to_be_hidden()
        page.click("text=The same as a table")
        assert page.locator(".figures-table tr.anomaly").count() == 3
        page.goto("/admin")
        page.locator(".slot").nth(90).hover()
        expect(page.locator(".tip")).to_contain_text("UTC\nstreams")


PAYLOAD = "\"'><script>alert(1)</script><img src=x onerror=alert(1)><svg onload=alert(1)>"


def test_what_bots_and_devices_say_never_runs(browser: Browser) -> None:
    """Each field that they control, on each page, also in what the live feed brings later."""
    row = replace(
        incident(1), user_id=PAYLOAD, message_id=PAYLOAD, agent_id=PAYLOAD, sdk_version=PAYLOAD,
        sdk_content=PAYLOAD, sse_content=PAYLOAD + "more", loss_position=PAYLOAD, loss_hop=PAYLOAD,
        outcome=PAYLOAD, anomaly={PAYLOAD: PAYLOAD, "detail": PAYLOAD},
        events=[{"type": PAYLOAD, "data": {PAYLOAD: PAYLOAD}, "timestamp": PAYLOAD, "ms": 1.0}],
    )  # fmt: skip
    hostile = {"user_id": PAYLOAD, "message_id": PAYLOAD, "sdk_version": PAYLOAD}
    live = FakeLive([live_stream(1, stream_id=PAYLOAD, status=PAYLOAD, **hostile)])
    store = FakeAdminStore([row])
    have(store.create_bot(PAYLOAD, user_id=PAYLOAD))
    have(store.create_key(PAYLOAD, Scope(users=frozenset({PAYLOAD}))))
    with serving(page_app(store, live)) as url, looking(browser, url) as page:
        log_in(page)
        for path in ["/admin/live", "/admin", "/admin/traces", "/admin/traces/trace-0001"]:
            page.goto(path)
            assert page.locator("main").text_content() != ""
            if path == "/admin/live":
                expect(page.locator("[data-state]")).to_have_text("live")
                live.streams.append(live_stream(2, stream_id=PAYLOAD + "2", **hostile))
                expect(page.locator("tbody tr")).to_have_count(2)
        for path in ["/admin/bots", "/admin/keys", "/admin/traces/trace-0001"]:
            page.goto(path)
            assert "alert(1)" in (page.locator("main").text_content() or "")
            assert page.locator("main img, main script, main svg[onload]").count() == 0
        page.locator("svg.timeline .chunk").first.hover()


def test_the_live_page_follows_by_itself(browser: Browser, url: str, live: FakeLive) -> None:
    """A stream opens, goes on and closes without anybody touching the page."""
    with looking(browser, url) as page:
        log_in(page, "/admin/live")
        expect(page.locator("[data-state]")).to_have_text("live")
        expect(page.locator("tbody tr")).to_have_count(2)
        live.streams.append(live_stream(3, bot_id=1, received=0))
        row = page.locator("tr[data-stream=live-0003]")
        expect(row).to_contain_text("weather")
        expect(page.locator("[data-count]")).to_have_text("3")
        live.streams[-1] = replace(live.streams[-1], received=41, missing=2)
        expect(row).to_contain_text("41")
        expect(row).to_have_class("anomaly")
        live.streams.clear()
        expect(page.locator("[data-empty]")).to_be_visible()
        expect(page.locator("tbody tr")).to_have_count(0)


def test_a_key_is_made_copied_rotated_and_revoked(
    browser: Browser, url: str, store: FakeAdminStore
) -> None:
    """Its secret is shown once; what cannot be undone asks first."""
    with looking(browser, url) as page:
        log_in(page, "/admin/keys")
        page.fill("#name", "new one")
        page.fill("#bots-new", "1, 2")
        page.click("text=Add key")
        secret = page.locator("#secret").text_content()
        page.click("text=Copy")
        expect(page.locator("[data-copy]")).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == secret
        assert str(secret) not in page.url
        page.click("text=Done")
        row = page.locator("tr", has_text="new one")
        expect(row).to_contain_text("bots: 1 2")
        assert str(secret) not in page.content()
        row.locator("text=New secret…").click()
        row.locator("text=Make a new secret").click()
        assert page.locator("#secret").text_content() != secret
        page.click("text=Done")
        row.locator("summary:text('Revoke…')").click()
        assert all(key.revoked_at is None for key in store.keys.values())
        row.locator("text=Revoke the key").click()
        expect(page.locator("[role=status]")).to_contain_text("revoked")
        expect(row).to_contain_text("revoked")
        assert row.locator("summary").count() == 0


def test_a_user_is_bound_by_a_code(browser: Browser, url: str, store: FakeAdminStore) -> None:
    """Large enough for a camera, black on white also in the dark."""
    with looking(browser, url, width=390, scheme="dark") as page:
        log_in(page, "/admin/bots")
        page.locator("tr", has_text="weather").locator("text=Bind a user").click()
        box = page.locator(".secret .code svg").bounding_box()
        assert box is not None
        assert box["width"] >= 200
        assert len(store.codes) == 2
        expect(page.locator(".secret")).to_contain_text("in 9 min")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_a_phone_and_can_be_read(browser: Browser, url: str, scheme: str) -> None:
    """No page is wider than the phone, each text has contrast, and what can be used has a name."""
    assert scheme in {"light", "dark"}
    with looking(browser, url, width=360, scheme="dark" if scheme == "dark" else "light") as page:
        page.goto("/admin/login")
        assert page.evaluate(CONTRAST) == []
        log_in(page)
        for path in PAGES:
            page.goto(path)
            wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wider <= 0, path
            assert page.evaluate(CONTRAST) == [], path
            assert page.evaluate(NAMELESS) == [], path


def test_everything_works_without_scripts(
    browser: Browser, url: str, store: FakeAdminStore
) -> None:
    """Login, filter, a trace with its drawing, a deletion, a new bot; the live page reloads."""
    with looking(browser, url, scripts=False) as page:
        log_in(page, "/admin/traces")
        page.click("summary:text('Filter')")
        page.select_option("#f-loss_hop", "both")
        page.click("text=Apply")
        page.locator("td.asked a").click()
        assert page.locator("svg.timeline .chunk").count() > 60
        assert page.locator("svg.timeline .chunk title").first.text_content() != ""
        page.click("text=Delete this trace…")
        page.get_by_role("button", name="Delete this trace").click()
        expect(page.locator("[role=status]")).to_have_text("The trace was deleted.")
        assert "trace-0004" not in store.rows
        page.goto("/admin/bots")
        page.fill("#name", "plain")
        page.click("text=Add bot")
        expect(page.locator("#secret")).to_be_visible()
        page.goto("/admin/live")
        assert page.locator("meta[http-equiv=refresh]").count() == 1


def test_a_logout_ends_it_for_every_window(browser: Browser, url: str) -> None:
    """The next click leads to the login, and from there back."""
    with looking(browser, url) as page:
        log_in(page)
        other = page.context.new_page()
        other.goto("/admin/keys")
        page.click("text=Log out")
        expect(page.locator("[role=status]")).to_have_text("You are logged out.")
        other.click("nav >> text=Bots")
        expect(other.locator("#token")).to_be_visible()
        other.fill("#token", "adm_" + "a" * 64)
        other.keyboard.press("Enter")
        other.wait_for_url("**/admin/bots")


def test_an_export_is_downloaded_from_the_page(browser: Browser, url: str) -> None:
    """With the session's cookie, by the filter that is set."""
    with looking(browser, url) as page:
        log_in(page, "/admin/traces?user_id=U1&status=anomaly")
        with page.expect_download() as started:
            page.click("text=CSV")
        lines = started.value.path().read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("trace_id,")
        assert sum(line.startswith("trace-") for line in lines) >= 3


def test_a_whole_answer_is_calm(browser: Browser) -> None:
    """Nothing is red where nothing is wrong."""
    store = FakeAdminStore([trace_row(1)])
    with serving(page_app(store, FakeLive())) as url, looking(browser, url) as page:
        log_in(page, "/admin/traces/trace-0001")
        expect(page.locator(".story")).to_have_text("All 3 chunks reached the device.")
        assert page.locator(".bad, .lost.band, .badge.loss").count() <= 1
