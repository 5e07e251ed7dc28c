"""
Real processes for the tests: Redis and ``twistd realtime``, on free ports of 127.0.0.1, ended by their own handles.
"""

import http.client
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

import hiredis
import pytest

#: Seconds after which something that should have happened will not: generous, for machines that are busy.
PATIENCE = 20.0

#: Seconds for all that one call reads. Each of its reads has :data:`PATIENCE`, which heartbeats would renew for ever.
READING = 3 * PATIENCE


def freePort() -> int:
    """A TCP port that was free a moment ago."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> object:
    """Wait for a condition to hold, and return what it returned."""
    deadline = time.monotonic() + patience
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience:.0f} s in vain for {what}")
        time.sleep(0.01)


def turns(what: Callable[[], str]) -> Iterator[None]:
    """The turns of a loop that reads, and leaves once it has what it wants: as many as there are time for."""
    deadline = time.monotonic() + READING
    while time.monotonic() < deadline:
        yield
    raise AssertionError(f"read for {READING:.0f} s {what()}")


def packed(words: Sequence[str | bytes | int]) -> bytes:
    """A Redis command as bytes."""
    # hiredis' type information speaks of one-element tuples only.
    pack: Callable[[Any], bytes] = hiredis.pack_command
    return pack(tuple(words))


class Redis:
    """
    One redis-server.

    :ivar port: its TCP port; ``path`` its UNIX socket.
    :ivar login: the words after AUTH on the test's own connections.
    """

    login: Sequence[str] = ()

    def __init__(self, directory: Path, options: Sequence[str] = ()) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.port = freePort()
        self.path = directory / "redis.sock"
        self.options = [*options]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, or start again on the same port."""
        path = shutil.which("redis-server")
        if path is None:
            if os.environ.get("CI"):
                pytest.fail("redis-server is not installed", pytrace=False)
            pytest.skip("redis-server is not installed")
        with open(self.directory / "redis.log", "ab") as log:
            self._process = subprocess.Popen(
                [
                    *(path, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"),
                    *("--unixsocket", str(self.path), "--dir", str(self.directory), *self.options),
                ],
                stdout=log,
                stderr=log,
            )
        until(self._answers, "redis-server")

    def _answers(self) -> bool:
        try:
            with closing(socket.create_connection(("127.0.0.1", self.port), 1)):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        """SIGKILL: it has no time to say goodbye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def suspend(self) -> None:
        """Stop answering, with all connections open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on answering."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def command(self, *words: str | bytes | int) -> object:
        """One command on a connection of its own, as redis-cli would send it."""
        return self.commands([words])[0]

    def commands(self, commands: Sequence[Sequence[str | bytes | int]]) -> list[object]:
        """Several commands in one write."""
        if self.login:
            commands = [("AUTH", *self.login), *commands]
        reader = hiredis.Reader()
        replies: list[object] = []
        with closing(socket.create_connection(("127.0.0.1", self.port), PATIENCE)) as connection:
            connection.settimeout(PATIENCE)
            connection.sendall(b"".join(packed(words) for words in commands))
            while len(replies) < len(commands):
                data = connection.recv(1 << 16)
                assert data, "Redis closed the connection"
                reader.feed(data)
                while (reply := reader.gets()) is not False:
                    if isinstance(reply, hiredis.ReplyError):
                        raise reply
                    replies.append(reply)
        return replies[1:] if self.login else replies

    def publish(self, channel: str | bytes, payload: str | bytes) -> object:
        """``PUBLISH``; returns the number of receivers."""
        return self.command("PUBLISH", channel, payload)


class Server:
    """
    One ``twistd realtime`` process.

    :ivar port: where it listens.
    :ivar log: what it has said so far, on a file.
    """

    def __init__(self, arguments: Sequence[str], port: int, log: Path, cwd: Path, env: Mapping[str, str]) -> None:
        self.port = port
        self.log = log
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                [os.path.join(sysconfig.get_path("scripts"), "twistd"), "-n", "--pidfile=", "realtime", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd,
                env={**os.environ, **env},
            )

    def waitUntilListening(self) -> None:
        """Wait for the port; fails with the log when the process ends first."""

        def listens() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"twistd ended with {self.process.returncode}:\n{self.log.read_text()}")
            try:
                with closing(socket.create_connection(("127.0.0.1", self.port), 1)):
                    return True
            except OSError:
                return False

        until(listens, f"port {self.port}")

    def waitUntilConnected(self) -> None:
        """
        Wait for both connections to Redis.

        They come up by themselves, in any order: with one of them a server publishes and hears nothing yet, or hears
        and cannot publish.
        """
        self.logged("(publisher)")
        self.logged("(subscriber)")

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        chunked: bool = False,
    ) -> "Answer":
        """One request on a connection of its own."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            connection.request(method, path, body, dict(headers or {}), encode_chunked=chunked)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> "Answer":
        return self.request("GET", path, headers=headers)

    def stream(self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> "Stream":
        """A request whose response goes on."""
        return Stream(self.port, path, method, headers or {})

    def client(self, data: bytes = b"") -> "Client":
        """A raw connection that has sent ``data``."""
        return Client(self.port, data)

    def logged(self, wanted: str) -> str:
        """Wait for a text in the log; returns the log."""
        until(lambda: wanted in self.log.read_text(errors="replace"), f"{wanted!r} in the log")
        return self.log.read_text(errors="replace")

    def connections(self) -> int:
        """How many connections the server has not closed, from the kernel's table."""
        count = 0
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, _, state = line.split()[:4]
            # Established, or closed by the client only.
            count += local == f"0100007F:{self.port:04X}" and state in ("01", "08")
        return count

    def memory(self) -> int:
        """Resident bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def terminate(self) -> int:
        """SIGTERM, and the exit status."""
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def stop(self) -> None:
        """End it, whatever it takes."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Answer:
    """A complete response. Header names are as sent."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def __repr__(self) -> str:
        return f"<{self.status} {self.headers} {self.body[:200]!r}>"


class Stream:
    """A response that is read while it arrives. A context manager that closes the connection."""

    def __init__(self, port: int, path: str, method: str, headers: Mapping[str, str]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self._connection.request(method, path, headers=dict(headers))
        self.response = self._connection.getresponse()
        self.received = b""

    def __enter__(self) -> "Stream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()
        self.response.close()

    def readUntil(self, wanted: bytes) -> bytes:
        """Read until ``wanted`` is there; returns all that was received so far."""
        for _ in turns(lambda: f"without {wanted!r}: {self.received!r}"):
            if wanted in self.received:
                break
            data = self.response.read1(1 << 16)
            assert data, f"the stream ended without {wanted!r}: {self.received!r}"
            self.received += data
        return self.received

    def readToEnd(self) -> bytes:
        """Read until the server ends the stream."""
        for _ in turns(lambda: f"without an end: {self.received[-1000:]!r}"):
            data = self.response.read1(1 << 16)
            if not data:
                break
            self.received += data
        return self.received


class Client:
    """A plain blocking socket, for what an HTTP library would not send, or would tidy up when it reads."""

    def __init__(self, port: int, data: bytes = b"") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._socket.settimeout(PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.send(data)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def sendWhileItGoes(self, data: bytes, most: int, silence: float = 1.0) -> int:
        """
        Send ``data`` over and over, until the peer has not read for a while.

        :param most: when to give up.
        :return: how many bytes were sent.
        """
        sent = 0
        while sent < most and select.select([], [self._socket], [], silence)[1]:
            offset = sent % len(data)
            sent += self._socket.send(data[offset:])
        return sent

    def readSome(self) -> bytes:
        """One read; returns all that was received so far."""
        data = self._socket.recv(1 << 16)
        assert data, f"the connection ended: {self.received[-1000:]!r}"
        self.received += data
        return self.received

    def readUntil(self, wanted: bytes) -> bytes:
        """Read until ``wanted`` is there; returns all that was received so far."""
        for _ in turns(lambda: f"without {wanted!r}: {self.received!r}"):
            if wanted in self.received:
                break
            data = self._socket.recv(1 << 16)
            assert data, f"the connection ended without {wanted!r}: {self.received!r}"
            self.received += data
        return self.received

    def readToEnd(self) -> bytes:
        """Read until the server closes."""
        for _ in turns(lambda: f"without an end: {self.received[-1000:]!r}"):
            data = self._socket.recv(1 << 16)
            if not data:
                break
            self.received += data
        return self.received

    def endSending(self) -> None:
        """Nothing more will be sent; what comes can still be read."""
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()


class Subscription:
    """A subscriber of the test's own at Redis: sees what was published, as any other program would."""

    def __init__(self, redis: Redis, *channels: str) -> None:
        self._reader = hiredis.Reader()
        self._connection = socket.create_connection(("127.0.0.1", redis.port), PATIENCE)
        self._connection.settimeout(PATIENCE)
        self._connection.sendall(packed(("SUBSCRIBE", *channels)))
        for _ in channels:
            self._next()

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    def _next(self) -> list[bytes]:
        while (reply := self._reader.gets()) is False:
            data = self._connection.recv(1 << 18)
            assert data, "Redis closed the connection"
            self._reader.feed(data)
        assert isinstance(reply, list)
        return reply

    def message(self) -> tuple[bytes, bytes]:
        """The next message: its channel and its payload."""
        _, channel, payload = self._next()
        return channel, payload

    def payload(self) -> bytes:
        """The next message's payload."""
        return self.message()[1]

    def payloads(self, size: int) -> list[bytes]:
        """Messages until they have so many bytes together."""
        collected: list[bytes] = []
        while sum(map(len, collected)) < size:
            collected.append(self.payload())
        return collected


class ServerFactory:
    """Starts servers, each with a log of its own in the run's log directory."""

    def __init__(self, logs: Path, directory: Path) -> None:
        self._logs = logs
        self.directory = directory
        self._servers: list[Server] = []

    def start(
        self,
        routes: str | None = None,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Server:
        """
        :param routes: the text of a routing file; None for none.
        :param arguments: more of the command line.
        """
        port = freePort()
        words = [*arguments]
        if routes is not None:
            file = self.directory / f"routes-{port}.ini"
            file.write_text(routes)
            words += ["--routes", str(file)]
        words += ["--listen", f"tcp:{port}:interface=127.0.0.1"]
        log = self._logs / f"{self.directory.name}-{port}.log"
        server = Server(words, port, log, cwd or self.directory, env or {})
        self._servers.append(server)
        server.waitUntilListening()
        return server

    def withRedis(self, redis: Redis, *rules: str, arguments: Sequence[str] = ()) -> Server:
        """A server whose ``route`` rules these are, connected to this Redis from the first request on."""
        lines = ["[realtime]", f"broker = {redis.url}", *(f"route = {rule}" for rule in rules), ""]
        server = self.start("\n".join(lines), *arguments)
        server.waitUntilConnected()
        return server

    def run(self, *arguments: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        """A ``twistd realtime`` that ends by itself."""
        return subprocess.run(
            [os.path.join(sysconfig.get_path("scripts"), "twistd"), "-n", "--pidfile=", "realtime", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            cwd=cwd or self.directory,
        )

    def stop(self) -> None:
        for server in self._servers:
            server.stop()


_TROUBLE = re.compile(r"Traceback \(most recent call last\)|Unhandled [Ee]rror|Unhandled error in Deferred")


def checkLogs(directory: Path) -> None:
    """No server of this run may have logged a traceback."""
    for log in sorted(directory.glob("*.log")):
        text = log.read_text(errors="replace")
        trouble = _TROUBLE.search(text)
        assert trouble is None, f"{log.name}:\n{text[max(trouble.start() - 500, 0) : trouble.start() + 4000]}"


def python() -> str:
    """The interpreter that runs the tests."""
    return sys.executable
