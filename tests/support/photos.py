"""Photos of QR codes, as glasses take them."""

from __future__ import annotations

import base64
import io

import segno
from PIL import Image


def photo_of(*texts: str, kind: str = "PNG", turned: float = 0.0) -> bytes:
    """Return a photo of a wall with these QR codes beside each other, some degrees askew."""
    codes = [_code(text, turned) for text in texts]
    side = max((code.width for code in codes), default=200) + 200
    wall = Image.new("RGB", (side * max(1, len(codes)), side), (180, 170, 150))
    for place, code in enumerate(codes):
        wall.paste(code, (side * place + 100, 100))
    photo = io.BytesIO()
    wall.save(photo, kind)
    return photo.getvalue()


def _code(text: str, turned: float) -> Image.Image:
    file = io.BytesIO()
    segno.make_qr(text, error="q").save(file, kind="png", scale=8, border=4)
    code = Image.open(io.BytesIO(file.getvalue())).convert("RGB")
    return code.rotate(turned, expand=True, fillcolor=(255, 255, 255))


def data_url(photo: bytes, kind: str = "image/png") -> str:
    """Return a photo as a URL that holds it."""
    return f"data:{kind};base64,{base64.b64encode(photo).decode()}"
