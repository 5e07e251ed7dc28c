"""What the realtime resources share: method dispatch, errors as short texts, cross-origin rules, channel lists."""

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from twisted.web.http import FORBIDDEN, NO_CONTENT, NOT_ALLOWED
from twisted.web.resource import Resource
from twisted.web.server import Request

from realtime_tw.hub import channelName

Channels = bytes | str | Sequence[bytes | str]


def channelNames(channels: Channels) -> tuple[bytes, ...]:
    """
    :param channels: one name, several separated by ``;``, or a sequence of names, which may then hold any byte.
    :raises ValueError: when there is none, or an empty one.
    """
    if isinstance(channels, bytes | str):
        names = tuple(channelName(channels).split(b";"))
    else:
        names = tuple(map(channelName, channels))
    if not names or not all(names):
        raise ValueError("a channel must have a name")
    return names


def answer(request: Request, status: int, message: str, headers: dict[bytes, bytes] | None = None) -> bytes:
    """Set a short plain-text answer, and return its body for ``render`` to return."""
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
    for name, value in (headers or {}).items():
        request.setHeader(name, value)
    return f"{message}\n".encode()


class Origins:
    """
    Which other sites' pages may use a resource (the Fetch standard's CORS).

    :param origins: ``*``, or origins such as ``https://www.example.com`` separated by blanks or ``;``; or a sequence of
        them. None allows none but the resource's own.
    """

    def __init__(self, origins: str | Iterable[str] | None = None) -> None:
        if isinstance(origins, str):
            origins = origins.replace(";", " ").split()
        self._allowed = frozenset(origin.rstrip("/").lower().encode() for origin in origins or ())
        self._any = b"*" in self._allowed

    def apply(self, request: Request) -> bool:
        """
        Set the response headers that tell the browser.

        :return: whether the request's origin, if it has one, is this site or an allowed one.
        """
        origin = request.getHeader(b"Origin")
        if self._allowed:
            request.responseHeaders.addRawHeader(b"Vary", b"Origin")
        if origin is not None and origin.lower() in self._allowed:
            request.setHeader(b"Access-Control-Allow-Origin", origin)
            request.setHeader(b"Access-Control-Allow-Credentials", b"true")
        elif origin is not None and self._any:
            request.setHeader(b"Access-Control-Allow-Origin", b"*")
        return self.allows(request)

    def allows(self, request: Request) -> bool:
        """Whether the request's origin, if it has one, is this site or an allowed one."""
        origin = request.getHeader(b"Origin")
        return origin is None or self._any or origin.lower() in self._allowed or self._isOwn(request, origin)

    def preflight(self, request: Request, methods: Sequence[bytes]) -> None:
        """Answer an OPTIONS request's questions."""
        if self.apply(request) and request.responseHeaders.hasHeader(b"Access-Control-Allow-Origin"):
            request.setHeader(b"Access-Control-Allow-Methods", b", ".join(methods))
            wanted = request.getHeader(b"Access-Control-Request-Headers")
            if wanted is not None:
                request.setHeader(b"Access-Control-Allow-Headers", wanted)
            request.setHeader(b"Access-Control-Max-Age", b"86400")

    def _isOwn(self, request: Request, origin: bytes) -> bool:
        try:
            place = urlsplit(origin.lower()).netloc
        except ValueError:
            return False
        return place == (request.getHeader(b"Host") or b"").lower()


class RealtimeResource(Resource):
    """
    A leaf that answers the methods in ``methods`` through :meth:`respond`, OPTIONS by itself, and others with 405.

    :cvar methods: what ``respond`` handles; HEAD is among them where GET is.
    :cvar strictOrigin: refuse requests of pages from origins that are not allowed. A browser keeps such a page from
        reading the answer; what has an effect must not even be done.
    """

    isLeaf = True
    methods: tuple[bytes, ...] = (b"GET", b"HEAD")
    strictOrigin = False

    def __init__(self, origins: str | Iterable[str] | None = None) -> None:
        super().__init__()
        self.origins = Origins(origins)

    def render(self, request: Request) -> bytes | int:
        refusal = self.check(request)
        return self.respond(request) if refusal is None else refusal

    def check(self, request: Request) -> bytes | None:
        """The body of the answer when the method or the origin settles it; None to go on."""
        if request.method == b"OPTIONS":
            self.origins.preflight(request, self.methods)
            request.setHeader(b"Allow", b", ".join((*self.methods, b"OPTIONS")))
            request.setResponseCode(NO_CONTENT)
            return b""
        if request.method not in self.methods:
            allowed = b", ".join((*self.methods, b"OPTIONS"))
            return answer(request, NOT_ALLOWED, f"this address answers {allowed.decode()}", {b"Allow": allowed})
        if not self.origins.apply(request) and self.strictOrigin:
            return answer(request, FORBIDDEN, "pages of this origin may not do this")
        return None

    def wantsBody(self, request: Request) -> bool:
        """
        Whether the answer may depend on the request's body. When it does not, ``StreamingRequest`` has us answer
        before the body comes.
        """
        if request.method == b"OPTIONS":
            return True
        return request.method in self.methods and (not self.strictOrigin or self.origins.allows(request))

    def respond(self, request: Request) -> bytes | int:
        """As ``IResource.render``."""
        raise AssertionError("subclasses define respond()")
