"""
Taking a connection away from HTTP.

Twisted's channel and request are left behind without a connection, and what ties them together is cut, so that they are
freed now and not at some later garbage collection.
"""

from dataclasses import dataclass
from typing import Any

from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.web.http import HTTPChannel
from twisted.web.server import Request

from realtime_tw.sinks import isDirect


@dataclass(frozen=True, slots=True)
class Released:
    """
    A connection that belongs to nobody until :meth:`giveTo`.

    :ivar lease: the site's account of the connection, or None.
    :ivar rest: what the client sent behind its request.
    """

    transport: Any
    lease: Any
    rest: bytes

    def giveTo(self, protocol: Any) -> None:
        """Make ``protocol`` the one that hears of the connection's data and loss. It is not told."""
        if isinstance(self.transport, ProtocolWrapper):
            self.transport.wrappedProtocol = protocol
        else:
            self.transport.protocol = protocol
            # One string for all instead of one for each.
            self.transport.logstr = "stream"
        if self.lease is not None:
            self.lease.owner = protocol


def canRelease(request: Request) -> bool:
    """
    Whether a connection can be taken away: a complete HTTP/1 request, on a plain socket or on TLS, with nothing else
    going on and nobody waiting for its end.
    """
    channel: Any = request.channel
    return (
        isinstance(channel, HTTPChannel)
        and not request.notifications
        and request.producer is None
        and request._encoder is None
        and channel.requests == [request]
        and channel._handlingRequest
        and (isDirect(channel.transport) or isinstance(channel.transport, TLSMemoryBIOProtocol))
    )


def release(request: Request) -> Released:
    """
    Take the connection of a request for which :func:`canRelease` holds. The request is logged, and over.
    """
    channel: Any = request.channel
    transport = channel.transport
    if channel.factory is not None:
        channel.factory.log(request)
    lease = getattr(channel, "lease", None)
    transport.unregisterProducer()
    channel.setTimeout(None)
    # The channel may be in the middle of its dataReceived: the rest of that read is still in its buffer.
    rest = channel.clearLineBuffer()
    rest = b"".join(channel._dataBuffer) + rest
    if rest:
        # It stops reading when much comes while a request is being answered.
        channel._networkProducer.resumeProducing()
    channel.requests = []
    channel._dataBuffer = []
    channel.lease = None
    channel.transport = channel._networkProducer = _NoTransport()
    left: Any = request
    left.channel = left.transport = None
    if request.content is not None:
        request.content.close()
    return Released(transport, lease, rest)


class _NoTransport:
    """What is left to a channel whose connection was taken away."""

    disconnecting = True

    def pauseProducing(self) -> None: ...
