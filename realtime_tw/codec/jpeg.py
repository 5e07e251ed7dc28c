"""
The structure of a JPEG file (ITU-T T.81, annex B): is it whole, and how large is the picture?

Nothing is decoded: baseline, progressive, lossless and arithmetic files are all the same here.
"""

import re
from struct import Struct
from typing import NamedTuple

from realtime_tw.errors import LimitExceeded, ProtocolError

#: Marker segments of one file. Photographs with ICC profile and all metadata have some dozens, progressive ones a few
#: more; a file of nothing but empty segments shall not keep us busy.
MAX_SEGMENTS = 4096

SOI = b"\xff\xd8"
EOI = b"\xff\xd9"

_MARKER_EOI = 0xD9
_MARKER_SOS = 0xDA
# SOF0 to SOF15, less the three codes between them that are DHT, JPG and DAC.
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# TEM, RST0 to RST7 and SOI have no length and no place between the segments.
_ALONE = frozenset([0x00, 0x01, *range(0xD0, 0xD9)])

_LENGTH = Struct(">H")
_FRAME = Struct(">BHH")

# A marker between segments; any number of fill bytes may precede its code.
_MARKER = re.compile(rb"\xff+[^\xff]")

# What ends a scan: 0xFF in it is followed by a zero or is part of a restart marker.
_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


class JPEGInfo(NamedTuple):
    """
    :ivar width: in pixels.
    :ivar size: bytes up to and with the EOI marker. More may have followed it: some cameras pad their pictures.
    """

    width: int
    height: int
    size: int


def parseJPEG(data: bytes) -> JPEGInfo:
    """
    :param data: a file that begins with its SOI marker.
    :raises ProtocolError: for what is no JPEG file or not the whole of one.
    """
    if data[:2] != SOI:
        raise ProtocolError("no JPEG file: no SOI marker")
    width = height = 0
    scanned = False
    position = 2
    length = len(data)
    for _ in range(MAX_SEGMENTS):
        match = _MARKER.match(data, position)
        if match is None:
            raise ProtocolError("JPEG file that ends before its EOI marker, or has none where one must be")
        marker = data[match.end() - 1]
        position = match.end()
        if marker == _MARKER_EOI:
            if not width or not scanned:
                raise ProtocolError("JPEG file without picture")
            return JPEGInfo(width, height, position)
        if marker in _ALONE:
            raise ProtocolError(f"JPEG marker {marker:#x} between segments")
        if position + 2 > length:
            raise ProtocolError("JPEG file that ends in a segment")
        (size,) = _LENGTH.unpack_from(data, position)
        if size < 2 or position + size > length:
            raise ProtocolError("JPEG file that ends in a segment")
        if marker in _FRAME_HEADERS:
            if size < 8:
                raise ProtocolError("JPEG frame header of less than 8 bytes")
            _, height, width = _FRAME.unpack_from(data, position + 2)
            # A height of zero is told behind the first scan, in a DNL segment; nobody sends such pictures.
            if not width or not height:
                raise ProtocolError("JPEG file without size")
        position += size
        if marker == _MARKER_SOS:
            end = _SCAN_END.search(data, position)
            if end is None:
                raise ProtocolError("JPEG file that ends in a scan")
            position = end.start()
            scanned = True
    raise LimitExceeded(f"JPEG file of more than {MAX_SEGMENTS} segments")
