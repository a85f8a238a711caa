"""Makes pages out of templates: escaped, with the words and numbers as operators read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from relay.admin.story import seconds
from relay.release import release

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every answer of the page, its scripts and its styles."""

NO_STORE: Final[Mapping[str, str]] = {**HEADERS, "Cache-Control": "no-store"}
"""What people said and what opens the relay does not lie in a browser's cache."""

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0


class Renderer:
    """The templates of this package. What a bot or a device controls is escaped by default."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("relay.web.admin"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            moment=moment, ago=ago, ms=milliseconds, percent=percent, short=short, number=number
        )
        self._environment.globals["version"] = release()

    def page(self, template: str, status: int = 200, **values: object) -> HTMLResponse:
        """Return the page of a template."""
        text = self._environment.get_template(template).render(**values)
        return HTMLResponse(text, status_code=status, headers=dict(NO_STORE))


def moment(at: float | None) -> Markup:
    """Return Unix seconds as `<time>` in UTC; the page's script turns it into local time."""
    if at is None:
        return Markup('<span class="none">–</span>')
    when = datetime.fromtimestamp(at, UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        when.strftime("%Y-%m-%d %H:%M:%S"),
    )


def ago(at: float | None, now: float) -> str:
    """Return how long ago something was, roughly: `12 s ago`, `3 h ago`, `in 9 min`."""
    if at is None:
        return "never"
    distance = abs(now - at)
    for unit, size in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE), ("s", 1.0)):
        if distance >= size:
            words = f"{distance / size:.0f} {unit}"
            return f"{words} ago" if now >= at else f"in {words}"
    return "now"


def milliseconds(value: float | None) -> str:
    """Return a delay with a fitting unit, a dash where there is none."""
    return "–" if value is None else seconds(value)


def percent(rate: float) -> str:
    """Return a rate as `0 %`, `0.04 %`, `12.5 %`: never 0 for what happened."""
    value = rate * 100
    if value in (0.0, 100.0):
        return f"{value:.0f} %"
    return f"{value:.1f} %" if value >= 0.1 else f"{max(value, 0.01):.2f} %"  # noqa: PLR2004


def short(text: str, length: int = 12) -> str:
    """Return the beginning of an id; pages give the whole as its title."""
    return text if len(text) <= length else text[: length - 1] + "…"


def number(value: int | None) -> str:
    """Return a count with separated thousands."""
    return "–" if value is None else f"{value:,}"
