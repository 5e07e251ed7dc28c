"""Resources that stream channels to a client: Server-Sent Events and raw bytes."""

from collections.abc import Iterable

from twisted.web.server import NOT_DONE_YET, Request

from realtime_tw.codec.sse import MEDIA_TYPE, encodeComment, encodeRetry
from realtime_tw.hub import Hub
from realtime_tw.interfaces import IEncoding
from realtime_tw.subscriber import DEFAULT_LIMIT, SlowPolicy
from realtime_tw.web.base import Channels, RealtimeResource, channelNames
from realtime_tw.web.encodings import SSEEncoding, StreamEncoding
from realtime_tw.web.streaming import startStream

#: Seconds between heartbeats. Proxies give up on silent connections after 60 s (nginx, HAProxy) or 30 s (Heroku).
HEARTBEAT = 20.0


class SubscribeResource(RealtimeResource):
    """
    Answers GET with the messages of channels until either side closes.

    :param hub: where the channels are.
    :param subscribe: one channel, several separated by ``;``, or a sequence.
    :param origins: other origins whose pages may read it; see :class:`realtime_tw.web.base.Origins`.
    :param buffer: bytes that may wait for a client that reads slowly.
    :param slow: what happens beyond: ``close`` or ``drop``.
    :param retained: send the channels' retained values first.
    """

    opening = b""
    heartbeat = 0.0

    def __init__(
        self,
        hub: Hub,
        subscribe: Channels,
        encoding: IEncoding,
        contentType: bytes,
        *,
        origins: str | Iterable[str] | None = None,
        buffer: int = DEFAULT_LIMIT,
        slow: SlowPolicy | str = SlowPolicy.CLOSE,
        retained: bool = True,
    ) -> None:
        super().__init__(origins)
        self.hub = hub
        self.channels = channelNames(subscribe)
        self.encoding = encoding
        self.contentType = contentType
        self.buffer = buffer
        self.slow = SlowPolicy(slow)
        self.retained = retained

    def respond(self, request: Request) -> int:
        if not request.startedWriting:
            if self.contentType:
                request.setHeader(b"Content-Type", self.contentType)
            else:
                request.defaultContentType = None
            request.setHeader(b"Cache-Control", b"no-cache")
            # nginx would hold events back until its buffer is full.
            request.setHeader(b"X-Accel-Buffering", b"no")
            if request._encoder is not None:
                # A compressor around us would do so, too.
                request._encoder = None
                request.responseHeaders.removeHeader(b"Content-Encoding")
            if request.clientproto == b"HTTP/1.1":
                request.setHeader(b"Connection", b"close")
                request.channel.persistent = False
        if request.method == b"HEAD":
            request.write(b"")
            request.finish()
            return NOT_DONE_YET
        ready = self.hub.prepare(self.channels)
        ready.addCallback(lambda _: self._start(request))
        return NOT_DONE_YET

    def _start(self, request: Request) -> None:
        if getattr(request, "channel", None) is None:
            self.hub.unprepare(self.channels)
            return
        startStream(
            request,
            self.hub,
            self.encoding,
            self.channels,
            opening=self.opening,
            limit=self.buffer,
            policy=self.slow,
            heartbeat=self.heartbeat,
            retained=self.retained,
        )


class SSEResource(SubscribeResource):
    """
    Server-Sent Events: every message is an event, each of its lines a ``data:`` line.

    :param event: None, or ``"channel"`` to name the channel in the ``event:`` field.
    :param heartbeat: seconds between comments that keep an idle connection alive; 0 for none.
    :param retry: milliseconds after which a browser comes back; None leaves that to the browser.
    :param raw: the messages are events already and go out as they are.

    The other parameters are those of :class:`SubscribeResource`.
    """

    def __init__(
        self,
        hub: Hub,
        subscribe: Channels,
        *,
        event: str | None = None,
        heartbeat: float = HEARTBEAT,
        retry: int | None = None,
        raw: bool = False,
        origins: str | Iterable[str] | None = None,
        buffer: int = DEFAULT_LIMIT,
        slow: SlowPolicy | str = SlowPolicy.CLOSE,
        retained: bool = True,
    ) -> None:
        if event not in (None, "channel"):
            raise ValueError(f'event must be "channel" or None, not {event!r}')
        super().__init__(
            hub,
            subscribe,
            SSEEncoding(named=event == "channel", raw=raw),
            MEDIA_TYPE,
            origins=origins,
            buffer=buffer,
            slow=slow,
            retained=retained,
        )
        self.heartbeat = heartbeat
        # Proxies and browsers that wait for a first byte get one.
        self.opening = encodeComment(b"ok") if retry is None else encodeRetry(retry)


class StreamResource(SubscribeResource):
    """
    The messages' own bytes, one after the other.

    :param prefix: put before every message.
    :param suffix: put after every message.
    :param contentType: the media type; none is sent when empty.

    The other parameters are those of :class:`SubscribeResource`.
    """

    def __init__(
        self,
        hub: Hub,
        subscribe: Channels,
        *,
        prefix: bytes = b"",
        suffix: bytes = b"",
        contentType: bytes = b"application/octet-stream",
        origins: str | Iterable[str] | None = None,
        buffer: int = DEFAULT_LIMIT,
        slow: SlowPolicy | str = SlowPolicy.CLOSE,
        retained: bool = True,
    ) -> None:
        super().__init__(
            hub,
            subscribe,
            StreamEncoding(prefix, suffix),
            contentType,
            origins=origins,
            buffer=buffer,
            slow=slow,
            retained=retained,
        )
