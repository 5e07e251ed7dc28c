"""
Samples as they are: G.711 (PCMU, PCMA) and L16 (RFC 3551, 4.5.14 and 4.5.11). One access unit per packet; what is lost
is a gap.
"""

from collections.abc import Sequence

from realtime_tw.errors import ProtocolError
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.base import NOTHING

#: Channels of one stream. RFC 3551 names orders for up to 6; this many have been seen with L16 in studios.
MAX_CHANNELS = 64


class PCMDepacketizer:
    """
    :ivar config: none.
    :ivar discarded: packets that end inside of a sample.
    :ivar sampleRate: in Hz.
    :ivar channels: interleaved.
    """

    __slots__ = ("_width", "channels", "config", "discarded", "sampleRate")

    def __init__(self, sampleSize: int, sampleRate: int, channels: int = 1) -> None:
        """
        :param sampleSize: bytes of one sample of one channel: 1 for G.711, 2 for L16.
        :raises ProtocolError: for a number of channels that makes no sense.
        """
        if not 1 <= channels <= MAX_CHANNELS:
            raise ProtocolError(f"sound of {channels} channels")
        self.config = b""
        self.discarded = 0
        self.sampleRate = sampleRate
        self.channels = channels
        self._width = sampleSize * channels

    def receive(self, payload: bytes, time: int, marker: bool, lost: bool) -> Sequence[AccessUnit]:
        """As :meth:`realtime_tw.rtsp.depacketizers.base.Depacketizer.receive`."""
        if not payload:
            return NOTHING
        if len(payload) % self._width:
            self.discarded += 1
            return NOTHING
        return (AccessUnit(time, True, payload),)

    def flush(self) -> Sequence[AccessUnit]:
        """Nothing waits here."""
        return NOTHING
