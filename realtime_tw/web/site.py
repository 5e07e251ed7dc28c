"""
A Twisted Web site for realtime resources: bodies stream, slow senders meet deadlines, and it can be stopped in order.

A drop-in for ``twisted.web.server.Site``. Existing resources work in it unchanged, except that the resource tree is
searched when a request's head is complete: ``getChild`` methods see no body and no form fields yet.
"""

from typing import Any

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request, _GenericHTTPChannelProtocol, combinedLogFormatter
from twisted.web.resource import IResource
from twisted.web.server import Site

from realtime_tw.web.connections import Lease
from realtime_tw.web.http2 import RealtimeH2Connection
from realtime_tw.web.request import MAX_BODY, StreamingRequest

#: Seconds for a request's head to arrive completely. A browser sends it at once; the slowest mobile links need a few.
HEADER_TIMEOUT = 20.0

#: Seconds without a byte of a request's body, or between two requests on one connection.
IDLE_TIMEOUT = 60.0


#: Seconds between two looks whether the streams of an HTTP/2 connection have ended, while the server stops.
DRAIN_INTERVAL = 0.05


class RealtimeChannel(HTTPChannel):
    """
    HTTP/1 with a deadline for the head of a request, however often a byte of it arrives, and with errors in words.

    :ivar headerTimeout: seconds.
    :ivar lease: the account of the connection, or None.
    """

    headerTimeout = HEADER_TIMEOUT
    lease: Lease | None = None
    transport: Any

    _inHead = True
    _draining = False

    def connectionMade(self) -> None:
        super().connectionMade()
        self._bodyTimeout = self.setTimeout(self.headerTimeout)

    def dataReceived(self, data: bytes) -> None:
        if self._inHead or self._handlingRequest:
            pass
        elif self.line_mode:
            # The first bytes of another request on this connection.
            self._inHead = True
            self.setTimeout(self.headerTimeout)
        else:
            self.resetTimeout()
        LineReceiver.dataReceived(self, data)

    def allHeadersReceived(self) -> None:
        self._inHead = False
        self.setTimeout(self._bodyTimeout)
        super().allHeadersReceived()

    def lineLengthExceeded(self, line: bytes) -> None:
        self._refuse(b"431 Request Header Fields Too Large")

    def _respondToBadRequestAndDisconnect(self) -> None:
        self._refuse(b"400 Bad Request")

    def timeoutConnection(self) -> None:
        if self._inHead and self.requests:
            self._refuse(b"408 Request Timeout")
        elif self._inHead or not self.requests:
            self.loseConnection()
        else:
            super().timeoutConnection()

    def _refuse(self, status: bytes) -> None:
        if not any(request.startedWriting for request in self.requests):
            body = status[4:] + b"\n"
            self.transport.write(
                b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b"
                % (status, len(body), body)
            )
        self.setTimeout(None)
        self.loseConnection()

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        return bool(super().checkPersistence(request, version)) and not self._draining

    def drain(self) -> None:
        """Finish the request in progress, if there is one, and close."""
        self._draining = True
        self.persistent = False
        for request in self.requests:
            if isinstance(request, StreamingRequest):
                request.drain()
        if not self.requests:
            self.loseConnection()


class RealtimeProtocol(_GenericHTTPChannelProtocol):
    """HTTP/1 or HTTP/2, whichever the client negotiates."""

    lease: Lease | None = None
    _channel: Any
    _negotiatedProtocol: Any

    def takeLease(self, lease: Lease) -> None:
        """Be the one who gives the lease back."""
        self.lease = self._channel.lease = lease
        lease.owner = self

    def dataReceived(self, data: bytes) -> None:
        if self._negotiatedProtocol is None and getattr(self._channel.transport, "negotiatedProtocol", None) == b"h2":
            self._switchToHTTP2()
        super().dataReceived(data)

    def _switchToHTTP2(self) -> None:
        # As the base class does it, with a connection of ours.
        before = self._channel
        transport = before.transport
        before._networkProducer.unregisterProducer()
        before.setTimeout(None)
        site: Any = self._site
        channel: Any = RealtimeH2Connection(site.reactor)
        channel.requestFactory = self._requestFactory
        channel.site = site
        channel.factory = self._factory
        channel.timeOut = self._timeOut
        channel.callLater = self._callLater
        self._channel = channel
        channel.makeConnection(transport)
        before._networkProducer.registerProducer(channel, True)
        self._negotiatedProtocol = b"h2"

    def connectionLost(self, reason: Failure) -> None:
        try:
            self._channel.connectionLost(reason)
        finally:
            if self.lease is not None:
                self.lease.release()

    def drain(self) -> None:
        """The server stops."""
        channel = self._channel
        if isinstance(channel, RealtimeChannel):
            channel.drain()
        elif channel.streams:
            # HTTP/2's own goodbye would end the open streams with it: look again until they have ended.
            channel.callLater(DRAIN_INTERVAL, self._drainAgain)
        else:
            channel.transport.loseConnection()

    def _drainAgain(self) -> None:
        if self.lease is None or self.lease.owner is self:
            self.drain()

    def abort(self) -> None:
        """The server cannot wait any longer."""
        self._channel.transport.abortConnection()


class RealtimeSite(Site):
    """
    :param resource: the root of the resource tree.
    :param maxBody: the largest body that is kept for a resource that wants it whole, in bytes.
    :param headerTimeout: seconds for a request's head.
    :param timeout: seconds without a byte of a body, or between two requests.
    :param accessLog: whether requests are logged.

    Other arguments are those of ``twisted.web.server.Site``.
    """

    requestFactory = StreamingRequest
    serverName = b"realtime_tw"

    _log = Logger()

    def __init__(
        self,
        resource: IResource,
        *args: Any,
        maxBody: int = MAX_BODY,
        headerTimeout: float = HEADER_TIMEOUT,
        timeout: float = IDLE_TIMEOUT,
        accessLog: bool = True,
        reactor: IReactorTime | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("logFormatter", accessLine)
        super().__init__(resource, *args, timeout=timeout, reactor=reactor, **kwargs)
        self.maxBody = maxBody
        self.headerTimeout = headerTimeout
        self._accessLog = accessLog

    def protocol(self) -> RealtimeProtocol:
        channel = RealtimeChannel()
        channel.headerTimeout = self.headerTimeout
        return RealtimeProtocol(channel)

    def buildProtocol(self, addr: IAddress | None) -> RealtimeProtocol:
        protocol = super().buildProtocol(addr)
        assert isinstance(protocol, RealtimeProtocol)
        return protocol

    def log(self, request: Request) -> None:
        if self._accessLog and not getattr(request, "unlogged", False):
            super().log(request)


def accessLine(timestamp: str, request: StreamingRequest) -> str:
    """The combined log format, with a request's own fields behind it."""
    line = str(combinedLogFormatter(timestamp, request))
    for name, value in request.logFields.items():
        line += f' {name.decode("ascii", "backslashreplace")}="{value.decode("ascii", "backslashreplace")}"'
    return line.replace("\n", "\\n").replace("\r", "\\r")
