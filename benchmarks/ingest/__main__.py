"""
``python -m benchmarks.ingest``: measure what taking live video in costs, and print a report in Markdown.

Progress goes to stderr, the report to stdout. Exit status: 0, or 1 with ``--check-targets`` when a target was
missed, or 2 when nothing could be measured at all.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from benchmarks.fanout.machine import Cores, describeMachine, firstLine
from benchmarks.fanout.native import CompilerError, compileProgram
from benchmarks.fanout.servers import ServerError

from . import report
from .cameras import CameraError
from .depacketize import Depacketizing
from .measure import Ingest, Stage, ingest
from .recording import Recording, RecordingError, recording
from .report import Report, Results
from .servers import SERVERS, Server

_HERE = Path(__file__).resolve().parent
_PARTS = ("depacketize", "publishers", "delay")
_WRITES = ("packet", "frame")


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What is measured and how long.

    :ivar packets: of each depacketizing run, of which there are ``repeat``.
    :ivar publishers: of the part with that name; ``delayPublishers``: of the part ``delay``.
    :ivar viewers: of the part ``publishers``; in the part ``delay``, every channel has one.
    :ivar seconds: of each run's window.
    :ivar warmUp: seconds before it, in which all publishers send already.
    :ivar recorded: seconds of video that are sent again and again.
    """

    servers: tuple[Server, ...]
    parts: tuple[str, ...]
    packets: int
    repeat: int
    publishers: int
    delayPublishers: int
    viewers: int
    seconds: float
    warmUp: float
    recorded: int
    writes: str


def parseArguments(arguments: Sequence[str]) -> tuple[Plan, bool]:
    """:return: the plan, and whether the exit status depends on the targets."""
    summary = __doc__.partition("\n\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=summary)
    names = [server.name for server in SERVERS]
    parser.add_argument("--only", metavar="NAME,...", help=f"servers: {', '.join(names)}")
    parser.add_argument("--parts", metavar="PART,...", help=f"measurements: {', '.join(_PARTS)}")
    parser.add_argument("--publishers", type=int, help="of 1080p30 H264 at 4 Mbit/s (40)")
    parser.add_argument("--delay-publishers", type=int, help="the same in the part delay (10)")
    parser.add_argument("--viewers", type=int, help="channels that are observed in the part publishers (1)")
    parser.add_argument("--seconds", type=float, help="window of the parts publishers and delay (20)")
    parser.add_argument("--packets", type=int, help="of each depacketizing run (100000)")
    parser.add_argument("--repeat", type=int, help="depacketizing runs; medians are shown (7)")
    parser.add_argument(
        "--writes", choices=_WRITES, default="packet", help="what a publisher writes at once (packet, as ffmpeg does)"
    )
    parser.add_argument("--quick", action="store_true", help="a small run of everything: does it work?")
    parser.add_argument("--check-targets", action="store_true", help="exit status 1 when a target is missed")
    options = parser.parse_args(arguments)
    if options.quick and options.check_targets:
        parser.error("a quick run says nothing about the targets")

    def chosen(given: str | None, known: Sequence[str]) -> list[str]:
        words = given.split(",") if given else list(known)
        for word in words:
            if word not in known:
                parser.error(f"unknown name {word!r}: known are {', '.join(known)}")
        return words

    def positive(given: float | None, usual: float, quick: float) -> float:
        if given is not None and given < 1:
            parser.error("numbers must be at least 1")
        return given if given is not None else quick if options.quick else usual

    only = chosen(options.only, names)
    publishers = int(positive(options.publishers, 40, 3))
    plan = Plan(
        servers=tuple(server for server in SERVERS if server.name in only),
        parts=tuple(chosen(options.parts, _PARTS)),
        packets=int(positive(options.packets, 100_000, 5_000)),
        repeat=int(positive(options.repeat, 7, 1)),
        publishers=publishers,
        delayPublishers=int(positive(options.delay_publishers, 10, 2)),
        viewers=min(publishers, int(positive(options.viewers, 1, 1))),
        seconds=positive(options.seconds, 20.0, 1.0),
        warmUp=0.0 if options.quick else 2.0,
        recorded=4 if options.quick else 10,
        writes=options.writes,
    )
    return plan, options.check_targets


class Benchmark:
    """One execution of a plan."""

    def __init__(self, plan: Plan, cores: Cores, directory: Path, program: Path) -> None:
        self._plan = plan
        self._cores = cores
        self._directory = directory
        self._program = program
        self.report = Report()
        self._video: Recording | None = None

    def run(self) -> None:
        """
        All parts, one after the other.

        :raises RecordingError: when there is nothing to send.
        """
        parts: dict[str, Callable[[], None]] = {
            "depacketize": self._depacketize,
            "publishers": self._publishers,
            "delay": self._delay,
        }
        for part in self._plan.parts:
            parts[part]()

    def _recording(self, codec: str) -> Recording:
        return recording(codec, self._plan.recorded, _say)

    def _depacketize(self) -> None:
        plan = self._plan
        packets = {codec: Depacketizing(self._recording(codec), plan.packets) for codec in report.LEAST_PACKETS}
        for _ in range(plan.repeat):
            for codec, depacketizing in packets.items():
                run = depacketizing.run(self._cores.server)
                self.report.depacketized.setdefault(codec, []).append(run)
                _say(f"  {codec}: {run.perCpuSecond:,.0f} packets/s {run.faults}")

    def _publishers(self) -> None:
        plan = self._plan
        for server in plan.servers:
            results = self._results(server)
            results.publishers = self._ingest(server, results, plan.publishers, plan.viewers)

    def _delay(self) -> None:
        plan = self._plan
        for server in plan.servers:
            if server.watchable:
                results = self._results(server)
                results.delay = self._ingest(server, results, plan.delayPublishers, plan.delayPublishers)

    def _results(self, server: Server) -> Results:
        found = self.report.servers.get(server.name)
        if found is None:
            found = self.report.servers[server.name] = Results(server.label, server.unavailable())
        return found

    def _ingest(self, server: Server, results: Results, publishers: int, viewers: int) -> Ingest | None:
        """One run; None when the server is not there or fails, which is then noted."""
        plan = self._plan
        _say(f"{server.name}: {results.failure or f'{publishers} publishers'}")
        if results.failure:
            return None
        if self._video is None:
            self._video = self._recording("h264")
        stage = Stage(self._cores, self._directory, self._program, self._video, plan.writes, plan.warmUp)
        try:
            run = ingest(server, stage, publishers, viewers, plan.seconds)
        except (ServerError, CameraError, OSError) as error:
            _say(f"  failed: {error}")
            results.failure = f"failed: {error}"
            return None
        delay = f", delay p99 {run.outcome.p99 / 1e6:.1f} ms" if run.outcome.samples else ""
        _say(f"  {run.load:.0%} CPU{delay} {run.faults}")
        return run


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def printReport(plan: Plan, found: Report, cores: Cores) -> None:
    """The tables of all measured parts, the machine."""
    rows = [(server, found.servers[server.name]) for server in plan.servers if server.name in found.servers]
    how = "packet by packet, those of a frame at once" if plan.writes == "packet" else "frame by frame"
    said = {
        "depacketize": [
            f"## Depacketizing alone, {plan.packets:,} packets of up to 1,400 bytes",
            report.depacketizeTable(found.depacketized),
            f"Medians of {plan.repeat} runs.",
        ],
        "publishers": [
            f"## {plan.publishers} publishers of 1080p30 H264 at 4 Mbit/s, {plan.seconds:g} s",
            report.publishersTable([row for _, row in rows]),
            f"Sent over RTSP/TCP, {how}.",
        ],
        "delay": [
            f"## From a frame's last packet to its publication, {plan.delayPublishers} publishers, {plan.seconds:g} s",
            report.delayTable([row for server, row in rows if server.watchable]),
        ],
    }
    sections = ["# Ingest: RTSP publishers", *(text for part in plan.parts for text in said[part])]
    versions = [server.version() for server in plan.servers]
    programs = [firstLine("ffmpeg", "-version"), *filter(None, versions)]
    machine = describeMachine(cores, "publishers and viewers", programs)
    print("\n\n".join([*sections, "## Machine", "\n".join(f"- {line}" for line in machine)]), flush=True)


def _interrupt(signalNumber: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str]) -> int:
    """:return: the exit status."""
    plan, checkTargets = parseArguments(arguments)
    signal.signal(signal.SIGTERM, _interrupt)  # so that the children are ended, whatever ends this
    started = time.monotonic()
    cores = Cores.choose()
    try:
        program = compileProgram("load", _HERE)
        os.sched_setaffinity(0, {cores.load})
        with tempfile.TemporaryDirectory(prefix="ingest-") as name:
            benchmark = Benchmark(plan, cores, Path(name), program)
            benchmark.run()
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    except (CompilerError, RecordingError) as error:
        _say(str(error))
        return 2
    printReport(plan, benchmark.report, cores)
    _say(f"{time.monotonic() - started:.0f} s")
    if not checkTargets:
        return 0
    targets = report.targets(benchmark.report)
    print("\n## Targets\n\n" + "\n".join(map(str, targets)), flush=True)
    return 0 if all(target.met for target in targets) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
