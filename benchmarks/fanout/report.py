"""
From runs to a report: medians, Markdown tables, and the targets realtime_tw has set itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from .measure import Memory, Pace, Throughput

_NONE = "-"


@dataclass(slots=True)
class Results:
    """
    Everything measured about one server; runs with the same index belong to the same repeat.

    :ivar failure: why there is nothing, or nothing more; empty when all went well.
    """

    label: str
    failure: str = ""
    single: list[Throughput] = field(default_factory=list)
    pipelined: list[Throughput] = field(default_factory=list)
    paced: dict[int, Pace] = field(default_factory=dict)
    memory: Memory | None = None


Part = Callable[[Results], list[Throughput]]


def ofSingle(results: Results) -> list[Throughput]:
    """The runs with one message at a time."""
    return results.single


def ofPipelined(results: Results) -> list[Throughput]:
    """The runs with twenty messages at a time."""
    return results.pipelined


def cost(results: Results | None, part: Part) -> float | None:
    """Median CPU microseconds per delivery."""
    runs = part(results) if results else []
    return median(run.cpuMicroseconds for run in runs) if runs else None


def ratio(results: Results | None, base: Results | None, part: Part) -> float | None:
    """
    How many times the base's cost: the median of the quotients within each repeat, so that a machine that was
    slow for a while was slow for both.
    """
    if not results or not base:
        return None
    quotients = [
        run.cpuMicroseconds / baseRun.cpuMicroseconds
        for run, baseRun in zip(part(results), part(base), strict=False)
        if baseRun.usage.cpuNs
    ]
    return median(quotients) if quotients else None


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown, with columns that are aligned in the source, too."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in (header, *rows)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _empty(results: Results, header: Sequence[str], *known: str) -> tuple[str, ...]:
    """A row without figures; the reason stands in its last column."""
    return (*known, *[_NONE] * (len(header) - len(known) - 1), results.failure or "not measured")


def _faults(faults: Sequence[str]) -> str:
    return "; ".join(sorted({fault for fault in faults if fault})) or "none"


def throughputTable(results: dict[str, Results], part: Part) -> str:
    """CPU per delivery, against the floor, and what that means in deliveries per second."""
    header = (
        "server",
        "CPU µs per delivery",
        "min to max",
        "x floor",
        "deliveries per CPU s",
        "per wall s",
        "waited for its core",
        "faults",
    )
    rows: list[tuple[str, ...]] = []
    for row in results.values():
        runs = part(row)
        if not runs:
            rows.append(_empty(row, header, row.label))
            continue
        costs = [run.cpuMicroseconds for run in runs]
        toFloor = ratio(row, results.get("floor"), part)
        waited = sum(run.usage.waitedNs for run in runs) / (sum(run.usage.cpuNs for run in runs) or 1)
        rows.append(
            (
                row.label,
                f"{median(costs):.2f}",
                f"{min(costs):.2f} to {max(costs):.2f}",
                _NONE if toFloor is None else f"{toFloor:.2f}",
                f"{median(run.perCpuSecond for run in runs):,.0f}",
                f"{median(run.perWallSecond for run in runs):,.0f}",
                f"{waited:.0%}",
                _faults([row.failure, *(run.faults for run in runs)]),
            )
        )
    return table(header, rows)


def pacedTable(results: dict[str, Results], rates: Sequence[int]) -> str:
    """Latency percentiles at each rate."""
    header = (
        "server",
        "messages/s",
        "p50 ms",
        "p99 ms",
        "max ms",
        "publisher late ms",
        "server CPU",
        "delivered",
        "faults",
    )
    rows: list[tuple[str, ...]] = []
    for row in results.values():
        for rate in rates:
            pace = row.paced.get(rate)
            if pace is None:
                rows.append(_empty(row, header, row.label, f"{rate:,}"))
                continue
            got = pace.delivery
            atLeast = "" if got.complete else "> "
            times = [f"{atLeast}{ns / 1e6:,.1f}" for ns in (got.p50, got.p99, got.max)]
            late = f"{pace.latestNs / 1e6:,.1f}"
            share = got.deliveries / got.expected if got.expected else 0.0
            delivered = "all" if got.complete else f"{share:.1%} in time"
            faults = pace.faults or "none"
            rows.append((row.label, f"{rate:,}", *times, late, f"{pace.load:.0%}", delivered, faults))
    return table(header, rows)


def memoryTable(results: dict[str, Results]) -> str:
    """Memory per idle subscriber."""
    header = ("server", "subscribers", "KiB per idle subscriber", "after a message to all", "faults")
    rows: list[tuple[str, ...]] = []
    for row in results.values():
        memory = row.memory
        if memory is None:
            rows.append(_empty(row, header, row.label))
            continue
        sizes = (f"{memory.idle / 1024:.2f}", f"{memory.used / 1024:.2f}")
        rows.append((row.label, f"{memory.subscribers:,}", *sizes, memory.faults or "none"))
    return table(header, rows)


@dataclass(frozen=True, slots=True)
class Target:
    """
    A promise and what was measured of it.

    :ivar measured: None when it was not measured, which is as good as missed.
    :ivar limit: ``measured`` may be at most so much; with ``isLeast``, must be at least so much.
    """

    promise: str
    measured: float | None
    limit: float
    isLeast: bool = False

    @property
    def met(self) -> bool:
        """Whether it was measured and kept."""
        if self.measured is None:
            return False
        return self.measured >= self.limit if self.isLeast else self.measured <= self.limit

    def __str__(self) -> str:
        measured = "not measured" if self.measured is None else shortNumber(self.measured)
        bound = f"at {'least' if self.isLeast else 'most'} {shortNumber(self.limit)}"
        return f"- {'met' if self.met else 'MISSED'}: {self.promise}: {measured}, {bound}"


def shortNumber(value: float) -> str:
    """Three digits, or all of a large number's before the point."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def targets(results: dict[str, Results]) -> list[Target]:
    """What the rows of realtime_tw that were asked for have to reach."""
    found: list[Target] = []
    for name, promises in (("redis", _sse), ("websocket", _webSocket), ("socket.io", _socketIO)):
        if name in results:
            found += promises(results[name], results)
    return found


def _sse(row: Results, others: dict[str, Results]) -> list[Target]:
    slow, fast = (row.paced.get(rate) for rate in (100, 2000))
    return [
        _times(row, others, "floor", 1.35),
        _times(row, others, "plain", 0.5),
        _times(row, others, "nchan", 1.0),
        _times(row, others, "floor", 0.12, ofPipelined),
        Target(f"{row.label}: 100 messages/s, p99 ms", _latency(slow), 40.0),
        Target(f"{row.label}: 2,000 messages/s, p99 ms, everything delivered", _latency(fast), 100.0),
        _idle(row, 4.0),
    ]


def _webSocket(row: Results, others: dict[str, Results]) -> list[Target]:
    return [
        _times(row, others, "floor", 1.35),
        _times(row, others, "nchan-websocket", 1.0),
        _times(row, others, "ws", 0.6),
        _times(row, others, "floor", 0.15, ofPipelined),
        _idle(row, 10.0),
    ]


def _socketIO(row: Results, others: dict[str, Results]) -> list[Target]:
    return [
        _times(row, others, "node-socket.io", 0.5),
        _times(row, others, "floor", 0.15, ofPipelined),
        _idle(row, 14.0),
    ]


def _times(row: Results, others: dict[str, Results], base: str, limit: float, part: Part = ofSingle) -> Target:
    """A cost as a multiple of another server's; a run with faults has reached nothing."""
    other = others.get(base)
    faultless = not row.failure and not any(run.faults for run in row.single + row.pipelined)
    how = "one at a time" if part is ofSingle else "pipelined"
    promise = f"{row.label}: {how}, times {other.label if other else base}"
    return Target(promise, ratio(row, other, part) if faultless else None, limit)


def _idle(row: Results, limit: float) -> Target:
    memory = row.memory
    measured = memory.idle / 1024 if memory and not memory.faults else None
    return Target(f"{row.label}: KiB per idle subscriber", measured, limit)


def _latency(pace: Pace | None) -> float | None:
    """The 99th percentile in milliseconds; endless when not everything was delivered."""
    if pace is None:
        return None
    return pace.delivery.p99 / 1e6 if pace.delivery.complete else float("inf")
