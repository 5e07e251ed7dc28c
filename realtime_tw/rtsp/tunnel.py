"""
RTSP through HTTP, for clients behind proxies that let nothing else through: a GET carries what the server says, a POST,
in base64, what the client says. The cookie in ``x-sessioncookie`` makes them a pair.
"""

from typing import Any

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.http import BAD_REQUEST, NOT_ALLOWED, NOT_FOUND
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from realtime_tw.errors import ProtocolError
from realtime_tw.interfaces import IBodyReceiver, IStreamingResource
from realtime_tw.rtsp.server import RTSPConnection, RTSPFactory
from realtime_tw.rtsp.tunnelling import TunnelDecoder
from realtime_tw.web.base import answer
from realtime_tw.web.request import StreamingRequest
from realtime_tw.web.upgrade import canRelease, release

MEDIA_TYPE = b"application/x-rtsp-tunnelled"
COOKIE = b"X-Sessioncookie"

_HEAD = (
    b"HTTP/1.0 200 OK\r\nContent-Type: " + MEDIA_TYPE + b"\r\nCache-Control: no-store\r\nPragma: no-cache\r\n"
    b"Connection: close\r\n\r\n"
)

#: A cookie is made up by the client: 22 characters in QuickTime's description, and no more than a line.
MAX_COOKIE = 256


@implementer(IStreamingResource)
class RTSPTunnelResource(Resource):
    """
    The HTTP side of an RTSP server.

    :param factory: the server that tunnelled connections belong to.
    :param tunnels: open tunnels by their cookies; shared by the resources of one server.
    """

    isLeaf = True

    def __init__(self, factory: RTSPFactory, tunnels: "dict[bytes, TunnelledConnection] | None" = None) -> None:
        super().__init__()
        self._factory = factory
        self._tunnels = {} if tunnels is None else tunnels

    def render(self, request: Request) -> bytes | int:
        cookie = request.getHeader(COOKIE) or b""
        accepted = (request.getHeader(b"Accept") or b"").lower()
        if request.method not in (b"GET", b"POST"):
            return answer(request, NOT_ALLOWED, "RTSP is tunnelled through GET and POST", {b"Allow": b"GET, POST"})
        if request.method == b"POST" or MEDIA_TYPE not in accepted or not 0 < len(cookie) <= MAX_COOKIE:
            return answer(request, BAD_REQUEST, "this address speaks RTSP")
        if cookie in self._tunnels or not canRelease(request):
            return answer(request, BAD_REQUEST, "this tunnel cannot be opened")
        tunnel = TunnelledConnection(self._tunnels, cookie)
        tunnel.factory = self._factory
        released = release(request)
        released.giveTo(_Outward(tunnel))
        tunnel.lease = released.lease
        released.transport.write(_HEAD)
        tunnel.makeConnection(released.transport)
        return NOT_DONE_YET

    def openBody(self, request: object) -> IBodyReceiver | None:
        assert isinstance(request, StreamingRequest)
        if request.method != b"POST":
            return None
        tunnel = self._tunnels.get(request.getHeader(COOKIE) or b"")
        if tunnel is None:
            request.refuse(NOT_FOUND, b"there is no such tunnel")
            return None
        # The length that clients give is made up: the body lasts as long as the tunnel. Chunks say when it ends.
        request.bodyUnframed = not request.bodyChunked
        return _Inward(request, tunnel)


class TunnelledConnection(RTSPConnection):
    """An RTSP client whose words come from elsewhere."""

    def __init__(self, tunnels: "dict[bytes, TunnelledConnection]", key: bytes) -> None:
        self._tunnels = tunnels
        self._key = key
        self._inward: _Inward | None = None
        tunnels[key] = self

    def attach(self, inward: "_Inward") -> None:
        """The client's POST has come; a new one takes the place of the last."""
        previous, self._inward = self._inward, inward
        if previous is not None:
            previous.end()
        if self._paused:
            inward.request.pauseBody()

    def detach(self, inward: "_Inward") -> None:
        """That POST is over; another may come."""
        if self._inward is inward:
            self._inward = None

    def pause(self) -> None:
        self._paused = True
        if self._inward is not None:
            self._inward.request.pauseBody()

    def resume(self) -> None:
        self._heard = self.factory.clock.seconds()
        self._paused = False
        if self._inward is not None:
            self._inward.request.resumeBody()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        del self._tunnels[self._key]
        super().connectionLost(reason)
        inward, self._inward = self._inward, None
        if inward is not None:
            inward.end()


class _Outward(Protocol):
    """The GET's connection: the client says nothing more on it."""

    def __init__(self, tunnel: TunnelledConnection) -> None:
        self._tunnel = tunnel

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._tunnel.connectionLost(reason)

    def drain(self) -> None:
        """The server stops."""
        self._tunnel.drain()

    def abort(self) -> None:
        """The server cannot wait any longer."""
        self._tunnel.abort()


@implementer(IBodyReceiver)
class _Inward:
    """The POST's body."""

    def __init__(self, request: StreamingRequest, tunnel: TunnelledConnection) -> None:
        self.request: Any = request
        self._tunnel: TunnelledConnection | None = tunnel
        self._decoder = TunnelDecoder()
        tunnel.attach(self)

    def dataReceived(self, data: bytes) -> None:
        if self._tunnel is None:
            return
        try:
            decoded = self._decoder.receive(data)
        except ProtocolError:
            self._tunnel.abort()
            return
        if decoded:
            self._tunnel.dataReceived(decoded)

    def chunkEnded(self) -> None:
        """Borders of chunks mean nothing."""

    def bodyEnded(self) -> None:
        self.end()

    def serverStopping(self) -> None:
        self.end()

    def connectionLost(self, reason: Failure) -> None:
        self._leave()

    def end(self) -> None:
        """No more is taken from it."""
        request = self.request
        if self._leave() and getattr(request, "channel", None) is not None:
            request.setHeader(b"Content-Length", b"0")
            request.finish()
            # It has left its connection by now when its body had come to an end.
            if getattr(request, "channel", None) is not None:
                request.loseConnection()

    def _leave(self) -> bool:
        """Whether it was still part of the tunnel."""
        tunnel, self._tunnel = self._tunnel, None
        if tunnel is None:
            return False
        tunnel.detach(self)
        return True
