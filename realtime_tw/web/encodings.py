"""
Encodings: how a channel's messages become the bytes of one kind of HTTP client.

Each is a frozen value; clients whose encodings are equal are served the same bytes.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from zope.interface import implementer

from realtime_tw.codec.chunked import LAST_CHUNK, encodeChunk
from realtime_tw.codec.sse import HEARTBEAT, encodeEvent, encodeRetry
from realtime_tw.interfaces import IEncoding
from realtime_tw.model import Message

#: At shutdown every browser is told a delay of its own before it connects again, in milliseconds, so that the server
#: that takes over does not meet all of them at once.
RECONNECT_SPREAD = (500, 5000)


@implementer(IEncoding)
@dataclass(frozen=True, slots=True)
class SSEEncoding:
    """
    Server-Sent Events, one event per message.

    :ivar named: name the channel in the ``event:`` field.
    :ivar raw: the messages are events already, and go out as they are.
    """

    named: bool = False
    raw: bool = False

    heartbeat = HEARTBEAT

    def encode(self, messages: Sequence[Message]) -> bytes:
        if self.raw:
            return b"".join([message.payload for message in messages])
        if self.named:
            return b"".join([encodeEvent(message.payload, message.channel) for message in messages])
        return b"".join([encodeEvent(message.payload) for message in messages])

    def frame(self, data: bytes) -> bytes:
        return data

    def farewell(self) -> bytes:
        return b"" if self.raw else encodeRetry(random.randrange(*RECONNECT_SPREAD))


@implementer(IEncoding)
@dataclass(frozen=True, slots=True)
class StreamEncoding:
    """The messages' own bytes, between a prefix and a suffix."""

    prefix: bytes = b""
    suffix: bytes = b""

    heartbeat = b""

    def encode(self, messages: Sequence[Message]) -> bytes:
        if self.prefix or self.suffix:
            return b"".join([b"%b%b%b" % (self.prefix, message.payload, self.suffix) for message in messages])
        return b"".join([message.payload for message in messages])

    def frame(self, data: bytes) -> bytes:
        return data

    def farewell(self) -> bytes:
        return b""


@implementer(IEncoding)
@dataclass(frozen=True, slots=True)
class ChunkedEncoding:
    """Another encoding in chunked transfer coding, for clients that speak HTTP/1.1."""

    inner: IEncoding

    @property
    def heartbeat(self) -> bytes:
        return encodeChunk(self.inner.heartbeat)

    def encode(self, messages: Sequence[Message]) -> bytes:
        return encodeChunk(self.inner.encode(messages))

    def frame(self, data: bytes) -> bytes:
        return encodeChunk(data)

    def farewell(self) -> bytes:
        return encodeChunk(self.inner.farewell()) + LAST_CHUNK
