"""
Vorbis I: its three headers in the forms that RTP (RFC 5215, section 3) and Matroska have for them, and how long a
packet lasts, which takes the block sizes of the first header and the modes of the last (Vorbis I, 4.2 and 4.3.8).
"""

from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Sequence
from dataclasses import dataclass

from realtime_tw.errors import ProtocolError

#: Bytes of all three headers. libvorbis needs 4 to 16 KiB; the comment may hold a picture, but RTP's packed
#: configuration counts it all in 16 bits.
MAX_HEADERS = 1 << 17

#: Configurations in one SDP. One per chained stream; more than a handful is an attack.
MAX_CONFIGURATIONS = 16

#: A comment header that says nothing, for senders that leave theirs out: no vendor, no comments.
EMPTY_COMMENT = b"\x03vorbis" + bytes(8) + b"\x01"

_IDENTIFICATION = b"\x01vorbis\0\0\0\0"
_IDENTIFICATION_SIZE = 30

# One mode: block flag, window type and transform type, which are zero in Vorbis I, and a mapping below 64.
_MODE_BITS = 41
_MAX_MODES = 64
# 64 modes, their number, and a last byte with the framing bit and what fills it up.
_TAIL = (_MAX_MODES * _MODE_BITS + 6 + 7) // 8 + 2
_MODE_ZEROS = ((1 << 32) - 1) << 1 | 0b11 << 39


@dataclass(frozen=True, slots=True)
class Identification:
    """
    The first header.

    :ivar short: samples of a short block; :ivar long: of a long one.
    """

    channels: int
    sampleRate: int
    short: int
    long: int


def parseIdentification(data: bytes) -> Identification:
    """:raises ProtocolError: for what is not an identification header of Vorbis I."""
    if len(data) < _IDENTIFICATION_SIZE or not data.startswith(_IDENTIFICATION):
        raise ProtocolError("not a Vorbis identification header")
    channels = data[11]
    rate = int.from_bytes(data[12:16], "little")
    short, long = data[28] & 15, data[28] >> 4
    if not channels or not rate or not 6 <= short <= long <= 13 or not data[29] & 1:
        raise ProtocolError("bad Vorbis identification header")
    return Identification(channels, rate, 1 << short, 1 << long)


def parseModes(setup: bytes) -> list[int]:
    """
    The block flag of each mode: 1 for long blocks.

    The modes are the last thing in a setup header, and what is before them can only be found by decoding all of it. So
    they are read from the end: from the framing bit, which is the last bit set, modes of 41 bits upwards as long as
    their constant bits are zero. A number of modes is the right one when the 6 bits before it say so, and when several
    are, the largest: a smaller one is a piece of the zeros inside a mode, while a larger one would need 34 zeros in the
    right place of the mappings. At most 64 modes, so at most the last 331 bytes are looked at.

    :raises ProtocolError: for what is not a setup header, or has no modes at its end.
    """
    if not setup.startswith(b"\x05vorbis"):
        raise ProtocolError("not a Vorbis setup header")
    tail = setup.rstrip(b"\0")[7:][-_TAIL:]
    bits = int.from_bytes(tail, "little")
    end = bits.bit_length() - 1
    found: list[int] = []
    flags: list[int] = []
    for count in range(1, _MAX_MODES + 1):
        start = end - count * _MODE_BITS
        if start < 6:
            break
        mode = bits >> start
        if mode & _MODE_ZEROS:
            break
        flags.insert(0, mode & 1)
        if bits >> (start - 6) & 63 == count - 1:
            found = flags.copy()
    if not found:
        raise ProtocolError("Vorbis setup header without modes")
    return found


class BlockSizes:
    """
    Block sizes of audio packets by their first byte, which holds all that decides.

    :ivar current: 256 entries: samples of the packet's block; 0 for what is not an audio packet.
    :ivar previous: 256 entries: samples of the block before it, where the packet knows: long ones do. Otherwise 0.
    """

    __slots__ = ("current", "previous")

    def __init__(self, identification: Identification, modes: Sequence[int]) -> None:
        sizes = (identification.short, identification.long)
        width = (len(modes) - 1).bit_length()
        current = [0] * 256
        previous = [0] * 256
        for first in range(0, 256, 2):
            mode = first >> 1 & ((1 << width) - 1)
            if mode < len(modes):
                current[first] = sizes[modes[mode]]
                if modes[mode]:
                    previous[first] = sizes[first >> (1 + width) & 1]
        self.current = tuple(current)
        self.previous = tuple(previous)

    def duration(self, packet: bytes, previous: int) -> int:
        """
        What a packet adds to the sound, in samples.

        :param previous: samples of the block before it; 0 when it is not known.
        :return: 0 for what is not an audio packet.
        """
        if not packet:
            return 0
        current = self.current[packet[0]]
        if not current:
            return 0
        return ((previous or self.previous[packet[0]] or current) + current) >> 2


@dataclass(frozen=True, slots=True)
class Headers:
    """The three headers, each as it is."""

    identification: bytes
    comment: bytes
    setup: bytes


def laceHeaders(headers: Headers) -> bytes:
    """The headers as Matroska's CodecPrivate: their number less one, the sizes of all but the last, the headers."""
    lacing = b"\x02" + _xiphSize(len(headers.identification)) + _xiphSize(len(headers.comment))
    return lacing + headers.identification + headers.comment + headers.setup


def _xiphSize(size: int) -> bytes:
    return b"\xff" * (size // 255) + bytes((size % 255,))


def unlaceHeaders(data: bytes) -> Headers:
    """
    :param data: a CodecPrivate.
    :raises ProtocolError: when it is not three headers.
    """
    if data[:1] != b"\x02":
        raise ProtocolError("Vorbis headers that are not three")
    offset = 1
    sizes: list[int] = []
    while len(sizes) < 2:
        size = 0
        while offset < len(data) and data[offset] == 255:
            size += 255
            offset += 1
        if offset >= len(data):
            raise ProtocolError("truncated Vorbis headers")
        sizes.append(size + data[offset])
        offset += 1
    return _splitHeaders(data, offset, sizes)


def _splitHeaders(data: bytes, offset: int, sizes: Sequence[int]) -> Headers:
    if len(data) - offset > MAX_HEADERS:
        raise ProtocolError(f"Vorbis headers of more than {MAX_HEADERS} bytes")
    first = offset + sizes[0]
    second = first + sizes[1]
    headers = Headers(data[offset:first], data[first:second] or EMPTY_COMMENT, data[second:])
    if not headers.setup.startswith(b"\x05vorbis") or not headers.comment.startswith(b"\x03vorbis"):
        raise ProtocolError("bad Vorbis headers")
    return headers


def parsePackedHeaders(data: bytes) -> Headers:
    """
    Packed headers without ident and length, as they also come in-band (RFC 5215, 3.1.1): the number of headers less
    one and the lengths of all but the last, 7 bits per byte, then the headers. An empty comment header, which is what
    ffmpeg sends, becomes :data:`EMPTY_COMMENT`.

    :raises ProtocolError: when it is not the three headers.
    """
    sizes, offset = _packedSizes(data, 0)
    return _splitHeaders(data, offset, sizes)


def _packedSizes(data: bytes, offset: int) -> tuple[tuple[int, int], int]:
    """The sizes of the first two headers, and where the first begins."""
    count, offset = _base128(data, offset)
    if count != 2:
        raise ProtocolError("Vorbis headers that are not three")
    first, offset = _base128(data, offset)
    second, offset = _base128(data, offset)
    return (first, second), offset


def _base128(data: bytes, offset: int) -> tuple[int, int]:
    """A number and where it ends. Four bytes hold more than any header may have."""
    value = 0
    for byte in data[offset : offset + 4]:
        value = value << 7 | byte & 0x7F
        offset += 1
        if not byte & 0x80:
            return value, offset
    raise ProtocolError("bad length of a Vorbis header")


def parsePackedConfiguration(data: bytes) -> dict[int, Headers]:
    """
    The headers by the ident of the packets that need them (RFC 5215, 3.2.1).

    :param data: ``configuration`` of an SDP, decoded by :func:`decodeConfiguration`.
    :raises ProtocolError: for anything else.
    """
    count = int.from_bytes(data[:4])
    if len(data) < 4 or not 1 <= count <= MAX_CONFIGURATIONS:
        raise ProtocolError(f"{count} Vorbis configurations")
    offset = 4
    found: dict[int, Headers] = {}
    for number in range(count):
        ident = int.from_bytes(data[offset : offset + 3])
        length = int.from_bytes(data[offset + 3 : offset + 5])
        sizes, offset = _packedSizes(data, offset + 5)
        # The length counts the headers without what is said about their sizes: so ffmpeg and GStreamer write it.
        end = len(data) if number == count - 1 else offset + length
        found[ident] = _splitHeaders(data[:end], offset, sizes)
        offset = end
    return found


def decodeConfiguration(text: str) -> dict[int, Headers]:
    """
    :param text: ``configuration`` as it stands in the SDP: base64; padding may be missing.
    :raises ProtocolError: as :func:`parsePackedConfiguration`.
    """
    if len(text) > MAX_HEADERS * MAX_CONFIGURATIONS:
        raise ProtocolError("Vorbis configuration that is too long")
    try:
        data = a2b_base64(text.rstrip("= ") + "==")
    except (Base64Error, ValueError):
        raise ProtocolError("Vorbis configuration that is not base64") from None
    return parsePackedConfiguration(data)
