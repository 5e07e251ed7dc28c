"""
Reading RTSP from a connection: requests, responses and ``$`` frames in any order (RFC 2326, sections 4 and 10.12).

A ``$`` frame can stand between any two messages, never inside one.
"""

import re
from collections.abc import Iterable

from realtime_tw.errors import LimitExceeded, ProtocolError
from realtime_tw.rtsp.messages import (
    DIGITS,
    MAX_DIGITS,
    TOKEN,
    VERSION,
    Event,
    Headers,
    Interleaved,
    Request,
    Response,
    sequenceNumber,
)

#: A request line, or status line, with its end. Real ones are below 300 bytes; URLs that work everywhere are below
#: 2,000.
MAX_LINE = 4096

#: All header lines of a message, with their ends. Real heads are below 1 KiB; Transport and Digest are the long ones.
MAX_HEAD = 1 << 14

#: Header lines of a message. Real messages have 4 to 12.
MAX_HEADERS = 64

#: A body: SDP of one to five kilobytes, lists of parameters of less.
MAX_BODY = 1 << 16

_CONTROL_BYTES = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_PROTOCOL = re.compile(r"[A-Za-z]+/[0-9]+\.[0-9]+")
_STATUS = re.compile(r"[1-9][0-9][0-9]")

_BLANK = " \t"
_DOLLAR, _CR, _LF = b"$\r\n"


class RTSPParser:
    """
    Incremental and split-invariant; the time taken is proportional to the bytes received, for any split.

    Empty lines between messages are skipped, a lone LF ends a line, too, and a folded header line continues the one
    before it.

    :ivar error: what was wrong behind the events that :meth:`receive` has just returned.
    :ivar errorCSeq: the sequence number of the message in which the error was, for the response that refuses it; None
        when it had not come yet.
    """

    def __init__(
        self, maxLine: int = MAX_LINE, maxHead: int = MAX_HEAD, maxHeaders: int = MAX_HEADERS, maxBody: int = MAX_BODY
    ) -> None:
        """
        :param maxLine: bytes of a message's first line, with its end.
        :param maxHead: bytes of all its other lines up to the empty one, with their ends.
        :param maxHeaders: how many they can be.
        :param maxBody: the largest Content-Length.
        """
        self.error: ProtocolError | None = None
        self.errorCSeq: int | None = None
        self._maxLine = maxLine
        self._maxHead = maxHead
        self._maxHeaders = maxHeaders
        self._maxBody = maxBody
        # What was received of an event, line or body that is not complete, and the size below which it cannot be; for
        # a line, which ends at its LF, that is 0.
        self._rest = bytearray()
        self._needed = 0
        self._startHead()

    @property
    def bufferedBytes(self) -> int:
        """Bytes that wait for more; at most as many as the largest of the limits, or as one ``$`` frame."""
        return len(self._rest)

    def receive(self, data: bytes) -> list[Event]:
        """
        Take bytes as they arrive.

        Nothing that is complete is lost to an error behind it: events are returned first, and the error is raised by
        the next call, which the caller makes at once (``receive(b"")``) or leaves to the next read. With nothing to
        return it is raised right away.

        :return: what the bytes complete, in order.
        :raises ProtocolError: with the RTSP status that answers it: 400, 413, 414 or 505. Every later call raises it
            again.
        """
        if self.error is not None:
            raise self.error
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < self._needed:
                return []
            if not self._needed and b"\n" not in data and len(rest) <= self._longestLine():
                return []
            data = bytes(rest)
            rest.clear()
        events: list[Event] = []
        try:
            position = self._parse(data, events)
        except ProtocolError as error:
            self.error = error
            self.errorCSeq = sequenceNumber(_value(self._pairs, "cseq"))
            if not events:
                raise
            return events
        if position < len(data):
            rest += memoryview(data)[position:]
        return events

    def _parse(self, data: bytes, events: list[Event]) -> int:
        """Takes what is complete. :return: where the rest begins."""
        append = events.append
        size = len(data)
        position = 0
        while position < size:
            if self._body is not None:
                end = position + self._body
                if end > size:
                    self._needed = self._body
                    return position
                append(self._message(data[position:end]))
                position = end
            elif self._first is None and data[position] == _DOLLAR:
                # Nearly all there is: a loop of its own.
                while True:
                    start = position + 4
                    if start > size:
                        self._needed = 4
                        return position
                    end = start + (data[position + 2] << 8 | data[position + 3])
                    if end > size:
                        self._needed = end - position
                        return position
                    append(Interleaved(data[position + 1], data[start:end]))
                    position = end
                    if end == size or data[end] != _DOLLAR:
                        break
            elif self._first is None and data[position] in (_CR, _LF):
                position += 1
            else:
                end = data.find(b"\n", position) + 1
                if (end or size) - position > self._longestLine():
                    raise self._tooLong()
                if not end:
                    self._needed = 0
                    return position
                self._line(data[position:end])
                position = end
                if self._body == 0:
                    append(self._message(b""))
        return position

    def _startHead(self) -> None:
        """Between two messages."""
        self._first: Request | Response | None = None
        self._pairs: list[tuple[str, str]] = []
        self._lines = 0
        self._room = self._maxHead
        # The body's length once the head is complete.
        self._body: int | None = None

    def _longestLine(self) -> int:
        return self._maxLine if self._first is None else self._room

    def _tooLong(self) -> LimitExceeded:
        if self._first is None:
            return LimitExceeded(f"first line of more than {self._maxLine} bytes", 414)
        return LimitExceeded(f"headers of more than {self._maxHead} bytes", 413)

    def _line(self, raw: bytes) -> None:
        line = raw.removesuffix(b"\n").removesuffix(b"\r")
        if self._first is None:
            self._first = _firstLine(line)
        elif not line:
            self._headEnds()
        else:
            self._room -= len(raw)
            self._lines += 1
            if self._lines > self._maxHeaders:
                raise LimitExceeded(f"more than {self._maxHeaders} header lines", 413)
            self._header(line)

    def _header(self, line: bytes) -> None:
        if _CONTROL_BYTES.search(line):
            raise ProtocolError("control character in a header")
        text = line.decode("utf-8", "surrogateescape")
        if text[0] in " \t":
            if not self._pairs:
                raise ProtocolError("the first header line continues nothing")
            name, value = self._pairs[-1]
            self._pairs[-1] = name, f"{value} {text.strip(_BLANK)}".strip(_BLANK)
            return
        name, colon, value = text.partition(":")
        name = name.rstrip(_BLANK)
        if not colon or not TOKEN.fullmatch(name):
            raise ProtocolError("a header line without a name")
        self._pairs.append((name, value.strip(_BLANK)))

    def _headEnds(self) -> None:
        # Only now, and not with the first line: a refusal should bear the sequence number.
        if isinstance(self._first, Request) and self._first.version != VERSION:
            raise ProtocolError("not RTSP/1.0", 505)
        lengths = {value for name, value in self._pairs if name.lower() == "content-length"}
        if len(lengths) > 1:
            raise ProtocolError("two values of Content-Length")
        text = lengths.pop() if lengths else "0"
        if not DIGITS.fullmatch(text):
            raise ProtocolError("Content-Length is not a number")
        length = int(text) if len(text) <= MAX_DIGITS else self._maxBody + 1
        if length > self._maxBody:
            raise LimitExceeded(f"body of more than {self._maxBody} bytes", 413)
        self._body = length

    def _message(self, body: bytes) -> Request | Response:
        assert self._first is not None
        message = self._first._replace(headers=Headers(tuple(self._pairs)), body=body)
        self._startHead()
        return message


def _value(pairs: Iterable[tuple[str, str]], name: str) -> str | None:
    return next((value for key, value in pairs if key.lower() == name), None)


def _firstLine(line: bytes) -> Request | Response:
    """The message, still without headers and body; a request of another version only with that version."""
    if b"\t" in line or _CONTROL_BYTES.search(line):
        raise ProtocolError("control character in the first line")
    text = line.decode("utf-8", "surrogateescape")
    if text.startswith("RTSP/"):
        version, _, after = text.partition(" ")
        status, _, reason = after.strip(" ").partition(" ")
        if not _PROTOCOL.fullmatch(version) or not _STATUS.fullmatch(status):
            raise ProtocolError("bad status line")
        if version != VERSION:
            raise ProtocolError("not RTSP/1.0", 505)
        return Response(int(status), reason.strip(" "), Headers(), b"")
    words = [word for word in text.split(" ") if word]
    if text[:1] == " " or len(words) != 3 or not TOKEN.fullmatch(words[0]) or not _PROTOCOL.fullmatch(words[2]):
        raise ProtocolError("bad request line")
    return Request(words[0], words[1], words[2], Headers(), b"")
