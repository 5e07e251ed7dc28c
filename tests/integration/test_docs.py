"""The documents' servers and commands, run as they are written; see ``tests/documents.py``."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import program
from tests.documents import ROOT, Fence, allFences, commandsOf, groups, matches
from tests.integration.certificates import Certificate
from tests.integration.support import PATIENCE, Redis, freePort, until

#: Ports that the documents use.
_PORTS = re.compile(r"(?<![\d.])(?:6379|8000|8080|8554|9090|9091|9092|9443|9999)(?!\d)")


class Process:
    """A command that goes on, with its output in a file."""

    def __init__(self, command: str, output: Path, cwd: Path, env: Mapping[str, str]) -> None:
        self.output = output
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                f"exec {command}", shell=True, stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=cwd, env=env
            )

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def says(self, expected: str) -> bool:
        return matches(expected, self.text())

    def endedOrListens(self, port: int) -> bool:
        return self.ended() or listens(port)

    def ended(self) -> bool:
        return self.process.poll() is not None

    def stop(self) -> int:
        """End it in order; returns its exit status."""
        if not self.ended():
            self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Session:
    """
    The fences of one group, run in their order.

    :param directory: where everything happens.
    :param logs: the servers' output goes there, and is searched for tracebacks at the end of the run.
    """

    def __init__(self, name: str, fences: Sequence[Fence], directory: Path, logs: Path) -> None:
        self._name = name.replace(":", "-")
        self._fences = fences
        self._directory = directory
        self._logs = logs
        self._servers: list[Process] = []
        self._followers: list[tuple[Fence, str, Process]] = []
        self._redis: Redis | None = None
        self._text = "".join(fence.text for fence in fences)
        self._ports = {port: str(freePort()) for port in _PORTS.findall(self._text)}
        for fence in fences:
            if fence.kind in ("server", "nginx"):
                for port in fence.words[1:]:
                    self._ports.setdefault(port, str(freePort()))
        self._env = {
            **os.environ,
            "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)]),
            "PYTHONUNBUFFERED": "1",
            "no_proxy": "*",
        }

    def run(self) -> None:
        statuses: list[int] = []
        try:
            self._prepare()
            for fence in self._fences:
                getattr(self, f"_{fence.kind}")(fence)
            self._awaitFollowers("follow")
            statuses = [server.stop() for server in self._servers]
            self._awaitFollowers("ends")
        finally:
            for _, _, follower in self._followers:
                follower.stop()
            for server in self._servers:
                server.stop()
            if self._redis is not None:
                self._redis.kill()
        # Programs on Twisted end by the signal that stopped them.
        assert set(statuses) <= {0, -signal.SIGTERM}, statuses

    def _awaitFollowers(self, kind: str) -> None:
        for fence, expected, follower in self._followers:
            if fence.kind == kind:
                try:
                    until(partial(follower.says, expected), fence.place)
                except AssertionError as error:
                    raise AssertionError(f"{error}: {expected!r} is {follower.text()!r}") from None

    def _prepare(self) -> None:
        """What the documents take for granted: a Redis, directories, certificates, a checkout."""
        if "redis" in self._text or any(fence.kind == "acl" for fence in self._fences):
            options: list[str] = []
            for fence in self._fences:
                if fence.kind == "acl":
                    (self._directory / "users.acl").write_text(fence.text)
                    options = ["--aclfile", str(self._directory / "users.acl")]
            self._redis = Redis(self._directory / "redis", options)
            self._ports["6379"] = str(self._redis.port)
            self._redis.start()
        for fence in self._fences:
            if fence.kind == "file":
                path = self._directory / fence.words[1]
                path.parent.mkdir(exist_ok=True)
                path.write_text(self._here(fence.text))
        if "cert.pem" in self._text:
            made = Certificate(self._directory)
            shutil.copy(made.certificate, self._directory / "cert.pem")
        if "script/" in self._text:
            checkout(self._directory)

    def _here(self, text: str) -> str:
        """A text with the ports that are free here."""
        text = _PORTS.sub(lambda match: self._ports[match[0]], text)
        if self._redis is not None:
            text = text.replace("redis-cli", f"redis-cli -p {self._redis.port}")
        return text

    def _file(self, fence: Fence) -> None:
        """Was written before."""

    _acl = _file

    def _server(self, fence: Fence) -> None:
        (written,) = commandsOf(fence.text)
        command = self._here(written.command)
        if "realtime" in command or "script/server" in command:
            named = any(port in self._sources() for port in fence.words[1:])
            if not named:
                demo = " --demo" if "script/server" in command else ""
                command += f"{demo} --listen tcp:{self._ports[fence.words[1]]}:interface=127.0.0.1"
            if self._redis is not None and "6379" not in self._sources():
                command += f" --broker {self._redis.url}"
        self._start(command, fence.words[1:], fence)

    def _sources(self) -> str:
        """What a server gets to read: routing files and command lines."""
        return "".join(
            fence.text
            for fence in self._fences
            if fence.kind == "server" or (fence.kind == "file" and fence.language == "ini")
        )

    def _nginx(self, fence: Fence) -> None:
        nginx = program("nginx")
        place = self._directory / "nginx"
        place.mkdir()
        paths = "".join(
            f"{kind}_temp_path {place}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (place / "nginx.conf").write_text(
            f"daemon off; error_log stderr; pid {place}/pid; events {{}} http {{ access_log off; {paths}\n"
            f"{self._here(fence.text)}}}\n"
        )
        self._start(f"{nginx} -e stderr -p {place} -c {place}/nginx.conf", fence.words[1:], fence)

    def _start(self, command: str, ports: Sequence[str], fence: Fence) -> None:
        output = self._logs / f"docs-{self._name}-{len(self._servers)}.log"
        server = Process(command, output, self._directory, self._env)
        self._servers.append(server)
        for port in ports:
            until(partial(server.endedOrListens, int(self._ports[port])), f"{fence.place}: port {port}")
        assert not server.ended(), f"{fence.place}: {server.text()}"
        if self._redis is not None and "realtime" in command:
            for link in ("(publisher)", "(subscriber)"):
                until(partial(server.says, f"...{link}..."), f"{fence.place}: {link}")

    def _follow(self, fence: Fence) -> None:
        (written,) = commandsOf(fence.text)
        output = self._directory / f"followed-{len(self._followers)}"
        command = written.command.replace("curl ", "curl -s ", 1)
        follower = Process(self._here(command), output, self._directory, self._env)
        expected = self._here(written.output)
        self._followers.append((fence, expected, follower))
        greeting = "1" if "subscribe" in command else expected.split("\n")[0]
        until(
            lambda: follower.ended() or greeting in follower.text(), f"{fence.place}: {greeting} ({follower.text()!r})"
        )

    _ends = _follow

    def _shell(self, fence: Fence, fails: bool = False) -> None:
        for written in commandsOf(fence.text):
            command = re.sub(r"\bcurl ", "curl -sS ", self._here(written.command))
            done = subprocess.run(
                command,
                shell=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PATIENCE,
                cwd=self._directory,
                env=self._env,
            )
            output = done.stdout.replace("\r\n", "\n")
            stated = (written.output, self._here(written.output))
            assert any(matches(each, output) for each in stated), f"{fence.place}: {command}\n{output}"
            assert (done.returncode != 0) == fails, f"{fence.place}: {command}: exit status {done.returncode}"

    def _fails(self, fence: Fence) -> None:
        self._shell(fence, fails=True)


def listens(port: int) -> bool:
    try:
        with closing(socket.create_connection(("127.0.0.1", port), 1)):
            return True
    except OSError:
        return False


def checkout(directory: Path) -> None:
    """What ``script/server`` finds in a clone whose environment is installed: ours, so that nothing is downloaded."""
    shutil.copytree(ROOT / "script", directory / "script")
    shutil.copy(ROOT / "pyproject.toml", directory)
    place = directory / ".venv" / "bin"
    place.mkdir(parents=True)
    for name, target in (("python", sys.executable), ("twistd", f"{sysconfig.get_path('scripts')}/twistd")):
        (place / name).write_text(f'#!/bin/sh\nexec "{target}" "$@"\n')
        (place / name).chmod(0o755)
    with open(directory / "pyproject.toml", "rb") as file:
        stamp = subprocess.run(["cksum"], stdin=file, capture_output=True, text=True, check=True).stdout.strip()
    (directory / ".venv" / "installed").write_text(f"-e . {stamp}\n")


@pytest.mark.parametrize("name", groups())
def test_theDocumentsCommandsDoWhatTheySay(name: str, tmp_path: Path, logs: Path) -> None:
    for need in ("curl", "redis-cli", "ffmpeg", "gst-launch-1.0"):
        if any(f"{need} " in fence.text for fence in groups()[name]):
            program(need)
    Session(name, groups()[name], tmp_path, logs).run()


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[list[Redis]]:
    started: list[Redis] = []
    yield started
    for redis in started:
        redis.kill()


def test_redisTakesTheDocumentedConfiguration(tmp_path: Path, configured: list[Redis]) -> None:
    fences = [fence for fence in allFences() if fence.kind == "redis"]
    assert fences
    for fence in fences:
        words = fence.text.split()
        redis = Redis(tmp_path / "redis", [f"--{words[0]}", *words[1:]])
        configured.append(redis)
        redis.start()
        name, wanted = fence.text.split()[:2]
        answer = redis.command("CONFIG", "GET", name)
        assert isinstance(answer, list)
        assert f"{wanted} 268435456 67108864 60".encode() in answer[1], fence.place


def test_aServerWithoutTheRightToReadRetainedValuesServesTheRest(tmp_path: Path, configured: list[Redis]) -> None:
    """What the section on rights says beside its example."""
    redis = Redis(tmp_path / "redis")
    configured.append(redis)
    redis.start()
    redis.command("ACL", "SETUSER", "few", "on", ">pw", "resetchannels", "&news", "+ping", "+subscribe", "+publish")
    redis.command("ACL", "SETUSER", "few", "+unsubscribe")
    port = freePort()
    routes = tmp_path / "routes.ini"
    routes.write_text(
        f"[realtime]\nbroker = redis://few:pw@127.0.0.1:{redis.port}\nhttp-socket = 127.0.0.1:{port}\n"
        "route = ^/e$ sse:news\n"
    )
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    twistd = f"{sysconfig.get_path('scripts')}/twistd -n --pidfile= realtime --routes {routes}"
    server = Process(twistd, tmp_path / "server.log", tmp_path, env)
    reader: Process | None = None
    try:
        until(lambda: "(subscriber)" in server.text(), "the server")
        reader = Process(f"{program('curl')} -sN http://127.0.0.1:{port}/e", tmp_path / "read", tmp_path, env)
        follower = reader
        until(lambda: ": ok" in follower.text(), "the stream")
        assert redis.publish("news", "hello") == 1
        until(lambda: "data: hello" in follower.text(), "the message")
    finally:
        if reader is not None:
            reader.stop()
        assert server.stop() in (0, -signal.SIGTERM)


def test_whatTheDocumentsSayAboutSignals(tmp_path: Path) -> None:
    """SIGINT ends a server in order, too."""
    port = freePort()
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    twistd = f"{sysconfig.get_path('scripts')}/twistd -n --pidfile= realtime --demo --listen tcp:{port}"
    server = Process(twistd, tmp_path / "server.log", tmp_path, env)
    reader = None
    try:
        until(lambda: listens(port), "the server")
        command = f"{program('curl')} -sN http://127.0.0.1:{port}/stats"
        reader = Process(command, tmp_path / "read", tmp_path, env)
        found = until(lambda: re.search(r"^data: (.*)\n", (tmp_path / "read").read_text(), re.MULTILINE), "a report")
        assert isinstance(found, re.Match)
        assert json.loads(found[1])["subscribers"] == 1
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(PATIENCE) in (0, -signal.SIGINT)
        assert reader.process.wait(PATIENCE) == 0
        assert re.search(r"\nretry: \d+\n\n$", reader.text())
    finally:
        if reader is not None:
            reader.stop()
        server.stop()
