"""The program that finds the QR codes of a photo: `python -I decode.py <photo >texts`.

It is handed whatever anybody calls a photo, and the libraries that read it are large and written
in C and C++. So it runs in a process of its own, which holds no secret, and with limits: a photo
that makes it crash, hang or grow ends this process and nothing else. It imports nothing of the
relay, so that it starts fast.
"""

from __future__ import annotations

import io
import json
import resource
import sys
from typing import Final

import zxingcpp
from PIL import Image

BYTES_MAX: Final = 5 * 1024 * 1024
"""Photos of the glasses have some 300 KB; a request's body has room for 1 MiB."""

PIXELS_MAX: Final = 25_000_000
"""Their camera has 12 million. A small file may claim any number."""

FORMATS: Final = ("JPEG", "PNG", "WEBP")
"""The others that Pillow reads are rarely used, and so are their decoders."""

TEXTS_MAX: Final = 8
TEXT_CHARS_MAX: Final = 256

MEMORY_BYTES: Final = 1024 * 1024 * 1024
CPU_SECONDS: Final = 5


def read_codes(photo: bytes) -> list[str]:
    """Return the texts of the QR codes that are found; none where there is no code.

    Raises `ValueError` or `OSError` for what is no photo, or too large a one.
    """
    if len(photo) > BYTES_MAX:
        raise ValueError("the photo has too many bytes")
    with Image.open(io.BytesIO(photo), formats=FORMATS) as image:
        if image.width * image.height > PIXELS_MAX:
            raise ValueError("the photo has too many pixels")
        grey = image.convert("L")
    found = zxingcpp.read_barcodes(
        grey, formats=zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)
    )
    return [code.text[:TEXT_CHARS_MAX] for code in found[:TEXTS_MAX]]


def limit() -> None:
    """Take from this process what it does not need."""
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def main() -> None:
    """Read a photo from the standard input, write a JSON array of texts to the standard output."""
    limit()
    texts = read_codes(sys.stdin.buffer.read(BYTES_MAX + 1))
    sys.stdout.write(json.dumps(texts))


if __name__ == "__main__":
    main()
