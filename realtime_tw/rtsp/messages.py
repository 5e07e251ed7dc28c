"""
RTSP/1.0: requests, responses and ``$`` frames (RFC 2326, sections 4 to 7, 10.12 and 15.1), and their bytes.

Text is UTF-8, as the RFC has it; bytes that are not become surrogates (``surrogateescape``), and the same bytes again
when they are encoded here. :mod:`realtime_tw.rtsp.parser` reads what is written here.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from realtime_tw.errors import LimitExceeded, ProtocolError

VERSION = "RTSP/1.0"

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

#: No sequence number or length that anybody means has more digits; int() refuses, or is slow, far above.
MAX_DIGITS = 18

#: A method, or the name of a header.
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
DIGITS = re.compile(r"[0-9]+")


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


def sequenceNumber(text: str | None) -> int | None:
    """The number that a CSeq header holds; None when it holds none."""
    if text is None or len(text) > MAX_DIGITS or not DIGITS.fullmatch(text):
        return None
    return int(text)


def parseCSeq(headers: Headers) -> int:
    """
    The sequence number, which the response repeats (RFC 2326, section 12.17).

    :raises ProtocolError: when there is none, or it is not a number.
    """
    number = sequenceNumber(headers.get("CSeq"))
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
    if not TOKEN.fullmatch(method) or method[0] == "$" or not url or " " in url or "\t" in url:
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
        if not TOKEN.fullmatch(name):
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
