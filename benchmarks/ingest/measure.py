"""
A run: publishers at their pace into one server, and what that costs it.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fanout.machine import Cores, Usage

from .cameras import STAGGER, Cameras, Outcome
from .recording import Recording
from .servers import Server


@dataclass(frozen=True, slots=True)
class Ingest:
    """
    What one run has come to.

    :ivar seconds: of the window in which CPU time and delays were taken.
    :ivar usage: of the server in it.
    :ivar published: frames that the server says it has seen, from the first to the last; None when it does not say.
    """

    publishers: int
    seconds: float
    usage: Usage
    outcome: Outcome
    published: int | None

    @property
    def load(self) -> float:
        """Share of its core that the server used."""
        return self.usage.cpuNs / 1e9 / self.seconds

    @property
    def waited(self) -> float:
        """
        How long it was ready to run while something else had its core, as a share of what it used. Delays are only its
        own when that is little.
        """
        return self.usage.waitedNs / (self.usage.cpuNs or 1)

    @property
    def perPublisherSecond(self) -> float:
        """CPU milliseconds for one publisher and second."""
        return self.usage.cpuNs / 1e6 / self.publishers / self.seconds

    @property
    def growth(self) -> float:
        """Milliseconds by which the median delay of the last quarter is above that of the first."""
        return (self.outcome.last - self.outcome.first) / 1e6

    @property
    def faults(self) -> str:
        """What went wrong, in words; empty when all frames were published and the server kept up."""
        found = self.outcome.faults()
        if self.published is not None and self.published != self.outcome.frames:
            found.append(f"{self.outcome.frames - self.published:,} frames not seen")
        return ", ".join(found)


@dataclass(frozen=True, slots=True)
class Stage:
    """
    What runs need of their surroundings.

    :ivar directory: for the servers' files.
    :ivar program: the compiled ``load.c``.
    :ivar writes: see :class:`.cameras.Cameras`.
    :ivar warmUp: seconds between the last publisher's begin and the window.
    """

    cores: Cores
    directory: Path
    program: Path
    recording: Recording
    writes: str
    warmUp: float


def ingest(server: Server, stage: Stage, publishers: int, viewers: int, seconds: float) -> Ingest:
    """
    Start a server, publish for some seconds, and end both.

    :param viewers: of the first so many channels, if the server has any.
    """
    with server.running(stage.cores, stage.directory, publishers) as running:
        cameras = Cameras(stage.program, running.port, stage.recording, stage.writes)
        try:
            if server.watchable:
                cameras.watch(viewers)
            cameras.publish(publishers)
            processes = running.processes()
            cameras.start(STAGGER + stage.warmUp, seconds)
            began, before = time.monotonic(), processes.usage()
            cameras.awaitEnd(seconds)
            used, took = processes.usage() - before, time.monotonic() - began
            outcome = cameras.outcome()
            published = server.published(running)
        finally:
            cameras.close()
    return Ingest(publishers, took, used, outcome, published)
