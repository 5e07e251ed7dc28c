"""
Typed values of the configuration: sizes, durations, counts, flags and addresses.

Shared by the arguments of actions and by the options of the file, so that ``64k`` means one thing
everywhere. Every function takes the text and returns the value, or raises :class:`ConfigError` that says
what was expected.
"""

import re
from dataclasses import dataclass

from realtime_tw.errors import ConfigError
from realtime_tw.routing.text import quoted

_SIZE = re.compile(r"([0-9]{1,15})([kmg]?)b?", re.IGNORECASE)
_SIZE_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_SECONDS = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|)")
_SECONDS_UNITS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_COUNT = re.compile(r"[0-9]{1,15}")
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


def parseSize(text: str) -> int:
    """``"65536"``, ``"64k"``, ``"1m"`` or ``"2g"`` (powers of 1024) as bytes."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ConfigError(f"{quoted(text)} is not a size (write bytes, or 64k, 1m, 2g)")
    return int(match[1]) * _SIZE_UNITS[match[2].lower()]


def parseSeconds(text: str) -> float:
    """``"20"``, ``"20s"``, ``"0.5"``, ``"500ms"``, ``"1m"`` or ``"2h"`` as seconds."""
    match = _SECONDS.fullmatch(text)
    if match is None:
        raise ConfigError(f"{quoted(text)} is not a duration (write 20, 20s, 500ms, 1m or 2h)")
    return float(match[1]) * _SECONDS_UNITS[match[2]]


def parseCount(text: str) -> int:
    """A whole number, zero or more."""
    if _COUNT.fullmatch(text) is None:
        raise ConfigError(f"{quoted(text)} is not a whole number")
    return int(text)


def parseFlag(text: str) -> bool:
    """A strict boolean; the lax one of uWSGI's options is :func:`booleanValue`."""
    word = text.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ConfigError(f"{quoted(text)} is neither yes nor no (write 1 or 0, true or false, yes or no, on or off)")


def booleanValue(text: str) -> bool:
    """The boolean of the ini dialect: everything is true, the empty value too, except false, off, no and 0."""
    return text.lower() not in ("false", "off", "no", "0")


@dataclass(frozen=True, slots=True)
class Address:
    """
    Where something listens: a TCP host and port, or the path of a unix socket.

    :ivar host: a name or address without brackets; empty for all interfaces.
    :ivar port: 0 when ``path`` is set.
    :ivar path: the unix socket, or empty for TCP.
    """

    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return self.path
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%a-z]+)\]|(?P<host>[^:\[\]/\s]*)):(?P<port>[0-9]{1,5})")


def parseAddress(text: str, needsHost: bool = False) -> Address:
    """
    ``"host:port"``, ``":port"``, ``"[::1]:port"`` or the path of a unix socket.

    :param needsHost: True for an address to connect to, where ``:6379`` would not say whom.
    """
    match = _ADDRESS.fullmatch(text)
    if match is not None:
        host = match["six"] or match["host"]
        port = int(match["port"])
        if port > 65535:
            raise ConfigError(f"there is no port {port} in {quoted(text)} (the last one is 65535)")
        if needsHost and (not host or not port):
            raise ConfigError(f"{quoted(text)} is no address to connect to (write host:port)")
        return Address(host, port)
    if text.isascii() and text.isdigit():
        raise ConfigError(f"{quoted(text)} is no address (did you mean :{text}?)")
    if "\0" in text or ":" in text or not text or (needsHost and not text.startswith("/")):
        raise ConfigError(f"{quoted(text)} is no address (write host:port, [v6 address]:port or a unix socket's path)")
    return Address("", 0, text)
