"""
A request that hands its body over while it arrives.

``Site(root, requestFactory=StreamingRequest)`` is all a Twisted site needs; :class:`realtime_tw.web.site.RealtimeSite`
does it already. Twisted renders a resource only once the last byte of the body is there, which a live source never
sends; here the resource is looked up when the head is complete, and one that provides ``IStreamingResource`` gets the
body piece by piece. All other resources are served as ever, except that what they would have to hold is limited.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote_to_bytes as unquote

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web import http, resource
from twisted.web.http import HTTPChannel, _IdentityTransferDecoder, _MalformedChunkedDataError
from twisted.web.server import Request

from realtime_tw.codec.chunked import BodyEnd, ChunkedDecoder
from realtime_tw.errors import ProtocolError
from realtime_tw.interfaces import IBodyReceiver, IStreamingResource
from realtime_tw.web.edits import ResponseEdits

#: The largest body kept for a resource that wants it whole, unless it or the site has a ``maxBody`` of its own.
MAX_BODY = 1 << 20

#: After an early answer the rest of the body is read and thrown away up to here, in bytes and seconds: closing earlier
#: would make the kernel reset the connection, and the client may never see the answer.
LINGER_BYTES, LINGER_SECONDS = 1 << 20, 5.0

#: Methods whose body may have neither length nor chunks, and then lasts until the connection closes: Icecast sources.
UNFRAMED_METHODS = frozenset({b"SOURCE", b"PUT"})


class StreamingRequest(Request):
    """
    :ivar bodyChunked: the body arrives in chunks whose borders are told.
    :ivar bodyUnframed: the body lasts until the connection closes.
    :ivar edits: changes to the response, applied when its head is written; or None.
    :ivar unlogged: keep it out of the access log.
    :ivar logFields: more fields for the access log.
    """

    bodyChunked = False
    bodyUnframed = False
    edits: ResponseEdits | None = None
    unlogged = False
    logFields: Mapping[bytes, bytes] = MappingProxyType({})

    # Their types depend on the protocol version, which the base class leaves open.
    channel: Any
    site: Any

    _receiver: IBodyReceiver | None = None
    _resource: Any = None
    _opened = False
    _bodyDone = False
    _bodySize = 0
    _discarding = False
    _linger: Any = None
    _length: int | None = None
    _limit = MAX_BODY

    # The head is complete

    def gotLength(self, length: int | None) -> None:
        self._length = length
        channel = self.channel
        # On HTTP/2 this is called while headers are still being converted, and before the stream can be written to.
        if isinstance(channel, HTTPChannel):
            self._open(channel._command, channel._path, channel._version)

    def _open(self, method: bytes, uri: bytes, version: bytes) -> None:
        self._opened = True
        self.method, self.uri, self.clientproto = method, uri, version
        self.path, _, query = uri.partition(b"?")
        self.args = http.parse_qs(query, True)
        self.site = self.channel.site
        self.setHeader(b"Server", self.site.serverName if hasattr(self.site, "serverName") else b"TwistedWeb")
        self.setHeader(b"Date", http.datetimeToString())
        self.prepath: list[bytes] = []
        self.postpath = list(map(unquote, self.path[1:].split(b"/")))
        self._limit = getattr(self.site, "maxBody", MAX_BODY)
        if self.path != b"*":
            try:
                self._resource = self.site.getResourceFor(self)
                self._limit = getattr(self._resource, "maxBody", self._limit)
                if self._openReceiver():
                    return
                if self._answersEarly():
                    self._discarding = True
                    self.render(self._resource)
            except Exception:
                self._discarding = True
                self.processingFailed(Failure())
        if self._discarding:
            self._expectNothing()
        elif self._length is not None and self._length > self._limit:
            self._refuseSize()
        else:
            super().gotLength(self._length)

    def _openReceiver(self) -> bool:
        if (self._length == 0 and not self._mayBeUnframed()) or not IStreamingResource.providedBy(self._resource):
            return False
        self.bodyUnframed = self._length == 0
        self.bodyChunked = self._isChunked()
        self._receiver = self._resource.openBody(self)
        if self._receiver is None:
            self.bodyUnframed = self.bodyChunked = False
            if self.startedWriting:
                self._discarding = True
                self._expectNothing()
                return True
            return False
        channel = self.channel
        if self.bodyUnframed:
            channel.length = None
            channel._transferDecoder = _IdentityTransferDecoder(
                None, self.handleContentChunk, channel._finishRequestBody
            )
            channel.persistent = False
        elif self.bodyChunked:
            channel._transferDecoder = _ChunkBorders(self, channel._finishRequestBody)
        if self.finished:
            self._expectNothing()
        return True

    def _mayBeUnframed(self) -> bool:
        channel = self.channel
        return self.method in UNFRAMED_METHODS and isinstance(channel, HTTPChannel) and channel._transferDecoder is None

    def _isChunked(self) -> bool:
        return isinstance(self.channel, HTTPChannel) and self._length is None and not self.bodyUnframed

    def drain(self) -> None:
        """The server stops: a body that may never end is not waited for."""
        if self._receiver is not None and not self._bodyDone and not self.finished:
            self._receiver.serverStopping()

    def _answersEarly(self) -> bool:
        if self._length == 0:
            return False
        wantsBody = getattr(self._resource, "wantsBody", None)
        return getattr(self._resource, "ignoresBody", False) or (wantsBody is not None and not wantsBody(self))

    def _expectNothing(self) -> None:
        # The channel answers "100 Continue" right after gotLength; a final answer must not be followed by it.
        self.requestHeaders.removeHeader(b"Expect")

    # The body

    def handleContentChunk(self, data: bytes) -> None:
        if not self._opened:
            self._open(self.channel.command, self.channel.path, b"HTTP/2")
        if self._discarding or self.finished:
            self._discard(len(data))
        elif self._receiver is not None:
            self._receiver.dataReceived(data)
        else:
            self._bodySize += len(data)
            if self._bodySize > self._limit:
                self._refuseSize()
            else:
                super().handleContentChunk(data)

    def chunkEnded(self) -> None:
        """From the decoder of a chunked body."""
        if self._receiver is not None and not self.finished:
            self._receiver.chunkEnded()

    def _discard(self, size: int) -> None:
        self._bodySize += size
        if self._bodySize > LINGER_BYTES:
            self._endLinger()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if not self._opened:
            self._open(command, path, version)
        self._bodyDone = True
        if self.finished:
            self.queued = False
            self._cleanup()
        elif self._receiver is not None:
            self._receiver.bodyEnded()
        elif not self._discarding:
            # A routing table may have changed the method.
            super().requestReceived(self.method, path, version)

    def process(self) -> None:
        if self.path == b"*":
            self._handleStar()
            return
        try:
            if resource._IEncodingResource.providedBy(self._resource):
                encoder = self._resource.getEncoder(self)
                if encoder is not None:
                    self._encoder = encoder
            self.render(self._resource)
        except Exception:
            self.processingFailed(Failure())

    def pauseBody(self) -> None:
        """Read no more of the body for now; the client is slowed down by TCP."""
        channel: Any = self.channel
        if isinstance(channel, HTTPChannel):
            # A client that we hold up is not idle.
            channel.setTimeout(None)
            transport: Any = channel.transport
            transport.pauseProducing()
        elif channel is not None:
            channel.pauseProducing()

    def resumeBody(self) -> None:
        """Undo :meth:`pauseBody`."""
        channel: Any = getattr(self, "channel", None)
        if isinstance(channel, HTTPChannel):
            channel.setTimeout(self.site.timeOut)
            transport: Any = channel.transport
            transport.resumeProducing()
        elif channel is not None:
            channel.resumeProducing()

    # The answer

    def _refuseSize(self) -> None:
        self.refuse(http.REQUEST_ENTITY_TOO_LARGE, b"the body may have %d bytes" % self._limit)

    def refuse(self, status: int, message: bytes, headers: dict[bytes, bytes] | None = None) -> None:
        """Answer with an error now, whether or not the body is complete; the rest of it is thrown away."""
        self._discarding = True
        self._expectNothing()
        self.setResponseCode(status)
        for name, value in (headers or {}).items():
            self.setHeader(name, value)
        body = message + b"\n"
        self.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        self.setHeader(b"Content-Length", b"%d" % len(body))
        self.write(body)
        self.finish()

    def write(self, data: bytes) -> None:
        if not self.startedWriting:
            if not self._bodyDone and self._length != 0 and isinstance(self.channel, HTTPChannel):
                # The client should not put its next request behind a body that it may never finish.
                self.channel.persistent = False
                self.setHeader(b"Connection", b"close")
            edits, self.edits = self.edits, None
            if edits is not None:
                edits.apply(self)
                if edits.headless and isinstance(self.channel, HTTPChannel):
                    self.startedWriting = 1
                    self.channel.persistent = False
                if edits.preamble:
                    super().write(edits.preamble)
        super().write(data)

    def finish(self) -> None:
        if self._bodyDone or not self._opened:
            super().finish()
            return
        # The request is not done before its body is: a "queued" one leaves the channel alone when it finishes.
        self.queued = True
        super().finish()
        self.queued = False
        if self.channel is not None:
            clock = IReactorTime(self.site.reactor)
            self._linger = clock.callLater(LINGER_SECONDS, self._lingered)

    def _lingered(self) -> None:
        self._linger = None
        self._endLinger()

    def _endLinger(self) -> None:
        self._stopLingering()
        channel = getattr(self, "channel", None)
        if isinstance(channel, HTTPChannel):
            channel.loseConnection()
        elif channel is not None:
            channel.abortConnection()

    def _stopLingering(self) -> None:
        linger, self._linger = self._linger, None
        if linger is not None:
            linger.cancel()

    def _cleanup(self) -> None:
        self._stopLingering()
        super()._cleanup()

    def connectionLost(self, reason: Failure) -> None:
        self._stopLingering()
        receiver, self._receiver = self._receiver, None
        finished = self.finished
        super().connectionLost(reason)
        if receiver is not None and not finished:
            receiver.connectionLost(reason)


class _ChunkBorders:
    """Our chunked decoder in the place of Twisted's, which does not tell where chunks end."""

    def __init__(self, request: StreamingRequest, finish: Any) -> None:
        self._decoder = ChunkedDecoder()
        self._request = request
        self._finish = finish

    def dataReceived(self, data: bytes) -> None:
        try:
            events = self._decoder.receive(data)
        except ProtocolError as error:
            raise _MalformedChunkedDataError(str(error)) from error
        for event in events:
            if isinstance(event, BodyEnd):
                self._finish(event.rest)
            else:
                self._request.handleContentChunk(event.data)
                if event.last:
                    self._request.chunkEnded()
        if self._decoder.error is not None:
            raise _MalformedChunkedDataError(str(self._decoder.error))

    def noMoreData(self) -> None:
        """Part of the decoder's contract in Twisted; the request hears of a lost connection by itself."""
