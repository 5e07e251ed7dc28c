"""
From runs to a report: Markdown tables, and the targets realtime_tw has set itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.fanout.report import Target, table

from .depacketize import Depacketized
from .measure import Ingest

_NONE = "-"

#: Packets of 1,400 bytes per second that depacketizing alone has to reach.
LEAST_PACKETS = {"h264": 120_000, "vp8": 60_000}

#: Milliseconds by which the delay may grow in the window: 20 s at 0.1 % more than the server can take.
MOST_GROWTH = 20.0

#: Milliseconds until all that was sent is worked off, for all publishers: below two frame intervals, nothing has piled
#: up.
MOST_DRAIN = 60.0

#: Milliseconds, 99th percentile.
MOST_DELAY = 5.0


@dataclass(slots=True)
class Results:
    """
    Everything measured about one server.

    :ivar failure: why there is nothing, or nothing more; empty when all went well.
    """

    label: str
    failure: str = ""
    publishers: Ingest | None = None
    delay: Ingest | None = None


@dataclass(slots=True)
class Report:
    """
    All that was measured.

    :ivar depacketized: runs of each codec.
    :ivar servers: by name.
    """

    depacketized: dict[str, list[Depacketized]] = field(default_factory=dict)
    servers: dict[str, Results] = field(default_factory=dict)


def depacketizeTable(runs: dict[str, list[Depacketized]]) -> str:
    """Packets per CPU second."""
    header = ("codec", "packets per CPU s", "min to max", "µs per packet", "Gbit per CPU s", "faults")
    rows = []
    for codec, passes in runs.items():
        rates = [one.perCpuSecond for one in passes]
        rate = median(rates)
        bits = 8 * passes[0].bytes / passes[0].packets
        rows.append(
            (
                codec,
                f"{rate:,.0f}",
                f"{min(rates):,.0f} to {max(rates):,.0f}",
                f"{1e6 / rate:.2f}",
                f"{rate * bits / 1e9:.1f}",
                "; ".join(sorted({one.faults for one in passes if one.faults})) or "none",
            )
        )
    return table(header, rows)


def publishersTable(results: Sequence[Results]) -> str:
    """What so many publishers cost, and whether they were kept up with."""
    header = (
        "server",
        "publishers",
        "server CPU",
        "CPU ms per publisher s",
        "waited for its core",
        "frames sent",
        "observed",
        "median delay ms, first to last quarter",
        "worst lag ms",
        "of it the load's",
        "worked off after ms",
        "faults",
    )
    rows: list[tuple[str, ...]] = []
    for row in results:
        run = row.publishers
        if run is None:
            rows.append(_empty(row, header))
            continue
        got = run.outcome
        if run.published is not None:
            observed = f"{run.published:,} of {got.frames:,}"
        elif got.watched:
            observed = f"{got.received:,} of {got.watched:,}"
        else:
            observed = _NONE
        delays = f"{got.first / 1e6:.1f} to {got.last / 1e6:.1f}" if got.samples else _NONE
        rows.append(
            (
                row.label,
                str(run.publishers),
                f"{run.load:.0%}",
                f"{run.perPublisherSecond:.2f}",
                f"{run.waited:.0%}",
                f"{got.frames:,}",
                observed,
                delays,
                f"{got.lag / 1e6:.1f}",
                f"{got.ownLate / 1e6:.1f}",
                f"{got.drain / 1e6:.1f}" if not got.unanswered else _NONE,
                run.faults or row.failure or "none",
            )
        )
    return table(header, rows)


def delayTable(results: Sequence[Results]) -> str:
    """From a frame's last packet to its publication."""
    header = (
        "server",
        "publishers",
        "frames",
        "p50 ms",
        "p99 ms",
        "max ms",
        "server CPU",
        "waited for its core",
        "faults",
    )
    rows: list[tuple[str, ...]] = []
    for row in results:
        run = row.delay
        if run is None:
            rows.append(_empty(row, header))
            continue
        got = run.outcome
        times = (f"{ns / 1e6:.2f}" for ns in (got.p50, got.p99, got.max))
        faults = run.faults or row.failure or "none"
        rows.append(
            (row.label, str(run.publishers), f"{got.samples:,}", *times, f"{run.load:.0%}", f"{run.waited:.0%}", faults)
        )
    return table(header, rows)


def _empty(results: Results, header: Sequence[str]) -> tuple[str, ...]:
    """A row without figures; the reason stands in its last column."""
    return (results.label, *[_NONE] * (len(header) - 2), results.failure or "not measured")


def targets(report: Report) -> list[Target]:
    """What was asked for has to reach; what was not measured has not. A run with faults has reached nothing."""
    found = []
    for codec, least in LEAST_PACKETS.items():
        runs = report.depacketized.get(codec, [])
        faultless = runs and not any(run.faults for run in runs)
        rate = median(run.perCpuSecond for run in runs) if faultless else None
        found.append(Target(f"depacketizing {codec}: packets per CPU second", rate, least, isLeast=True))
    row = report.servers.get("realtime")
    if row is not None:
        run = _good(row.publishers)
        what = "publishers, every frame published: ms"
        found.append(Target(f"{what} by which the delay grows", run.growth if run else None, MOST_GROWTH))
        found.append(Target(f"{what} until all is worked off", run.outcome.drain / 1e6 if run else None, MOST_DRAIN))
        run = _good(row.delay)
        found.append(Target("delay: p99 ms", run.outcome.p99 / 1e6 if run else None, MOST_DELAY))
    return found


def _good(run: Ingest | None) -> Ingest | None:
    return run if run and run.outcome.samples and not run.faults else None
