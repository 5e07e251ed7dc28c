"""
Heartbeats for many clients from one timer.

A timer for each of ten thousand idle clients would cost more memory than the client does, and would wake the process
five hundred times a second. Here clients of one interval share a timer that serves one slot of them per tick.
"""

from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

#: The interval is cut into this many ticks: late by at most a tenth, and bursts a tenth of the size.
SLOTS = 10


class Beating(Protocol):
    """What can be registered: told when its time has come."""

    def beat(self) -> None: ...


class Heart:
    """
    Beats every registered client once per interval, spread over :data:`SLOTS` ticks.

    The timer runs only while somebody is registered.

    :param interval: seconds between two beats of one client.
    """

    def __init__(self, clock: IReactorTime, interval: float) -> None:
        self._slots: list[set[Beating]] = [set() for _ in range(SLOTS)]
        self._tick = interval / SLOTS
        self._next = 0
        self._count = 0
        self._loop = LoopingCall(self._beat)
        self._loop.clock = clock

    def add(self, client: Beating) -> None:
        """Register a client in the slot that was served last, so that its first beat comes after a full interval."""
        slot = (self._next - 1) % SLOTS
        self._slots[slot].add(client)
        self._count += 1
        if not self._loop.running:
            self._loop.start(self._tick, now=False)

    def remove(self, client: Beating) -> None:
        """Forget a client. Unknown clients are ignored."""
        for slot in self._slots:
            if client in slot:
                slot.remove(client)
                self._count -= 1
                break
        if not self._count:
            self.stop()

    def stop(self) -> None:
        """Stop the timer; registered clients stay registered."""
        if self._loop.running:
            self._loop.stop()

    def _beat(self) -> None:
        slot = self._slots[self._next]
        self._next = (self._next + 1) % SLOTS
        for client in tuple(slot):
            client.beat()
