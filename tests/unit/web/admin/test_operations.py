"""How requests are read and answers written."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import pytest
from msgspec import Meta, Struct
from starlette.responses import Response

from relay.errors import BadRequest, NotFound
from relay.web.admin.operations import (
    QUERY_FIELDS_MAX,
    Answers,
    Call,
    Operation,
    Received,
    answer,
    operation,
    query_reader,
    read_json,
    write_json,
)
from relay.web.admin.problems import Conflict
from relay.web.admin.schema import BotPath, Nothing


class Query(Struct, frozen=True, forbid_unknown_fields=True):
    """A query."""

    number: Annotated[int, Meta(ge=1, le=500, description="x")] | None = None
    all: Annotated[bool, Meta(description="x")] = False
    status: Literal["a", "b"] | None = None
    text: str | None = None


class Body(Struct, frozen=True, forbid_unknown_fields=True):
    """A body."""

    name: str
    ids: list[int] = []


def test_a_query_is_read_by_its_types() -> None:
    """What looks like a number stays text where text is wanted; `+` is a blank."""
    read = query_reader(Query)
    assert read(b"number=7&all=true&status=b&text=12+x%C3%BC") == Query(7, True, "b", "12 xü")
    assert read(b"") == Query()
    assert read(b"text=7").text == "7"
    assert read(b"text=").text == ""


@pytest.mark.parametrize(
    "query",
    [
        b"number=0",
        b"number=1.0",
        b"number=x",
        b"number=",
        b"all=1",
        b"all=True",
        b"status=c",
        b"other=1",
        b"text=a&text=b",
        b"text",
        b"text=%ff",
        b"text=\xff",
        b"&".join(b"text=a" for _ in range(QUERY_FIELDS_MAX + 1)),
    ],
)
def test_a_query_that_is_not_as_documented_is_refused(query: bytes) -> None:
    """Unknown, repeated, malformed: a filter with a mistake would select what was not meant."""
    with pytest.raises(BadRequest):
        query_reader(Query)(query)


def test_a_parameter_without_a_name_is_named_too() -> None:
    """Given twice, it is an error of the query."""
    with pytest.raises(BadRequest, match="give '' once") as refused:
        query_reader(Query)(b"=7&=8")
    assert refused.value.field == "query"


def test_a_body_is_read_by_its_type() -> None:
    """JSON Schema takes 7.0 for an integer too."""
    assert read_json(b'{"name": "a", "ids": [7.0, 8]}', Body) == Body("a", [7, 8])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"name": 1}',
        b'{"name": "a", "nme": 1}',
        b'{"name": "\xff"}',
        b'{"name": "\\ud800"}',
        b'{"name": NaN}',
        b'{"name": "a", "ids": ["7"]}',
        b'{"name": "a", "ids": [7.5]}',
        b"[" * 100_000,
    ],
)
def test_a_body_that_is_not_as_documented_is_refused(body: bytes) -> None:
    """Not JSON, not UTF-8, too deep, or of another type."""
    with pytest.raises(BadRequest):
        read_json(body, Body)


def test_half_a_character_is_escaped() -> None:
    """A bot's text may hold one, and JSON can say it."""
    assert json.loads(write_json(Body("\ud83e"))) == {"name": "\ud83e", "ids": []}


def test_answers_are_not_kept() -> None:
    """They may hold a secret, or what somebody said."""
    for response in (answer(Body("a")), answer(None)):
        assert response.headers["Cache-Control"] == "no-store"
    assert answer(None).status_code == 204


def make(handle_error: Exception | None = None) -> Operation[str]:
    """An operation that answers with its path, or fails."""

    async def handle(desk: str, call: Call[BotPath, Query, Body]) -> Response:
        if handle_error is not None:
            raise handle_error
        return Response(f"{desk} {call.path.bot_id} {call.query.number} {call.body.name}")

    return operation(
        "changeBot",
        "bots",
        "POST /bots/{bot_id}",
        "Change.",
        handle,
        types=(BotPath, Query, Body),
        answers=Answers(),
        refuses=True,
    )


async def test_an_operation_decodes_and_runs() -> None:
    """Its handler sees typed values only."""
    received = Received({"bot_id": "5"}, b"number=3", b'{"name": "a"}', 1)
    response = await make().run("desk", received)
    assert isinstance(response, Response)
    assert response.body == b"desk 5 3 a"


@pytest.mark.parametrize("bot_id", ["x", "0", "-1", str(2**63), "1.0", "\u0661"])
async def test_an_id_that_cannot_be_is_not_found(bot_id: str) -> None:
    """No bot has it, so there is no bot with it."""
    with pytest.raises(NotFound):
        await make().run("desk", Received({"bot_id": bot_id}, b"", b'{"name": "a"}', 1))


async def test_what_the_store_refuses_is_a_conflict() -> None:
    """The form was right, or it would not have come to the store."""
    one = make(BadRequest("taken"))
    with pytest.raises(Conflict, match="taken"):
        await one.run("desk", Received({"bot_id": "1"}, b"", b'{"name": "a"}', 1))


def test_errors_follow_from_what_an_operation_takes() -> None:
    """A change needs CSRF, a body can be too large, an id unknown."""
    assert make().errors == [400, 401, 403, 404, 406, 409, 413, 415, 429, 500, 503]

    async def handle(_desk: str, _call: Call[Nothing, Nothing, Nothing]) -> Response:
        return Response()

    reading = operation(
        "x", "x", "GET /x", "X.", handle, types=(Nothing, Nothing, Nothing), answers=Answers()
    )
    assert reading.errors == [400, 401, 406, 429, 500, 503]
