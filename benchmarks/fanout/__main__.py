"""
``python -m benchmarks.fanout``: measure the servers against each other and print a report in Markdown.

Progress goes to stderr, the report to stdout. Exit status: 0, or 1 with ``--check-targets`` when a target was
missed, or 2 when nothing could be measured at all.
"""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from . import report
from .load import LoadError
from .machine import Cores, describeMachine, raiseFileLimit
from .measure import session
from .native import CompilerError, compileProgram
from .publishers import PublishError
from .report import Results
from .servers import SERVERS, Server, ServerError, Workplace, runningRedis

_BATCH = 20
_PARTS = ("throughput", "paced", "memory")
_SPARE_FILES = 200  # besides the subscribers: libraries, logs, the publisher


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What is measured and how long.

    :ivar rounds: messages one at a time; a quarter as many batches are published in the pipelined run.
    :ivar pause: seconds of rest before memory is read.
    """

    servers: tuple[Server, ...]
    parts: tuple[str, ...]
    subscribers: int
    rounds: int
    repeat: int
    rates: tuple[int, ...]
    pacedSeconds: float
    patience: float
    memorySubscribers: int
    pause: float


def parseArguments(arguments: Sequence[str]) -> tuple[Plan, bool]:
    """:return: the plan, and whether the exit status depends on the targets."""
    summary = __doc__.partition("\n\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fanout", description=summary)
    names = [server.name for server in SERVERS]
    parser.add_argument("--subscribers", type=int, help="connections of throughput and paced runs (1000)")
    parser.add_argument("--rounds", type=int, help="messages of a one-at-a-time run (200)")
    parser.add_argument("--repeat", type=int, help="runs of each server, interleaved; medians are shown (5)")
    parser.add_argument("--only", metavar="NAME,...", help=f"servers: {', '.join(names)}")
    parser.add_argument("--parts", metavar="PART,...", help=f"measurements: {', '.join(_PARTS)}")
    parser.add_argument("--paced-seconds", type=float, help="length of each paced run (5)")
    parser.add_argument("--memory-subscribers", type=int, help="idle connections (10000)")
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
    plan = Plan(
        servers=tuple(server for server in SERVERS if server.name in only),
        parts=tuple(chosen(options.parts, _PARTS)),
        subscribers=int(positive(options.subscribers, 1000, 50)),
        rounds=int(positive(options.rounds, 200, 20)),
        repeat=int(positive(options.repeat, 5, 1)),
        rates=(100,) if options.quick else (100, 500, 2000),
        pacedSeconds=positive(options.paced_seconds, 5.0, 0.5),
        patience=2.0 if options.quick else 10.0,
        memorySubscribers=max(20, int(positive(options.memory_subscribers, 10_000, 300))),
        pause=0.2 if options.quick else 1.5,
    )
    return plan, options.check_targets


class Benchmark:
    """One execution of a plan."""

    def __init__(self, plan: Plan, place: Workplace, client: Path, fileLimit: int) -> None:
        self._plan = plan
        self._place = place
        self._client = client
        self._fileLimit = fileLimit
        self.results = {server.name: Results(server.label, server.unavailable()) for server in plan.servers}

    def run(self) -> None:
        """All parts, one after the other."""
        parts: dict[str, Callable[[], None]] = {
            "throughput": self._throughput,
            "paced": self._paced,
            "memory": self._memory,
        }
        for part in self._plan.parts:
            parts[part]()

    def _throughput(self) -> None:
        """Every repeat has a run of each server, in a process of its own, and begins with another one."""
        plan = self._plan
        batches = max(5, plan.rounds // 4)
        for repeat in range(plan.repeat):
            turn = repeat % len(plan.servers)
            for server in self._working(plan.servers[turn:] + plan.servers[:turn]):
                with self._attempt(server, f"throughput {repeat + 1}/{plan.repeat}") as results:
                    with session(server, self._place, self._client) as subscribers:
                        subscribers.subscribe(plan.subscribers)
                        subscribers.warmUp(10, 1)
                        single = subscribers.throughput(plan.rounds, 1)
                        subscribers.warmUp(2, _BATCH)
                        pipelined = subscribers.throughput(batches, _BATCH)
                    results.single.append(single)
                    results.pipelined.append(pipelined)
                    for run in (single, pipelined):
                        _say(f"  {run.cpuMicroseconds:.2f} µs per delivery {run.faults}")

    def _paced(self) -> None:
        """Every rate has a process of its own: a backlog would spoil the next one."""
        plan = self._plan
        for rate in plan.rates:
            for server in self._working(plan.servers):
                with self._attempt(server, f"{rate} messages/s") as results:
                    with session(server, self._place, self._client) as subscribers:
                        subscribers.subscribe(plan.subscribers)
                        subscribers.warmUp(10, 1)
                        pace = subscribers.pace(rate, plan.pacedSeconds, plan.patience)
                    results.paced[rate] = pace
                    _say(f"  p99 {pace.delivery.p99 / 1e6:.1f} ms {pace.faults}")

    def _memory(self) -> None:
        plan = self._plan
        total = plan.memorySubscribers
        most = self._fileLimit - _SPARE_FILES
        if total > most:
            reason = f"not measured: RLIMIT_NOFILE allows {most} subscribers only"
            _say(f"memory of {total} subscribers {reason}")
            for results in self.results.values():
                results.failure = results.failure or reason
            return
        for server in self._working(plan.servers):
            with self._attempt(server, f"memory of {total} subscribers") as results:
                with session(server, self._place, self._client) as subscribers:
                    results.memory = subscribers.memory(min(100, total // 10), total, plan.pause)
                _say(f"  {results.memory.idle / 1024:.2f} KiB")

    def _working(self, servers: Sequence[Server]) -> list[Server]:
        """Those that are installed and have not failed yet."""
        return [server for server in servers if not self.results[server.name].failure]

    @contextlib.contextmanager
    def _attempt(self, server: Server, what: str) -> Iterator[Results]:
        """Measure something; if the server fails, say so and go on with the others."""
        results = self.results[server.name]
        _say(f"{server.name}: {what}")
        try:
            yield results
        except (ServerError, LoadError, PublishError, CompilerError, OSError) as error:
            _say(f"  failed: {error}")
            results.failure = f"failed: {error}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def printReport(plan: Plan, results: dict[str, Results], cores: Cores) -> None:
    """The tables of all measured parts, the machine, the targets."""
    said = {
        "throughput": [
            f"## One message at a time, {plan.subscribers:,} subscribers, {plan.rounds} messages",
            report.throughputTable(results, report.ofSingle),
            f"## {_BATCH} pipelined messages at a time, {plan.subscribers:,} subscribers",
            report.throughputTable(results, report.ofPipelined),
            f"100-byte payloads. Medians of {plan.repeat} interleaved repeats, ratios taken within each.",
        ],
        "paced": [
            f"## At a pace, {plan.subscribers:,} subscribers, {plan.pacedSeconds:g} s",
            report.pacedTable(results, plan.rates),
            f"Latency counts from when a message was due. In time: within {plan.patience:g} s of the last.",
        ],
        "memory": [
            "## Memory",
            report.memoryTable(results),
            "Resident memory of the server's processes, without the kernel's socket buffers.",
        ],
    }
    sections = [
        "# Fan-out: Server-Sent Events, WebSocket, Socket.IO",
        *(text for part in plan.parts for text in said[part]),
    ]
    sections += ["## Machine", "\n".join(f"- {line}" for line in describeMachine(cores))]
    print("\n\n".join(sections), flush=True)


def _interrupt(signalNumber: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str]) -> int:
    """:return: the exit status."""
    plan, checkTargets = parseArguments(arguments)
    signal.signal(signal.SIGTERM, _interrupt)  # so that the children are ended, whatever ends this
    started = time.monotonic()
    fileLimit = raiseFileLimit(max(plan.memorySubscribers, plan.subscribers) + 1000)
    if "throughput" in plan.parts or "paced" in plan.parts:
        most = fileLimit - _SPARE_FILES
        if plan.subscribers > most:
            _say(f"RLIMIT_NOFILE is {fileLimit} and cannot be raised: {most} subscribers at most")
            return 2
    try:
        client = compileProgram("client")
        compileProgram("floor")
    except CompilerError as error:
        _say(str(error))
        return 2
    cores = Cores.choose()
    os.sched_setaffinity(0, {cores.load})
    try:
        with tempfile.TemporaryDirectory(prefix="fanout-") as name, runningRedis(Path(name)) as redisPort:
            benchmark = Benchmark(plan, Workplace(Path(name), cores, redisPort), client, fileLimit)
            benchmark.run()
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    except ServerError as error:
        _say(f"redis-server: {error}")
        return 2
    printReport(plan, benchmark.results, cores)
    _say(f"{time.monotonic() - started:.0f} s")
    if not checkTargets:
        return 0
    targets = report.targets(benchmark.results)
    print("\n## Targets\n\n" + "\n".join(map(str, targets)), flush=True)
    return 0 if all(target.met for target in targets) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
