"""``twistd realtime`` as an administrator meets it: errors with their place, --check, --version, ports, daemons."""

import os
import re
import signal
import socket
import subprocess
import sysconfig
from contextlib import closing
from pathlib import Path

import pytest

from realtime_tw.tap import Options
from tests.integration.support import PATIENCE, freePort, until

TWISTD = os.path.join(sysconfig.get_path("scripts"), "twistd")

#: For each kind of error: lines of a file, with the error in the last one, and the message.
ERRORS = {
    "action": ("route = ^/$ ssee:news", 'unknown action "ssee" (did you mean sse?)'),
    "condition": ("route-if = eqqual:a;b sse:news", 'unknown condition "eqqual" (did you mean equal?)'),
    "option": ("max-conections = 3", "max-conections: unknown option (did you mean max-connections?)"),
    "option of the other section": ("master = true", "master: unknown option (it belongs to [uwsgi] files)"),
    "key": (
        "route = ^/$ sse:subscrib=news",
        'unknown key "subscrib" for action sse (did you mean subscribe?)',
    ),
    "missing key": ("route = ^/$ sse:event=channel", "action sse needs subscribe"),
    "choice": (
        "route = ^/$ sse:subscribe=news,slow=clos",
        'slow: "clos" is none of close, drop (did you mean close?)',
    ),
    "regexp": ("route = ^/( sse:news", 'bad regexp "^/(": a parenthesis is not closed'),
    "number": ("max-connections = many", 'max-connections: "many" is not a whole number'),
    "size": (
        "route = ^/$ sse:subscribe=news,buffer=big",
        'buffer: "big" is not a size (write bytes, or 64k, 1m, 2g)',
    ),
    "duration": (
        "header-timeout = soon",
        'header-timeout: "soon" is not a duration (write 20, 20s, 500ms, 1m or 2h)',
    ),
    "include": ("include = nowhere.ini", 'cannot read "{directory}/nowhere.ini": No such file or directory'),
    "certificate": ("https = :443,a.pem,b.pem", 'https: there is no file "{directory}/a.pem"'),
    "goto": (
        "route-label = here\nroute = ^/ goto:here",
        'goto: "here" is not further down: goto only jumps forward',
    ),
    "goto number": ("route = ^/ goto:9", "goto: there is no rule 9, the last one is 0"),
    "port": (
        "http-socket = 127.0.0.1:99999",
        'http-socket: there is no port 99999 in "127.0.0.1:99999" (the last one is 65535)',
    ),
    "broker": (
        "broker = http://localhost",
        'broker: "http://localhost" is no broker (write memory: or redis://host:port)',
    ),
    "broker's port": (
        "broker = redis://localhost:99999",
        'broker: bad broker URL "redis://localhost:99999": Port out of range 0-65535',
    ),
    "broker's database": (
        "broker = redis://:secret@localhost/x",
        'broker: bad broker URL "redis://...@localhost/x": the database must be a number, not "x"',
    ),
    "broker's option": (
        "broker = redis://localhost?password=secret",
        'broker: bad broker URL "redis://localhost?password=secret": unknown option "password"',
    ),
}


class Runs:
    """Several ``twistd realtime`` at a time, which end by themselves."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._runs: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> None:
        self._runs.append(
            subprocess.Popen(
                [TWISTD, "-n", "--pidfile=", "realtime", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=self._directory,
            )
        )

    def results(self) -> list[tuple[int, str, str]]:
        """Status, stdout and stderr of each."""
        results = []
        for run in self._runs:
            try:
                out, err = run.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                run.kill()
                out, err = run.communicate()
            results.append((run.returncode, out, err))
        return results


def check(*arguments: str) -> int:
    """What ``twistd realtime --check`` would exit with: the same code, without a process of its own for each."""
    with pytest.raises(SystemExit) as ended:
        Options().parseOptions([*arguments, "--check"])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("kind", ERRORS)
def test_errorsInTheFileAreToldWithTheirPlace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    text, message = ERRORS[kind]
    (tmp_path / "routes.ini").write_text(f"[realtime]\n{text}\n")
    expected = f"routes.ini:{2 + text.count(chr(10))}: {message.format(directory=tmp_path)}\n"
    runs = Runs(tmp_path)
    runs.start("--routes", "routes.ini", "--listen", f"tcp:{freePort()}")
    assert runs.results() == [(1, "", expected)]
    monkeypatch.chdir(tmp_path)
    assert check("--routes", "routes.ini") == 1
    assert capsys.readouterr() == ("", expected)


# Twisted's own, when its twisted.web.static is imported.
@pytest.mark.filterwarnings("ignore:twisted.web.resource._Unsafe:DeprecationWarning")
def test_errorsOfTheCommandLineAndOfFilesAsAWhole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "good.ini").write_text("[realtime]\nroute = ^/$ sse:news\n")
    (tmp_path / "empty.ini").write_text("")
    (tmp_path / "binary.ini").write_bytes(b"[realtime]\n\xff\xfe\n")
    (tmp_path / "including.ini").write_text("[realtime]\ninclude = included.ini\n")
    (tmp_path / "included.ini").write_text("[realtime]\n\nroute = ^/$ nothing:news\n")
    (tmp_path / "garbage.pem").write_text("garbage")
    cafile = tmp_path / "garbage.pem"
    (tmp_path / "tls.ini").write_text(f"[realtime]\nbroker = rediss://localhost?cafile={cafile}\n")
    cases = [
        (("--routes", "nowhere.ini"), 'nowhere.ini: cannot read "{directory}/nowhere.ini": No such file or directory'),
        (("--routes", "."), '.: cannot read "{directory}/.": Is a directory'),
        (("--routes", "empty.ini"), "empty.ini: the file has no section [realtime] or [uwsgi]"),
        (("--routes", "binary.ini"), "binary.ini:2: "),
        (("--routes", "including.ini"), 'included.ini:3: unknown action "nothing"'),
        (("--routes", "tls.ini"), f'cannot use the authorities in "{cafile}": it holds no certificate'),
        (("--routes", "good.ini", "--listen", "tcp:http-alt-x"), 'cannot listen on "tcp:http-alt-x": '),
        (("--routes", "good.ini", "--listen", "ftp:80"), "cannot listen on \"ftp:80\": Unknown endpoint type: 'ftp'"),
        (("--routes", "good.ini", "--listen", "tcp"), 'cannot listen on "tcp": '),
        (("--routes", "good.ini", "--broker", "amqp://x"), 'unknown kind of broker "amqp://x": expected memory:, '),
        (("--routes", "good.ini", "--broker", "redis://"), 'bad broker URL "redis://": no host'),
    ]
    runs = Runs(tmp_path)
    for arguments, _ in cases:
        runs.start(*arguments)
    results = runs.results()
    monkeypatch.chdir(tmp_path)
    for arguments, _ in cases:
        results.append((check(*arguments), *capsys.readouterr()))
    for (arguments, message), (status, out, err) in zip(cases * 2, results, strict=True):
        assert (status, out) == (1, ""), (arguments, err)
        assert err.startswith(message.format(directory=tmp_path)), (arguments, err)
        assert err.count("\n") == 1, (arguments, err)


def test_checkShowsTheTable(tmp_path: Path) -> None:
    (tmp_path / "bad.ini").write_text("[realtime]\nroute = ^/$ nothing:news\n")
    (tmp_path / "site").mkdir()
    (tmp_path / "routes.ini").write_text(
        "[uwsgi]\n"
        "http-socket = 127.0.0.1:9123\n"
        "static-map = /files=site\n"
        "broker = redis://user:secret@localhost:7000/3\n"
        "master = true\n"
        "route-if = equal:${REQUEST_METHOD};POST publish:news\n"
        "route = ^/(\\w+)$ sse:subscribe=$1;all,event=channel\n"
    )
    runs = Runs(tmp_path)
    runs.start("--routes", "routes.ini", "--check")
    runs.start("--routes", "bad.ini", "--check")
    (status, out, err), bad = runs.results()
    assert (status, err) == (0, "")
    lines = [re.sub(" +", " ", line) for line in out.splitlines()]
    assert lines[0] == "# where option test action argument"
    assert lines[1].startswith("0 routes.ini:6 route-if ")
    assert lines[1].endswith(" publish channel=news")
    assert lines[2].startswith("1 routes.ini:7 route ^/(\\w+)$ sse subscribe=$1;all event=channel")
    assert f"static /files -> {tmp_path}/site" in lines
    assert "listen tcp:9123:interface=127.0.0.1" in lines
    assert "broker redis://localhost:7000/3" in lines
    assert any(line.startswith("routes.ini:5: notice: ") and "master" in line for line in lines)
    assert "secret" not in out
    assert bad == (1, "", 'bad.ini:2: unknown action "nothing"\n')


def test_versionAndHelpAndNothingToServe(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    for arguments in (["--version"], ["--help"], [], ["--check"], ["--nonsense"], ["--demo", "extra"]):
        runs.start(*arguments)
    version, help_, nothing, check, nonsense, extra = runs.results()
    assert version[0] == 0
    assert re.fullmatch(r"realtime_tw \d+\.\d+\.\d+ \(Twisted [\d.]+\w*, Python [\d.]+\)\n", version[1])
    assert help_[0] == 0
    assert all(option in help_[1] for option in ("--routes", "--listen", "--broker", "--check", "--demo"))
    for status, out, err in (nothing, check, nonsense, extra):
        assert status == 1
        assert "Traceback" not in out + err
    assert "nothing to serve: give --routes FILE, or --demo" in nothing[1] + nothing[2]
    assert "nothing to serve: give --routes FILE, or --demo" in check[1] + check[2]
    assert "nonsense" in nonsense[1] + nonsense[2]
    assert "extra" in extra[1] + extra[2] or "arguments" in extra[1] + extra[2]


@pytest.fixture
def taken() -> socket.socket:
    """A port on which somebody else listens."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def test_aPortInUse(tmp_path: Path, taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    (tmp_path / "routes.ini").write_text(f"[realtime]\nhttp-socket = 127.0.0.1:{port}\nroute = ^/$ sse:news\n")
    endpoint = f"tcp:{port}:interface=127.0.0.1"
    message = f"cannot listen on {endpoint}: [Errno 98] Address already in use\n"
    with closing(taken):
        runs = Runs(tmp_path)
        runs.start("--demo", "--listen", endpoint)
        runs.start("--routes", "routes.ini")
        for status, out, err in runs.results():
            assert (status, err) == (1, message)
            # The log, in front of which twistd was started.
            assert out.count("cannot listen") == 1
            assert "Traceback" not in out


def test_aPortInUseEndsADaemonToo(tmp_path: Path, taken: socket.socket) -> None:
    # The parent waits for its child's word, and says it.
    with closing(taken):
        endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
        ended = subprocess.run(
            [TWISTD, "--pidfile=twistd.pid", "--logfile=twistd.log", "realtime", "--demo", "--listen", endpoint],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            cwd=tmp_path,
            check=False,
        )
        assert ended.returncode == 1
        assert b"cannot listen on tcp:" in ended.stderr
        until(lambda: not (tmp_path / "twistd.pid").exists(), "the pid file to go")
        assert "Traceback" not in (tmp_path / "twistd.log").read_text()


def test_asADaemon(tmp_path: Path) -> None:
    port = freePort()
    (tmp_path / "routes.ini").write_text("[realtime]\nroute = ^/$ sse:news\n")
    words = ["realtime", "--routes", "routes.ini", "--listen", f"tcp:{port}:interface=127.0.0.1"]
    subprocess.run(
        [TWISTD, "--pidfile=twistd.pid", "--logfile=twistd.log", *words],
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE,
        cwd=tmp_path,
        check=True,
    )
    pid = int((tmp_path / "twistd.pid").read_text())
    try:
        with closing(socket.create_connection(("127.0.0.1", port), PATIENCE)) as client:
            client.settimeout(PATIENCE)
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            received = b""
            while b": ok\n\n" not in received:
                data = client.recv(1 << 16)
                assert data, f"the daemon closed the connection: {received!r}"
                received += data
            os.kill(pid, signal.SIGTERM)
            while data := client.recv(1 << 16):
                received += data
            assert received.endswith(b"0\r\n\r\n")
    finally:
        until(lambda: not (tmp_path / "twistd.pid").exists(), "the daemon to end")
    assert "Traceback" not in (tmp_path / "twistd.log").read_text()
