"""What an operation is: one endpoint as data, from which its route and its document are made."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct
from msgspec.inspect import BoolType, IntType, Metadata, StructType, Type, UnionType, type_info
from starlette.responses import Response
from starlette.types import ASGIApp

from relay.errors import BadRequest, NotFound
from relay.web.admin.problems import Conflict
from relay.web.admin.schema import Nothing
from relay.wire import jsontext
from relay.wire.jsontext import JsonValue

JSON: Final = "application/json"

QUERY_FIELDS_MAX: Final = 64

_INTEGER = re.compile(r"-?[0-9]{1,20}")

P = TypeVar("P", bound=Struct)
Q = TypeVar("Q", bound=Struct)
B = TypeVar("B", bound=Struct)
D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Call(Generic[P, Q, B]):
    """One request, decoded."""

    path: P
    query: Q
    body: B
    admin_id: int


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came in, before anybody has judged it."""

    path: Mapping[str, str]
    query: bytes
    body: bytes
    admin_id: int


@dataclass(frozen=True, slots=True)
class Answers:
    """What an operation answers where all goes well."""

    type: type[Struct] | None = None
    """What the body is; None for no body, or for one that is not one JSON object."""
    status: int = 200
    media: tuple[str, ...] = (JSON,)
    """Empty for no body."""


@dataclass(frozen=True, slots=True)
class Operation(Generic[D]):
    """One endpoint. `run` decodes what came in and does it on a `D`; it raises `RelayError`."""

    name: str
    tag: str
    method: str
    path: str
    """Below `/admin/api`: `/traces/{trace_id}`."""
    summary: str
    path_type: type[Struct]
    query_type: type[Struct]
    body_type: type[Struct] | None
    answers: Answers
    refuses: bool
    """Whether what is well-formed may still not be possible (409)."""
    run: Callable[[D, Received], Awaitable[ASGIApp]]

    @property
    def safe(self) -> bool:
        """Whether it changes nothing."""
        return self.method == "GET"

    @property
    def errors(self) -> list[int]:
        """The statuses of its errors, in order."""
        found = {400, 401, 406, 429, 500, 503}
        found |= set() if self.safe else {403}
        found |= {404} if self.path_type.__struct_fields__ else set()
        found |= {409} if self.refuses else set()
        found |= {413, 415} if self.body_type is not None else set()
        return sorted(found)


def operation(
    name: str,
    tag: str,
    route: str,
    summary: str,
    handle: Callable[[D, Call[P, Q, B]], Awaitable[ASGIApp]],
    *,
    types: tuple[type[P], type[Q], type[B]],
    answers: Answers,
    refuses: bool = False,
) -> Operation[D]:
    """Make an operation. `route` is `GET /traces`, `types` those of path, query and body."""
    method, path = route.split(" ")
    path_type, query_type, body_type = types
    parsers = _parsers(path_type)
    read_query = query_reader(query_type)

    async def run(desk: D, received: Received) -> ASGIApp:
        try:
            found = msgspec.convert(
                {name: parsers[name](text) for name, text in received.path.items()}, path_type
            )
        except msgspec.ValidationError:
            raise NotFound("there is nothing with this id") from None
        query = read_query(received.query)
        body = read_json(received.body, body_type) if takes_body else body_type()
        call = Call(found, query, body, received.admin_id)
        try:
            return await handle(desk, call)
        except BadRequest as error:
            # Its form was right, or it would not have come so far.
            raise Conflict(error.message) from error

    takes_body = body_type is not Nothing
    return Operation(
        name,
        tag,
        method,
        path,
        summary,
        path_type,
        query_type,
        body_type if takes_body else None,
        answers,
        refuses,
        run,
    )


def query_reader(kind: type[Q]) -> Callable[[bytes], Q]:
    """Return what reads a query string strictly. It raises `BadRequest`.

    Unknown and repeated parameters are refused: a filter with a typing error would otherwise
    select, or delete, more than was meant.
    """
    parsers = _parsers(kind)

    def read(query: bytes) -> Q:
        try:
            pairs = parse_qsl(
                query.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=bool(query),
                errors="strict",
                max_num_fields=QUERY_FIELDS_MAX,
            )
        except ValueError:
            raise BadRequest("the query string cannot be read", field="query") from None
        values: dict[str, str | int | bool] = {}
        for name, text in pairs:
            if name in values:
                raise BadRequest(f"give {name[:64]!r} once", field=name or "query")
            values[name] = parsers.get(name, str)(text)
        try:
            return msgspec.convert(values, kind)
        except msgspec.ValidationError as error:
            raise BadRequest(f"in the query: {error}", field="query") from None

    return read


def read_json(body: bytes, kind: type[B]) -> B:
    """Return a body. Raises `BadRequest` for what is not JSON, not UTF-8 or not of this type."""
    try:
        return msgspec.convert(_with_integers(msgspec.json.decode(body)), kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        reason = str(error) if isinstance(error, msgspec.DecodeError) else "not valid text"
        raise BadRequest(f"in the body: {reason}", field="body") from None


def write_json(value: object) -> bytes:
    """Return an answer as JSON. Half a character of a bot's text is escaped."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return jsontext.dumps(msgspec.to_builtins(value))


def answer(value: Struct | None, status: int = 200) -> Response:
    """Return an answer. Nobody keeps a copy of it: it may hold a secret, or what was said."""
    headers = {"Cache-Control": "no-store"}
    if value is None:
        return Response(status_code=204, headers=headers)
    return Response(write_json(value), status, headers, media_type=JSON)


def _with_integers(value: JsonValue) -> JsonValue:
    """Return the value with 7 for 7.0, which JSON Schema takes for an integer too."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_with_integers(item) for item in value]
        case dict():
            return {name: _with_integers(item) for name, item in value.items()}
        case _:
            return value


def _parsers(kind: type[Struct]) -> dict[str, Callable[[str], str | int | bool]]:
    info = type_info(kind)
    assert isinstance(info, StructType)
    return {field.encode_name: _parser(field.type) for field in info.fields}


def _parser(kind: Type) -> Callable[[str], str | int | bool]:
    bare = _unwrapped(kind)
    kinds = [_unwrapped(one) for one in bare.types] if isinstance(bare, UnionType) else [bare]
    if any(isinstance(one, IntType) for one in kinds):
        return _as_number
    if any(isinstance(one, BoolType) for one in kinds):
        return _as_bool
    return str


def _unwrapped(kind: Type) -> Type:
    return kind.type if isinstance(kind, Metadata) else kind


def _as_number(text: str) -> str | int:
    return int(text) if _INTEGER.fullmatch(text) else text


def _as_bool(text: str) -> str | bool:
    return {"true": True, "false": False}.get(text, text)
