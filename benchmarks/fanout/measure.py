"""
The measurements: throughput one at a time and pipelined, latency at a pace, memory of idle subscribers.

All figures are about the server's process: its CPU time divided by what the subscribers received, its memory
divided by how many they are.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .load import Delivery, Load, LoadError, makePayload
from .machine import SHORTEST_RUN_NS, Usage
from .publishers import PublishError
from .servers import RunningServer, Server, Workplace

_MOST_SEGMENTS = 20  # how often a run is repeated at most to last long enough for a coarse clock
_MOST_AT_ONCE = 64  # messages in one write of a late publisher: the answers must fit a buffer
_LEAD_NS = 50_000_000  # between the decision to publish at a pace and the first message


@dataclass(frozen=True, slots=True)
class Throughput:
    """
    What one run has cost the server.

    :ivar wallNs: from the first publish to the last delivery.
    :ivar faults: what went wrong, in words; empty when every subscriber got every message.
    """

    deliveries: int
    usage: Usage
    wallNs: int
    faults: str

    @property
    def cpuMicroseconds(self) -> float:
        """CPU time per delivery."""
        return self.usage.cpuNs / 1000 / self.deliveries if self.deliveries else float("inf")

    @property
    def perCpuSecond(self) -> float:
        """Deliveries per second of the server's CPU time."""
        return self.deliveries * 1e9 / self.usage.cpuNs if self.usage.cpuNs else 0.0

    @property
    def perWallSecond(self) -> float:
        """Deliveries per second as it went, the subscribers' own work included."""
        return self.deliveries * 1e9 / self.wallNs if self.wallNs else 0.0


@dataclass(frozen=True, slots=True)
class Pace:
    """
    Latency at a fixed rate, counted from when a message was due: a publisher that had to wait is no excuse.

    :ivar latestNs: how late the publisher was at worst: that much of ``delivery.max`` may be its own.
    :ivar load: CPU time of the server per second.
    """

    rate: int
    delivery: Delivery
    latestNs: int
    load: float
    faults: str


@dataclass(frozen=True, slots=True)
class Memory:
    """
    Bytes per subscriber.

    :ivar subscribers: how many were added between the first reading and the second.
    :ivar idle: before any message; ``used``: after one to everybody.
    """

    subscribers: int
    idle: float
    used: float
    faults: str


class Session:
    """A running server with its subscribers; messages are numbered through."""

    def __init__(self, server: RunningServer, load: Load) -> None:
        self._server = server
        self._load = load
        self._next = 0

    def subscribe(self, total: int) -> None:
        """Have so many subscribers, and be sure that messages reach them all."""
        self._load.connect(total)
        for _ in range(40):
            if self._publishOne(0.5).complete:
                return
        raise LoadError(f"messages do not reach all {total} subscribers")

    def warmUp(self, rounds: int, batch: int) -> None:
        """A run that is not counted."""
        self._segment(rounds, batch)

    def throughput(self, rounds: int, batch: int) -> Throughput:
        """
        Publish ``rounds`` batches, each when the one before is delivered to everybody;
        more when the clock is coarse.
        """
        deliveries = wallNs = 0
        usage = Usage(0, 0)
        for _ in range(_MOST_SEGMENTS):
            before = self._server.processes.usage()
            delivery, segmentNs = self._segment(rounds, batch)
            usage += self._server.processes.usage() - before
            deliveries += delivery.deliveries
            wallNs += segmentNs
            if delivery.describeFaults() or usage.cpuNs >= SHORTEST_RUN_NS:
                break
        return Throughput(deliveries, usage, wallNs, delivery.describeFaults())

    def pace(self, rate: int, seconds: float, patience: float) -> Pace:
        """
        Publish at a fixed rate.

        :param patience: seconds after the last message was due in which everything must have arrived.
        """
        count = max(1, round(rate * seconds))
        first = self._take(count)
        self._load.expect(first, count)
        before = self._server.processes.usage()
        start = time.monotonic_ns() + _LEAD_NS
        deadline = start + round((seconds + patience) * 1e9)
        latest = sent = 0
        fault = ""
        try:
            while sent < count and time.monotonic_ns() < deadline:
                now = time.monotonic_ns()
                due = min(count, sent + _MOST_AT_ONCE, (now - start) * rate // 1_000_000_000 + 1)
                if due > sent:
                    latest = max(latest, now - start - sent * 1_000_000_000 // rate)
                    times = ((i, start + i * 1_000_000_000 // rate) for i in range(sent, due))
                    self._server.publisher.publish([makePayload(first + i, when) for i, when in times])
                    sent = due
                else:
                    time.sleep((start + sent * 1_000_000_000 // rate - now) / 1e9)
        except PublishError as error:
            fault = str(error)
        if sent < count:
            fault = ", ".join(filter(None, (fault, f"only {sent} of {count} messages taken")))
        delivery = self._load.awaitDone(max(0.1, (deadline - time.monotonic_ns()) / 1e9))
        used = self._server.processes.usage() - before
        wall = time.monotonic_ns() - start
        faults = ", ".join(filter(None, (fault, delivery.describeFaults())))
        return Pace(rate, delivery, latest, used.cpuNs / wall, faults)

    def memory(self, first: int, total: int, pause: float) -> Memory:
        """
        What the subscribers after the first ones occupy: those have made the server load what it loads once.

        :param pause: seconds for the server to come to rest before each reading.
        """
        self.subscribe(first)
        time.sleep(pause)
        before = self._server.processes.memory()
        self._load.connect(total)
        time.sleep(pause)
        idle = self._server.processes.memory()
        delivery = self._publishOne(30.0)
        time.sleep(pause)
        used = self._server.processes.memory()
        added = total - first
        return Memory(added, (idle - before) / added, (used - before) / added, delivery.describeFaults())

    def _publishOne(self, patience: float) -> Delivery:
        sequence = self._take(1)
        self._load.expect(sequence, 1)
        self._server.publisher.publish([makePayload(sequence, time.monotonic_ns())])
        return self._load.awaitDone(patience)

    def _segment(self, rounds: int, batch: int) -> tuple[Delivery, int]:
        """Publish the batches; returns what was delivered, and in how many nanoseconds."""
        first = self._take(rounds * batch)
        self._load.expect(first, rounds * batch, batch)
        start = time.monotonic_ns()
        for sequence in range(first, first + rounds * batch, batch):
            now = time.monotonic_ns()
            self._server.publisher.publish([makePayload(i, now) for i in range(sequence, sequence + batch)])
            if not self._load.awaitStep():
                break
        delivery = self._load.awaitDone(1.0)
        self._server.publisher.settle()
        time.sleep(0.005)  # the server goes to sleep: its clock is exact then
        return delivery, delivery.last - start

    def _take(self, count: int) -> int:
        """Numbers for so many messages; the first of them."""
        first = self._next
        self._next += count
        return first


@contextlib.contextmanager
def session(server: Server, place: Workplace, client: Path) -> Iterator[Session]:
    """
    Start a server and a process for its subscribers, and end both with the block.

    :param client: the compiled ``client.c``.
    """
    with server.running(place) as running:
        load = Load(client, running.port, server.path, server.protocol)
        try:
            yield Session(running, load)
        finally:
            load.close()
