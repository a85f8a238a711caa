"""The reference page."""

from __future__ import annotations

import re

import pytest

from relay.web.admin.catalog import operations
from relay.web.admin.openapi import document
from relay.web.admin.reference import CSP, kind, render, stylesheet
from relay.wire.jsontext import JsonValue


def page() -> str:
    """The page."""
    table = operations()
    return render(table, document(table, "<1.2.3>")).decode()


def test_every_operation_and_type_can_be_reached() -> None:
    """Each link within the page has its target."""
    text = page()
    for one in operations():
        assert f'<article id="{one.name}">' in text
    targets = set(re.findall(r'id="([^"]+)"', text))
    assert set(re.findall(r'href="#([^"]+)"', text)) <= targets


def test_the_page_needs_no_other_host_and_no_script() -> None:
    """It works where there is no internet, and its policy allows nothing more."""
    text = page() + stylesheet().decode()
    assert "<script" not in text
    assert " style=" not in text
    assert re.findall(r"(?:https?:)?//[a-z]", text) == []
    assert CSP.startswith("default-src 'none'; style-src 'self';")


def test_what_is_shown_is_escaped() -> None:
    """Code is marked, and nothing else becomes markup."""
    text = page()
    assert "&lt;1.2.3&gt;" in text
    assert "<code>all=true</code>" in text


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 500}, "integer 1..500"),
        ({"type": "string", "format": "date-time"}, "date-time"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer | null"),
        ({"enum": ["a", None]}, "a | null"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Bot"}}, "Bot[]"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "{string: integer}"),
        ({"type": "string", "minLength": 1}, "string 1.."),
        ({}, "any"),
    ],
)
def test_a_type_is_told_in_a_few_words(schema: dict[str, JsonValue], words: str) -> None:
    """As somebody would write it down."""
    assert kind(schema) == words
