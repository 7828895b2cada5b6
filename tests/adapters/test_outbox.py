"""What is told to hooks in the background: in order, bounded, and nobody else's delay."""

from __future__ import annotations

import asyncio

from canary.adapters.outbox import LONGEST, Outbox
from canary.core.measurement import HookCall
from canary.core.objects import FLAGGER_CANARY, CanaryKey
from tests.adapters.hooks import a_call

ONE, OTHER = (CanaryKey(FLAGGER_CANARY.group, "shop", name) for name in ("one", "other"))


class Receiver:
    """Takes calls when it is let, and remembers them."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.lost: list[tuple[str, str, str]] = []
        self.lets = asyncio.Event()

    async def send(self, key: CanaryKey, call: HookCall) -> None:
        """Take a call; those that are slow when they are let."""
        if call.name.startswith("slow"):
            await self.lets.wait()
        self.got.append(call.name)

    def drop(self, key: CanaryKey, call: HookCall, why: str) -> None:
        """Hear of what is never sent."""
        self.lost.append((str(key), call.name, why))


def calls(*names: str) -> list[HookCall]:
    """Return calls with names."""
    return [a_call("http://talk.test/", name) for name in names]


async def settle() -> None:
    """Let every task take all the steps it can take by itself."""
    for _ in range(3 * LONGEST):
        await asyncio.sleep(0)


async def test_calls_of_a_canary_are_sent_in_order_and_delay_no_other() -> None:
    """A receiver that hangs keeps back what comes after it for its own Canary alone."""
    receiver = Receiver()
    outbox = Outbox(receiver.send, receiver.drop)
    outbox.put(ONE, calls("slow", "second"))
    outbox.put(OTHER, calls("a"))
    outbox.put(ONE, calls("third"))
    outbox.put(OTHER, calls("b"))
    await settle()
    assert receiver.got == ["a", "b"]
    receiver.lets.set()
    await outbox.close()
    assert receiver.got == ["a", "b", "slow", "second", "third"]


async def test_too_many_calls_are_dropped_and_told() -> None:
    """Memory stays bounded; what was there first is sent."""
    receiver = Receiver()
    outbox = Outbox(receiver.send, receiver.drop)
    outbox.put(ONE, calls("slow"))
    await settle()
    outbox.put(ONE, calls(*map(str, range(LONGEST + 2))))
    receiver.lets.set()
    await outbox.close()
    assert receiver.got == ["slow", *map(str, range(LONGEST))]
    why = f"{LONGEST} calls wait already"
    assert receiver.lost == [(str(ONE), str(LONGEST), why), (str(ONE), str(LONGEST + 1), why)]


async def test_process_that_ends_waits_for_nobody_for_long() -> None:
    """What hangs is cut off, and nothing is left behind."""
    receiver = Receiver()
    outbox = Outbox(receiver.send, receiver.drop, farewell=0.05)
    outbox.put(ONE, calls("slow", "second"))
    await outbox.close()
    assert receiver.got == []
    assert receiver.lost == [(str(ONE), "second", "the process ends")]
    assert [task for task in asyncio.all_tasks() if "outbox" in task.get_name()] == []
