"""The admin API's document as a page to read. It needs no script and no other host."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import groupby
from typing import Final

from jinja2 import Environment
from markupsafe import Markup, escape

from relay.web.admin.openapi import ERRORS, PREFIX
from relay.web.admin.operations import D, Operation
from relay.web.admin.schema import ID_MAX
from relay.wire.jsontext import JsonValue

CSP: Final = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

_CODE = re.compile(r"`([^`]+)`")


def stylesheet() -> bytes:
    """Return the page's style."""
    return files("relay.web.admin").joinpath("reference.css").read_bytes()


def render(operations: Sequence[Operation[D]], document: Mapping[str, JsonValue]) -> bytes:
    """Return the page."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["code"] = _code
    source = files("relay.web.admin").joinpath("reference.html").read_text("utf-8")
    groups = [
        {"tag": tag, "operations": [_operation(one, document) for one in grouped]}
        for tag, grouped in groupby(operations, key=lambda one: one.tag)
    ]
    return (
        environment.from_string(source)
        .render(
            document=document,
            prefix=PREFIX,
            groups=groups,
            types=[_type(name, one) for name, one in _schemas(document).items()],
            errors=ERRORS,
        )
        .encode()
    )


def _operation(one: Operation[D], document: Mapping[str, JsonValue]) -> dict[str, object]:
    told = _mapping(_mapping(_mapping(document["paths"])[PREFIX + one.path])[one.method.lower()])
    parameters = told["parameters"]
    assert isinstance(parameters, list)
    return {
        "name": one.name,
        "method": one.method,
        "path": one.path,
        "summary": one.summary,
        "parameters": [_parameter(_mapping(parameter)) for parameter in parameters],
        "body": one.body_type and one.body_type.__name__,
        "answer": one.answers.type and one.answers.type.__name__,
        "status": one.answers.status,
        "media": one.answers.media,
        "errors": one.errors,
    }


def _parameter(parameter: Mapping[str, JsonValue]) -> dict[str, object]:
    schema = _mapping(parameter["schema"])
    default = schema.get("default")
    return {
        "name": parameter["name"],
        "in": parameter["in"],
        "type": kind(schema),
        "link": _link(schema),
        "default": str(default).lower() if isinstance(default, bool) else default,
        "about": parameter.get("description", ""),
    }


def _type(name: str, schema: Mapping[str, JsonValue]) -> dict[str, object]:
    required = schema.get("required")
    needed = required if isinstance(required, list) else []
    return {
        "name": name,
        "about": schema.get("description", ""),
        "values": schema.get("enum") or [],
        "fields": [
            {
                "name": field,
                "type": kind(_mapping(one)),
                "link": _link(_mapping(one)),
                "about": _mapping(one).get("description", ""),
                "optional": field not in needed,
            }
            for field, one in _mapping(schema.get("properties", {})).items()
        ],
    }


def kind(schema: Mapping[str, JsonValue]) -> str:
    """Return a schema in a few words: `integer 1..500 | null`, `Bot[]`."""
    if isinstance(ref := schema.get("$ref"), str):
        return ref.rpartition("/")[2]
    if isinstance(options := schema.get("anyOf"), list):
        return " | ".join(kind(_mapping(option)) for option in options)
    if isinstance(values := schema.get("enum"), list):
        return " | ".join("null" if value is None else str(value) for value in values)
    if schema.get("type") == "array":
        items = kind(_mapping(schema.get("items", {})))
        return f"({items})[]" if " " in items else f"{items}[]"
    if schema.get("type") == "object" and "additionalProperties" in schema:
        return f"{{string: {kind(_mapping(schema['additionalProperties']))}}}"
    low = schema.get("minimum", schema.get("minLength"))
    high = schema.get("maximum", schema.get("maxLength"))
    span = "" if low is None and high is None else f" {_bound(low)}..{_bound(high)}"
    return f"{schema.get('format') or schema.get('type') or 'any'}{span}"


def _bound(value: JsonValue) -> str:
    return "" if value is None or value == ID_MAX else str(value)


def _link(schema: Mapping[str, JsonValue]) -> str:
    """Return the type that a field holds, where it is one of those on the page."""
    found = re.search(r"#/components/schemas/(\w+)", str(schema))
    return found[1] if found else ""


def _schemas(document: Mapping[str, JsonValue]) -> dict[str, Mapping[str, JsonValue]]:
    schemas = _mapping(_mapping(document["components"])["schemas"])
    return {name: _mapping(schema) for name, schema in sorted(schemas.items())}


def _mapping(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _code(text: str) -> Markup:
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before
