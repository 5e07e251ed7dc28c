"""
The functions of ``${name[argument]}``: qs, cookie, time, httptime, base64, hex, upper, lower, mime, uwsgi.

Each takes the argument and the request's variables and returns bytes, never an exception: arguments may
hold text from the client (``${qs[$1]}``). What is wrong in the file itself is found at load, by the
function's check.
"""

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate

from realtime_tw.errors import ConfigError
from realtime_tw.routing.text import didYouMean, quoted, toText
from realtime_tw.routing.variables import Variables

_SECONDS = re.compile(rb"[+-]?[0-9]{1,10}")
_EXTENSION = re.compile(rb"\.([A-Za-z0-9_+-]{1,32})")
_ENCODINGS = {"gz": "application/gzip", "bz2": "application/x-bzip2", "xz": "application/x-xz"}
_TIMES = ("unix", "micros")
_FACTS = ("wid", "pid", "uuid", "status", "lq", "rsize", "sor", "rtime")


def _anything(argument: bytes) -> None:
    """Any argument is good."""


@dataclass(frozen=True, slots=True)
class Function:
    """
    :ivar call: argument and variables to value.
    :ivar check: raises ConfigError for an argument that cannot mean anything.
    """

    call: Callable[[bytes, Variables], bytes]
    check: Callable[[bytes], None] = _anything


def queryValue(name: bytes, variables: Variables) -> bytes:
    """The first value of ``name`` in QUERY_STRING that is not empty, undecoded."""
    for pair in variables["QUERY_STRING"].split(b"&"):
        key, _, value = pair.partition(b"=")
        if key == name and value:
            return value
    return b""


def cookieValue(name: bytes, variables: Variables) -> bytes:
    """The value of the cookie ``name``, verbatim."""
    for pair in variables["HTTP_COOKIE"].split(b";"):
        key, separator, value = pair.strip(b" \t").partition(b"=")
        if separator and key == name:
            return value
    return b""


def _time(unit: bytes, variables: Variables) -> bytes:
    now = variables.surroundings.clock()
    if unit == b"unix":
        return b"%d" % int(now)
    return b"%d" % int(now * 1_000_000) if unit == b"micros" else b""


def _httpTime(offset: bytes, variables: Variables) -> bytes:
    seconds = int(offset) if _SECONDS.fullmatch(offset) else 0
    try:
        return formatdate(variables.surroundings.clock() + seconds, usegmt=True).encode("ascii")
    except (ValueError, OverflowError, OSError):  # a year that no calendar has
        return b""


def _mime(name: bytes, variables: Variables) -> bytes:
    match = _EXTENSION.fullmatch(variables[toText(name)], variables[toText(name)].rfind(b"."))
    if match is None:
        return b""
    extension = match[1].decode("ascii").lower()
    # Only the extension is handed over: the rest is the client's, and guessing parses it as a URL.
    found = variables.surroundings.mimeType(f"file.{extension}")
    return (found or _ENCODINGS.get(extension, "")).encode("utf-8", "replace")


def _fact(name: bytes, variables: Variables) -> bytes:
    surroundings = variables.surroundings
    if name == b"uuid":
        return surroundings.makeUuid().encode("ascii", "replace")
    # The others are counters of uWSGI's own queues and response, which a rule sees before there is any.
    facts = {b"wid": surroundings.workerId, b"pid": surroundings.pid, b"status": variables.status}
    return b"%d" % facts.get(name, 0) if toText(name) in _FACTS else b""


def _oneOf(words: tuple[str, ...]) -> Callable[[bytes], None]:
    def check(argument: bytes) -> None:
        if toText(argument) not in words:
            word = toText(argument)
            raise ConfigError(f"{quoted(word)} is none of {', '.join(words)}{didYouMean(word, words)}")

    return check


def _seconds(argument: bytes) -> None:
    if argument and _SECONDS.fullmatch(argument) is None:
        raise ConfigError(f"{quoted(toText(argument))} is not a number of seconds")


FUNCTIONS: Mapping[str, Function] = {
    "qs": Function(queryValue),
    "cookie": Function(cookieValue),
    "time": Function(_time, _oneOf(_TIMES)),
    "httptime": Function(_httpTime, _seconds),
    "base64": Function(lambda name, variables: base64.b64encode(variables[toText(name)])),
    "hex": Function(lambda name, variables: variables[toText(name)].hex().encode("ascii")),
    "upper": Function(lambda name, variables: variables[toText(name)].upper()),
    "lower": Function(lambda name, variables: variables[toText(name)].lower()),
    "mime": Function(_mime),
    "uwsgi": Function(_fact, _oneOf(_FACTS)),
}
