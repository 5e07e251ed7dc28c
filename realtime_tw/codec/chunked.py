"""
The chunked transfer coding (RFC 9112, section 7.1), with the borders of the chunks kept.

HTTP says that chunk borders mean nothing; senders of live streams disagree. ffmpeg writes one WebM cluster per chunk,
and a program that sends one message per chunk can be read back message by message.
"""

from dataclasses import dataclass

from realtime_tw.errors import LimitExceeded, ProtocolError

#: A chunk's size line, with extensions. 1 KiB is Twisted's limit too; real senders use 18 bytes.
MAX_LINE = 1024

#: All trailer fields together. Nothing in them is used.
MAX_TRAILER = 1 << 14

#: 16 hexadecimal digits hold any 64-bit size; more is an attempt to overflow somebody's integer.
MAX_SIZE_DIGITS = 16

_HEX = frozenset(b"0123456789abcdefABCDEF")


@dataclass(frozen=True, slots=True)
class ChunkData:
    """
    Bytes of the body.

    :ivar last: True when they are the end of a chunk.
    """

    data: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class BodyEnd:
    """
    The body is complete.

    :ivar rest: what followed it in the same read: the next request.
    """

    rest: bytes


class ChunkedDecoder:
    """
    Incremental and split-invariant up to how a chunk's bytes are divided: joined between two ``last`` flags they are
    the same for any split of the input.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._parse = self._size
        self._left = 0
        self._trailer = 0
        self._searched = 0
        self._ended = False
        #: What was wrong behind the events that :meth:`receive` has just returned; raised when it is called again.
        self.error: ProtocolError | None = None

    def receive(self, data: bytes) -> list[ChunkData | BodyEnd]:
        """
        Take bytes as they arrive.

        :return: what they complete, in order; nothing comes after a :class:`BodyEnd`.
        :raises ProtocolError: for what is not chunked coding, once all events before it were returned; see
            :attr:`error`. The decoder cannot be used any more then.
        """
        if self.error is not None:
            raise self.error
        if self._ended:
            raise ProtocolError("data after the end of the chunked body")
        self._buffer += data
        events: list[ChunkData | BodyEnd] = []
        try:
            while self._buffer and not self._ended and self._parse(events):
                pass
        except ProtocolError as error:
            self.error = error
            # What is complete is complete, whatever follows it in the same read.
            if not events:
                raise
        return events

    def _line(self, limit: int) -> bytes | None:
        """The next line without its CR LF, taken out of the buffer."""
        end = self._buffer.find(b"\r\n", self._searched)
        if (end if end >= 0 else len(self._buffer) - 1) > limit:
            raise LimitExceeded("line too long in a chunked body", 400)
        if end < 0:
            # Only what is new is searched next time; the CR may already be here.
            self._searched = max(len(self._buffer) - 1, 0)
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        self._searched = 0
        return line

    def _size(self, events: list[ChunkData | BodyEnd]) -> bool:
        line = self._line(MAX_LINE)
        if line is None:
            return False
        digits = line.partition(b";")[0].rstrip(b" \t")
        if not digits or len(digits) > MAX_SIZE_DIGITS or not _HEX.issuperset(digits):
            raise ProtocolError("bad chunk size")
        if b"\n" in line or b"\r" in line or b"\0" in line:
            raise ProtocolError("bad chunk extension")
        self._left = int(digits, 16)
        self._parse = self._data if self._left else self._trailers
        return True

    def _data(self, events: list[ChunkData | BodyEnd]) -> bool:
        piece = bytes(self._buffer[: self._left])
        del self._buffer[: self._left]
        self._left -= len(piece)
        events.append(ChunkData(piece, not self._left))
        if not self._left:
            self._parse = self._dataEnd
        return True

    def _dataEnd(self, events: list[ChunkData | BodyEnd]) -> bool:
        if not b"\r\n".startswith(self._buffer[:2]):
            raise ProtocolError("chunk longer than its size")
        if len(self._buffer) < 2:
            return False
        del self._buffer[:2]
        self._parse = self._size
        return True

    def _trailers(self, events: list[ChunkData | BodyEnd]) -> bool:
        line = self._line(MAX_TRAILER - self._trailer)
        if line is None:
            return False
        self._trailer += len(line) + 2
        if not line:
            self._ended = True
            events.append(BodyEnd(bytes(self._buffer)))
            self._buffer.clear()
        return True


def encodeChunk(data: bytes) -> bytes:
    """One chunk; empty data gives nothing, because an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


#: Ends a chunked body.
LAST_CHUNK = b"0\r\n\r\n"
