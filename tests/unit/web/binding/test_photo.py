from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from relay.errors import SettingsError
from relay.web.binding import photo
from relay.web.binding.photo import Busy, PhotoReader, PhotoRefused, check_extra, decode, within
from tests.support.photos import data_url, photo_of

CODE = "7KDQ4-XMB2T"


class FakeFetcher:
    """Has one photo, and waits where it is told to."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def fetch(self, url: str) -> bytes:
        self.urls.append(url)
        await self.gate.wait()
        return photo_of(CODE)


def program(folder: Path, source: str) -> Path:
    """A decoder of the test's own."""
    path = folder / "decoder.py"
    path.write_text(source)
    return path


def is_gone(pid: Path) -> bool:
    """Whether the process that wrote its id here has ended, and was waited for."""
    return not Path(f"/proc/{pid.read_text()}").exists()


async def test_a_photo_within_the_request_is_read() -> None:
    """Without a fetcher, and without the network."""
    assert await PhotoReader().read(data_url(photo_of(CODE))) == [CODE]
    assert await PhotoReader().read(data_url(photo_of()).replace("data:", "DATA:")) == []


async def test_a_photo_that_is_only_named_is_fetched_where_that_is_on() -> None:
    """Elsewhere it is refused, and nobody is asked."""
    fetcher = FakeFetcher()
    assert await PhotoReader(fetcher).read("https://cdn.example/1.webp") == [CODE]
    assert fetcher.urls == ["https://cdn.example/1.webp"]
    with pytest.raises(PhotoRefused, match="not fetched"):
        await PhotoReader().read("https://cdn.example/1.webp")


async def test_one_photo_too_many_is_refused_and_not_queued() -> None:
    """Whoever sends many waits for none; the next one is taken again."""
    fetcher = FakeFetcher()
    fetcher.gate.clear()
    reader = PhotoReader(fetcher)
    async with asyncio.TaskGroup() as group:
        reading = [group.create_task(reader.read("https://a")) for _ in range(photo.AT_ONCE)]
        while len(fetcher.urls) < photo.AT_ONCE:  # noqa: ASYNC110 - a list has no event
            await asyncio.sleep(0)
        with pytest.raises(Busy):
            await reader.read("https://a")
        fetcher.gate.set()
    assert [task.result() for task in reading] == [[CODE]] * photo.AT_ONCE
    assert await reader.read("https://a") == [CODE]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("data:image/png;base64,aGVs bG8=", b"hello"),
        ("data:;base64,aGVsbG8%3D", b"hello"),
        ("DATA:image/webp;charset=x;BASE64,aGVsbG8=", b"hello"),
    ],
)
def test_a_data_url_holds_its_bytes(url: str, expected: bytes) -> None:
    """In base 64, with blanks and percent signs where somebody put them."""
    assert within(url) == expected


@pytest.mark.parametrize(
    "url",
    ["data:", "data:image/png,hello", "data:image/png;base64", "data:;base64,a", "data:;base64,é"],
)
def test_a_broken_data_url_is_refused(url: str) -> None:
    """With a reason for operators, which does not hold the URL."""
    with pytest.raises(PhotoRefused) as caught:
        within(url)
    assert url[5:] not in caught.value.reason or url == "data:"


def test_a_photo_within_the_request_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request's body is bounded too; this holds wherever the URL comes from."""
    monkeypatch.setattr(photo, "BYTES_MAX", 4)
    with pytest.raises(PhotoRefused, match="too large"):
        within("data:;base64,aGVsbG8=")


async def test_what_is_no_photo_is_refused() -> None:
    """The decoder ends without an answer."""
    with pytest.raises(PhotoRefused, match="no photo"):
        await decode(b"no photo")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import os; os.abort()", "no photo"),
        ("print('[')", "did not answer"),
        ("print('{}')", "did not answer"),
        ("", "did not answer"),
    ],
)
async def test_a_decoder_that_crashes_or_babbles_is_a_photo_refused(
    tmp_path: Path, source: str, reason: str
) -> None:
    """The relay lives on."""
    with pytest.raises(PhotoRefused, match=reason):
        await decode(b"photo", program(tmp_path, source))


async def test_a_decoder_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In time, and its process is gone."""
    monkeypatch.setattr(photo, "DECODE_S", 0.5)
    pid = tmp_path / "pid"
    source = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    began = time.monotonic()
    with pytest.raises(PhotoRefused, match="too long"):
        await decode(b"photo", program(tmp_path, source))
    assert time.monotonic() - began < 5
    assert is_gone(pid)


async def test_a_decoder_that_is_waited_for_no_longer_is_ended(tmp_path: Path) -> None:
    """Whoever asked was cancelled."""
    pid = tmp_path / "pid"
    source = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    task = asyncio.create_task(decode(b"photo", program(tmp_path, source)))
    async with asyncio.timeout(10):
        while not (pid.exists() and pid.read_text()):  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_gone(pid)


async def test_the_decoder_is_given_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the relay's environment, which holds its keys."""
    monkeypatch.setenv("RELAY_SECRET", "s" * 32)
    monkeypatch.setenv("PGPASSWORD", "p")
    seen = await decode(
        b"", program(tmp_path, "import json, os; print(json.dumps(list(os.environ)))")
    )
    assert "PATH" in os.environ
    assert set(seen) <= {"LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PATH", "TZ"}


def test_a_missing_extra_is_named_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where photos are to be read, with the command that mends it."""
    check_extra("fetch")
    monkeypatch.setattr(photo, "find_spec", lambda name: None if name == "zxingcpp" else name)
    check_extra("off")
    with pytest.raises(SettingsError, match=r"pip install 'relay-stream\[server,qr\]'") as caught:
        check_extra("data")
    assert caught.value.variable == "RELAY_BINDING_PHOTO"
