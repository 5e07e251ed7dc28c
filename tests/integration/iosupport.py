"""The Engine.IO and Socket.IO examples as processes, and clients for them that say exactly what a test wants said."""

import http.client
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.integration.support import PATIENCE, Answer, freePort, until

ROOT = Path(__file__).parents[2]

#: Heartbeats that do not get in the way of a test on a slow machine, in milliseconds.
QUIET = ("--ping-interval", "25000", "--ping-timeout", "20000")


class Address:
    """A server's Engine.IO address. :ivar path: of it, with slashes around."""

    def __init__(self, port: int, path: str) -> None:
        self.port = port
        self.path = path

    def request(
        self,
        method: str,
        query: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            connection.request(method, f"{self.path}?{query}", body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())

    def get(self, query: str, **headers: str) -> Answer:
        return self.request("GET", query, None, headers)

    def open(self, version: int = 4, more: str = "") -> "Polling":
        """A new session over long-polling."""
        return Polling(self, version, more)

    @contextmanager
    def webSocket(self, query: str = "EIO=4&transport=websocket", **options: Any) -> Iterator["Socket"]:
        """A WebSocket, and nothing said over it."""
        url = f"ws://127.0.0.1:{self.port}{self.path}?{query}"
        options = {"compression": None, "max_size": None, "proxy": None, "open_timeout": PATIENCE, **options}
        with connect(url, ping_interval=None, close_timeout=PATIENCE, **options) as connection:
            yield Socket(connection)


class Example(Address):
    """One of the examples, or another program with the same arguments, as a process."""

    def __init__(self, name: str, log: Path, *arguments: str, directory: Path = ROOT / "examples") -> None:
        super().__init__(freePort(), "/engine.io/" if name == "engineio_echo" else "/socket.io/")
        self.log = log
        self.arguments = [sys.executable, str(directory / f"{name}.py"), "--port", str(self.port), *arguments]
        self.start()

    def start(self) -> None:
        """Start, or start again on the same port."""
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(
                self.arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
        until(self._answers, f"port {self.port}")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.get("").status == 400
        except OSError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Polling:
    """
    A session over long-polling.

    :ivar opening: the handshake's answer; ``handshake`` what is in it; ``rest`` what came with it.
    """

    def __init__(self, address: Address, version: int, more: str) -> None:
        self.address = address
        self.version = version
        self.query = f"EIO={version}&transport=polling{more}"
        self.opening = address.get(self.query)
        assert self.opening.status == 200, self.opening
        first, *self.rest = self.packets(self.opening.body)
        assert first[0] == "0"
        self.handshake: dict[str, Any] = json.loads(first[1:])
        self.sid: str = self.handshake["sid"]
        self.query += f"&sid={self.sid}"

    def packets(self, payload: bytes) -> list[str]:
        """The packets of a payload."""
        text = payload.decode()
        if self.version == 4:
            return text.split("\x1e")
        packets = []
        while text:
            length, _, text = text.partition(":")
            packets.append(text[: int(length)])
            text = text[int(length) :]
        return packets

    def poll(self) -> Answer:
        return self.address.get(self.query)

    def read(self) -> list[str]:
        """The packets that the next poll brings."""
        if self.rest:
            rest, self.rest = self.rest, []
            return rest
        answer = self.poll()
        assert answer.status == 200, answer
        return self.packets(answer.body)

    def post(self, body: str | bytes, **headers: str) -> Answer:
        if isinstance(body, str):
            body = body.encode()
        return self.address.request("POST", self.query, body, {"Content-Type": "text/plain;charset=UTF-8", **headers})

    def send(self, *packets: str) -> None:
        """Post packets, and see them accepted."""
        if self.version == 4:
            body = "\x1e".join(packets)
        else:
            body = "".join(f"{len(packet)}:{packet}" for packet in packets)
        answer = self.post(body)
        assert (answer.status, answer.body) == (200, b"ok"), answer

    def waiting(self) -> "Waiting":
        """A poll that is under way."""
        return Waiting(self)

    def assertClosed(self) -> None:
        answer = self.poll()
        assert answer.status == 400, answer


class Waiting:
    """A poll whose answer is read later."""

    def __init__(self, session: Polling) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", session.address.port, timeout=PATIENCE)
        self.connection.request("GET", f"{session.address.path}?{session.query}")

    def answer(self) -> Answer:
        with closing(self.connection):
            response = self.connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())

    def cancel(self) -> None:
        assert self.connection.sock is not None
        self.connection.sock.close()
        self.connection.close()


class Socket:
    """A WebSocket as a list of what comes."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        #: What has come, as far as it was read.
        self.received: list[str | bytes] = []

    def send(self, *messages: str | bytes) -> None:
        for message in messages:
            self.connection.send(message)

    def read(self) -> str | bytes:
        """The next message."""
        message = self.connection.recv(PATIENCE)
        self.received.append(message)
        return message

    def handshake(self) -> dict[str, Any]:
        """The Engine.IO handshake."""
        message = self.read()
        assert isinstance(message, str)
        assert message[0] == "0"
        opened: dict[str, Any] = json.loads(message[1:])
        return opened

    def closed(self) -> int:
        """Read to the end; returns the close code."""
        try:
            while True:
                self.read()
        except ConnectionClosed:
            assert self.connection.close_code is not None
            return self.connection.close_code


class Script:
    """A Node program of the tests, and what it says, line by line."""

    def __init__(self, node: Path, name: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            ["node", str(Path(__file__).parent / name), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "NODE_PATH": str(node / "node_modules")},
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._said: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> "Script":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put("the end")

    def line(self) -> str:
        """The next line."""
        try:
            line = self._lines.get(timeout=2 * PATIENCE)
        except queue.Empty:
            raise AssertionError(f"nothing more after {self._said}") from None
        self._said.append(line)
        return line

    def expect(self, wanted: str) -> None:
        """The next line is this one; otherwise what comes tells why."""
        line = self.line()
        if line != wanted:
            while line != "the end" and len(self._said) < 40 and (line.startswith(("failed", " ", "Error"))):
                line = self.line()
            raise AssertionError(f"{wanted!r} was not said: " + "\n".join(self._said))

    def say(self, line: str) -> None:
        """Write one line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
