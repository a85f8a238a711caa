"""The entry of `relay-bot`: the composition of its parts."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from relay_sdk.bridge.answerer import Answerer
from relay_sdk.bridge.completions import make_client
from relay_sdk.bridge.echo import echo
from relay_sdk.bridge.options import ModelOptions, Options, read_options
from relay_sdk.bridge.status import StatusLine
from relay_sdk.client import Bot
from relay_sdk.errors import RelaySdkError

logger = logging.getLogger("relay_sdk")

_EXIT_REFUSED = 1
_LIBRARIES = ("httpcore", "httpcore2", "httpx", "httpx2", "openai")
"""Their debug logs hold headers and questions, and their info a line for each request."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `relay-bot` until it is stopped. Returns the exit code; 1 where the relay refuses."""
    options = read_options(arguments, os.environ)
    status = StatusLine(sys.stderr, live=sys.stderr.isatty())
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        handlers=[logging.StreamHandler(status)],
    )
    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(_run(options, status))
    except RelaySdkError as error:
        status.close()
        print(f"relay-bot: {error}", file=sys.stderr)  # noqa: T201 - a program's last word
        return _EXIT_REFUSED
    finally:
        status.close()
    return 0


async def _run(options: Options, status: StatusLine) -> None:
    bot = Bot(options.relay, options.token, bot_id=options.bot_id, name="relay-bot")
    status.connected = lambda: bot.is_connected
    if options.model is None:
        bot.on_command(partial(echo, delay_s=options.echo_delay_s))
        await bot.run_until_signal()
    else:
        await _run_model(bot, options.model, status)


async def _run_model(bot: Bot, options: ModelOptions, status: StatusLine) -> None:
    endpoint = options.endpoint
    client = make_client(endpoint)
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)
    logger.info("answering with %s of %s", endpoint.model, endpoint)
    bot.on_command(Answerer(client, options, bot.reply, status))
    try:
        await bot.run_until_signal()
    finally:
        await client.close()
