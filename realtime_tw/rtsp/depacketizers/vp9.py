"""
VP9 (RFC 9628, section 4.2), in flexible and in non-flexible mode.

A *picture* is all frames of one time: one, or one for each spatial layer. A frame begins with the packet that has B
and ends with the one that has E; a picture ends with the marker, or when the time changes. The frames of several
layers become one superframe with an index, as the encoder of the layers would have written it.

What is a keyframe is read from the frames themselves: the descriptors of ffmpeg never set P.
"""

from collections.abc import Sequence

from realtime_tw.codec.vp9 import MAX_FRAMES, FrameHeader, joinSuperframe, parseFrameHeader, splitSuperframe
from realtime_tw.errors import ProtocolError
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.base import MAX_FRAME, NOTHING, PACKET_COST

# The bits of the first byte of a descriptor.
_PICTURE_ID = 0x80
_PREDICTED = 0x40
_LAYERS = 0x20
_FLEXIBLE = 0x10
_BEGIN = 0x08
_END = 0x04
_STRUCTURE = 0x02

# Any of these makes the descriptor longer than one byte.
_MORE = _PICTURE_ID | _LAYERS | _FLEXIBLE | _STRUCTURE

# Enough of a frame for its header.
_HEADER = 16


def _descriptor(payload: bytes) -> tuple[int, int]:
    """
    The length of a descriptor, and the number of the spatial layer.

    :raises IndexError: when the payload ends in it.
    :raises ProtocolError: for more reference indices than there may be.
    """
    first = payload[0]
    offset = 1
    layer = 0
    if first & _PICTURE_ID:
        offset = 3 if payload[1] & 0x80 else 2
    if first & _LAYERS:
        layer = payload[offset] >> 1 & 7
        # TL0PICIDX follows, but in flexible mode.
        offset += 1 if first & _FLEXIBLE else 2
    if first & (_FLEXIBLE | _PREDICTED) == _FLEXIBLE | _PREDICTED:
        for _ in range(3):
            more = payload[offset] & 1
            offset += 1
            if not more:
                break
        else:
            raise ProtocolError("VP9 descriptor with more than 3 reference indices")
    if first & _STRUCTURE:
        offset = _afterStructure(payload, offset)
    return offset, layer


def _afterStructure(payload: bytes, offset: int) -> int:
    """Where the scalability structure (4.2.1) ends. Its sizes and group of pictures are in the frames, too."""
    flags = payload[offset]
    offset += 1
    if flags & 0x10:
        offset += ((flags >> 5) + 1) * 4
    if flags & 0x08:
        pictures = payload[offset]
        offset += 1
        for _ in range(pictures):
            offset += 1 + (payload[offset] >> 2 & 3)
    return offset


class VP9Depacketizer:
    """
    Gives nothing before the first keyframe, and after any loss nothing before the next one.

    :ivar width: of the last keyframe, in pixels: of its highest layer. 0 before there was one.
    """

    __slots__ = ("_frames", "_parts", "_size", "_time", "_waiting", "config", "discarded", "height", "width")

    def __init__(self) -> None:
        self.config = b""
        self.discarded = 0
        self.width = 0
        self.height = 0
        #: Whole frames of the picture that arrives.
        self._frames: list[bytes] = []
        #: The frame that arrives.
        self._parts: list[bytes] = []
        #: Of the whole picture.
        self._size = 0
        self._time = 0
        self._waiting = True

    def receive(self, payload: bytes, time: int, marker: bool, lost: bool) -> Sequence[AccessUnit]:
        """See :class:`~realtime_tw.rtsp.depacketizers.base.Depacketizer`."""
        units: Sequence[AccessUnit] = NOTHING
        parts = self._parts
        if lost:
            self._giveUp()
        elif time != self._time and (parts or self._frames):
            units = self._finish()
        size = len(payload)
        if not size:
            return units
        first = payload[0]
        layer = 0
        if not first & _MORE:
            offset = 1
        else:
            try:
                offset, layer = _descriptor(payload)
            except (IndexError, ProtocolError):
                offset = size
        if offset >= size:
            self._giveUp()
            return units
        if first & _BEGIN:
            if self._waiting:
                if layer or not _isKeyframe(payload[offset : offset + _HEADER]):
                    return units
                self._waiting = False
            if parts:
                # E was not set.
                self._endFrame()
            if not self._frames:
                self._time = time
                self._size = 0
            elif len(self._frames) == MAX_FRAMES:
                self._giveUp()
                return units
        elif not parts:
            self._giveUp()
            return units
        parts.append(payload[offset:])
        self._size += size + PACKET_COST
        if self._size > MAX_FRAME:
            self._giveUp()
        elif marker:
            return [*units, *self._finish()]
        elif first & _END:
            self._endFrame()
        return units

    def flush(self) -> Sequence[AccessUnit]:
        """
        The picture, when its last frame had its end. A higher layer may be missing even then, and later pictures may
        need it: so a keyframe must come next.
        """
        units: Sequence[AccessUnit] = NOTHING
        if self._frames and not self._parts:
            units = self._finish()
            self._waiting = True
        elif self._parts:
            self._giveUp()
        return units

    def _giveUp(self) -> None:
        self._waiting = True
        if self._parts or self._frames:
            self._parts.clear()
            self._frames.clear()
            self.discarded += 1

    def _endFrame(self) -> None:
        self._frames.append(b"".join(self._parts))
        self._parts.clear()

    def _finish(self) -> Sequence[AccessUnit]:
        if self._parts:
            self._endFrame()
        frames = self._frames
        try:
            # What ends like an index of frames is one, and may leave nothing of a frame that looked whole.
            parts = [part for frame in frames for part in splitSuperframe(frame)]
            headers = [parseFrameHeader(part) for part in parts]
            data = frames[0] if len(frames) == 1 else joinSuperframe(parts)
        except ProtocolError:
            self._giveUp()
            return NOTHING
        frames.clear()
        keyframe = headers[0].keyframe
        if keyframe:
            self._setSize(headers)
        return (AccessUnit(self._time, keyframe, data),)

    def _setSize(self, headers: Sequence[FrameHeader]) -> None:
        for header in headers:
            if header.width:
                self.width = header.width
                self.height = header.height


def _isKeyframe(data: bytes) -> bool:
    try:
        return parseFrameHeader(data).keyframe
    except ProtocolError:
        return False
