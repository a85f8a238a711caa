from __future__ import annotations

import pytest

from relay.web.admin.page_render import (
    CSP,
    Renderer,
    ago,
    milliseconds,
    moment,
    number,
    percent,
    short,
)


def test_a_page_is_escaped_and_kept_by_no_cache() -> None:
    """Under a policy that allows nothing from elsewhere, and no script within the page."""
    page = Renderer().page("error.html", 404, code=404, message="<script>alert(1)</script>")
    assert page.status_code == 404
    assert b"&lt;script&gt;" in page.body
    assert b"<script>alert" not in page.body
    assert page.headers["Content-Security-Policy"] == CSP
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["X-Content-Type-Options"] == "nosniff"


def test_the_policy_is_strict() -> None:
    """Neither `unsafe-inline` nor another host, for anything."""
    assert CSP.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in CSP
    assert "http" not in CSP


def test_a_moment_is_utc_for_people_and_exact_for_scripts() -> None:
    """The script turns it into local time."""
    assert moment(1_772_181_665.25) == (
        '<time datetime="2026-02-27T08:41:05.250Z">2026-02-27 08:41:05</time>'
    )
    assert "–" in moment(None)


@pytest.mark.parametrize(
    ("distance", "words"),
    [(0, "now"), (12, "12 s ago"), (7200, "2 h ago"), (-540, "in 9 min"), (200_000, "2 d ago")],
)
def test_a_distance_in_time_is_told_roughly(distance: float, words: str) -> None:
    """In one unit."""
    assert ago(1_000_000.0 - distance, 1_000_000.0) == words


def test_what_never_was_is_told_so() -> None:
    """A key that nobody has used."""
    assert ago(None, 5.0) == "never"
    assert milliseconds(None) == number(None) == "–"


@pytest.mark.parametrize(
    ("rate", "words"),
    [(0, "0 %"), (1, "100 %"), (0.125, "12.5 %"), (0.0004, "0.04 %"), (0.0000001, "0.01 %")],
)
def test_a_loss_is_never_rounded_to_none(rate: float, words: str) -> None:
    """0 % means that nothing was lost."""
    assert percent(rate) == words


def test_a_long_id_is_cut_and_a_short_one_is_not() -> None:
    """The page gives the whole as a title."""
    assert short("a" * 12) == "a" * 12
    assert short("a" * 13) == "a" * 11 + "…"
    assert number(12345) == "12,345"
