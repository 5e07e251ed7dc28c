"""
VP8 (RFC 7741, sections 4.2 and 4.3).

A frame begins with the packet that has S = 1 and partition 0, and ends with the marker; where that is missing, when
the time changes. Without its first packet it is nothing. PictureID, TL0PICIDX, TID and KEYIDX are only skipped: the
sequence numbers tell what was lost, and these are optional.
"""

from collections.abc import Sequence

from realtime_tw.codec.vp8 import parseFrameHeader
from realtime_tw.errors import ProtocolError
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.base import MAX_FRAME, NOTHING, PACKET_COST

# S and the partition's number, in the first byte.
_START_MASK = 0x17
_START = 0x10


def _descriptorLength(extension: int) -> int:
    """Bytes of a payload descriptor, by its second one; a PictureID of 15 bits adds one more."""
    pictureID = extension >> 7 & 1
    tl0picidx = extension >> 6 & 1
    # TID and KEYIDX share a byte.
    tidOrKeyidx = 1 if extension & 0x30 else 0
    return 2 + pictureID + tl0picidx + tidOrKeyidx


_LENGTHS = bytes(map(_descriptorLength, range(256)))


class VP8Depacketizer:
    """
    Gives nothing before the first keyframe, and after any loss nothing before the next one.

    :ivar width: of the last keyframe, in pixels; 0 before there was one.
    """

    __slots__ = ("_parts", "_size", "_time", "_waiting", "config", "discarded", "height", "width")

    def __init__(self) -> None:
        self.config = b""
        self.discarded = 0
        self.width = 0
        self.height = 0
        self._parts: list[bytes] = []
        self._size = 0
        self._time = 0
        self._waiting = True

    def receive(self, payload: bytes, time: int, marker: bool, lost: bool) -> Sequence[AccessUnit]:
        """See :class:`~realtime_tw.rtsp.depacketizers.base.Depacketizer`."""
        units: Sequence[AccessUnit] = NOTHING
        parts = self._parts
        if lost:
            self._giveUp()
        elif parts and time != self._time:
            units = self._finish()
        size = len(payload)
        if not size:
            return units
        first = payload[0]
        if first < 0x80:
            offset = 1
        elif size > 2:
            extension = payload[1]
            offset = _LENGTHS[extension]
            if extension >= 0x80 and payload[2] >= 0x80:
                offset += 1
        else:
            offset = size
        if offset >= size:
            self._giveUp()
            return units
        if first & _START_MASK == _START:
            if parts:
                # Two beginnings at one time, no marker between them, no loss: one of both is wrong.
                self._giveUp()
            # The first bit of a frame is zero in a keyframe.
            if self._waiting and payload[offset] & 1:
                return units
            self._waiting = False
            self._time = time
            self._size = 0
        elif not parts:
            self._waiting = True
            return units
        parts.append(payload[offset:])
        self._size += size + PACKET_COST
        if self._size > MAX_FRAME:
            self._giveUp()
        elif marker:
            return [*units, *self._finish()]
        return units

    def flush(self) -> Sequence[AccessUnit]:
        """A frame without marker may lack its end, which nothing confirms now: it is given up."""
        if self._parts:
            self._giveUp()
        return NOTHING

    def _giveUp(self) -> None:
        self._waiting = True
        if self._parts:
            self._parts.clear()
            self.discarded += 1

    def _finish(self) -> Sequence[AccessUnit]:
        data = b"".join(self._parts)
        try:
            header = parseFrameHeader(data)
        except ProtocolError:
            self._giveUp()
            return NOTHING
        self._parts.clear()
        if header.keyframe:
            self.width = header.width
            self.height = header.height
        return (AccessUnit(self._time, header.keyframe, data),)
