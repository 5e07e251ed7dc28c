"""
One port for several protocols: the version at the end of the first line decides.

``RTSP/1.0`` goes to RTSP, ``ICE/1.0`` (old Icecast sources) is HTTP by another name, all else is HTTP. The method would
not do: OPTIONS, SETUP and ANNOUNCE look alike.
"""

from typing import Any

from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, IProtocolNegotiationFactory
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.protocols.policies import ProtocolWrapper, TimeoutMixin
from twisted.python.failure import Failure
from zope.interface import implementer

from realtime_tw.errors import LimitExceeded
from realtime_tw.web.connections import Connections, Lease
from realtime_tw.web.site import RealtimeSite

#: A first line, with what a read brought after it. 8 KiB is what servers commonly accept as a request line.
MAX_FIRST_LINE = 8192

#: Seconds for a refused client to say what it wants, so that it can be answered in its own protocol.
REFUSAL_TIMEOUT = 5.0


@implementer(IProtocolNegotiationFactory)
class PortFactory(ServerFactory[Protocol]):
    """
    :param site: serves HTTP.
    :param connections: the account of connections, shared by all ports of a service.
    :param rtsp: serves RTSP; without it, RTSP clients are answered 505.
    """

    noisy = False

    def __init__(self, site: RealtimeSite, connections: Connections, rtsp: IProtocolFactory | None = None) -> None:
        self.site = site
        self.connections = connections
        self.rtsp = rtsp

    def doStart(self) -> None:
        super().doStart()
        self.site.doStart()
        if self.rtsp is not None:
            self.rtsp.doStart()

    def doStop(self) -> None:
        super().doStop()
        self.site.doStop()
        if self.rtsp is not None:
            self.rtsp.doStop()

    def acceptableProtocols(self) -> list[bytes]:
        """For TLS: what the site speaks, HTTP/2 included."""
        return list(self.site.acceptableProtocols())

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        try:
            lease = self.connections.admit(getattr(addr, "host", "") or "")
        except LimitExceeded as refusal:
            return FirstLine(self, addr, None, refusal)
        return FirstLine(self, addr, lease)


class FirstLine(Protocol, TimeoutMixin):
    """Reads the first line, then puts the protocol that it asks for in its own place."""

    transport: Any
    callLater: Any

    def __init__(
        self,
        factory: PortFactory,
        addr: IAddress | None,
        lease: Lease | None,
        refusal: LimitExceeded | None = None,
    ) -> None:
        self.factory = factory
        self._addr = addr
        self._lease = lease
        self._refusal = refusal
        self._buffer = b""
        self.callLater = factory.site.reactor.callLater
        if lease is not None:
            lease.owner = self

    def connectionMade(self) -> None:
        self.setTimeout(self.factory.site.headerTimeout if self._refusal is None else REFUSAL_TIMEOUT)

    def dataReceived(self, data: bytes) -> None:
        data = self._buffer = self._buffer + data
        if getattr(self.transport, "negotiatedProtocol", None) == b"h2":
            line = b"PRI * HTTP/2.0"
        else:
            # Some clients send a line end too many after a body.
            line, ended, _ = data.lstrip(b"\r\n").partition(b"\n")
            if not ended and len(data) <= MAX_FIRST_LINE:
                return
        self.setTimeout(None)
        version = line.rstrip(b"\r").rpartition(b" ")[2]
        if self._refusal is not None:
            self._refuse(version)
        elif version.startswith(b"RTSP/"):
            self._serveRTSP(data)
        else:
            if version == b"ICE/1.0":
                data = data.replace(b"ICE/1.0", b"HTTP/1.0", 1)
            protocol = self.factory.site.buildProtocol(self._addr)
            if self._lease is not None:
                protocol.takeLease(self._lease)
            self._replaceBy(protocol, data)

    def _serveRTSP(self, data: bytes) -> None:
        rtsp = self.factory.rtsp
        protocol: Any = rtsp.buildProtocol(self._addr) if rtsp is not None else None
        if protocol is None:
            self._answer(b"RTSP/1.0 505 RTSP Version Not Supported", data)
            return
        if self._lease is not None:
            protocol.takeLease(self._lease)
        self._replaceBy(protocol, data)

    def _refuse(self, version: bytes) -> None:
        assert self._refusal is not None
        rtsp = version.startswith(b"RTSP/")
        reason = b"Too Many Requests" if self._refusal.status == 429 and not rtsp else b"Service Unavailable"
        status = 503 if rtsp else self._refusal.status
        start = b"%b %d %b" % (b"RTSP/1.0" if rtsp else b"HTTP/1.1", status, reason)
        self._answer(start + b"\r\nRetry-After: 5", self._buffer, f"{self._refusal}\n".encode())

    def _answer(self, start: bytes, head: bytes, body: bytes = b"") -> None:
        for line in head.splitlines():
            if line.lower().startswith(b"cseq:"):
                start += b"\r\n" + line
        self.transport.write(
            b"%b\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b"
            % (start, len(body), body)
        )
        self.transport.loseConnection()

    def _replaceBy(self, protocol: IProtocol, data: bytes) -> None:
        transport = self.transport
        self._lease = None
        if isinstance(transport, ProtocolWrapper):
            transport.wrappedProtocol = protocol
        else:
            transport.protocol = protocol
        protocol.makeConnection(transport)
        protocol.dataReceived(data)

    def timeoutConnection(self) -> None:
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.setTimeout(None)
        if self._lease is not None:
            self._lease.release()

    def drain(self) -> None:
        """The server stops, and this client has not asked for anything yet."""
        self.transport.loseConnection()

    def abort(self) -> None:
        """The server cannot wait any longer."""
        self.transport.abortConnection()
