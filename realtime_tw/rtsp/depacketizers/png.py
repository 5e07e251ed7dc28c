"""
PNG (draft-boyaci-avt-png): the file is cut into packets without any payload header.

All packets of an image have the same time, and the marker ends it. Where the marker is missing, a change of the time
does, if the file is whole.
"""

from collections.abc import Sequence

from realtime_tw.codec.png import SIGNATURE, parsePNG
from realtime_tw.errors import ProtocolError
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.base import MAX_FRAME, NOTHING, PACKET_COST


class PNGDepacketizer:
    """
    Every image is a keyframe, and a loss takes no other image with it.

    :ivar width: of the last image, in pixels; 0 before there was one.
    """

    __slots__ = ("_parts", "_size", "_time", "config", "discarded", "height", "width")

    def __init__(self) -> None:
        self.config = b""
        self.discarded = 0
        self.width = 0
        self.height = 0
        self._parts: list[bytes] = []
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
        if not payload:
            return units
        if not parts:
            # The rest of an image that was given up. A packet may be shorter than the signature.
            if not SIGNATURE.startswith(payload[: len(SIGNATURE)]):
                return units
            self._time = time
            self._size = 0
        parts.append(payload)
        self._size += len(payload) + PACKET_COST
        if self._size > MAX_FRAME:
            self._giveUp()
        elif marker:
            return [*units, *self._finish()]
        return units

    def flush(self) -> Sequence[AccessUnit]:
        """The image, when it is whole and only lacks its marker."""
        return self._finish() if self._parts else NOTHING

    def _giveUp(self) -> None:
        if self._parts:
            self._parts.clear()
            self.discarded += 1

    def _finish(self) -> Sequence[AccessUnit]:
        data = b"".join(self._parts)
        try:
            info = parsePNG(data)
        except ProtocolError:
            self._giveUp()
            return NOTHING
        self._parts.clear()
        self.width = info.width
        self.height = info.height
        return (AccessUnit(self._time, True, data[: info.size]),)
