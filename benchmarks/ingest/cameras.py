"""
The remote control of ``load.c``: the publishers of one run, the viewers of some of them, and what became of the frames.
"""

import contextlib
import os
import selectors
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .recording import Recording

#: At the end of each message that viewers get.
SUFFIX = "|the-end-of-a-message|"

#: Seconds within which the publishers begin, one after the other.
STAGGER = 2.0

_LONGEST_LINE = 1 << 16


class CameraError(Exception):
    """They could not publish, or did not answer in time."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What a run has come to. Times are nanoseconds.

    :ivar frames: sent by all publishers, from the first to the last; ``packets`` and ``bytes`` likewise.
    :ivar watched: sent by those publishers that have a viewer; ``received``: that this viewer got.
    :ivar strange: messages and answers that nobody had to expect.
    :ivar unanswered: publishers whose last question was not answered: the server had not worked off what was before it.
    :ivar ownLate: by which this program itself began to send a frame too late, at worst.
    :ivar lag: from when a frame was due to when the kernel had taken all of it, at worst; ``ownLate`` included.
    :ivar drain: from the end of sending to the answer to a publisher's question after its last frame, at worst.
    :ivar samples: delays from a frame's last packet to its publication in the window; ``p50``, ``p99`` and ``max`` are
        theirs.
    :ivar first: the median in the first quarter of the window; ``last``: in the last.
    """

    frames: int
    packets: int
    bytes: int
    watched: int
    received: int
    strange: int
    disconnected: int
    unanswered: int
    ownLate: int
    lag: int
    drain: int
    samples: int
    p50: int
    p99: int
    max: int
    first: int
    last: int

    @classmethod
    def parse(cls, figures: str) -> "Outcome":
        """From the ``key=value`` words that ``load.c`` prints."""
        words = (word.partition("=") for word in figures.split())
        return cls(**{name: int(value) for name, _, value in words})

    def faults(self) -> list[str]:
        """Everything that went wrong, in words."""
        found = (
            (self.watched - self.received, "frames not published"),
            (self.strange, "strange messages"),
            (self.disconnected, "disconnected"),
            (self.unanswered, "publishers not worked off in 20 s"),
        )
        return [f"{count:,} {words}" for count, words in found if count]


class Cameras:
    """
    One process full of publishers.

    :param program: the compiled ``load.c``.
    :param writes: ``packet`` or ``frame``: what they send at once.
    """

    def __init__(self, program: Path, port: int, recording: Recording, writes: str) -> None:
        command = [str(program), str(port), str(recording.path), str(recording.path.with_suffix(".sdp"))]
        self._process = subprocess.Popen(
            [*command, SUFFIX, writes], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input = self._process.stdin.fileno()
        self._output = self._process.stdout.fileno()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)
        self._pending = b""

    def watch(self, count: int) -> None:
        """View the first channels."""
        self._command(f"watch {count}")
        self._await("watching", 30.0)

    def publish(self, count: int) -> None:
        """Have so many publishers, ready to send."""
        self._command(f"publish {count}")
        self._await("publishing", 60.0)

    def start(self, warmUp: float, seconds: float) -> None:
        """Send; returns when the window of the figures begins, ``warmUp`` seconds later."""
        self._command(f"run {warmUp} {seconds}")
        self._await("started", warmUp + 20.0)

    def awaitEnd(self, seconds: float) -> None:
        """Wait for the end of the window."""
        self._await("measured", seconds + 20.0)

    def outcome(self) -> Outcome:
        """What became of it all, once the server has worked off what it can."""
        return Outcome.parse(self._await("done", 120.0))

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
            raise CameraError("the publishers' process has ended") from None

    def _await(self, title: str, timeout: float) -> str:
        """The rest of the next line, which must begin with ``title``."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._pending:
            if not self._selector.select(max(0.0, deadline - time.monotonic())):
                raise CameraError(f"no {title!r} from the publishers within {timeout:g} s")
            chunk = os.read(self._output, 65536)
            if not chunk or len(self._pending) > _LONGEST_LINE:
                raise CameraError("the publishers' process has ended")
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        word, _, rest = line.decode(errors="replace").partition(" ")
        if word != title:
            raise CameraError(rest if word == "error" else f"{word!r} instead of {title!r}")
        return rest
