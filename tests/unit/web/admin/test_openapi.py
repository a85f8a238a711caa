"""The document of the admin API."""

from __future__ import annotations

import json

from openapi_spec_validator import OpenAPIV31SpecValidator

from relay.web.admin.catalog import operations
from relay.web.admin.openapi import PREFIX, document
from relay.web.admin.operations import write_json
from relay.wire.jsontext import JsonValue

Document = dict[str, dict[str, dict[str, dict[str, JsonValue]]]]


def made() -> Document:
    """The document as a client reads it."""
    read: Document = json.loads(write_json(document(operations(), "1.2.3")))
    return read


def test_the_document_is_valid() -> None:
    """OpenAPI 3.1, by a judge that is not ours."""
    found = made()
    errors = [str(error) for error in OpenAPIV31SpecValidator(found).iter_errors()]
    assert errors == []
    assert document(operations(), "1")["openapi"] == "3.1.0"


def test_every_operation_is_in_it_and_nothing_else() -> None:
    """They are made from one table."""
    told = {
        (method.upper(), path) for path, methods in made()["paths"].items() for method in methods
    }
    assert told == {(one.method, PREFIX + one.path) for one in operations()}


def test_a_parameter_is_told_with_its_limits_and_without_null() -> None:
    """A query string has no null."""
    parameters = made()["paths"]["/admin/api/traces"]["get"]["parameters"]
    assert isinstance(parameters, list)
    by_name = {one["name"]: one for one in parameters if isinstance(one, dict)}
    assert by_name["limit"] == {
        "name": "limit",
        "in": "query",
        "required": False,
        "schema": {"type": "integer", "minimum": 1, "maximum": 500, "default": 50},
    }
    assert by_name["loss_position"]["schema"] == {
        "type": "string",
        "enum": ["head", "middle", "mixed", "tail"],
    }
    assert "null" not in json.dumps(parameters)


def test_a_change_tells_its_body_and_its_errors() -> None:
    """With the same error type for all."""
    told = made()["paths"]["/admin/api/keys/{key_id}"]["patch"]
    assert isinstance(told["responses"], dict)
    assert {"200", "400", "401", "403", "404", "409", "413", "415"} <= set(told["responses"])
    assert "KeyChange" in json.dumps(told["requestBody"])


def test_both_ways_to_be_admitted_are_told() -> None:
    """A token, or the cookie of the page."""
    told = document(operations(), "1")
    assert told["security"] == [{"bearer": []}, {"session": []}]
