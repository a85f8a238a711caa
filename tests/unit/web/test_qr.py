from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import zxingcpp
from PIL import Image

from relay.web.qr import TITLE, qr_svg


def modules(svg: str) -> Image.Image:
    """Draw the black modules by their path, four pixels each: what a browser shows."""
    root = ET.fromstring(svg)  # noqa: S314 - our own
    size = int(root.attrib["viewBox"].split()[2])
    image = Image.new("L", (size, size), 255)
    path = next(p.attrib["d"] for p in root if p.attrib.get("stroke") == "#000")
    x = y = 0.0
    for letter, numbers in re.findall(r"([Mmh])([-\d. ]+)", path):
        values = [float(value) for value in re.findall(r"-?[\d.]+", numbers)]
        if letter == "h":
            for column in range(int(x), int(x + values[0])):
                image.putpixel((column, int(y)), 0)
            x += values[0]
        else:
            x, y = (values[0], values[1]) if letter == "M" else (x + values[0], y + values[1])
    return image.resize((size * 4, size * 4), Image.Resampling.NEAREST)


def test_a_camera_reads_what_was_written() -> None:
    """The picture that the SVG describes decodes to the text."""
    assert [code.text for code in zxingcpp.read_barcodes(modules(qr_svg("ABCDE-FGHJK")))] == [
        "ABCDE-FGHJK"
    ]


def test_it_is_an_svg_with_a_title_and_without_styles() -> None:
    """A page with `default-src 'none'` shows it, and a screen reader says what it is."""
    svg = qr_svg("ABCDE-FGHJK")
    assert svg.startswith("<svg ")
    assert f"<title>{TITLE}</title>" in svg
    assert "style" not in svg
    assert "<script" not in svg
    assert "<?xml" not in svg


def test_it_is_black_on_white_with_a_quiet_zone() -> None:
    """Four white modules on each side, also on a dark page."""
    image = modules(qr_svg("ABCDE-FGHJK"))
    dark = image.point(lambda value: 255 - value).getbbox()
    assert dark == (16, 16, image.width - 16, image.height - 16)
    assert 'fill="#fff"' in qr_svg("ABCDE-FGHJK")


def test_text_is_never_markup() -> None:
    """What is encoded stands in the modules alone."""
    assert "<b>" not in qr_svg("<b>&amp;</b>")
