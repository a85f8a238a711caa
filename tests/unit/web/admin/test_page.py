from __future__ import annotations

import re
from pathlib import Path

import pytest

from relay.web.admin.page import STATIC
from relay.web.admin.page_render import CSP
from tests.support.admin_page import Visitor

TEMPLATES = STATIC.with_name("templates")


@pytest.mark.parametrize("name", ["admin.css", "admin.js", "live.js", "icon.svg"])
async def test_files_are_served_with_the_pages_headers(name: str) -> None:
    """To everybody, as the login needs them; a browser asks whether they are the newest."""
    answer = await Visitor().see(f"/admin/static/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == CSP
    assert answer.headers["cache-control"] == "no-cache"
    assert "etag" in answer.headers


@pytest.mark.parametrize("path", ["../page.py", "..%2fpage.py", "nothing.js", ""])
async def test_nothing_else_is_served(path: str) -> None:
    """No source, no list of files."""
    assert (await Visitor().see(f"/admin/static/{path}")).status_code in {404, 405}


@pytest.mark.parametrize("path", [*TEMPLATES.iterdir(), *STATIC.iterdir()], ids=lambda p: p.name)
def test_no_file_needs_what_the_policy_refuses(path: Path) -> None:
    """No script or style within a page, no handler in an attribute, no other host."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"<style|\bstyle=|\bon[a-z]+=\"|javascript:", text)
    assert not re.search(r"(src|href|url\()=?[\"']?(https?:)?//", text)


async def test_headings_labels_and_language_are_there_for_readers_of_the_screen() -> None:
    """One h1, a language, a way past the head of the page, and a label for each field."""
    visitor = Visitor()
    await visitor.log_in()
    for path in ("/admin", "/admin/traces", "/admin/live", "/admin/bots", "/admin/keys"):
        page = (await visitor.see(path)).text
        assert '<html lang="en">' in page
        assert len(re.findall(r"<h1\b", page)) == 1
        assert '<a class="skip" href="#content">' in page
        shown = re.findall(r"<(?:input|select)\b(?![^>]*type=\"(?:hidden|checkbox)\")[^>]*>", page)
        for tag in shown:
            found = re.search(r'\bid="([^"]+)"', tag)
            assert found is not None, tag
            assert f'<label for="{found[1]}"' in page or f'for="{found[1]}"' in page, tag
        ids = re.findall(r'\bid="([^"]+)"', page)
        assert len(ids) == len(set(ids))
