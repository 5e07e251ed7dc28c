"""
What a measurement has to know about the machine: its cores, its limits, and what a process has used.

CPU time is read from ``/proc/PID/task/*/schedstat`` where the kernel has it: nanoseconds on a core, user and
system together, exact while the thread sleeps. Elsewhere it is ``utime + stime`` of ``/proc/PID/stat``, in
ticks of 10 ms, and the runs are made long enough for that. Linux only.
"""

import contextlib
import os
import platform
import random
import resource
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .native import nodeVersions

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
HAS_SCHEDSTAT = Path("/proc/self/schedstat").exists()

#: What a clock of this resolution has to have advanced for one per cent of precision.
SHORTEST_RUN_NS = 0 if HAS_SCHEDSTAT else 100 * TICK_NS


@dataclass(frozen=True, slots=True)
class Cores:
    """
    Who runs where: the server has a core for itself, everything else shares another.

    :ivar server: the core of the measured process.
    :ivar load: the core of subscribers, publisher, Redis and this program.
    """

    server: int
    load: int

    @classmethod
    def choose(cls) -> "Cores":
        """The first two cores this process may use; the same one twice if there is only one."""
        allowed = sorted(os.sched_getaffinity(0))
        return cls(allowed[0], allowed[min(1, len(allowed) - 1)])

    @contextlib.contextmanager
    def runningServer(self) -> Iterator[None]:
        """Children started inside inherit the server's core, and so do all their threads."""
        os.sched_setaffinity(0, {self.server})
        try:
            yield
        finally:
            os.sched_setaffinity(0, {self.load})


def raiseFileLimit(wanted: int) -> int:
    """
    Let this process and its children open as many files as they need.

    :return: how many that is now; less than ``wanted`` when the hard limit cannot be raised.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        for limits in ((wanted, max(wanted, hard)), (min(wanted, hard), hard)):
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
                break
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def freePort() -> int:
    """
    A free TCP port on 127.0.0.1, below the range that outgoing connections take theirs from: there are
    thousands of those while servers start and stop.
    """
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(200):
        port = random.randrange(max(1024, lowest - 16384), lowest) if lowest > 2048 else 0
        with socket.socket() as candidate, contextlib.suppress(OSError):
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            candidate.bind(("127.0.0.1", port))
            return int(candidate.getsockname()[1])
    raise OSError("no free TCP port on 127.0.0.1")


@dataclass(frozen=True, slots=True)
class Usage:
    """
    What some processes have used so far.

    :ivar cpuNs: time on a core.
    :ivar waitedNs: time they were ready to run while something else had their core; 0 when the kernel does
        not say.
    """

    cpuNs: int
    waitedNs: int

    def __sub__(self, earlier: "Usage") -> "Usage":
        return Usage(self.cpuNs - earlier.cpuNs, self.waitedNs - earlier.waitedNs)

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.cpuNs + other.cpuNs, self.waitedNs + other.waitedNs)


class ProcessTree:
    """A process and the children it has at the time of asking: nginx works in one of those."""

    def __init__(self, pid: int) -> None:
        self.pids = [pid]
        entries = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        parents = {int(entry.name): _parent(entry) for entry in entries}
        for parent in self.pids:
            self.pids += [child for child, itsParent in parents.items() if itsParent == parent]

    def usage(self) -> Usage:
        """What all threads of all processes have used."""
        cpu = waited = 0
        for pid in self.pids:
            if HAS_SCHEDSTAT:
                for thread in Path(f"/proc/{pid}/task").iterdir():
                    fields = (thread / "schedstat").read_text().split()
                    cpu += int(fields[0])
                    waited += int(fields[1])
            else:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                cpu += (int(fields[11]) + int(fields[12])) * TICK_NS
        return Usage(cpu, waited)

    def memory(self) -> int:
        """Resident bytes, shared pages in equal parts (Pss); VmRSS where there is no ``smaps_rollup``."""
        total = 0
        for pid in self.pids:
            try:
                total += _kilobytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")
            except OSError:
                total += _kilobytes(Path(f"/proc/{pid}/status"), "VmRSS:")
        return total


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _kilobytes(file: Path, label: str) -> int:
    for line in file.read_text().splitlines():
        if line.startswith(label):
            return int(line.split()[1]) * 1024
    return 0


def _packageVersion(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def firstLine(*command: str) -> str:
    """Of what a command prints: its version, mostly."""
    if not shutil.which(command[0]):
        return "not installed"
    finished = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return (finished.stdout + finished.stderr).strip().partition("\n")[0] or "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def describeMachine(
    cores: Cores, load: str = "subscribers, publisher and Redis", programs: Sequence[str] | None = None
) -> list[str]:
    """
    The lines that belong under every figure: hardware, kernel, versions, clock and date.

    :param load: what is on the load's core.
    :param programs: versions of what was measured and used, besides Python; those of this benchmark when not given.
    """
    if programs is None:
        programs = (
            firstLine("redis-server", "--version"),
            firstLine("nginx", "-v"),
            f"node {firstLine('node', '--version')}: {nodeVersions()}",
        )
    if cores.server == cores.load:
        pinning = f"one core only ({cores.server}): server and load share it, the figures mean little"
    else:
        pinning = f"server on core {cores.server}; {load} on core {cores.load}"
    if HAS_SCHEDSTAT:
        clock = "/proc/PID/task/*/schedstat, nanoseconds"
    else:
        clock = f"/proc/PID/stat, ticks of {TICK_NS // 1_000_000} ms"
    packages = ", ".join(
        f"{name} {_packageVersion(name)}" for name in ("Twisted", "autobahn", "hiredis", "realtime_tw")
    )
    return [
        f"date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        f"machine: {_processor()}, {os.cpu_count()} cores, Linux {platform.release()}",
        f"pinning: {pinning}",
        f"CPU time: {clock}",
        f"Python {platform.python_version()}, {packages}",
        *programs,
        firstLine("cc", "--version"),
        f"load average at the end: {os.getloadavg()[0]:.2f}",
    ]
