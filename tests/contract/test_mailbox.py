"""`CommandMailbox` and `Presence`: what every broker's must hold."""

from __future__ import annotations

import asyncio

from relay.broker.base import CommandMailbox, Letter, Presence, settle

TIMEOUT_S = 5


class Inbox:
    """A listener that keeps what it is given."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self._news = asyncio.Event()

    def __call__(self, letter: Letter) -> None:
        self.letters.append(letter)
        self._news.set()

    async def wait_for(self, number: int) -> list[Letter]:
        """Wait until this many letters are there: a broker may deliver later."""
        async with asyncio.timeout(TIMEOUT_S):
            while len(self.letters) < number:
                self._news.clear()
                await self._news.wait()
        return self.letters


def unreplaced() -> None:
    """There is one node, so no listener is replaced by another node's."""
    raise AssertionError


def letter(number: int, bot_id: int = 1) -> Letter:
    """A letter; its content is bytes that no encoding knows."""
    return Letter(bot_id, f"stream_{number}", b'{"n": %d}\xff\x00' % number)


async def unlisten(mailbox: CommandMailbox, bot_id: int, fence: int) -> None:
    """Stop listening."""
    pending = mailbox.unlisten(bot_id, fence)
    if pending is not None:
        await pending


async def test_letters_reach_the_listener_in_order(mailbox: CommandMailbox) -> None:
    """Each exactly once, as it was posted."""
    inbox = Inbox()
    await settle(mailbox.listen(1, inbox, unreplaced))
    letters = [letter(number) for number in range(20)]
    for one in letters:
        assert await settle(mailbox.post(one)) is True
    assert await inbox.wait_for(20) == letters


async def test_a_letter_to_nobody_is_not_kept(mailbox: CommandMailbox) -> None:
    """The poster is told so, and a bot that comes later is not asked an old question."""
    assert await settle(mailbox.post(letter(0))) is False
    inbox = Inbox()
    await settle(mailbox.listen(1, inbox, unreplaced))
    await settle(mailbox.post(letter(1)))
    assert await inbox.wait_for(1) == [letter(1)]


async def test_a_letter_is_for_one_bot(mailbox: CommandMailbox) -> None:
    """A listener of another bot does not see it."""
    mine, other = Inbox(), Inbox()
    await settle(mailbox.listen(1, mine, unreplaced))
    await settle(mailbox.listen(11, other, unreplaced))
    await settle(mailbox.post(letter(1, bot_id=1)))
    await settle(mailbox.post(letter(2, bot_id=11)))
    assert await mine.wait_for(1) == [letter(1, bot_id=1)]
    assert await other.wait_for(1) == [letter(2, bot_id=11)]


async def test_only_the_newest_listener_gets_a_letter(mailbox: CommandMailbox) -> None:
    """Two processes with one token do not answer every question twice."""
    older, newer = Inbox(), Inbox()
    first = await settle(mailbox.listen(1, older, unreplaced))
    second = await settle(mailbox.listen(1, newer, unreplaced))
    assert second > first
    await settle(mailbox.post(letter(1)))
    assert await newer.wait_for(1) == [letter(1)]
    assert older.letters == []


async def test_an_older_listener_that_leaves_changes_nothing(
    mailbox: CommandMailbox, presence: Presence
) -> None:
    """Whatever order the network closes connections in, the newest one goes on."""
    older, newer = Inbox(), Inbox()
    first = await settle(mailbox.listen(1, older, unreplaced))
    await settle(mailbox.listen(1, newer, unreplaced))
    await unlisten(mailbox, 1, first)
    assert await settle(presence.is_online(1))
    assert await settle(mailbox.post(letter(1))) is True
    assert await newer.wait_for(1) == [letter(1)]


async def test_a_listener_that_left_gets_nothing_more(mailbox: CommandMailbox) -> None:
    """Posting says that nobody is there; leaving twice is no error."""
    inbox = Inbox()
    fence = await settle(mailbox.listen(1, inbox, unreplaced))
    await unlisten(mailbox, 1, fence)
    await unlisten(mailbox, 1, fence)
    assert await settle(mailbox.post(letter(1))) is False
    assert inbox.letters == []


async def test_fences_rise_across_absences(mailbox: CommandMailbox) -> None:
    """A connection that comes after a pause is newer than every one before."""
    fences = []
    for _ in range(3):
        fences.append(await settle(mailbox.listen(1, Inbox(), unreplaced)))
        await unlisten(mailbox, 1, fences[-1])
    assert fences == sorted(set(fences))


async def test_a_bot_is_online_while_its_connection_listens(
    mailbox: CommandMailbox, presence: Presence
) -> None:
    """By its live connection and nothing else."""
    assert not await settle(presence.is_online(1))
    fence = await settle(mailbox.listen(1, Inbox(), unreplaced))
    assert await settle(presence.is_online(1))
    assert not await settle(presence.is_online(2))
    await unlisten(mailbox, 1, fence)
    assert not await settle(presence.is_online(1))


async def test_everybody_who_is_online_is_listed_once(
    mailbox: CommandMailbox, presence: Presence
) -> None:
    """Two connections of one bot are one bot."""
    assert await settle(presence.online()) == frozenset()
    for bot_id in (1, 1, 3):
        await settle(mailbox.listen(bot_id, Inbox(), unreplaced))
    assert await settle(presence.online()) == frozenset({1, 3})
