"""
The server's own settings, by the names a routing file gives them.

One table: what is not in it is not a setting. None means "not set": the service knows the defaults and why.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from realtime_tw.routing.values import parseCount, parseFlag, parseSeconds, parseSize


@dataclass(frozen=True, slots=True)
class Settings:
    """
    :ivar maxConnections: clients at a time.
    :ivar maxConnectionsPerIp: clients at a time from one address.
    :ivar maxBody: bytes of a request's body.
    :ivar headerTimeout: seconds for a request's head to arrive.
    :ivar idleTimeout: seconds without traffic.
    :ivar stopTimeout: seconds for everything to end when the server stops.
    :ivar accessLog: whether requests are logged.
    """

    maxConnections: int | None = None
    maxConnectionsPerIp: int | None = None
    maxBody: int | None = None
    headerTimeout: float | None = None
    idleTimeout: float | None = None
    stopTimeout: float | None = None
    accessLog: bool | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """One option of the file and the attribute it sets."""

    attribute: str
    parse: Callable[[str], Any]


SETTINGS: dict[str, Setting] = {
    "max-connections": Setting("maxConnections", parseCount),
    "max-connections-per-ip": Setting("maxConnectionsPerIp", parseCount),
    "max-body": Setting("maxBody", parseSize),
    "header-timeout": Setting("headerTimeout", parseSeconds),
    "idle-timeout": Setting("idleTimeout", parseSeconds),
    "stop-timeout": Setting("stopTimeout", parseSeconds),
    "access-log": Setting("accessLog", parseFlag),
}
