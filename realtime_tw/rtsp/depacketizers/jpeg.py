"""
JPEG (RFC 2435): the headers of each picture are rebuilt from 8 bytes, the scan is put behind them.

The payload format leaves out what it can describe: types 0 (4:2:2) and 1 (4:2:0), with restart intervals as 64 and
65, always use the Huffman tables of ITU-T T.81, annex K.3; the quantization tables come from Q or from the first
packet of a picture. What arrives here is therefore the same picture as the sender's, but not the same file.
"""

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

from realtime_tw.codec.jpeg import EOI, SOI
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.base import MAX_FRAME, NOTHING, PACKET_COST

# Type-specific and offset, which has 24 bits; then type, Q, width and height, equal in all packets of a picture.
_MAIN = Struct(">I4s")
_RESTART = Struct(">H")
_TABLES = Struct(">xBH")
_SOF = Struct(">2sHBHHB")

# SOF and a picture's sizes have 16 bits.
_MAX_SIZE = 0xFFFF

# Of the end of a picture, where EOI is looked for. Cameras pad to a few bytes; more than this is part of no picture.
_TAIL = 64

_APP0 = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"

_DHT = bytes.fromhex(
    "ffc401a2"
    "0000010501010101010100000000000000"
    "000102030405060708090a0b"
    "100002010303020403050504040000017d"
    "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728"
    "292a3435363738393a434445464748494a535455565758595a636465666768696a737475767778797a83848586878889"
    "8a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2"
    "e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa"
    "0100030101010101010101010000000000"
    "000102030405060708090a0b"
    "1100020102040403040705040400010277"
    "000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718191a26"
    "2728292a35363738393a434445464748494a535455565758595a636465666768696a737475767778797a828384858687"
    "88898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9da"
    "e2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa"
)

# T.81, tables K.1 and K.2, in zigzag order, in which they are sent.
_LUMA = bytes.fromhex(
    "100b0c0e0c0a100e0d0e1211101318281a181616183123251d283a333d3c3933"
    "383740485c4e404457453738506d51575f626768673e4d71797064785c656763"
)
_CHROMA = bytes.fromhex("1112121815182f1a1a2f634238426363") + b"\x63" * 48

# Three components with table 0 for Y, table 1 for Cb and Cr; all 64 coefficients.
_SOS = bytes.fromhex("ffda000c03010002110311003f00")


class _Quantization(NamedTuple):
    """
    :ivar segments: the DQT segments.
    :ivar chroma: which table Cb and Cr use: 1, or 0 when there is only one table, as with ffmpeg.
    :ivar wide: a table has values of 16 bits, which baseline JPEG does not allow.
    """

    segments: bytes
    chroma: int
    wide: bool


def scaledTables(q: int) -> bytes:
    """The tables for luma and chroma, 64 bytes each, that Q means (section 4.2). :param q: 1 to 99."""
    factor = 5000 // q if q < 50 else 200 - q * 2
    return bytes(min(max((value * factor + 50) // 100, 1), 255) for value in _LUMA + _CHROMA)


def _quantization(tables: bytes, precision: int) -> _Quantization | None:
    """
    :param tables: not empty: one after the other; no more than two are used by the types that are known.
    :param precision: a bit for each table, the lowest first: 16 bits instead of 8.
    :return: None for tables that are cut off.
    """
    segments = []
    position = 0
    for table in range(2):
        if position == len(tables):
            break
        wide = precision >> table & 1
        end = position + (128 if wide else 64)
        if end > len(tables):
            return None
        segments.append(b"\xff\xdb" + (end - position + 3).to_bytes(2, "big") + bytes([wide << 4 | table]))
        segments.append(tables[position:end])
        position = end
    used = 3 if len(segments) > 2 else 1
    return _Quantization(b"".join(segments), len(segments) // 2 - 1, bool(precision & used))


class JPEGDepacketizer:
    """
    Every picture is a keyframe, and a loss takes no other picture with it. The two fields of interlaced video come
    out as they were sent: as pictures of half the height.

    The header has 8 bits for width and height each, in units of 8 pixels. Senders write 0 for what is larger than 2040
    (GStreamer) or only the lowest 8 bits (ffmpeg), and pictures of other sizes are announced larger than they are.

    :param width: of the picture in pixels as the description of the stream has it, in ``a=framesize`` or
        ``a=x-dimensions``; 0 when it has none. Used where the header agrees with it or says 0.
    :ivar width: of the last picture, in pixels; until there was one, what the constructor was given.
    """

    __slots__ = (
        "_cached",
        "_described",
        "_fixed",
        "_header",
        "_headerKey",
        "_offset",
        "_parts",
        "_size",
        "_skip",
        "_time",
        "config",
        "discarded",
        "height",
        "width",
    )

    def __init__(self, width: int = 0, height: int = 0) -> None:
        known = 0 < width <= _MAX_SIZE and 0 < height <= _MAX_SIZE
        self._described = (width, height) if known else (0, 0)
        self.config = b""
        self.discarded = 0
        self.width, self.height = self._described
        #: By Q: 99 values that are computed, 127 that are sent once.
        self._cached: dict[int, _Quantization] = {}
        #: What the last header was made of, and that header.
        self._headerKey: tuple[bytes, int, _Quantization] | None = None
        self._header = b""
        #: The picture that arrives. Its first part is the header.
        self._parts: list[bytes] = []
        self._fixed = b""
        self._skip = 8
        self._offset = 0
        self._size = 0
        self._time = 0

    def receive(self, payload: bytes, time: int, marker: bool, lost: bool) -> Sequence[AccessUnit]:
        """See :class:`~realtime_tw.rtsp.depacketizers.base.Depacketizer`."""
        units: Sequence[AccessUnit] = NOTHING
        parts = self._parts
        if lost:
            self._giveUp()
        elif parts and time != self._time:
            units = self._finish()
        size = len(payload)
        if size < 8:
            if size:
                self._giveUp()
            return units
        offset, fixed = _MAIN.unpack_from(payload)
        offset &= 0xFFFFFF
        if not offset:
            if parts:
                # The second field of a frame: same time, and only that one has the marker.
                units = [*units, *self._finish()]
            if not self._begin(payload, fixed):
                return units
            self._time = time
        elif not parts:
            return units
        elif offset != self._offset or fixed != self._fixed:
            self._giveUp()
            return units
        part = payload[self._skip :]
        if not offset:
            # Only the first packet has the tables.
            self._skip = 12 if fixed[0] >= 64 else 8
        parts.append(part)
        self._offset = offset + len(part)
        self._size += size + PACKET_COST
        if self._size > MAX_FRAME:
            self._giveUp()
        elif marker:
            return [*units, *self._finish()]
        return units

    def flush(self) -> Sequence[AccessUnit]:
        """The picture, when it has an EOI marker and only lacks that of the packet."""
        if self._parts and EOI in self._parts[-1][-_TAIL:]:
            return self._finish()
        self._giveUp()
        return NOTHING

    def _giveUp(self) -> None:
        if self._parts:
            self._parts.clear()
            self.discarded += 1

    def _finish(self) -> Sequence[AccessUnit]:
        parts = self._parts
        if not self._offset:
            # Tables without anything that uses them.
            self._giveUp()
            return NOTHING
        data = b"".join(parts)
        # The header is longer than that.
        end = data.rfind(EOI, -_TAIL)
        parts.clear()
        if end < 0:
            data += EOI
        elif end + 2 < len(data):
            data = data[: end + 2]
        return (AccessUnit(self._time, True, data),)

    def _begin(self, payload: bytes, fixed: bytes) -> bool:
        """The first packet of a picture. Sets how much of it precedes the scan; False when it makes no sense."""
        kind, q, columns, rows = fixed
        if kind & 0xBE:
            # Neither 0 or 1, nor 64 or 65.
            return False
        skip = 8
        interval = 0
        if kind >= 64:
            if len(payload) < 12:
                return False
            (interval,) = _RESTART.unpack_from(payload, 8)
            skip = 12
        if q >= 128:
            if len(payload) < skip + 4:
                return False
            precision, length = _TABLES.unpack_from(payload, skip)
            skip += 4
            if len(payload) < skip + length:
                return False
            quantization = self._sentTables(q, payload[skip : skip + length], precision)
            skip += length
        else:
            quantization = self._computedTables(q)
        size = self._pictureSize(columns, rows)
        if quantization is None or size is None:
            return False
        self.width, self.height = size
        key = (fixed, interval, quantization)
        if key != self._headerKey:
            self._headerKey = key
            self._header = _fileHeader(kind, size, interval, quantization)
        self._parts.append(self._header)
        self._size = len(self._header)
        self._fixed = fixed
        self._skip = skip
        return True

    def _sentTables(self, q: int, tables: bytes, precision: int) -> _Quantization | None:
        if not tables:
            return self._cached.get(q)
        quantization = _quantization(tables, precision)
        # What 255 means may change with every picture, so it is never left out.
        if quantization is not None and q < 255:
            self._cached[q] = quantization
        return quantization

    def _computedTables(self, q: int) -> _Quantization | None:
        if not 0 < q < 100:
            return None
        quantization = self._cached.get(q)
        if quantization is None and (quantization := _quantization(scaledTables(q), 0)) is not None:
            self._cached[q] = quantization
        return quantization

    def _pictureSize(self, columns: int, rows: int) -> tuple[int, int] | None:
        """:param columns: width in units of 8 pixels, as in the header. :return: in pixels."""
        width, height = self._described
        agrees = (width + 7 >> 3) & 0xFF == columns and (height + 7 >> 3) & 0xFF == rows
        if width and (agrees or not columns or not rows):
            return width, height
        if columns and rows:
            return columns * 8, rows * 8
        return None


def _fileHeader(kind: int, size: tuple[int, int], interval: int, quantization: _Quantization) -> bytes:
    """All of a file that precedes the scan."""
    width, height = size
    chroma = quantization.chroma
    # The component's number, how often it is sampled across and down, its quantization table.
    components = bytes([1, 0x22 if kind & 1 else 0x21, 0, 2, 0x11, chroma, 3, 0x11, chroma])
    # Tables of 16 bits make it an extended sequential file.
    sof = _SOF.pack(b"\xff\xc1" if quantization.wide else b"\xff\xc0", 17, 8, height, width, 3) + components
    dri = b"\xff\xdd\x00\x04" + interval.to_bytes(2, "big") if interval else b""
    return b"".join([SOI, _APP0, quantization.segments, sof, _DHT, dri, _SOS])
