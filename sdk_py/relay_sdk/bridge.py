"""`relay-bot`: any OpenAI-compatible endpoint on the glasses, without a line of code."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from functools import partial

from relay_sdk.client import Bot
from relay_sdk.command import Command
from relay_sdk.completions import CompletionsClient, Message, complete, make_client
from relay_sdk.errors import RelaySdkError
from relay_sdk.handlers import Handler

logger = logging.getLogger("relay_sdk")

_EXIT_REFUSED = 1
_WORDS = re.compile(r"\s*\S+\s*$|\s*\S+|\s+$")
"""A word with the space before it; the last one takes the space behind it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `relay-bot` until it is stopped. Returns the exit code; 1 where the relay refuses."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.token:
        parser.error("a token is needed: --token or RELAY_TOKEN")
    if not options.echo and not (options.llm_base_url and options.model):
        parser.error("say who answers: --llm-base-url and --model, or --echo")
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        bot = Bot(options.relay, options.token, bot_id=options.bot_id, name="relay-bot")
        bot.on_command(_handler(options))
        bot.run()
    except RelaySdkError as error:
        print(f"relay-bot: {error}", file=sys.stderr)  # noqa: T201 - a program's last word
        return _EXIT_REFUSED
    return 0


async def echo(command: Command, delay_s: float = 0.0) -> AsyncIterator[str]:
    """Answer with the words of the question, one chunk each."""
    for word in split_words(command.text):
        yield word
        await asyncio.sleep(delay_s)


def split_words(text: str) -> list[str]:
    """Return the words with the white space around them; joined they are the text again."""
    return _WORDS.findall(text)


class Completer:
    """A handler that asks a model."""

    def __init__(self, client: CompletionsClient, model: str, system_prompt: str) -> None:
        self._client = client
        self._model = model
        self._system_prompt = system_prompt

    async def __call__(self, command: Command) -> AsyncIterator[str]:
        """Yield the model's answer to the question."""
        messages: list[Message] = []
        if self._system_prompt:
            messages.append({"role": "system", "content": self._system_prompt})
        messages.append({"role": "user", "content": command.text})
        # Closed at once where the command is cancelled, or the model would write on unheard.
        async with aclosing(complete(self._client, self._model, messages)) as texts:
            async for text in texts:
                yield text


def _handler(options: argparse.Namespace) -> Handler:
    if options.echo:
        delay_s = options.echo_delay_ms / 1000
        return partial(echo, delay_s=delay_s)
    client = make_client(options.llm_base_url, options.llm_api_key)
    return Completer(client, options.model, options.system_prompt)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="relay-bot",
        description="Answers the relay's questions with a model, or with --echo.",
        epilog="RELAY_URL, RELAY_TOKEN and OPENAI_API_KEY stand in for --relay, --token and "
        "--llm-api-key: a command line can be read by everybody on the machine.",
    )
    environment = os.environ
    add = parser.add_argument
    add("--relay", metavar="URL", default=environment.get("RELAY_URL", "http://127.0.0.1:8080"))
    add("--token", default=environment.get("RELAY_TOKEN"), help="from `relay bot add NAME`")
    add("--bot-id", default="", help="checked by the relay against the token")
    add("--echo", action="store_true", help="answer with the words of the question")
    add("--echo-delay-ms", type=float, default=35.0, metavar="MS", help="between two words")
    add("--llm-base-url", metavar="URL", help="for example http://127.0.0.1:11434/v1")
    add("--llm-api-key", default=environment.get("OPENAI_API_KEY", "none"), metavar="KEY")
    add("--model")
    add("--system-prompt", default="", metavar="TEXT")
    add("--verbose", action="store_true")
    return parser
