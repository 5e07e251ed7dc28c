"""A resource that takes a stream in and publishes it piece by piece while it arrives."""

from collections.abc import Iterable
from typing import Any

from twisted.python.failure import Failure
from twisted.web.http import REQUEST_ENTITY_TOO_LARGE, SERVICE_UNAVAILABLE
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from realtime_tw.errors import BrokerUnavailable
from realtime_tw.hub import Hub, channelName
from realtime_tw.interfaces import IBodyReceiver, IStreamingResource
from realtime_tw.web.backlog import Backlog
from realtime_tw.web.base import RealtimeResource
from realtime_tw.web.publish import MAX_MESSAGE, RETRY_AFTER, finishWith, jsonLine
from realtime_tw.web.request import StreamingRequest

#: A body that was buffered by an ordinary site is published in pieces of this size.
PIECE = 1 << 16


@implementer(IStreamingResource)
class IStreamResource(RealtimeResource):
    """
    POST, PUT or SOURCE publishes the body while it arrives: each HTTP chunk is one message when the body is chunked,
    each read otherwise.

    In a site whose requests stream (:class:`realtime_tw.web.site.RealtimeSite`, or any with ``StreamingRequest``) that
    happens at once; in an ordinary one when the body is complete, without its chunk borders.

    A body without length and chunks, from PUT or SOURCE, lasts until the connection closes.

    :param publish: the channel published to.
    :param prefix: put before every message.
    :param suffix: put after every message.
    :param maxMessage: the largest chunk, in bytes; a larger one is answered 413 and ends the stream.
    :param origins: other origins whose pages may publish; see :class:`realtime_tw.web.base.Origins`.
    """

    methods = (b"POST", b"PUT", b"SOURCE")
    strictOrigin = True

    def __init__(
        self,
        hub: Hub,
        publish: bytes | str,
        *,
        prefix: bytes = b"",
        suffix: bytes = b"",
        maxMessage: int = MAX_MESSAGE,
        origins: str | Iterable[str] | None = None,
    ) -> None:
        super().__init__(origins)
        self.hub = hub
        self.channel = channelName(publish)
        self.prefix = prefix
        self.suffix = suffix
        self.maxMessage = maxMessage

    def openBody(self, request: object) -> IBodyReceiver | None:
        assert isinstance(request, StreamingRequest)
        if request.method not in self.methods:
            return None
        refusal = self.check(request)
        if refusal is not None:
            request.refuse(request.code, refusal.rstrip())
            return None
        return IStreamReceiver(self, request)

    def respond(self, request: Request) -> int:
        receiver = IStreamReceiver(self, request)
        content: Any = request.content
        while piece := content.read(PIECE):
            receiver.dataReceived(piece)
        receiver.bodyEnded()
        return NOT_DONE_YET


@implementer(IBodyReceiver)
class IStreamReceiver:
    """
    Publishes one client's body, and slows the client down while the broker is behind.

    The answer, ``{"channel": ..., "messages": ..., "bytes": ...}``, comes when the broker has taken everything.
    """

    def __init__(self, resource: IStreamResource, request: Request) -> None:
        self._resource = resource
        self._request = request
        # None: the body was complete before we came.
        self._stream = request if isinstance(request, StreamingRequest) else None
        self._chunked = self._stream is not None and self._stream.bodyChunked
        self._chunk: list[bytes] = []
        self._chunkSize = 0
        self._pending = 0
        self._backlog: Backlog | None = None
        if self._stream is not None:
            self._backlog = Backlog(self._stream.pauseBody, self._stream.resumeBody)
        self._ended = False
        self._failed = False
        self._messages = 0
        self._bytes = 0
        unframed = self._stream is not None and self._stream.bodyUnframed
        if unframed and not request.requestHeaders.hasHeader(b"Expect"):
            # An Icecast source waits for its answer before it sends, and ends by closing.
            request.setHeader(b"Content-Length", b"0")
            request.write(b"")

    def dataReceived(self, data: bytes) -> None:
        if self._failed:
            return
        if not self._chunked:
            # HTTP/2 clients end a body with an empty frame.
            if data:
                self._publish(data)
            return
        self._chunkSize += len(data)
        if self._chunkSize > self._resource.maxMessage:
            self._fail(REQUEST_ENTITY_TOO_LARGE, f"a chunk may have {self._resource.maxMessage} bytes")
            return
        self._chunk.append(data)

    def chunkEnded(self) -> None:
        chunk, self._chunk = self._chunk, []
        self._chunkSize = 0
        if not self._failed:
            self._publish(b"".join(chunk))

    def bodyEnded(self) -> None:
        self._ended = True
        self._finishWhenDone()

    def serverStopping(self) -> None:
        self._fail(SERVICE_UNAVAILABLE, "the server is stopping", {b"Retry-After": RETRY_AFTER})

    def connectionLost(self, reason: Failure) -> None:
        self._failed = True

    def _publish(self, data: bytes) -> None:
        resource = self._resource
        self._messages += 1
        self._bytes += len(data)
        self._pending += 1
        message = b"%b%b%b" % (resource.prefix, data, resource.suffix) if resource.prefix or resource.suffix else data
        if self._backlog is not None:
            self._backlog.add(len(data))
        done = resource.hub.publish(resource.channel, message)
        done.addCallbacks(self._published, self._publishFailed, callbackArgs=(len(data),))

    def _published(self, receivers: int, size: int) -> None:
        self._pending -= 1
        if self._backlog is not None:
            self._backlog.done(size)
        self._finishWhenDone()

    def _publishFailed(self, failure: Failure) -> None:
        failure.trap(BrokerUnavailable)
        self._fail(SERVICE_UNAVAILABLE, str(failure.value), {b"Retry-After": RETRY_AFTER})

    def _fail(self, status: int, message: str, headers: dict[bytes, bytes] | None = None) -> None:
        if self._failed:
            return
        self._failed = True
        request = self._request
        if getattr(request, "channel", None) is None:
            return
        if request.startedWriting:
            # The answer went out before the body came: all that is left to say is the end.
            request.finish()
        elif self._stream is not None:
            self._stream.refuse(status, message.encode(), headers)
        else:
            request.setResponseCode(status)
            for name, value in (headers or {}).items():
                request.setHeader(name, value)
            finishWith(message.encode() + b"\n", request)
        if self._backlog is not None:
            self._backlog.end()

    def _finishWhenDone(self) -> None:
        if not self._ended or self._pending or self._failed:
            return
        self._failed = True
        request = self._request
        if request.startedWriting:
            request.finish()
            return
        request.setHeader(b"Content-Type", b"application/json")
        channel = self._resource.channel.decode("utf-8", "replace")
        finishWith(jsonLine({"channel": channel, "messages": self._messages, "bytes": self._bytes}), request)
