"""A token as a QR code, for a page to show and a camera to read."""

from __future__ import annotations

from typing import Final

import segno

TITLE: Final = "QR code of the binding token"

QUIET_MODULES: Final = 4
"""White around the code, which ISO/IEC 18004 asks for: without it a dark page hides the edge."""


def qr_svg(text: str) -> str:
    """Return an `<svg>` of this text, black on white on any page, as wide as its place allows.

    It has a title for those who cannot see it, and neither a style nor a script, which a strict
    Content-Security-Policy would leave out.
    """
    # Level Q: a quarter of it may be covered by a glare, and ten characters still fit 25 modules.
    code = segno.make_qr(text, error="q", boost_error=False)
    return code.svg_inline(
        title=TITLE,
        border=QUIET_MODULES,
        dark="#000",
        light="#fff",
        omitsize=True,
        svgclass="qr",
        lineclass=None,
    )
