"""
The contract of depacketizers, and the part of it that video has in common.

A depacketizer never gives a damaged access unit away: what was lost takes the frame it belonged to with it, and video
then waits for a frame that decoding can begin with.
"""

from collections.abc import Sequence
from typing import Protocol

from realtime_tw.media import AccessUnit

#: Returned by packets that complete nothing: most of them.
NOTHING: tuple[AccessUnit, ...] = ()

#: Bytes of one coded frame. 8K intra frames at the highest rates stay below 8 MiB; twice that is damage or an attack.
MAX_FRAME = 1 << 24

#: Counted against :data:`MAX_FRAME` for each packet, beside its bytes: what Python needs to hold one more object. So a
#: frame of one-byte packets takes no more memory than any other.
PACKET_COST = 64


class Depacketizer(Protocol):
    """
    :ivar config: what :attr:`realtime_tw.media.Track.config` should be by now; compare before and after a packet.
    :ivar discarded: access units that were begun and given up, because packets were lost or made no sense.
    """

    config: bytes
    discarded: int

    def receive(self, payload: bytes, time: int, marker: bool, lost: bool) -> Sequence[AccessUnit]:
        """
        One packet of the stream, in the order of sequence numbers.

        :param payload: without RTP header, extension and padding; may be empty or anything else.
        :param time: of the packet, unwrapped.
        :param lost: packets before this one are missing.
        :return: the access units that are complete now. Never raises.
        """

    def flush(self) -> Sequence[AccessUnit]:
        """The stream ends, or pauses: what is complete and only waited for its confirmation by a later packet."""
