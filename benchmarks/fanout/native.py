"""
Compiles the two C programs, ``client.c`` and ``floor.c``, when they are older than their source, and installs what the
Node servers need.
"""

import contextlib
import json
import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"

_INSTALL_TIMEOUT = 300.0


class CompilerError(Exception):
    """There is no C compiler, or it refused the source."""


def findCompiler() -> str:
    """The C compiler: ``$CC``, or the first of the usual names that is installed."""
    for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        if name and shutil.which(name):
            return name
    raise CompilerError("no C compiler found: install gcc or clang, or set CC")


def compileProgram(name: str, directory: Path = HERE) -> Path:
    """
    Compile ``name.c`` of a directory, unless that was done already.

    :return: the path of the program.
    """
    source = directory / f"{name}.c"
    build = directory / "build"
    program = build / name
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return program
    build.mkdir(exist_ok=True)
    # Another run may be doing the same: each writes its own file, and the last one to finish wins.
    unfinished = build / f"{name}.{os.getpid()}"
    command = [findCompiler(), "-O2", "-Wall", "-Wextra", "-o", str(unfinished), str(source)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if finished.returncode:
        raise CompilerError(f"{' '.join(command)} failed:\n{finished.stderr}")
    if finished.stderr:
        print(finished.stderr)
    unfinished.replace(program)
    return program


class NodeError(Exception):
    """There is no Node, or its packages cannot be installed."""


def nodeProgram(name: str) -> list[str]:
    """
    The command that runs ``node/name``, with its packages installed beside a copy of it; npm is asked once.

    :raises NodeError: when that cannot be done here.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise NodeError("not installed")
    place = BUILD / "node"
    stale = not (place / "installed").exists() or _wanted(place) != _wanted(HERE / "node")
    place.mkdir(parents=True, exist_ok=True)
    for source in (HERE / "node").iterdir():
        shutil.copyfile(source, place / source.name)
    if stale:
        (place / "installed").unlink(missing_ok=True)
        command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        try:
            finished = subprocess.run(
                command, cwd=place, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT, check=False
            )
        except subprocess.TimeoutExpired:
            raise NodeError(f"npm install took more than {_INSTALL_TIMEOUT:g} s") from None
        if finished.returncode:
            lines = finished.stderr.strip().splitlines() or ["no reason given"]
            raise NodeError(f"npm install failed: {lines[0]}")
        (place / "installed").touch()
    return [node, str(place / name)]


def nodeVersions() -> str:
    """What of Node is installed for the benchmark, for the report."""
    versions = []
    for name in ("ws", "socket.io"):
        description = BUILD / "node" / "node_modules" / name / "package.json"
        with contextlib.suppress(OSError, ValueError):
            versions.append(f"{name} {json.loads(description.read_text())['version']}")
    return ", ".join(versions) or "no packages"


def _wanted(directory: Path) -> bytes:
    try:
        return (directory / "package.json").read_bytes()
    except OSError:
        return b""
