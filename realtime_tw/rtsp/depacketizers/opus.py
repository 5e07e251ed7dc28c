"""
Opus (RFC 7587): each RTP packet is one Opus packet.

The marker begins a talk spurt and has no meaning here. Nothing says how many channels there are but ``sprop-stereo``,
which may be missing, and the packets.
"""

from collections.abc import Mapping, Sequence

from realtime_tw.codec.opus import MAX_FRAME, SAMPLE_RATE, buildHead, countSamples
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.base import NOTHING

# Bits of a packet's first byte (RFC 6716, 3.1): it is stereo; it has more than a single frame.
_STEREO = 4
_SEVERAL = 3


class OpusDepacketizer:
    """
    :ivar config: OpusHead. RTP does not tell the encoder's delay: it counts as sound, as the times of packets do.
    :ivar discarded: malformed packets, and those of more than 120 ms.
    :ivar sampleRate: 48000, whatever was recorded.
    :ivar channels: 1, or 2 when the SDP or any packet says so.
    """

    __slots__ = ("channels", "config", "discarded", "sampleRate")

    def __init__(self, parameters: Mapping[str, str]) -> None:
        """:param parameters: of the SDP's ``fmtp``; keys in any case."""
        given = {key.strip().lower(): value.strip() for key, value in parameters.items()}
        self.discarded = 0
        self.sampleRate = SAMPLE_RATE
        self.channels = 2 if given.get("sprop-stereo") == "1" else 1
        self.config = buildHead(self.channels)

    def receive(self, payload: bytes, time: int, marker: bool, lost: bool) -> Sequence[AccessUnit]:
        """As :meth:`realtime_tw.rtsp.depacketizers.base.Depacketizer.receive`; an empty packet is a pause."""
        if not payload:
            return NOTHING
        first = payload[0]
        if (first & _SEVERAL or len(payload) > MAX_FRAME + 1) and not countSamples(payload):
            self.discarded += 1
            return NOTHING
        if first & _STEREO and self.channels == 1:
            self.channels = 2
            self.config = buildHead(2)
        return (AccessUnit(time, True, payload),)

    def flush(self) -> Sequence[AccessUnit]:
        """Nothing waits here."""
        return NOTHING
