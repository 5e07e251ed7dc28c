"""
The structure of a PNG file (ISO/IEC 15948, W3C Portable Network Graphics): is it whole, and how large is the picture?

Chunks are walked by their lengths, from the signature to IEND. Their checksums are left to the decoder: transports
have checksums of their own, and what is missing shows in the lengths.
"""

from struct import Struct
from typing import NamedTuple

from realtime_tw.errors import LimitExceeded, ProtocolError

#: Chunks of one file. libpng and ffmpeg write the picture in pieces of 4 to 8 KiB: this allows files of 256 MiB and
#: still ends a file of empty chunks early.
MAX_CHUNKS = 1 << 16

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_CHUNK = Struct(">I4s")
_SIZE = Struct(">II")
# Length, type and checksum.
_AROUND = 12
# No length or dimension has the highest bit.
_MAX_INTEGER = 0x7FFFFFFF


class PNGInfo(NamedTuple):
    """
    :ivar width: in pixels.
    :ivar size: bytes up to the end of the IEND chunk. More may have followed it.
    """

    width: int
    height: int
    size: int


def parsePNG(data: bytes) -> PNGInfo:
    """
    :param data: a file that begins with its signature.
    :raises ProtocolError: for what is no PNG file or not the whole of one.
    """
    if data[:8] != SIGNATURE:
        raise ProtocolError("no PNG file: no signature")
    length = len(data)
    if length < 8 + _AROUND + 13:
        raise ProtocolError("PNG file that ends in its header")
    if data[8:16] != b"\x00\x00\x00\x0dIHDR":
        raise ProtocolError("PNG file that does not begin with IHDR")
    width, height = _SIZE.unpack_from(data, 16)
    if not 0 < width <= _MAX_INTEGER or not 0 < height <= _MAX_INTEGER:
        raise ProtocolError("PNG file without size")
    position = 8 + _AROUND + 13
    pictures = 0
    for _ in range(MAX_CHUNKS):
        if position + _AROUND > length:
            raise ProtocolError("PNG file that ends before its IEND chunk")
        size, kind = _CHUNK.unpack_from(data, position)
        position += _AROUND + size
        if kind == b"IDAT":
            pictures += 1
        elif kind == b"IEND":
            if not pictures or size:
                raise ProtocolError("PNG file without picture")
            return PNGInfo(width, height, position)
    raise LimitExceeded(f"PNG file of more than {MAX_CHUNKS} chunks")
