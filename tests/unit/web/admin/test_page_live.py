from __future__ import annotations

import html
import json
import re

from tests.support.admin import FakeLive, live_stream
from tests.support.admin_page import Visitor


async def shown(live: FakeLive) -> str:
    """The live page of somebody who is logged in."""
    visitor = Visitor(live=live)
    await visitor.store.create_bot("weather <b>", user_id=None)
    await visitor.log_in()
    return (await visitor.see("/admin/live")).text


async def test_open_streams_are_there_without_scripts() -> None:
    """And the page then loads itself anew."""
    page = await shown(FakeLive([live_stream(1), live_stream(2, missing=2, bot_connected=False)]))
    assert page.count("data-stream=") == 2
    assert '<tr data-stream="live-0002" class="anomaly">' in page
    assert "gone</span>" in page
    assert '<noscript><meta http-equiv="refresh"' in page


async def test_the_script_is_given_the_names_of_bots_as_data() -> None:
    """Escaped, and no script within the page."""
    page = await shown(FakeLive())
    found = re.search(r'data-names="([^"]*)"', page)
    assert found is not None
    assert json.loads(html.unescape(found[1])) == {"1": "weather <b>"}
    assert "No stream is open." in page
