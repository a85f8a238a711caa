"""`relay-bot`: any OpenAI-compatible endpoint on the glasses, in one command.

    command --> answerer --> completions --> the endpoint        one request per attempt
                   |  ^          |
                   |  |          v
                   |  |      coalesce     a burst of tokens becomes one chunk
                   |  memory              what was said before in this conversation
                   v
                 reply <-- device_tools   take_photo and the like
                       <-- failures       what the glasses show, and what the owner reads

`program` is the command line's entry, `options` reads the command line, `status` draws the
status line, `echo` answers without a model. Only `completions` knows the `openai` library.
"""

from __future__ import annotations

from relay_sdk.bridge.program import main

__all__ = ["main"]
