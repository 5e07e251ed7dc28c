"""
The servers that take the publishers: realtime_tw, and GStreamer's RTSP server in record mode.
"""

import contextlib
import functools
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fanout.machine import Cores, ProcessTree, freePort
from benchmarks.fanout.servers import Process, twistd

from .cameras import SUFFIX

HERE = Path(__file__).resolve().parent

#: Of the distribution: GStreamer's bindings are packages of it, and cannot be had from PyPI.
SYSTEM_PYTHON = "/usr/bin/python3"

# Seconds in which GStreamer's jitter buffer, of 200 ms, is through, and a count is printed.
_SETTLE = 0.5


@dataclass(frozen=True, slots=True)
class RunningServer:
    """
    A server that accepts publishers.

    """

    server: "Server"
    port: int
    process: Process

    def processes(self) -> ProcessTree:
        """For its CPU time."""
        return ProcessTree(self.process.pid)


class Server(ABC):
    """
    One row of the tables.

    :cvar name: for the command line.
    :cvar label: for the tables.
    :cvar watchable: whether viewers can see what is published.
    """

    name = ""
    label = ""
    watchable = False

    @abstractmethod
    def unavailable(self) -> str:
        """Why it cannot be measured here; empty when it can."""

    @abstractmethod
    def command(self, port: int, publishers: int, directory: Path) -> list[str]:
        """What is started; files it needs are written to ``directory`` here."""

    def published(self, running: RunningServer) -> int | None:
        """Frames of all publishers, while they are still there; None when the server does not say."""
        return None

    def version(self) -> str:
        """For the report; empty when it is there already."""
        return ""

    @contextlib.contextmanager
    def running(self, cores: Cores, directory: Path, publishers: int) -> Iterator[RunningServer]:
        """Start it, and end it with the block."""
        port = freePort()
        place = directory / f"{self.name}-{port}"
        place.mkdir()
        command = self.command(port, publishers, place)
        with cores.runningServer():
            process = Process(command, place / "output")
        try:
            process.awaitListening(port)
            yield RunningServer(self, port, process)
        finally:
            process.stop()


class Realtime(Server):
    """twistd with a routing file and the embedded broker."""

    name = "realtime"
    label = "realtime_tw, embedded broker"
    watchable = True

    def unavailable(self) -> str:
        return "" if twistd().exists() else f"not installed: {twistd()}"

    def command(self, port: int, publishers: int, directory: Path) -> list[str]:
        routes = directory / "routes.ini"
        routes.write_text(
            "[realtime]\n"
            "route = ^/cam(\\d+)$ rtsp:publish=cam$1,demuxer=auto\n"
            f"route = ^/watch(\\d+)$ stream:subscribe=cam$1,suffix={SUFFIX}\n"
        )
        listen = f"tcp:{port}:interface=127.0.0.1"
        command = [str(twistd()), "-n", "--pidfile=", "realtime", "--routes", str(routes), "--listen", listen]
        return [*command, "--broker", "memory:"]


class GstRtspServer(Server):
    """gst-rtsp-server: the one that a Debian machine can have."""

    name = "gst"
    label = "gst-rtsp-server, record, fakesink"

    def unavailable(self) -> str:
        return "" if self.version() else "not installed"

    def command(self, port: int, publishers: int, directory: Path) -> list[str]:
        return [SYSTEM_PYTHON, str(HERE / "gst_server.py"), str(port), str(publishers)]

    def published(self, running: RunningServer) -> int | None:
        time.sleep(_SETTLE)
        os.kill(running.process.pid, signal.SIGUSR1)
        time.sleep(_SETTLE)
        word, _, number = running.process.lastWords().partition(" ")
        return int(number) if word == "frames" and number.isdigit() else None

    def version(self) -> str:
        return _gstVersion()


@functools.cache
def _gstVersion() -> str:
    program = (
        "import gi\n"
        "gi.require_version('Gst', '1.0')\n"
        "gi.require_version('GstRtspServer', '1.0')\n"
        "from gi.repository import Gst, GstRtspServer\n"
        "Gst.init(None)\n"
        "assert all(map(Gst.ElementFactory.find, ('rtph264depay', 'h264parse', 'fakesink')))\n"
        "print(Gst.version_string())\n"
    )
    try:
        done = subprocess.run([SYSTEM_PYTHON, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


#: Every row, in the order of the tables.
SERVERS: tuple[Server, ...] = (Realtime(), GstRtspServer())
