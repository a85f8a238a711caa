"""Each fuzz target over its seeds and its corpus, in plain Python: what was mended stays mended."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from relay.wire import sse
from tests.fuzz.__main__ import main
from tests.fuzz.pieces import SEPARATOR, cut, fields, text
from tests.fuzz.target import CORPUS, inputs, load, names, try_input

LONG_S = 1.0
"""A time that grows with the square of the length would be minutes."""


@pytest.mark.parametrize("name", names())
def test_every_kept_input_keeps_the_promises(name: str) -> None:
    """The seeds, what covers more than they do, and what once broke the parser."""
    target = load(name)
    tried = 0
    for _, data in inputs(name):
        try_input(target, data)
        tried += 1
    assert tried > 1


@pytest.mark.parametrize("name", [name for name in names() if load(name).long_bytes])
def test_a_long_input_costs_what_its_length_costs(name: str) -> None:
    """Brackets, quotes, blanks and line ends by the hundred thousand, and a seed over and over."""
    target = load(name)
    patterns = [b"[", b'{"a":', b'"', b"\\ud83e", b" ", b"\r", b"\n", b"&a=b", b"data:x\n", b"%41"]
    patterns += [*target.seeds()][:1]
    for pattern in patterns:
        data = pattern * (target.long_bytes // len(pattern))
        started = time.process_time()
        target.check(data)
        assert time.process_time() - started < LONG_S, pattern[:20]


def test_the_corpus_belongs_to_targets() -> None:
    """A target that was renamed takes its corpus along, and no input is large."""
    assert {folder.name for folder in CORPUS.iterdir()} <= set(names())
    assert all(path.stat().st_size <= 8192 for path in CORPUS.rglob("*") if path.is_file())


def test_a_broken_promise_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoder that writes text as it is makes two events of one chunk."""
    monkeypatch.setattr("relay.wire.jsontext.dumps_ascii", lambda value: str(value["content"]))
    monkeypatch.setattr(sse, "encode_event", lambda data, **_: f"data: {data}\n\n".encode())
    target = load("sse_encoder")
    with pytest.raises((AssertionError, KeyError, ValueError)):
        try_input(target, SEPARATOR.join([b"\1", b"id", b"a\n\ndata: forged"]))


def test_an_input_is_tried_again_by_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As the engine's report says; and the targets can be listed."""
    path = tmp_path / "input"
    path.write_bytes(b"7KDQ4-XMB2T")
    assert main(["binding_code", "--input", str(path)]) == 0
    assert main(["--list"]) == 0
    assert capsys.readouterr().out.split() == names()


def test_an_input_is_cut_into_values() -> None:
    """Every byte string has them, and every one is a text."""
    assert fields(b"a\x1fb\x1fc\x1fd", 3) == [b"a", b"b", b"c\x1fd"]
    assert fields(b"", 2) == [b"", b""]
    assert cut(b"abcde", 2) == [b"ab", b"cd", b"e"]
    assert cut(b"", 2) == [b""]
    assert text("嘿".encode()) == "嘿"
    assert text(b"\xed\xa0\xbe\xed\xb6\x9e") == "🦞", "two halves are a character"
    assert text(b"\xed\xa0\xbe") == "\ud83e"
    assert text(b"\xff") == "\udcff"
