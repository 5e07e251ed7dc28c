"""
The variables of one request: the CGI names a routing file refers to.

Read live: what a rule sets is what the next rule, and every ``${...}``, sees. Built from plain values by
:func:`requestVariables`, so that nothing here knows about a transport.
"""

import mimetypes
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from realtime_tw.routing.paths import pathAndQuery, splitTarget

_TOKEN = re.compile(rb"[!#$%&'*+.^`|~0-9A-Za-z-]+")
_UNPREFIXED = frozenset({"CONTENT_TYPE", "CONTENT_LENGTH"})


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What functions such as ``${time[unix]}`` know of the world; tests hand in their own.

    :ivar workerId: ``${uwsgi[wid]}``: 1, unless several processes share the work.
    :ivar mimeType: content type of a file name, or None.
    """

    clock: Callable[[], float] = time.time
    pid: int = 0
    workerId: int = 1
    makeUuid: Callable[[], str] = lambda: str(uuid.uuid4())
    mimeType: Callable[[str], str | None] = lambda name: mimetypes.guess_type(name)[0]

    @classmethod
    def ofProcess(cls) -> "Surroundings":
        """The real world."""
        return cls(pid=os.getpid())


class Variables:
    """
    Names to bytes; a name that was never set reads as empty.

    :ivar surroundings: see :class:`Surroundings`.
    :ivar status: what ``${uwsgi[status]}`` says: 500 until a response has begun.
    """

    __slots__ = ("_values", "status", "surroundings")

    def __init__(self, values: Mapping[str, bytes] | None = None, surroundings: Surroundings | None = None) -> None:
        self._values = dict(values or {})
        self.surroundings = surroundings or Surroundings()
        self.status = 500

    def __getitem__(self, name: str) -> bytes:
        return self._values.get(name, b"")

    def __setitem__(self, name: str, value: bytes) -> None:
        self._values[name] = value

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def asDict(self) -> dict[str, bytes]:
        """A copy, for programs that want an environment."""
        return dict(self._values)


class Context(Protocol):
    """
    What templates are rendered against and conditions are tested against.

    :ivar captures: the whole match and the groups of the rule's regexp; empty when nothing has matched.
    """

    captures: Sequence[bytes]

    @property
    def variables(self) -> Variables:
        """The request's variables."""


def requestVariables(
    method: bytes,
    uri: bytes,
    protocol: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    *,
    peer: tuple[str, int] | None = None,
    host: tuple[str, int] | None = None,
    secure: bool = False,
    documentRoot: bytes = b"",
    surroundings: Surroundings | None = None,
) -> Variables:
    """
    The variables of a request.

    :param uri: the request target as it stood in the request line.
    :param headers: names and values in their order; the same name may repeat.
    :param peer: address and port of the client, None on a unix socket.
    :param host: address and port it connected to.
    :raises ProtocolError: for a target that cannot be a path: answer 400.
    """
    target, authority = splitTarget(uri)
    # The target of CONNECT names a host, that of OPTIONS may be "*".
    path, query = (b"", b"") if method == b"CONNECT" else pathAndQuery(target)
    values: dict[str, bytes] = {
        "REQUEST_METHOD": method,
        "REQUEST_URI": target,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SCRIPT_NAME": b"",
        "SERVER_PROTOCOL": protocol,
        "REQUEST_SCHEME": b"https" if secure else b"http",
        "DOCUMENT_ROOT": documentRoot,
        "CONTENT_TYPE": b"",
        "CONTENT_LENGTH": b"",
    }
    if secure:
        values["HTTPS"] = b"on"
    for name, portName, address in (("REMOTE_ADDR", "REMOTE_PORT", peer), ("SERVER_NAME", "SERVER_PORT", host)):
        if address is not None:
            values[name] = address[0].encode("utf-8", "replace")
            values[portName] = b"%d" % address[1]
    values.update(_headerVariables(headers))
    if authority:
        # RFC 9112 section 3.2.2: the host of an absolute target replaces the Host header.
        values["HTTP_HOST"] = authority
    return Variables(values, surroundings)


def _headerVariables(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, bytes]:
    """
    Headers under their CGI names.

    A name with ``_`` is dropped: ``X_Real_User`` would otherwise pass for the ``X-Real-User`` that a proxy
    in front sets or strips. No registered header needs it.
    """
    result: dict[str, bytes] = {}
    for name, value in headers:
        if _TOKEN.fullmatch(name) is None:
            continue
        key = name.decode("ascii").upper().replace("-", "_")
        if key not in _UNPREFIXED:
            key = f"HTTP_{key}"
        if key in result:
            # HTTP/2 splits Cookie into several fields, to be joined by semicolons (RFC 9113 section 8.2.3).
            separator = b"; " if key == "HTTP_COOKIE" else b", "
            result[key] += separator + value
        else:
            result[key] = value
    return result
