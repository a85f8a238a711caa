"""The OpenAPI 3.1 document of the admin API, made from the table of its operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from relay.web.admin.gate import CSRF_HEADER
from relay.web.admin.operations import JSON, D, Operation
from relay.web.admin.schema import Nothing
from relay.web.admin.schema_answers import Problem
from relay.wire.jsontext import JsonValue

PREFIX: Final = "/admin/api"

TITLE: Final = "Relay admin API"

DESCRIPTION: Final = (
    "What an operator asks a relay. Moments are ISO 8601 strings in UTC, delays are milliseconds. "
    "Every call carries an admin token (`relay admin token`) as a bearer, or the cookie of the "
    f"admin page; with the cookie, what changes something also carries `{CSRF_HEADER}`. "
    "Unknown parameters and fields are refused. Secrets are in the answer that made them, and "
    "nowhere else."
)

ERRORS: Final[dict[int, str]] = {
    400: "Malformed: a parameter, the body, or one that is not known.",
    401: "No admin token, or one that is unknown or revoked.",
    403: "A session without its CSRF token.",
    404: "There is nothing with this id.",
    406: "The `Accept` header wants another format.",
    409: "Well-formed, and not possible as things are; `error` says why.",
    413: "The body is too large.",
    415: "The body is not `application/json`.",
    429: "Too many wrong tokens, exports or watchers; see `Retry-After`.",
    500: "A mistake in the relay.",
    503: "The database is away.",
}

_REF: Final = "#/components/schemas/{name}"


def document(operations: Sequence[Operation[D]], version: str) -> dict[str, JsonValue]:
    """Return the document as JSON values."""
    wanted = [Problem, *_types(operations)]
    _, schemas = msgspec.json.schema_components(wanted, ref_template=_REF)
    paths: dict[str, dict[str, JsonValue]] = {}
    for one in operations:
        paths.setdefault(PREFIX + one.path, {})[one.method.lower()] = _operation(one, schemas)
    asked = {one.query_type.__name__ for one in operations}
    asked |= {one.path_type.__name__ for one in operations}
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": version, "description": DESCRIPTION},
        "security": [{"bearer": []}, {"session": []}],
        "paths": {path: dict(methods) for path, methods in paths.items()},
        "components": {
            # Parameters are told with their operation.
            "schemas": {name: schema for name, schema in schemas.items() if name not in asked},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "relay_admin",
                    "description": f"The admin page's; with `{CSRF_HEADER}` for a change.",
                },
            },
        },
    }


def _types(operations: Sequence[Operation[D]]) -> list[type[Struct]]:
    found: dict[type[Struct], None] = {}
    for one in operations:
        for kind in (one.path_type, one.query_type, one.body_type, one.answers.type):
            if kind is not None and kind is not Nothing:
                found[kind] = None
    return list(found)


def _operation(one: Operation[D], schemas: dict[str, dict[str, JsonValue]]) -> JsonValue:
    told: dict[str, JsonValue] = {
        "operationId": one.name,
        "tags": [one.tag],
        "summary": one.summary,
        "parameters": [
            *_parameters(one.path_type, "path", schemas),
            *_parameters(one.query_type, "query", schemas),
        ],
        "responses": {str(one.answers.status): _answers(one), **_errors(one)},
    }
    if one.body_type is not None:
        told["requestBody"] = {"required": True, "content": {JSON: _schema(one.body_type)}}
    return told


def _answers(one: Operation[D]) -> JsonValue:
    if not one.answers.media:
        return {"description": "Done."}
    body: JsonValue = {} if one.answers.type is None else _schema(one.answers.type)
    description = one.summary if one.answers.type is None else _first_line(one.answers.type)
    return {"description": description, "content": dict.fromkeys(one.answers.media, body)}


def _errors(one: Operation[D]) -> dict[str, JsonValue]:
    return {
        str(status): {"description": ERRORS[status], "content": {JSON: _schema(Problem)}}
        for status in one.errors
    }


def _parameters(
    kind: type[Struct], place: str, schemas: dict[str, dict[str, JsonValue]]
) -> list[JsonValue]:
    if kind is Nothing:
        return []
    properties, required = schemas[kind.__name__]["properties"], schemas[kind.__name__]["required"]
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    found: list[JsonValue] = []
    for name, schema in properties.items():
        assert isinstance(schema, dict)
        plain = _without_null(schema)
        parameter: dict[str, JsonValue] = {
            "name": name,
            "in": place,
            "required": name in required,
            "schema": plain,
        }
        if "description" in plain:
            parameter["description"] = plain.pop("description")
        found.append(parameter)
    return found


def _without_null(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the schema of what may be left out: a query string has no null."""
    plain = {key: value for key, value in schema.items() if value is not None or key != "default"}
    options = plain.pop("anyOf", None)
    if isinstance(options, list):
        for option in options:
            if isinstance(option, dict) and option.get("type") != "null":
                plain = {**option, **plain}
    if isinstance(enum := plain.get("enum"), list):
        plain["enum"] = [value for value in enum if value is not None]
        plain["type"] = "string"
    return plain


def _schema(kind: type[Struct]) -> JsonValue:
    return {"schema": {"$ref": _REF.format(name=kind.__name__)}}


def _first_line(kind: type[Struct]) -> str:
    return (kind.__doc__ or kind.__name__).strip().splitlines()[0]
