"""
The servers: how each is started on its core, how a message gets into it, and how it is ended.

Every server is a process of its own on a free port of 127.0.0.1, with its files in the benchmark's temporary
directory; it is ended by its own handle.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .machine import Cores, ProcessTree, freePort
from .native import NodeError, compileProgram, nodeProgram
from .publishers import HttpPublisher, LinePublisher, Publisher, RedisPublisher

PROJECT = Path(__file__).resolve().parents[2]
_START_TIMEOUT = 20.0
_STOP_TIMEOUT = 10.0


class ServerError(Exception):
    """A server did not start, or is not there any more."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """
    What servers need of their surroundings.

    :ivar directory: for their files; each server makes its own below it.
    """

    directory: Path
    cores: Cores
    redisPort: int


class Process:
    """A child with its output in a file, ended by its own handle."""

    def __init__(self, command: list[str], output: Path) -> None:
        self._output = output
        with output.open("wb") as file:
            # A session of its own: what the process leaves behind can then be ended with it.
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=file, stderr=file, cwd=PROJECT, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """The process itself; its children are not counted."""
        return self._child.pid

    def awaitListening(self, port: int) -> None:
        """Wait until something accepts connections on ``port``."""
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline:
            if self._child.poll() is not None:
                raise ServerError(f"exit status {self._child.returncode}: {self.lastWords()}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                return
            time.sleep(0.02)
        raise ServerError(f"not listening after {_START_TIMEOUT:g} s: {self.lastWords()}")

    def lastWords(self) -> str:
        """The last line it wrote."""
        lines = self._output.read_text(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else "(no output)"

    def stop(self) -> None:
        """Ask it to end, then make it end."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.terminate()
        try:
            self._child.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(self._child.pid, 9)
            self._child.wait()


class Server(ABC):
    """
    One row of the tables. A subclass says what is started and how messages get in.

    :cvar name: for the command line.
    :cvar label: for the tables.
    :cvar path: where subscribers go; ``protocol``: what they speak, in the words of ``client.c``.
    """

    name = ""
    label = ""
    path = "/events"
    protocol = "sse"

    def unavailable(self) -> str:
        """Why it cannot be measured here; empty when it can."""
        return ""

    @abstractmethod
    def command(self, port: int, directory: Path, place: Workplace) -> list[str]:
        """What is started; files it needs are written to ``directory`` here."""

    @abstractmethod
    def connectPublisher(self, port: int, directory: Path, place: Workplace) -> Publisher:
        """The way in for messages, once it listens."""

    @contextlib.contextmanager
    def running(self, place: Workplace) -> Iterator["RunningServer"]:
        """Start it, and end it with the block."""
        port = freePort()
        directory = place.directory / f"{self.name}-{port}"
        directory.mkdir()
        command = self.command(port, directory, place)
        with place.cores.runningServer():
            process = Process(command, directory / "output")
        try:
            process.awaitListening(port)
            publisher = self.connectPublisher(port, directory, place)
            try:
                yield RunningServer(self, port, ProcessTree(process.pid), publisher)
            finally:
                publisher.close()
        finally:
            process.stop()


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that accepts subscribers and messages."""

    server: Server
    port: int
    processes: ProcessTree
    publisher: Publisher


class Floor(Server):
    """The kernel's share: a loop of send() in C."""

    name = "floor"
    label = "bare C `send()` loop"

    def command(self, port: int, directory: Path, place: Workplace) -> list[str]:
        return [str(compileProgram("floor")), str(port), str(directory / "control")]

    def connectPublisher(self, port: int, directory: Path, place: Workplace) -> Publisher:
        return LinePublisher(directory / "control")


class RealtimeRedis(Server):
    """realtime_tw as it is deployed: twistd, a routing file, Redis."""

    name = "redis"
    label = "realtime_tw, Redis"
    route = "^/events$ sse:subscribe=bench"

    def unavailable(self) -> str:
        if not twistd().exists():
            return f"not installed: {twistd()}"
        if not shutil.which("redis-server"):
            return "redis-server is not installed"
        return ""

    def broker(self, place: Workplace) -> str:
        """The broker's URL in the routing file."""
        return f"redis://127.0.0.1:{place.redisPort}"

    def command(self, port: int, directory: Path, place: Workplace) -> list[str]:
        routes = directory / "routes.ini"
        routes.write_text(
            "[realtime]\n"
            f"broker = {self.broker(place)}\n"
            f"route = {self.route}\n"
            "route = ^/publish$ publish:channel=bench\n"
        )
        listen = f"tcp:{port}:interface=127.0.0.1"
        return [str(twistd()), "-n", "--pidfile=", "realtime", "--routes", str(routes), "--listen", listen]

    def connectPublisher(self, port: int, directory: Path, place: Workplace) -> Publisher:
        return RedisPublisher(place.redisPort, b"bench")


class RealtimeEmbedded(RealtimeRedis):
    """realtime_tw with nothing else installed: a broker in the process, messages by POST."""

    name = "embedded"
    label = "realtime_tw, embedded broker"

    def unavailable(self) -> str:
        return "" if twistd().exists() else f"not installed: {twistd()}"

    def broker(self, place: Workplace) -> str:
        return "memory:"

    def connectPublisher(self, port: int, directory: Path, place: Workplace) -> Publisher:
        return HttpPublisher(port, "/publish")


class RealtimeWebSocket(RealtimeRedis):
    """The same messages over WebSocket."""

    name = "websocket"
    label = "realtime_tw WebSocket, Redis"
    path = "/websocket"
    protocol = "websocket"
    route = "^/websocket$ websocket:subscribe=bench"


class RealtimeSocketIO(RealtimeRedis):
    """The same messages as Socket.IO events, over WebSocket."""

    name = "socket.io"
    label = "realtime_tw Socket.IO, Redis"
    path = "/socket.io/?EIO=4&transport=websocket"
    protocol = "socket.io"
    route = "^/socket\\.io/ socket.io:subscribe=bench"


class PlainTwisted(Server):
    """What ``transport.write`` costs; see ``plain_twisted.py``."""

    name = "plain"
    label = "plain Twisted `transport.write`"

    def command(self, port: int, directory: Path, place: Workplace) -> list[str]:
        return [sys.executable, "-m", "benchmarks.fanout.plain_twisted", str(port)]

    def connectPublisher(self, port: int, directory: Path, place: Workplace) -> Publisher:
        return HttpPublisher(port, "/publish")


_NCHAN_MODULES = (
    "/usr/lib/nginx/modules",
    "/usr/lib64/nginx/modules",
    "/usr/share/nginx/modules",
    "/usr/local/nginx/modules",
    "/usr/local/libexec/nginx",
)

_NGINX_CONF = """\
load_module {module};
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
{user}
worker_processes 1;
worker_rlimit_nofile {files};
events {{
    worker_connections 16384;
    multi_accept on;
}}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_timeout 3600s;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location = /events {{
            nchan_subscriber eventsource;
            nchan_channel_id bench;
            nchan_subscriber_first_message newest;
            nchan_subscriber_timeout 0;
            nchan_eventsource_ping_interval 0;
        }}
        location = /websocket {{
            nchan_subscriber websocket;
            nchan_channel_id bench;
            nchan_subscriber_first_message newest;
            nchan_subscriber_timeout 0;
        }}
        location = /publish {{
            nchan_publisher;
            nchan_channel_id bench;
            nchan_message_buffer_length 64;
            nchan_message_timeout 60s;
        }}
    }}
}}
"""


class Nchan(Server):
    """nginx with nchan: the fastest server of this kind that can be installed from a distribution."""

    name = "nchan"
    label = "nchan (nginx, one worker)"

    def unavailable(self) -> str:
        return "" if shutil.which("nginx") and self._module() else "not installed"

    def command(self, port: int, directory: Path, place: Workplace) -> list[str]:
        configuration = directory / "nginx.conf"
        configuration.write_text(
            _NGINX_CONF.format(
                module=self._module(),
                directory=directory,
                user="user root;" if os.geteuid() == 0 else "",
                files=_fileLimit(),
                port=port,
            )
        )
        nginx = shutil.which("nginx")
        assert nginx is not None
        return [nginx, "-p", str(directory), "-e", str(directory / "error.log"), "-c", str(configuration)]

    def connectPublisher(self, port: int, directory: Path, place: Workplace) -> Publisher:
        return HttpPublisher(port, "/publish")

    def _module(self) -> Path | None:
        candidates = (Path(directory) / "ngx_nchan_module.so" for directory in _NCHAN_MODULES)
        return next(filter(Path.exists, candidates), None)


class NchanWebSocket(Nchan):
    """The same over WebSocket."""

    name = "nchan-websocket"
    label = "nchan WebSocket"
    path = "/websocket"
    protocol = "websocket"


class NodeWs(Server):
    """Node with the WebSocket server that most others there are built on."""

    name = "ws"
    label = "Node `ws`, Redis"
    path = "/"
    protocol = "websocket"
    script = "ws.js"

    def unavailable(self) -> str:
        if not shutil.which("redis-server"):
            return "redis-server is not installed"
        try:
            nodeProgram(self.script)
        except NodeError as error:
            return str(error)
        return ""

    def command(self, port: int, directory: Path, place: Workplace) -> list[str]:
        return [*nodeProgram(self.script), str(port), str(place.redisPort), "bench"]

    def connectPublisher(self, port: int, directory: Path, place: Workplace) -> Publisher:
        return RedisPublisher(place.redisPort, b"bench")


class NodeSocketIO(NodeWs):
    """The reference implementation of Socket.IO."""

    name = "node-socket.io"
    label = "Node `socket.io`, Redis"
    path = "/socket.io/?EIO=4&transport=websocket"
    protocol = "socket.io"
    script = "socketio.js"


def twistd() -> Path:
    """The ``twistd`` that belongs to this interpreter."""
    return Path(sys.executable).with_name("twistd")


def _fileLimit() -> int:
    """As many files as this process was allowed; nginx would otherwise warn and use fewer."""
    return min(20000, os.sysconf("SC_OPEN_MAX"))


@contextlib.contextmanager
def runningRedis(directory: Path) -> Iterator[int]:
    """A Redis of our own, without persistence, on the core of the load. Gives its port; 0: not installed."""
    program = shutil.which("redis-server")
    if not program:
        yield 0
        return
    port = freePort()
    options = {"port": str(port), "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": str(directory)}
    command = [program, *(word for name, value in options.items() for word in (f"--{name}", value))]
    process = Process(command, directory / "redis.output")
    try:
        process.awaitListening(port)
        yield port
    finally:
        process.stop()


#: Every row, in the order of the tables.
SERVERS: tuple[Server, ...] = (
    Floor(),
    RealtimeRedis(),
    RealtimeEmbedded(),
    PlainTwisted(),
    Nchan(),
    RealtimeWebSocket(),
    NchanWebSocket(),
    NodeWs(),
    RealtimeSocketIO(),
    NodeSocketIO(),
)
