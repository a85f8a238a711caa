from __future__ import annotations

import json

import httpx
import pytest

from tests.support.glasses import Glasses, Object, assert_finished, question
from tests.support.relays import BOTH_PATHS
from tests.support.server import RelayServer

pytestmark = BOTH_PATHS

SHOWN = {
    "unauthorized": {
        "zh": "访问密钥无效，请检查智能体的配置。",
        "en": "The access key is not valid. Please check the agent's settings.",
    },
    "bad_request": {
        "zh": "没有听清您的问题，请再问一次。",
        "en": "Sorry, I could not understand that. Please ask again.",
    },
}
LANGS = {"zh": "zh-CN", "en": "en-US"}
in_both = pytest.mark.parametrize("lang", LANGS)


def spoken(lang: str, **changes: object) -> Object:
    """A question in this language with some fields changed."""
    return question("user-ada", **{"metadata": {"lang": LANGS[lang]}, **changes})


@in_both
@pytest.mark.parametrize("key", ["", "wrong", "ak_" + "0" * 64])
async def test_an_unknown_key_is_answered_in_words(glasses: Glasses, key: str, lang: str) -> None:
    """HTTP 200, one message, one done: with a 401 the glasses would think for ever."""
    answer = await glasses.ask_and_read(spoken(lang), key=key)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["relay-error"] == "unauthorized"
    assert_finished(answer)
    assert answer.text == SHOWN["unauthorized"][lang]


@in_both
@pytest.mark.parametrize(
    "changes",
    [{"message": None}, {"message": []}, {"message": [{"role": "agent", "text": "x"}]}],
)
async def test_a_request_without_a_question_is_answered_in_words(
    glasses: Glasses, lang: str, changes: Object
) -> None:
    """The ids that could be read are echoed."""
    answer = await glasses.ask_and_read(spoken(lang, **changes))
    assert (answer.status, answer.headers["relay-error"]) == (200, "bad_request")
    assert_finished(answer)
    assert answer.text == SHOWN["bad_request"][lang]


@in_both
@pytest.mark.parametrize("field", ["message_id", "agent_id"])
async def test_a_missing_id_is_answered_in_words(glasses: Glasses, lang: str, field: str) -> None:
    """What is missing is echoed as the empty string."""
    answer = await glasses.ask_and_read(spoken(lang, **{field: None}))
    answer.question[field] = ""
    assert_finished(answer)
    assert answer.text == SHOWN["bad_request"][lang]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b'"text"', b"[" * 9_000])
async def test_a_body_that_is_no_object_is_answered_in_words(glasses: Glasses, body: bytes) -> None:
    """In Chinese, since nothing says otherwise; message and done are well-formed all the same."""
    answer = await glasses.ask_and_read(body)
    assert answer.headers["relay-error"] == "bad_request"
    answer.question.update(message_id="", agent_id="")
    assert_finished(answer)
    assert answer.text == SHOWN["bad_request"]["zh"]


async def test_a_body_without_end_is_cut_and_answered(glasses: Glasses) -> None:
    """A body of 3 MB is not read to its end."""
    body = json.dumps(spoken("en", metadata={"lang": "en", "x": "y" * 3_000_000})).encode()
    answer = await glasses.ask_and_read(body)
    assert answer.headers["relay-error"] in {"bad_request", "limit_reached"}
    assert answer.finishes == ["message", "done"]


async def test_strangers_learn_nothing_of_what_is_wrong_with_their_request(
    glasses: Glasses,
) -> None:
    """The key is looked at first."""
    answer = await glasses.ask_and_read(b"{", key="wrong")
    assert answer.headers["relay-error"] == "unauthorized"


async def test_the_stream_names_itself_before_anything_else(
    relay: RelayServer, glasses: Glasses
) -> None:
    """Header and first comment agree; the headers are those that proxies need."""
    answer = await glasses.ask_and_read(question("nobody"))
    assert answer.comments[0] == f"stream {answer.stream_id}"
    assert answer.body.startswith(f": stream {answer.stream_id}\n\n".encode())
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert "content-length" not in answer.headers


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER   {}", "{}"])
async def test_a_key_is_taken_in_the_forms_that_platforms_send(
    relay: RelayServer, glasses: Glasses, form: str
) -> None:
    """Any case of the scheme, any blanks, or none of it."""
    headers = {"Authorization": form.format(relay.key)}
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.post(
            f"{relay.url}/sse/rokid", json=question("nobody"), headers=headers
        )
    assert "relay-error" not in response.headers
    assert response.text.count("event: done") == 1
