from __future__ import annotations

import io
import json
import resource
import subprocess
import sys
import zlib

import pytest
from PIL import Image

from relay.web.binding import decode, photo
from relay.web.binding.decode import read_codes
from tests.support.photos import photo_of

CODE = "7KDQ4-XMB2T"


def run(data: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run the program as the relay does."""
    return subprocess.run(
        [sys.executable, "-I", decode.__file__],
        input=data,
        capture_output=True,
        check=False,
        env={},
        timeout=30,
    )


@pytest.mark.parametrize("kind", decode.FORMATS)
@pytest.mark.parametrize("turned", [0.0, 17.0, 90.0, 200.0])
def test_a_code_is_read_from_every_kind_of_photo(kind: str, turned: float) -> None:
    """The glasses send WebP; others send JPEG. Nobody holds their head straight."""
    assert read_codes(photo_of(CODE, kind=kind, turned=turned)) == [CODE]


def test_several_codes_are_all_read() -> None:
    """A poster may hang beside it."""
    assert sorted(read_codes(photo_of("https://example.com", CODE))) == [
        CODE,
        "https://example.com",
    ]


def test_a_photo_without_a_code_has_none() -> None:
    """That is no error."""
    assert read_codes(photo_of()) == []


@pytest.mark.parametrize("data", [b"", b"no photo", b"\x89PNG\r\n\x1a\n", photo_of(CODE)[:200]])
def test_what_is_no_photo_is_an_error(data: bytes) -> None:
    """Whatever it claims to be."""
    with pytest.raises((OSError, ValueError)):
        read_codes(data)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_other_formats_are_not_even_tried(kind: str) -> None:
    """Each decoder is code that strangers reach."""
    with pytest.raises(OSError, match="cannot identify"):
        read_codes(photo_of(CODE, kind=kind))


def test_a_photo_of_too_many_bytes_is_refused() -> None:
    """Before anything looks at it."""
    with pytest.raises(ValueError, match="too many bytes"):
        read_codes(b"x" * (decode.BYTES_MAX + 1))


def test_a_bomb_is_refused_by_the_size_that_it_claims() -> None:
    """A PNG of a few hundred KB that would take gigabytes: its pixels are never made."""
    side = 20_000

    def chunk(name: bytes, data: bytes) -> bytes:
        checked = name + data
        return len(data).to_bytes(4, "big") + checked + zlib.crc32(checked).to_bytes(4, "big")

    header = side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    rows = zlib.compress(b"\0" * (side + 1) * 1000)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows)
    with pytest.raises((ValueError, Image.DecompressionBombError), match=r"pixels|decompression"):
        read_codes(bomb + chunk(b"IEND", b""))


def test_the_pixels_are_counted_before_they_are_made() -> None:
    """One column too many."""
    file = io.BytesIO()
    Image.new("1", (5001, 5000)).save(file, "PNG")
    with pytest.raises(ValueError, match="too many pixels"):
        read_codes(file.getvalue())


def test_only_so_much_text_comes_out() -> None:
    """A large code does not become a large answer."""
    assert read_codes(photo_of("A" * 400)) == ["A" * decode.TEXT_CHARS_MAX]


def test_the_program_writes_an_array_of_texts() -> None:
    """And needs nothing of the environment or of the relay."""
    done = run(photo_of(CODE))
    assert (done.returncode, json.loads(done.stdout)) == (0, [CODE])


def test_the_program_fails_without_an_answer() -> None:
    """Its code says so."""
    done = run(b"no photo")
    assert (done.returncode, done.stdout) == (1, b"")


def test_the_process_takes_its_limits_before_it_reads() -> None:
    """Memory, processor time and files."""
    script = "import decode, resource, sys; decode.limit(); print(*(resource.getrlimit(w)[1] for w "
    script += "in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE)))"
    folder = decode.__file__.rpartition("/")[0]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {folder!r}); {script}"],
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.split() == [str(decode.MEMORY_BYTES), str(decode.CPU_SECONDS), "0"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] != 0


def test_both_sides_have_the_same_limit() -> None:
    """The program imports nothing of the relay, so the number stands twice."""
    assert decode.BYTES_MAX == photo.BYTES_MAX
