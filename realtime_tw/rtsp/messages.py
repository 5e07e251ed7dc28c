"""
RTSP/1.0 on a connection: requests, responses and ``$`` frames (RFC 2326, sections 4 to 7, 10.12 and 15.1).

Text is UTF-8, as the RFC has it; bytes that are not become surrogates (``surrogateescape``), and the same bytes again
when they are encoded here. A ``$`` frame can stand between any two messages, never inside one.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from realtime_tw.errors import LimitExceeded, ProtocolError

VERSION = "RTSP/1.0"

#: A request line, or status line, with its end. Real ones are below 300 bytes; URLs that work everywhere are below
#: 2,000.
MAX_LINE = 4096

#: All header lines of a message, with their ends. Real heads are below 1 KiB; Transport and Digest are the long ones.
MAX_HEAD = 1 << 14

#: Header lines of a message. Real messages have 4 to 12.
MAX_HEADERS = 64

#: A body: SDP of one to five kilobytes, lists of parameters of less.
MAX_BODY = 1 << 16

#: The payload of a ``$`` frame: its length is a number of 16 bits.
MAX_INTERLEAVED = 0xFFFF

#: RFC 2326, section 7.1.1.
REASONS = {
    200: "OK",
    201: "Created",
    250: "Low on Storage Space",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    408: "Request Time-out",
    413: "Request Entity Too Large",
    414: "Request-URI Too Large",
    415: "Unsupported Media Type",
    451: "Parameter Not Understood",
    452: "Conference Not Found",
    453: "Not Enough Bandwidth",
    454: "Session Not Found",
    455: "Method Not Valid in This State",
    456: "Header Field Not Valid for Resource",
    457: "Invalid Range",
    458: "Parameter Is Read-Only",
    459: "Aggregate Operation Not Allowed",
    460: "Only Aggregate Operation Allowed",
    461: "Unsupported Transport",
    462: "Destination Unreachable",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    504: "Gateway Time-out",
    505: "RTSP Version Not Supported",
    551: "Option Not Supported",
}

# No sequence number or length that anybody means has more digits; int() refuses, or is slow, far above.
_MAX_DIGITS = 18

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_CONTROL_BYTES = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_PROTOCOL = re.compile(r"[A-Za-z]+/[0-9]+\.[0-9]+")
_STATUS = re.compile(r"[1-9][0-9][0-9]")
_DIGITS = re.compile(r"[0-9]+")

_BLANK = " \t"
_DOLLAR, _CR, _LF = b"$\r\n"


@dataclass(frozen=True, slots=True)
class Headers:
    """
    The header lines of a message, in their order; names are found in any case.

    :ivar pairs: name as it was written, value without the white space around it.
    """

    pairs: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str | None:
        """The first value."""
        wanted = name.lower()
        for key, value in self.pairs:
            if key.lower() == wanted:
                return value
        return None

    def getAll(self, name: str) -> list[str]:
        """All values: where a header is a list, joined with commas they are the same list (RFC 2068, section 4.2)."""
        wanted = name.lower()
        return [value for key, value in self.pairs if key.lower() == wanted]

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None


class Request(NamedTuple):
    """
    :ivar url: as it was sent: absolute, a path, or ``*``; without white space and control characters.
    :ivar version: always :data:`VERSION`.
    """

    method: str
    url: str
    version: str
    headers: Headers
    body: bytes


class Response(NamedTuple):
    """:ivar reason: may be empty."""

    status: int
    reason: str
    headers: Headers
    body: bytes


class Interleaved(NamedTuple):
    """
    One ``$`` frame.

    :ivar payload: 0 to 65535 bytes: an RTP packet or a compound RTCP packet, if the peer is a good one.
    """

    channel: int
    payload: bytes


Event: TypeAlias = Request | Response | Interleaved


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
            self.errorCSeq = _sequenceNumber(_value(self._pairs, "cseq"))
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
        if not colon or not _TOKEN.fullmatch(name):
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
        if not _DIGITS.fullmatch(text):
            raise ProtocolError("Content-Length is not a number")
        length = int(text) if len(text) <= _MAX_DIGITS else self._maxBody + 1
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
    if text[:1] == " " or len(words) != 3 or not _TOKEN.fullmatch(words[0]) or not _PROTOCOL.fullmatch(words[2]):
        raise ProtocolError("bad request line")
    return Request(words[0], words[1], words[2], Headers(), b"")


def _sequenceNumber(text: str | None) -> int | None:
    if text is None or len(text) > _MAX_DIGITS or not _DIGITS.fullmatch(text):
        return None
    return int(text)


def parseCSeq(headers: Headers) -> int:
    """
    The sequence number, which the response repeats (RFC 2326, section 12.17).

    :raises ProtocolError: when there is none, or it is not a number.
    """
    number = _sequenceNumber(headers.get("CSeq"))
    if number is None:
        raise ProtocolError("no CSeq")
    return number


HeaderLines: TypeAlias = Headers | Mapping[str, str] | Iterable[tuple[str, str]]


def encodeResponse(status: int, headers: HeaderLines, body: bytes = b"", reason: str | None = None) -> bytes:
    """
    A whole response.

    :param headers: a mapping, or pairs where a name comes more than once. Content-Length is written here, from the
        body; one in the headers is left out.
    :param reason: None for the usual one.
    :raises ProtocolError: for what would not be one response: a line break or another control character anywhere.
    """
    if not 100 <= status <= 999:
        raise ProtocolError(f"status {status} cannot be sent", 500)
    phrase = REASONS.get(status, "Unknown") if reason is None else reason
    return _encode(f"{VERSION} {status} {phrase}", headers, body)


def encodeRequest(method: str, url: str, headers: HeaderLines, body: bytes = b"") -> bytes:
    """
    A whole request; parameters and errors as of :func:`encodeResponse`.

    :param url: without white space.
    """
    # A method that begins like a frame would be read as one.
    if not _TOKEN.fullmatch(method) or method[0] == "$" or not url or " " in url or "\t" in url:
        raise ProtocolError("this request cannot be sent", 500)
    return _encode(f"{method} {url} {VERSION}", headers, body)


def encodeInterleaved(channel: int, payload: bytes) -> bytes:
    """
    A ``$`` frame.

    :param channel: 0 to 255.
    :raises LimitExceeded: for a payload of more than :data:`MAX_INTERLEAVED` bytes.
    :raises ProtocolError: for a channel that does not exist.
    """
    if not 0 <= channel <= 0xFF:
        raise ProtocolError(f"channel {channel} cannot be sent", 500)
    if len(payload) > MAX_INTERLEAVED:
        raise LimitExceeded(f"payload of more than {MAX_INTERLEAVED} bytes", 500)
    return b"$%c%b%b" % (channel, len(payload).to_bytes(2), payload)


def _encode(first: str, headers: HeaderLines, body: bytes) -> bytes:
    lines = [first]
    if isinstance(headers, Headers):
        headers = headers.pairs
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        if not _TOKEN.fullmatch(name):
            raise ProtocolError("a header's name cannot be sent", 500)
        if name.lower() != "content-length":
            lines.append(f"{name}: {value}")
    if body:
        lines.append(f"Content-Length: {len(body)}")
    if any(map(_CONTROLS.search, lines)):
        raise ProtocolError("control character in a message to be sent", 500)
    try:
        head = "\r\n".join(lines).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ProtocolError("a character that no encoding can express", 500) from error
    return b"%b\r\n\r\n%b" % (head, body)
