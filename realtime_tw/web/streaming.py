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
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.server import Request

from realtime_tw.hub import Hub
from realtime_tw.interfaces import IEncoding, ISink
from realtime_tw.sinks import ConsumerSink, DirectSink, isDirect
from realtime_tw.subscriber import DEFAULT_LIMIT, SlowPolicy, Subscriber
from realtime_tw.web.encodings import ChunkedEncoding
from realtime_tw.web.upgrade import canRelease, release

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
    if not canRelease(request):
        return None
    released = release(request)
    connection = DetachedConnection(released.transport, released.lease)
    released.giveTo(connection)
    return connection


def requestSink(request: Request) -> ISink:
    """A sink that writes through a request which keeps its connection."""
    channel: Any = request.channel
    http1 = isinstance(channel, HTTPChannel)
    if not http1:
        _keepOpen(request, channel._conn)

    def close() -> None:
        if getattr(request, "channel", None) is not None:
            request.finish()

    def abort() -> None:
        if getattr(request, "channel", None) is not None:
            (channel.transport if http1 else channel).abortConnection()

    return ConsumerSink(request, request.write, close, abort)


def _keepOpen(request: Request, connection: Any) -> None:
    """
    Suspend the idle timeout of an HTTP/2 connection while it has streams.

    Twisted closes the connection after a minute without frames, open streams or not; a stream may well be silent for
    longer.
    """
    connection.openStreams = getattr(connection, "openStreams", 0) + 1
    connection.setTimeout(None)
    site: Any = request.site

    def ended(_: object) -> None:
        connection.openStreams -= 1
        if not connection.openStreams and connection._stillProducing:
            connection.setTimeout(site.timeOut)

    request.notifyFinish().addBoth(ended)
