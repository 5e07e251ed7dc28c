"""What every test may use. Real parts only; in CI a missing one is a failure."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.integration.support import Redis, ServerFactory, checkLogs

settings.register_profile("default", deadline=None)
settings.load_profile("default")


def pytest_sessionstart() -> None:
    """
    Let SIGINT do what it does by default.

    A script that runs the tests in its background has it ignored, and so would every server that inherits that.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by place: ``-m "not integration"`` is the quick part."""
    for item in items:
        if "integration" in item.path.parts:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the servers of the whole run log; at the end there must be no traceback in any of them."""
    directory = tmp_path_factory.mktemp("logs")
    yield directory
    checkLogs(directory)


@pytest.fixture
def twistd(logs: Path, tmp_path: Path) -> Iterator[ServerFactory]:
    """Starts ``twistd realtime`` processes, and ends them."""
    factory = ServerFactory(logs, tmp_path)
    yield factory
    factory.stop()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """A Redis server of the test's own, on a free port and on a UNIX socket."""
    server = Redis(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path."""
    return program("chromium")


#: Packages of npm that tests run: the official Socket.IO clients of every supported version, server and emitter.
NODE_PACKAGES = (
    "socket.io-client@4",
    "sio3@npm:socket.io-client@3",
    "sio2@npm:socket.io-client@2",
    "socket.io@4",
    "@socket.io/redis-emitter@5",
    "@socket.io/redis-adapter@8",
    "ioredis@5",
)


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which Node finds :data:`NODE_PACKAGES`; without Node or a registry its tests are skipped."""
    npm = program("npm")
    program("node")
    directory = tmp_path_factory.mktemp("node")
    (directory / "package.json").write_text("{}")
    done = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", *NODE_PACKAGES],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        if os.environ.get("CI"):
            pytest.fail(f"npm install: {done.stderr}", pytrace=False)
        pytest.skip("npm cannot install packages here")
    return directory


def program(name: str) -> str:
    """A program that the test needs; without it the test is skipped, except in CI."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed", pytrace=False)
        pytest.skip(f"{name} is not installed")
    return path
