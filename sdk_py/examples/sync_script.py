"""Asks one question and prints the answer as it comes.

    python sync_script.py What time is it?

RELAY_URL and RELAY_ACCESS_KEY say where and as whom, RELAY_USER_ID whose bot is asked. Nothing in
it is async: relay_sdk.sync has the same classes as relay_sdk.
"""

import os
import sys

from relay_sdk import Ended, Text
from relay_sdk.sync import Device

with Device(
    os.environ["RELAY_URL"], os.environ["RELAY_ACCESS_KEY"], user_id=os.environ["RELAY_USER_ID"]
) as device:
    for event in device.ask(" ".join(sys.argv[1:])):
        match event:
            case Text():
                print(event.text, end="", flush=True)
            case Ended():
                print(f"\n({event.outcome})")
            case _:
                pass  # what cannot be printed: tool calls, suggestions
