"""Changes to a response that are decided before it exists: applied when its head is written, whoever writes it."""

from dataclasses import dataclass, field
from typing import Any

#: Headers of which a second one would only confuse: an added one takes the place of the response's own.
_SINGLE = frozenset({b"content-type", b"cache-control", b"location", b"server", b"last-modified", b"etag"})

#: What a response keeps of its own headers when its head is replaced.
_KEPT = frozenset({b"date", b"connection"})


@dataclass(slots=True)
class ResponseEdits:
    """
    :ivar added: headers to add, in their order.
    :ivar removed: lower-case names of the response's own headers that are left out.
    :ivar status: code and reason that replace the response's own.
    :ivar preamble: body bytes that come before the response's own.
    :ivar headless: nothing but the body is sent, and the connection's end is its end (HTTP/1 only).
    """

    added: list[tuple[bytes, bytes]] = field(default_factory=list)
    removed: frozenset[bytes] = frozenset()
    status: tuple[int, bytes] | None = None
    preamble: bytes = b""
    headless: bool = False

    def apply(self, request: Any) -> None:
        """Change the status and the headers of a ``twisted.web.server.Request`` whose head is about to be written."""
        headers = request.responseHeaders
        for name in self.removed:
            headers.removeHeader(name)
        if self.status is not None:
            request.setResponseCode(*self.status)
            if self.preamble:
                # The head and the first bytes of the body are the route's; what follows brings no head of its own.
                for name, _ in tuple(headers.getAllRawHeaders()):
                    if name.lower() not in _KEPT:
                        headers.removeHeader(name)
                request.defaultContentType = None
        if self.preamble:
            headers.removeHeader(b"Content-Length")
        for name, value in self.added:
            if name.lower() in _SINGLE:
                headers.setRawHeaders(name, [value])
            else:
                headers.addRawHeader(name, value)
