"""
MPEG audio (RFC 2250, section 3.5; payload type 14, ``MPA``): MP3, and layers I and II.

Four bytes, the last two of which are the offset in the frame that the packet begins with, then whole frames or a piece
of one. Frames tell their sizes (ISO/IEC 11172-3, 2.4.2.3), so the marker, about which senders disagree, is ignored.
No frame has more than 2881 bytes, layer II at 160 kbit/s and 8 kHz: that is all that can wait.
"""

from collections.abc import Sequence
from typing import NamedTuple

from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.base import NOTHING

#: Ticks per second of all MPEG audio over RTP.
CLOCK_RATE = 90000

_HEADER = 4

_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}

# kbit/s by version (MPEG-1 or its low sampling frequencies) and layer.
_LOW = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_BITRATES = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): _LOW,
    (False, 3): _LOW,
}


class FrameHeader(NamedTuple):
    """
    What a frame's header says.

    :ivar layer: 3 is MP3.
    :ivar size: bytes of the frame, header included.
    :ivar samples: per channel.
    """

    layer: int
    sampleRate: int
    channels: int
    size: int
    samples: int


def parseFrameHeader(header: int) -> FrameHeader | None:
    """
    :param header: the first four bytes of a frame, as a number.
    :return: None for what is none, and for free format, which does not tell sizes.
    """
    version = header >> 19 & 3
    layer = 4 - (header >> 17 & 3)
    bitrate = header >> 12 & 15
    rate = header >> 10 & 3
    if header >> 21 != 0x7FF or version == 1 or layer == 4 or rate == 3 or not 0 < bitrate < 15:
        return None
    first = version == 3
    sampleRate = _RATES[version][rate]
    bits = _BITRATES[first, layer][bitrate] * 1000
    padding = header >> 9 & 1
    channels = 1 if header >> 6 & 3 == 3 else 2
    if layer == 1:
        return FrameHeader(layer, sampleRate, channels, (12 * bits // sampleRate + padding) * 4, 384)
    samples = 1152 if first or layer == 2 else 576
    return FrameHeader(layer, sampleRate, channels, samples // 8 * bits // sampleRate + padding, samples)


class MPADepacketizer:
    """
    :ivar config: none.
    :ivar discarded: frames that were lost in part, and packets that begin with none.
    :ivar layer: of the last frame; 0 before there was one.
    :ivar sampleRate: of the last frame, in Hz; 0 before.
    :ivar channels: of the last frame; 0 before.
    """

    __slots__ = (
        "_have",
        "_known",
        "_parts",
        "_time",
        "_wanted",
        "channels",
        "config",
        "discarded",
        "layer",
        "sampleRate",
    )

    def __init__(self) -> None:
        self.config = b""
        self.discarded = 0
        self.layer = 0
        self.sampleRate = 0
        self.channels = 0
        # Headers seen: a stream has two or three, which differ in their padding and bit rate.
        self._known: dict[int, FrameHeader] = {}
        self._parts: list[bytes] = []
        self._have = 0
        self._wanted = 0
        self._time = 0

    def receive(self, payload: bytes, time: int, marker: bool, lost: bool) -> Sequence[AccessUnit]:
        """As :meth:`realtime_tw.rtsp.depacketizers.base.Depacketizer.receive`."""
        if lost and self._parts:
            self._giveUp()
        total = len(payload)
        if total <= _HEADER:
            return NOTHING
        if payload[2] or payload[3]:
            return self._continue(payload, payload[2] << 8 | payload[3])
        if self._parts:
            self._giveUp()
        units: list[AccessUnit] = []
        offset = _HEADER
        number = 0
        while offset < total:
            header = self._header(int.from_bytes(payload[offset : offset + 4])) if total - offset >= 4 else None
            if header is None:
                self.discarded += 1
                break
            # Frames of one stream last equally long; so the sum is exact.
            at = time + number * header.samples * CLOCK_RATE // header.sampleRate
            end = offset + header.size
            if end > total:
                self._parts = [payload[offset:]]
                self._have = total - offset
                self._wanted = header.size
                self._time = at
                break
            units.append(AccessUnit(at, True, payload[offset:end]))
            offset = end
            number += 1
        return units

    def _header(self, value: int) -> FrameHeader | None:
        # All bits that matter; mode extension, copyright, original and emphasis change from frame to frame.
        value &= 0xFFFEFEC0
        header = self._known.get(value)
        if header is None:
            header = parseFrameHeader(value)
            if header is None:
                return None
            if len(self._known) > 64:
                self._known.clear()
            self._known[value] = header
        self.layer = header.layer
        self.sampleRate = header.sampleRate
        self.channels = header.channels
        return header

    def _continue(self, payload: bytes, offset: int) -> Sequence[AccessUnit]:
        """A packet that begins inside of a frame."""
        if not self._parts:
            # The loss of its beginning was counted, or nobody saw it.
            return NOTHING
        end = _HEADER + self._wanted - self._have
        if offset != self._have or end < len(payload):
            self._giveUp()
            return NOTHING
        self._parts.append(payload[_HEADER:])
        self._have += len(payload) - _HEADER
        if self._have < self._wanted:
            return NOTHING
        whole = b"".join(self._parts)
        self._parts = []
        return (AccessUnit(self._time, True, whole),)

    def _giveUp(self) -> None:
        self.discarded += 1
        self._parts = []

    def flush(self) -> Sequence[AccessUnit]:
        """Nothing that waits here is complete."""
        if self._parts:
            self._giveUp()
        return NOTHING
