"""
The remote control of ``client.c``: the subscribers of one run, what they must receive and what they received.
"""

import contextlib
import os
import selectors
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

PAYLOAD_SIZE = 100
_LONGEST_LINE = 1024 * 1024  # a histogram: 4096 cells of two numbers stay far below


def makePayload(sequence: int, publishedNs: int) -> bytes:
    """
    A message as ``client.c`` recognises it.

    :param sequence: its number in the run.
    :param publishedNs: the ``CLOCK_MONOTONIC`` time its latency is counted from.
    """
    return (b"@fanout:%020d:%010d:" % (publishedNs, sequence)).ljust(PAYLOAD_SIZE - 1, b"x") + b"$"


class LoadError(Exception):
    """The subscribers could not connect, or did not answer in time."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """
    What all subscribers together have received of a run.

    :ivar subscribers: how many took part.
    :ivar expected: subscribers times messages.
    :ivar deliveries: payloads that came, whole, in order and for the first time.
    :ivar missing: payloads that did not.
    :ivar duplicates: payloads that came again, or after a later one.
    :ivar corrupt: payloads with a wrong end.
    :ivar disconnected: subscribers whose connection ended.
    :ivar bytes: bytes of response bodies.
    :ivar p50: median latency in nanoseconds; also ``p99``, ``p999`` and ``max``.
    :ivar first: when the first delivery came, ``CLOCK_MONOTONIC`` nanoseconds; ``last``: the last one.
    """

    subscribers: int
    expected: int
    deliveries: int
    missing: int
    duplicates: int
    stale: int
    corrupt: int
    bytes: int
    disconnected: int
    errors: int
    p50: int
    p99: int
    p999: int
    max: int
    first: int
    last: int

    @classmethod
    def parse(cls, figures: str) -> "Delivery":
        """From the ``key=value`` words that ``client.c`` prints."""
        words = (word.partition("=") for word in figures.split())
        return cls(**{name: int(value) for name, _, value in words})

    @property
    def complete(self) -> bool:
        """Whether every subscriber got every message exactly once and is still there."""
        return self.deliveries == self.expected and not (self.duplicates or self.corrupt or self.disconnected)

    def describeFaults(self) -> str:
        """Everything that went wrong, in words; empty when nothing did."""
        faults = (
            (self.missing, "missing"),
            (self.duplicates, "duplicate or out of order"),
            (self.corrupt, "corrupt"),
            (self.disconnected, "disconnected"),
        )
        return ", ".join(f"{count} {word}" for count, word in faults if count)


class Load:
    """
    One process full of subscribers.

    :param program: the compiled ``client.c``.
    :param protocol: ``sse``, ``websocket`` or ``socket.io``.
    """

    def __init__(self, program: Path, port: int, path: str, protocol: str) -> None:
        self._process = subprocess.Popen(
            [str(program), str(port), path, protocol], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input = self._process.stdin.fileno()
        self._output = self._process.stdout.fileno()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)
        self._pending = b""

    def connect(self, total: int, timeout: float = 60.0) -> None:
        """Subscribe until there are ``total`` of them."""
        self._command(f"connect {total}")
        self._await("connected", timeout)

    def expect(self, first: int, count: int, step: int = 0) -> None:
        """
        Begin a run: from now on everybody must receive the messages ``first`` to ``first + count - 1``.

        :param step: announce every this many messages that have arrived everywhere; 0: only the end.
        """
        self._command(f"expect {first} {count} {step}")
        self._await("expecting", 10.0)

    def awaitStep(self, timeout: float = 10.0) -> bool:
        """Wait for the next step to be complete; False when it was not in time."""
        try:
            self._await("step", timeout)
        except TimeoutError:
            return False
        return True

    def awaitDone(self, timeout: float) -> Delivery:
        """Wait for the end of the run, at most so long. What was received so far is returned in any case."""
        try:
            return Delivery.parse(self._await("done", timeout))
        except TimeoutError:
            return self.report()

    def report(self) -> Delivery:
        """What was received so far."""
        self._command("report")
        return Delivery.parse(self._await("report", 30.0))

    def histogram(self) -> dict[int, int]:
        """How many deliveries took at least so many nanoseconds and less than the next key."""
        self._command("histogram")
        cells = (cell.partition(":") for cell in self._await("histogram", 10.0).split())
        return {int(lowest): int(count) for lowest, _, count in cells}

    def close(self) -> None:
        """Drop all connections; the end of its input ends the process."""
        self._selector.close()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(10.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _command(self, line: str) -> None:
        try:
            os.write(self._input, line.encode() + b"\n")
        except BrokenPipeError:
            raise LoadError(f"the subscribers' process has ended: {self._process.wait(5.0)}") from None

    def _await(self, title: str, timeout: float) -> str:
        """The rest of the next line that begins with ``title``. Other answers are late: skipped."""
        deadline = time.monotonic() + timeout
        while True:
            while b"\n" in self._pending:
                line, _, self._pending = self._pending.partition(b"\n")
                word, _, rest = line.decode().partition(" ")
                if word == "error":
                    raise LoadError(rest)
                if word == title:
                    return rest
            if not self._selector.select(max(0.0, deadline - time.monotonic())):
                if title in ("step", "done"):
                    raise TimeoutError(title)
                raise LoadError(f"no {title!r} from the subscribers within {timeout:g} s")
            chunk = os.read(self._output, 65536)
            if not chunk or len(self._pending) > _LONGEST_LINE:
                raise LoadError("the subscribers' process has ended")
            self._pending += chunk
