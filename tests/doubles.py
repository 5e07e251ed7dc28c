"""Test doubles for the seams of the pure and the lower layers, and a site driven without a network."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from zope.interface import implementer

from realtime_tw.interfaces import IEncoding, IReceiver, ISink
from realtime_tw.model import Message
from realtime_tw.web.connections import Connections
from realtime_tw.web.port import PortFactory
from realtime_tw.web.site import RealtimeSite


@implementer(ISink)
class FakeSink:
    """
    A sink whose peer reads when told.

    :ivar room: bytes that the peer takes before it blocks; None for any number.
    :ivar writes: calls of ``write``, that is, not over the lane.
    """

    def __init__(self, room: int | None = None, direct: bool = True) -> None:
        self.room = room
        self.sent = b""
        self.waiting = b""
        self.ended: str | None = None
        self.writes = 0
        self.send = self._send if direct else None

    def _send(self, data: bytes) -> int:
        assert not self.waiting, "send() while bytes are buffered would reorder them"
        taken = len(data) if self.room is None else min(len(data), self.room)
        if self.room is not None:
            if not taken and data:
                raise BlockingIOError
            self.room -= taken
        self.sent += data[:taken]
        return taken

    def write(self, data: bytes) -> bool:
        self.writes += 1
        if self.waiting:
            self.waiting += data
            return False
        try:
            taken = self._send(data)
        except BlockingIOError:
            taken = 0
        self.waiting = data[taken:]
        return not self.waiting

    def buffer(self, data: bytes, offset: int) -> None:
        assert not self.waiting
        self.waiting = data[offset:]

    def read(self, size: int | None = None) -> None:
        """The peer reads what is waiting, and ``size`` bytes more (None: whatever comes)."""
        self.sent += self.waiting
        self.waiting = b""
        self.room = size

    def bufferedBytes(self) -> int:
        return len(self.waiting)

    def finish(self, data: bytes) -> None:
        self.write(data)
        self.ended = "finished"

    def abort(self) -> None:
        self.ended = "aborted"


@implementer(IEncoding)
class LineEncoding:
    """``channel:payload`` on a line; counts how often it was asked."""

    heartbeat = b"~\n"

    def __init__(self) -> None:
        self.calls = 0

    def encode(self, messages: Sequence[Message]) -> bytes:
        self.calls += 1
        return b"".join(b"%b:%b\n" % (message.channel, message.payload) for message in messages)

    def frame(self, data: bytes) -> bytes:
        return data

    def farewell(self) -> bytes:
        return b"bye\n"


@implementer(IReceiver)
class Recorder:
    """Records what a broker tells it."""

    def __init__(self) -> None:
        self.events: list[object] = []

    def messageReceived(self, message: Message) -> None:
        self.events.append((message.channel, message.payload))

    def batchEnded(self) -> None:
        self.events.append("batch")

    def brokerLost(self, reason: str) -> None:
        self.events.append("lost")

    def brokerRestored(self) -> None:
        self.events.append("restored")


class PausableTransport(StringTransport):
    """A StringTransport with the rest of a TCP transport's manners."""

    protocol: Any = None
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        self.disconnecting = True

    def setTcpNoDelay(self, enabled: bool) -> None: ...


class WebClient:
    """
    Drives a site through its port, without a network.

    :ivar clock: the site's time.
    """

    def __init__(self, root: IResource, connections: Connections | None = None, **options: Any) -> None:
        self.clock = Clock()
        self.site = RealtimeSite(root, reactor=self.clock, **options)
        self.site.logPath = None
        self.connections = Connections() if connections is None else connections
        self.factory = PortFactory(self.site, self.connections)

    def connect(self, host: str = "127.0.0.1") -> PausableTransport:
        """A new connection, on which nothing was sent yet."""
        address = IPv4Address("TCP", host, 50000)
        transport = PausableTransport(peerAddress=address, hostAddress=IPv4Address("TCP", "127.0.0.1", 80))
        transport.protocol = self.factory.buildProtocol(address)
        transport.protocol.makeConnection(transport)
        return transport

    def send(self, data: bytes, transport: PausableTransport | None = None) -> PausableTransport:
        """Bytes from the client, on a new connection when none is given."""
        transport = transport or self.connect()
        transport.protocol.dataReceived(data)
        return transport

    def lose(self, transport: PausableTransport) -> None:
        """The connection is gone."""
        transport.connected = False
        transport.protocol.connectionLost(Failure(ConnectionLost()))


def tree(**children: IResource) -> Resource:
    """A root with children."""
    root = Resource()
    for name, child in children.items():
        root.putChild(name.encode(), child)
    return root
