"""
From a request to a streaming client: write the response head, then let go of everything HTTP.

A response that never ends needs no HTTPChannel, no Request and no headers, which together weigh more than the
connection itself. So once the head is out, a plain HTTP/1 connection is *detached*: its transport gets a tiny protocol
that only waits for the end. Where that is impossible (HTTP/2, a request that somebody waits for, an encoder in between)
the request stays and the bytes go through it; clients see no difference.
"""

from collections.abc import Sequence
from typing import Any

from twisted.internet.interfaces import ITransport
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.server import Request

from realtime_tw.hub import Hub
from realtime_tw.interfaces import IEncoding, ISink
from realtime_tw.sinks import ConsumerSink, DirectSink, isDirect
from realtime_tw.subscriber import DEFAULT_LIMIT, SlowPolicy, Subscriber
from realtime_tw.web.encodings import ChunkedEncoding

__all__ = ["DetachedConnection", "detach", "startStream"]


def startStream(
    request: Request,
    hub: Hub,
    encoding: IEncoding,
    channels: Sequence[bytes],
    *,
    opening: bytes = b"",
    limit: int = DEFAULT_LIMIT,
    policy: SlowPolicy = SlowPolicy.CLOSE,
    heartbeat: float = 0,
    retained: bool = True,
) -> Subscriber | None:
    """
    Answer a request with the messages of channels, from now until either side has enough.

    The response's status and headers must be set; they are written here. Messages are framed as the protocol version
    wants: chunked on HTTP/1.1, bare on HTTP/1.0 (the close ends it) and on HTTP/2 (which has frames of its own).

    :param opening: sent before any message, in the encoding's format.
    :return: the subscriber, or None for a HEAD request, which is finished.
    """
    request.write(b"")
    if request.method == b"HEAD":
        request.finish()
        return None
    chunked = bool(request.chunked)
    connection = detach(request)
    if connection is None:
        # The request does the framing itself.
        sink = requestSink(request)
    else:
        sink = connection.sink()
        if chunked:
            encoding = ChunkedEncoding(encoding)
    subscriber = Subscriber(encoding, sink, hub.counters, limit, policy)
    if opening:
        sink.write(encoding.frame(opening))
    if connection is None:
        request.notifyFinish().addErrback(_lost, hub, subscriber)
    else:
        connection.hub, connection.subscriber = hub, subscriber
    hub.subscribe(subscriber, channels, retained, heartbeat if encoding.heartbeat else 0)
    return subscriber


def _lost(reason: Failure, hub: Hub, subscriber: Subscriber) -> None:
    subscriber.lost()
    hub.unsubscribe(subscriber)


class DetachedConnection:
    """
    The protocol of a transport that carries nothing but a stream: what the client still sends is ignored.

    :ivar lease: the site's account of this connection, given back when it closes; or None.
    """

    __slots__ = ("hub", "lease", "subscriber", "transport")

    def __init__(self, transport: ITransport, lease: Any) -> None:
        self.transport: Any = transport
        self.lease = lease
        self.hub: Hub | None = None
        self.subscriber: Subscriber | None = None
        if lease is not None:
            lease.owner = self

    def sink(self) -> ISink:
        """Where the stream's bytes go."""
        if isDirect(self.transport):
            return DirectSink(self.transport)
        return ConsumerSink.forTransport(self.transport)

    def dataReceived(self, data: bytes) -> None:
        """A client has nothing to say any more."""

    def connectionLost(self, reason: Failure) -> None:
        if self.lease is not None:
            self.lease.release()
        subscriber, self.subscriber = self.subscriber, None
        if subscriber is not None and self.hub is not None:
            _lost(reason, self.hub, subscriber)

    def drain(self) -> None:
        """The server stops. The hub ends the stream in its own way; nothing else is left to do."""

    def abort(self) -> None:
        """The server cannot wait any longer."""
        self.transport.abortConnection()

    def logPrefix(self) -> str:
        return "stream"


def detach(request: Request) -> DetachedConnection | None:
    """
    Take an HTTP/1 connection away from its request, whose response head has been written.

    :return: the connection's new protocol, or None when the request must stay.
    """
    channel: Any = request.channel
    if (
        not isinstance(channel, HTTPChannel)
        or request.notifications
        or request.producer is not None
        or request._encoder is not None
        or channel.requests != [request]
        or not channel._handlingRequest
    ):
        return None
    transport: Any = channel.transport
    direct = isDirect(transport)
    if not direct and not isinstance(transport, TLSMemoryBIOProtocol):
        return None
    if channel.factory is not None:
        channel.factory.log(request)
    connection = DetachedConnection(transport, getattr(channel, "lease", None))
    transport.unregisterProducer()
    channel.setTimeout(None)
    # Nothing of the channel and the request is used again. What ties them together is cut, so that they go now and
    # not at some later garbage collection; the channel may still be in the middle of its dataReceived.
    channel.clearLineBuffer()
    channel.requests = []
    channel._dataBuffer = []
    abandoned: Any = channel
    abandoned.lease = None
    abandoned.transport = abandoned._networkProducer = _NoTransport()
    released: Any = request
    released.channel = released.transport = None
    if request.content is not None:
        request.content.close()
    if direct:
        transport.protocol = connection
        # One string for all instead of one for each.
        transport.logstr = "stream"
    else:
        transport.wrappedProtocol = connection
    return connection


class _NoTransport:
    """What is left to a channel whose connection was taken away."""

    disconnecting = True

    def pauseProducing(self) -> None: ...


def requestSink(request: Request) -> ISink:
    """A sink that writes through a request which keeps its connection."""
    channel: Any = request.channel
    http1 = isinstance(channel, HTTPChannel)
    if not http1:
        # Twisted closes an HTTP/2 connection after a minute without frames, open streams or not; a stream may well be
        # silent for longer.
        channel._conn.setTimeout(None)

    def close() -> None:
        if getattr(request, "channel", None) is not None:
            request.finish()

    def abort() -> None:
        if getattr(request, "channel", None) is not None:
            (channel.transport if http1 else channel).abortConnection()

    return ConsumerSink(request, request.write, close, abort)
