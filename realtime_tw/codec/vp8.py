"""
The header of a VP8 frame (RFC 6386, sections 9.1 and 19.1): all of it that is not arithmetically coded.

Three bytes begin each frame; those of a keyframe go on with a start code and the size of the picture.
"""

from struct import Struct
from typing import NamedTuple

from realtime_tw.errors import ProtocolError

_START_CODE = b"\x9d\x01\x2a"
_SIZE = Struct("<HH")


class FrameHeader(NamedTuple):
    """
    :ivar keyframe: decoding can begin here.
    :ivar shown: False for a frame that only later ones refer to.
    :ivar version: 0 to 3, also called profile: which filters a decoder applies.
    :ivar width: in pixels; 0 unless this is a keyframe. A wish to be scaled up, which no player heeds, is left out.
    """

    keyframe: bool
    shown: bool
    version: int
    width: int
    height: int


def parseFrameHeader(data: bytes) -> FrameHeader:
    """
    :param data: one whole frame: it is checked that the first partition, which every frame needs, is inside of it.
    :raises ProtocolError: for what is no VP8 frame, or not the whole of one.
    """
    if len(data) < 3:
        raise ProtocolError("VP8 frame of less than 3 bytes")
    tag = int.from_bytes(data[:3], "little")
    version = tag >> 1 & 7
    if version > 3:
        raise ProtocolError(f"VP8 version {version}")
    keyframe = not tag & 1
    start = 10 if keyframe else 3
    if start + (tag >> 5) > len(data):
        raise ProtocolError("VP8 frame that ends in its first partition")
    if not keyframe:
        return FrameHeader(False, bool(tag & 16), version, 0, 0)
    if data[3:6] != _START_CODE:
        raise ProtocolError("VP8 keyframe without start code")
    width, height = _SIZE.unpack_from(data, 6)
    width &= 0x3FFF
    height &= 0x3FFF
    if not width or not height:
        raise ProtocolError("VP8 keyframe without size")
    return FrameHeader(True, bool(tag & 16), version, width, height)
