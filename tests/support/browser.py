"""A headless Chromium, and pages in it that are watched: what they ask for and complain of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Dialog, Page, sync_playwright

from tests.support.admin import ADMIN_TOKEN
from tests.tools import find_program

WAIT_MS = 10_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Debian's Chromium until the block ends."""
    program = find_program("chromium")
    assert program is not None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            # Root has no sandbox, and containers a small /dev/shm.
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Seen:
    """What a page did while it was looked at."""

    url: str
    complaints: list[str] = field(default_factory=list)
    """Errors of scripts, and what the Content-Security-Policy refused."""
    popped_up: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    """Requests to another host."""

    def watch(self, page: Page) -> None:
        page.on("console", lambda message: self._said(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", self._pops_up)
        page.on("request", lambda request: self._asked(request.url))

    def _said(self, kind: str, text: str) -> None:
        # Which status a page had is for the test to say.
        if kind in {"error", "warning"} and "Failed to load resource" not in text:
            self.complaints.append(text)

    def _pops_up(self, dialog: Dialog) -> None:
        self.popped_up.append(dialog.message)
        dialog.dismiss()

    def _asked(self, url: str) -> None:
        if urlsplit(url).scheme != "data" and not url.startswith(self.url):
            self.elsewhere.append(url)


@contextmanager
def looking(
    browser: Browser,
    url: str,
    *,
    width: int = 1280,
    scheme: Literal["light", "dark"] = "light",
    scripts: bool = True,
    zone: str = "UTC",
) -> Iterator[Page]:
    """A window of its own. Whatever is done in it: no complaint, no pop-up, no other host."""
    context = browser.new_context(
        base_url=url,
        viewport={"width": width, "height": 900},
        color_scheme=scheme,
        java_script_enabled=scripts,
        timezone_id=zone,
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(WAIT_MS)
    seen = Seen(url)
    page = context.new_page()
    seen.watch(page)
    try:
        yield page
        assert (seen.complaints, seen.popped_up, seen.elsewhere) == ([], [], [])
    finally:
        context.close()


def log_in(page: Page, path: str = "/admin") -> None:
    """Log in as a person does, on the way to a page."""
    page.goto(path)
    page.fill("#token", ADMIN_TOKEN)
    page.click("text=Log in")
    page.wait_for_selector(".top, [role=alert]")
    assert page.locator("[role=alert]").all_text_contents() == []


CONTRAST = """() => {
  const channel = (byte) => {
    const v = byte / 255;
    return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  };
  const light = ([r, g, b]) => .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
  const colour = (text) => {
    const n = text.match(/[\\d.]+/g).map(Number);
    return n.length < 4 ? [...n, 1] : n;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = colour(getComputedStyle(at).backgroundColor);
      if (found[3] > .99) return found;
    }
    return [255, 255, 255, 1];
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const svg = element.closest("svg");
    const front = colour(svg ? style.fill : style.color);
    const [a, b] = [light(front), light(behind(element))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    const words = walker.currentNode.textContent.trim().slice(0, 40);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${words}`);
  }
  return poor;
}"""
"""Returns each visible text whose contrast to what is behind it is below 4.5 (WCAG 2.2, AA)."""

NAMELESS = """() => {
  const used = document.querySelectorAll("a, button, input, select, summary, svg[role=img]");
  return [...used]
    .filter((e) => e.type !== "hidden" && e.checkVisibility())
    .filter((e) => !(e.textContent.trim() || e.ariaLabel || e.title || e.labels?.length))
    .map((e) => e.outerHTML.slice(0, 90));
}"""
"""Returns what can be used and has no name for those who do not see it."""
