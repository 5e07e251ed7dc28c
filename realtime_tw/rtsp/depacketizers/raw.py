"""
A codec that we do not know: packets are passed on as they are.

``Codec.RTP`` needs the RTP header, too, and a depacketizer sees packets without it. So this one is only a mark, and its
user hands whole packets in.
"""

from collections.abc import Sequence

from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.base import NOTHING


class RawDepacketizer:
    """
    :ivar config: none.
    :ivar discarded: always 0: nobody can know.
    """

    __slots__ = ("config", "discarded")

    def __init__(self) -> None:
        self.config = b""
        self.discarded = 0

    def receive(self, payload: bytes, time: int, marker: bool, lost: bool) -> Sequence[AccessUnit]:
        """:param payload: a whole RTP packet, header included."""
        return (AccessUnit(time, True, payload),) if payload else NOTHING

    def flush(self) -> Sequence[AccessUnit]:
        """Nothing waits here."""
        return NOTHING
