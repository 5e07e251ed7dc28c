r"""
PCRE patterns compiled with Python's ``re``.

A routing file's regexps are PCRE's: unanchored, byte by byte, ``.`` stops at a newline, ``$`` also matches
before a final one. ``re`` on bytes does the same. What PCRE spells otherwise is translated where an exact
equivalent exists (``(?<n>)``, ``\z`` and ``\Z``, ``\h \v \R \N``, ``\Q..\E``, ``[[:alpha:]]``, ``(?i)`` in
the middle) and refused by name where none does (``\K``, recursion, ``(?|``, callouts, verbs).

Limits: patterns of at most 8192 bytes. ``re`` has no limit on backtracking: a pattern such as ``(a+)+$``
costs the server what it costs everywhere, and only the author of the file can write one.
"""

import re
import warnings
from collections.abc import Callable, Iterable

from realtime_tw.errors import ConfigError
from realtime_tw.routing.text import quoted, toBytes

MAX_PATTERN = 8192

_QUANTIFIER = re.compile(r"\{([0-9]+)(?:,([0-9]*))?\}")
_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,31}"
_NAMED_GROUP = re.compile(rf"\(\?(?:P?<({_NAME})>|'({_NAME})')")
_NAMED_REFERENCE = re.compile(rf"\\k(?:<({_NAME})>|\{{({_NAME})\}}|'({_NAME})')")
_NUMBERED_REFERENCE = re.compile(r"\\g(?:\{(-?[0-9]{1,3})\}|([0-9]{1,3}))")
_NAMED_CONDITION = re.compile(rf"\(\?\((?:<({_NAME})>|'({_NAME})'|([0-9]{{1,2}}))\)")
_INLINE_FLAGS = re.compile(r"\(\?([ims]*(?:-[ims]+)?)(:|\))")
_PLAIN_OPENERS = ("(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?P=")

_OUTSIDE = {
    "z": r"\Z",
    "Z": r"(?=\n?\Z)",
    "h": r"[\t \xa0]",
    "H": r"[^\t \xa0]",
    "v": r"[\n-\r\x85]",
    "V": r"[^\n-\r\x85]",
    "R": r"(?>\r\n|[\n-\r\x85])",
    "N": r"[^\n]",
    # Before Python 3.14, \B does not hold in an empty subject.
    "B": r"(?!\b)",
    "e": r"\x1b",
    "E": "",
}


def _ranges(members: Iterable[int]) -> str:
    """The inside of a character class with exactly these bytes."""
    chosen = frozenset(members)
    parts = []
    start = None
    for value in range(257):
        if value in chosen and value < 256:
            start = value if start is None else start
        elif start is not None:
            parts.append(f"\\x{start:02x}-\\x{value - 1:02x}")
            start = None
    return "".join(parts)


_HORIZONTAL = frozenset(b"\t \xa0")
_VERTICAL = frozenset(b"\n\v\f\r\x85")
_ALL = frozenset(range(256))
_INSIDE = {
    "h": _ranges(_HORIZONTAL),
    "H": _ranges(_ALL - _HORIZONTAL),
    "v": _ranges(_VERTICAL),
    "V": _ranges(_ALL - _VERTICAL),
    "e": r"\x1b",
    "E": "",
}


def _ascii(test: Callable[[str], bool]) -> frozenset[int]:
    return frozenset(value for value in range(128) if test(chr(value)))


_POSIX = {
    "alpha": _ascii(str.isalpha),
    "lower": _ascii(str.islower),
    "upper": _ascii(str.isupper),
    "digit": _ascii(str.isdigit),
    "alnum": _ascii(str.isalnum),
    "xdigit": frozenset(b"0123456789abcdefABCDEF"),
    "word": _ascii(lambda char: char.isalnum() or char == "_"),
    "punct": frozenset(value for value in range(33, 127) if not chr(value).isalnum()),
    "space": frozenset(b" \t\n\r\f\v"),
    "blank": frozenset(b" \t"),
    "cntrl": frozenset(range(32)) | {127},
    "graph": frozenset(range(33, 127)),
    "print": frozenset(range(32, 127)),
    "ascii": frozenset(range(128)),
}


def compileRegexp(text: str) -> re.Pattern[bytes]:
    """
    :raises ConfigError: for a pattern that is wrong, or that ``re`` cannot be made to match as PCRE does.
    """
    source = toBytes(text)
    if len(source) > MAX_PATTERN:
        raise ConfigError(f"the regexp is longer than {MAX_PATTERN} bytes")
    try:
        translated = _Translator(source.decode("latin-1")).translate()
        with warnings.catch_warnings():
            # "[a--b]" may come to mean something else in a later Python; its meaning today is PCRE's.
            warnings.simplefilter("ignore")
            return re.compile(translated.encode("latin-1"))
    except ConfigError as error:
        raise ConfigError(f"bad regexp {quoted(text)}: {error.message}") from error
    except (re.error, OverflowError) as error:
        raise ConfigError(f"bad regexp {quoted(text)}: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"bad regexp {quoted(text)}: nested too deeply") from error


class _Translator:
    """One pass over a pattern; every method consumes what it emits the translation of."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._position = 0
        self._result: list[str] = []
        self._groups = 0
        # For each open group, the flags set in its middle: PCRE lets them reach to the end of the group,
        # across "|".
        self._scopes: list[list[str]] = [[]]

    def translate(self) -> str:
        source = self._source
        while self._position < len(source):
            char = source[self._position]
            if char == "\\":
                self._emitEscape()
            elif char == "[":
                self._emitClass()
            elif char == "(":
                self._emitGroup()
            elif char == ")":
                if len(self._scopes) == 1:
                    raise ConfigError("a parenthesis is closed that was not opened")
                self._emit(")" * (len(self._scopes.pop()) + 1), 1)
            elif char == "|":
                flags = self._scopes[-1]
                self._emit(")" * len(flags) + "|" + "".join(flags), 1)
            elif char == "{":
                self._emitBrace()
            else:
                self._emit(char, 1)
        if len(self._scopes) > 1:
            raise ConfigError("a parenthesis is not closed")
        return "".join(self._result) + ")" * len(self._scopes[0])

    def _emit(self, translation: str, consumed: int) -> None:
        self._result.append(translation)
        self._position += consumed

    def _emitBrace(self) -> None:
        """A quantifier, or a plain brace: ``{,3}`` is plain in PCRE and a quantifier in ``re``."""
        match = _QUANTIFIER.match(self._source, self._position)
        if match is None:
            self._emit(r"\{", 1)
        elif any(len(bound or "") > 5 or int(bound or 0) > 65535 for bound in match.groups()):
            raise ConfigError("a quantifier is larger than 65535")
        else:
            self._emit(match[0], len(match[0]))

    def _emitGroup(self) -> None:
        source, position = self._source, self._position
        if source.startswith("(*", position):
            raise ConfigError("verbs such as (*FAIL) are not supported")
        if not source.startswith("(?", position):
            self._open("(", 1, counted=True)
        elif source.startswith("(?#", position):
            end = source.find(")", position)
            if end < 0:
                raise ConfigError("a comment is not closed")
            self._position = end + 1
        elif source.startswith(_PLAIN_OPENERS, position):
            opener = next(opener for opener in _PLAIN_OPENERS if source.startswith(opener, position))
            self._open(opener, len(opener))
        elif match := _NAMED_GROUP.match(source, position):
            self._open(f"(?P<{match[1] or match[2]}>", len(match[0]), counted=True)
        elif match := _NAMED_CONDITION.match(source, position):
            self._open(f"(?({match[1] or match[2] or match[3]})", len(match[0]))
        elif match := _INLINE_FLAGS.match(source, position):
            self._emitFlags(match)
        else:
            raise ConfigError(f"{quoted(source[position : position + 4])} is PCRE syntax that is not supported")

    def _emitFlags(self, match: re.Match[str]) -> None:
        opener = f"(?{match[1]}:"
        if match[2] == ":":
            self._open(opener, len(match[0]))
        else:
            self._scopes[-1].append(opener)
            self._emit(opener, len(match[0]))

    def _open(self, opener: str, consumed: int, counted: bool = False) -> None:
        self._groups += counted
        self._scopes.append([])
        self._emit(opener, consumed)

    def _emitEscape(self) -> None:
        source, position = self._source, self._position
        char = source[position + 1 : position + 2]
        if char == "Q":
            self._emitQuoted()
        elif char == "N" and source.startswith("{", position + 2):
            raise ConfigError(r"\N{...} is not supported")
        elif char in _OUTSIDE:
            self._emit(_OUTSIDE[char], 2)
        elif char == "g" and (match := _NUMBERED_REFERENCE.match(source, position)):
            number = int(match[1] or match[2])
            self._emitReference(number if number >= 0 else self._groups + 1 + number, len(match[0]))
        elif char == "k" and (match := _NAMED_REFERENCE.match(source, position)):
            self._emit(f"(?P={match[1] or match[2] or match[3]})", len(match[0]))
        elif char and char in "123456789":
            self._emitNumber()
        elif char and char in "AbdDsSwWtnrfa":
            self._emit(f"\\{char}", 2)
        else:
            self._emitCharacter()

    def _emitReference(self, number: int, consumed: int) -> None:
        if not 1 <= number <= 99:
            raise ConfigError("a reference to a group that does not exist")
        self._emit(f"(?:\\{number})", consumed)

    def _emitNumber(self) -> None:
        r"""``\1`` to ``\9`` are groups; three octal digits are a byte, unless there were that many groups."""
        match = re.compile(r"\\([0-9]+)").match(self._source, self._position)
        assert match is not None
        digits = match[1]
        if len(digits) == 1:
            self._emitReference(int(digits), 2)
        elif re.fullmatch("[123][0-7]{2}", digits):
            self._emit(f"\\x{int(digits, 8):02x}", 4)
        else:
            raise ConfigError(rf"\{digits} is ambiguous (write \g{{{digits}}} for a group, \x for a byte)")

    def _emitCharacter(self) -> None:
        r"""An escape for one byte, in a class or outside: ``\x41``, ``\x{41}``, ``\012``, ``\cA``, ``\.``."""
        source, position = self._source, self._position
        char = source[position + 1 : position + 2]
        if match := re.compile(r"\\x(?:\{([0-9A-Fa-f]{1,8})\}|([0-9A-Fa-f]{0,2}))").match(source, position):
            self._emitByte(int(match[1] or match[2] or "0", 16), len(match[0]))
        elif match := re.compile(r"\\(0[0-7]{0,2})|\\o\{([0-7]{1,8})\}").match(source, position):
            self._emitByte(int(match[1] or match[2], 8), len(match[0]))
        elif char == "c" and len(source) > position + 2 and "\x20" <= source[position + 2] <= "\x7e":
            self._emitByte(ord(source[position + 2].upper()) ^ 64, 3)
        elif not char:
            raise ConfigError("a backslash ends the pattern")
        elif char.isascii() and char.isalnum():
            raise ConfigError(f"\\{char} is PCRE syntax that is not supported")
        else:
            self._emit(f"\\{char}" if char.isascii() else char, 2)

    def _emitByte(self, value: int, consumed: int) -> None:
        if value > 255:
            raise ConfigError("a character above 255: patterns match bytes")
        self._emit(f"\\x{value:02x}", consumed)

    def _emitQuoted(self) -> None:
        r"""``\Q...\E``, or to the end."""
        start = self._position + 2
        end = self._source.find(r"\E", start)
        text = self._source[start:] if end < 0 else self._source[start:end]
        self._emit(re.escape(text), 2 + len(text) + (0 if end < 0 else 2))

    def _emitClass(self) -> None:
        source = self._source
        opener = "[^" if source.startswith("[^", self._position) else "["
        self._emit(opener, len(opener))
        if source.startswith("]", self._position):
            self._emit(r"\]", 1)
        while self._position < len(source):
            char = source[self._position]
            if char == "]":
                self._emit("]", 1)
                return
            if char == "\\":
                self._emitClassEscape()
            elif char == "[":
                self._emitClassBracket()
            else:
                # Escaped because ``re`` reserves them for set operations.
                self._emit(f"\\{char}" if char in "&|~" else char, 1)
        raise ConfigError("a character class lacks its closing bracket")

    def _emitClassEscape(self) -> None:
        char = self._source[self._position + 1 : self._position + 2]
        if char == "Q":
            self._emitQuoted()
        elif char in _INSIDE:
            self._emit(_INSIDE[char], 2)
        elif char and char in "bdDsSwWtnrfa":
            self._emit(f"\\{char}", 2)
        elif match := re.compile(r"\\([1-7][0-7]{0,2})").match(self._source, self._position):
            self._emitByte(int(match[1], 8), len(match[0]))
        else:
            self._emitCharacter()

    def _emitClassBracket(self) -> None:
        source, position = self._source, self._position
        if match := re.compile(r"\[:(\^?)([a-z]+):\]").match(source, position):
            members = _POSIX.get(match[2])
            if members is None:
                raise ConfigError(f"unknown character class {quoted(match[0])}")
            self._emit(_ranges(_ALL - members if match[1] else members), len(match[0]))
        elif source.startswith(("[.", "[="), position) and source.find(source[position + 1] + "]", position + 2) > 0:
            raise ConfigError("collating elements are not supported")
        else:
            self._emit(r"\[", 1)
