"""Compiles the two C programs, ``client.c`` and ``floor.c``, when they are older than their source."""

import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"


class CompilerError(Exception):
    """There is no C compiler, or it refused the source."""


def findCompiler() -> str:
    """The C compiler: ``$CC``, or the first of the usual names that is installed."""
    for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        if name and shutil.which(name):
            return name
    raise CompilerError("no C compiler found: install gcc or clang, or set CC")


def compileProgram(name: str) -> Path:
    """
    Compile ``name.c`` beside this file, unless that was done already.

    :return: the path of the program.
    """
    source = HERE / f"{name}.c"
    program = BUILD / name
    if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
        return program
    BUILD.mkdir(exist_ok=True)
    # Another run may be doing the same: each writes its own file, and the last one to finish wins.
    unfinished = BUILD / f"{name}.{os.getpid()}"
    command = [findCompiler(), "-O2", "-Wall", "-Wextra", "-o", str(unfinished), str(source)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if finished.returncode:
        raise CompilerError(f"{' '.join(command)} failed:\n{finished.stderr}")
    if finished.stderr:
        print(finished.stderr)
    unfinished.replace(program)
    return program
