"""
What the ini dialect replaces inside a line: ``%x`` magic, ``$(ENV)``, ``@(file)`` and ``%(option)``.

The dialect is uWSGI's (reference/routing.md, section 1). Narrowed on purpose: ``@()`` reads plain files
only, since ``@(exec://...)`` and ``@(http://...)`` would let a routes file run programs and fetch URLs;
magic that depends on the machine (users, CPUs, inodes, clocks, path components) is refused instead of
guessed.

Limits: one value grows to at most 256 KiB, so that placeholders cannot multiply into memory.
"""

import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from realtime_tw.errors import ConfigError
from realtime_tw.routing.text import quoted

MAX_VALUE = 256 * 1024

_Replace = Callable[[re.Match[str]], str]

# What uWSGI expands after a percent sign and we do not: 0-9 are path components, the others facts of the
# machine.
_UNSUPPORTED = frozenset("0123456789tTkuUgGiIjJ[")


@dataclass(frozen=True, slots=True)
class Magic:
    """
    The ``%x`` table of one file.

    :ivar values: what each letter stands for.
    """

    values: Mapping[str, str]

    @classmethod
    def forFile(cls, path: str, first: str, section: str, cwd: str, hostname: str, version: str) -> "Magic":
        """
        :param path: the file as given.
        :param first: the outermost file, for the upper-case letters.
        """
        values = _fileLetters(path, cwd)
        values.update((letter.upper(), value) for letter, value in _fileLetters(first, cwd).items())
        values.update({"x": section, "X": section, "v": cwd, "V": version, "h": hostname, "%": "%"})
        return cls(values)

    def expand(self, line: str) -> tuple[str, list[str]]:
        """
        One line with its magic replaced, and the pieces the reader should be told about.

        ``%(`` is left for the placeholders. A percent sign that ends the line stays: uWSGI would swallow
        the newline.

        :raises ConfigError: for magic that uWSGI knows and we do not.
        """
        if "%" not in line:
            return line, []
        vanished: list[str] = []

        def replace(match: re.Match[str]) -> str:
            letter = match[1]
            if letter == "(":
                return match[0]
            if letter in self.values:
                return self.values[letter]
            if letter in _UNSUPPORTED:
                raise ConfigError(
                    f"{quoted(match[0])} is one of uWSGI's magic variables that is not supported here"
                    f" (write %{match[0]} for a literal percent sign)"
                )
            vanished.append(match[0])
            return ""

        return re.sub(r"%([^\r])", replace, line), vanished


def _fileLetters(path: str, cwd: str) -> dict[str, str]:
    full = os.path.normpath(os.path.join(cwd, path))
    directory, name = os.path.split(full)
    stem, extension = os.path.splitext(name)
    return {
        "o": path,
        "p": full,
        "d": directory,
        "s": name,
        "n": stem,
        "e": extension.lstrip("."),
        "c": os.path.basename(directory),
    }


_ENVIRONMENT = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)(?:(:?-)([^)]*))?\)")
_FILE = re.compile(r"@\(([^)]+)\)")
_PLACEHOLDER = re.compile(r"%\(([^)]*)\)")
_LEADING_INTEGER = re.compile(r"\s*([+-]?[0-9]{1,18})")


class Expander:
    """
    Replaces ``$(ENV)``, then ``@(file)``, then ``%(option)`` in values; each option is expanded once.

    :ivar used: the options that some ``%(...)`` referred to.
    :ivar unknown: the ``%(...)`` texts left as they are, because no option has that name.
    """

    def __init__(self, definitions: Iterable[tuple[str, str]], environ: Mapping[str, str], cwd: str) -> None:
        self.used: set[str] = set()
        self.unknown: list[str] = []
        self._raw: dict[str, str] = {}
        for name, value in definitions:
            # The first definition wins, although for every other purpose the last one does: as in uWSGI.
            self._raw.setdefault(name, value)
        self._environ = environ
        self._cwd = cwd
        self._expanded: dict[str, str] = {}
        self._inProgress: list[str] = []

    def expand(self, value: str) -> str:
        """
        :raises ConfigError: for a loop, a missing file, a division by zero or a result that is too long.
        """
        value = self._substitute(_ENVIRONMENT, value, self._environment)
        value = self._substitute(_FILE, value, self._file)
        return self._substitute(_PLACEHOLDER, value, self._placeholder)

    def _substitute(self, pattern: re.Pattern[str], value: str, replace: _Replace) -> str:
        total = 0

        def counted(match: re.Match[str]) -> str:
            nonlocal total
            result = replace(match)
            total += len(result)
            if total > MAX_VALUE:
                raise ConfigError(f"a value grows beyond {MAX_VALUE} characters when it is expanded")
            return result

        return pattern.sub(counted, value)

    def _environment(self, match: re.Match[str]) -> str:
        name, operator, default = match.groups()
        value = self._environ.get(name)
        if operator is None:
            return match[0] if value is None else value
        if value is None or (not value and operator == ":-"):
            return str(default)
        return value

    def _file(self, match: re.Match[str]) -> str:
        name = match[1]
        if re.match(r"[a-z0-9+]+://", name, re.IGNORECASE):
            raise ConfigError(f"{quoted(match[0])}: only plain files can be included in a value")
        path = os.path.join(self._cwd, name)
        try:
            return readText(path, MAX_VALUE, plainOnly=True).rstrip("\r\n")
        except ConfigError as error:
            raise ConfigError(
                f"{quoted(match[0])} includes a file: {error.message} (in a regexp, write [@] for the character)"
            ) from error

    def _placeholder(self, match: re.Match[str]) -> str:
        words = match[1].split()
        result: str | None = None
        index = 0
        while index < len(words):
            word = words[index]
            if word in ("+", "-", "*", "/") and result is not None and index + 1 < len(words):
                operand = self._number(words[index + 1])
                if operand is None:
                    break
                result = str(_calculate(_integer(result), word, operand))
                index += 2
                continue
            if word in ("++", "--") and result is not None:
                result = str(_integer(result) + (1 if word == "++" else -1))
                index += 1
                continue
            value = self._option(word)
            if value is None:
                break
            result = value if result is None else result + value
            if len(result) > MAX_VALUE:
                raise ConfigError(f"a value grows beyond {MAX_VALUE} characters when it is expanded")
            index += 1
        if result is None or index < len(words):
            self.unknown.append(match[0])
            return match[0]
        return result

    def _number(self, word: str) -> int | None:
        if _LEADING_INTEGER.fullmatch(word):
            return int(word)
        value = self._option(word)
        return None if value is None else _integer(value)

    def _option(self, name: str) -> str | None:
        if name not in self._raw:
            return None
        self.used.add(name)
        if name not in self._expanded:
            if name in self._inProgress:
                loop = [*self._inProgress[self._inProgress.index(name) :], name]
                raise ConfigError(f"placeholders refer to each other in a loop: {' -> '.join(loop)}")
            if len(self._inProgress) >= 100:
                raise ConfigError("placeholders refer to each other more than 100 deep")
            self._inProgress.append(name)
            try:
                self._expanded[name] = self.expand(self._raw[name])
            finally:
                self._inProgress.pop()
        return self._expanded[name]


def _integer(text: str) -> int:
    match = _LEADING_INTEGER.match(text)
    return int(match[1]) if match else 0


def _calculate(left: int, operator: str, right: int) -> int:
    if operator == "+":
        result = left + right
    elif operator == "-":
        result = left - right
    elif operator == "*":
        result = left * right
    elif right == 0:
        raise ConfigError("a placeholder divides by zero")
    else:
        # Towards zero, as C does.
        result = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
    if abs(result) >= 2**63:
        raise ConfigError("a placeholder computes a number that is too large")
    return result


def readText(path: str, limit: int, plainOnly: bool = False) -> str:
    """
    A UTF-8 file, a byte order mark accepted.

    :param plainOnly: refuse pipes and devices, whose reading may block for ever.
    :raises ConfigError: when it is missing, unreadable, too large or not UTF-8.
    """
    try:
        if plainOnly and not stat.S_ISREG(os.stat(path).st_mode):
            raise ConfigError(f"{quoted(path)} is not a plain file")
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {quoted(path)}: {error.strerror}") from error
    except ValueError as error:  # NUL, or a lone surrogate in the name
        raise ConfigError(f"cannot read {quoted(path)}: not a file name") from error
    if len(data) > limit:
        raise ConfigError(f"{quoted(path)} is larger than {limit} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError("the file is not UTF-8", path, data.count(b"\n", 0, error.start) + 1) from error
