"""What every test may use. Real parts only; in CI a missing one is a failure."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.integration.support import Redis, ServerFactory, checkLogs

settings.register_profile("default", deadline=None)
settings.load_profile("default")


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


def program(name: str) -> str:
    """A program that the test needs; without it the test is skipped, except in CI."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed", pytrace=False)
        pytest.skip(f"{name} is not installed")
    return path
