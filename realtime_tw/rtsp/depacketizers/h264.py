"""
H264 out of RTP (RFC 6184).

Single NAL units, STAP-A and FU-A are understood, which is packetization modes 0 and 1. The packets of mode 2 (STAP-B,
MTAP and FU-B), where pictures may be sent in another order than they are decoded in, count as damage: no sender in use
has that mode, and a server that cannot play it should refuse it.
"""

from collections.abc import Sequence

from realtime_tw.codec.h264 import (
    NALType,
    avcConfig,
    isIntraSlice,
    parameterSetId,
    parseSPS,
    recoveryFrameCount,
)
from realtime_tw.rtsp.depacketizers.nal import NALDepacketizer

_SETS = frozenset((NALType.SPS, NALType.PPS, NALType.SPS_EXTENSION))

_DROPPED = frozenset((0, NALType.AUD, NALType.END_OF_SEQUENCE, NALType.END_OF_STREAM, NALType.FILLER, 30, 31))

# Fragmented or not, these are looked at as a whole.
_SPECIAL = _SETS | _DROPPED | {NALType.SEI}

# With these an access unit begins, when it has them (H.264, 7.4.1.2.3): whatever was lost before was not part of it.
_FIRST = frozenset((NALType.AUD, NALType.SPS))

_WITH_SLICE_HEADER = frozenset((NALType.SLICE, NALType.PARTITION_A))


class H264Depacketizer(NALDepacketizer):
    """
    H264 of packetization modes 0 and 1.

    A keyframe is an IDR picture. While one is awaited, an I picture with a recovery point message that promises a right
    picture at once does as well: streams with open GOPs have an IDR picture at their beginning or never. What is shown
    before it and comes after it may refer to what is missing, and is left out. Later, such pictures are not called
    keyframes unless asked for: a viewer who begins with one gets those pictures, too.

    :param parameterSets: SPS and PPS from the description; see
        :func:`realtime_tw.rtsp.depacketizers.nal.decodeSprop`.
    :param recoveryPoints: call each such picture a keyframe.
    """

    __slots__ = ("_intra", "_recovery", "_recoveryPoints", "_since")

    def __init__(self, parameterSets: Sequence[bytes] = (), recoveryPoints: bool = False) -> None:
        super().__init__()
        self._recoveryPoints = recoveryPoints
        self._recovery = False
        self._intra = True
        # Decoding began without an IDR picture: what is shown before it cannot be decoded.
        self._since: int | None = None
        self._takeFirstSets(parameterSets)

    def _begin(self, time: int, suspect: bool) -> None:
        super()._begin(time, suspect)
        self._recovery = False
        self._intra = True

    def _packet(self, payload: bytes) -> None:
        kind = payload[0] & 31
        if kind == NALType.FU_A:
            self._fragment(payload)
            return
        if self._prefix is not None:
            self._damage()
        if kind == NALType.STAP_A:
            position, end = 1, len(payload)
            while position + 2 < end:
                start = position + 2
                position = start + (payload[position] << 8 | payload[position + 1])
                if position > end:
                    self._damage()
                elif position > start:
                    self._nals(payload[start:position])
        elif kind < NALType.STAP_A:
            self._nals(payload)
        elif kind <= NALType.FU_B:
            self._damage()

    def _fragment(self, payload: bytes) -> None:
        if len(payload) < 2:
            self._damage()
            return
        header = payload[1]
        kind = header & 31
        if header & 0x80:
            if self._suspect:
                self._suspect = False
                if kind not in _FIRST:
                    self._damage()
            if self._prefix is not None or not 0 < kind < NALType.STAP_A or payload[0] & 0x80:
                self._damage()
            if self._damaged:
                return
            self._startFragments(bytes((payload[0], kind)), bytes((payload[0] & 0x60 | kind,)), payload[2:])
        elif self._prefix is None or kind != self._prefix[1]:
            self._damage()
        else:
            self._addFragment(payload[2:])
        if header & 0x40 and self._prefix is not None:
            self._endFragments(kind, kind in _SPECIAL)

    def _nal(self, nal: bytes) -> None:
        kind = nal[0] & 31
        if self._suspect:
            self._suspect = False
            if kind not in _FIRST:
                self._damage()
        if nal[0] & 0x80 or 24 <= kind <= 29:
            self._damage()
        elif kind in _SETS:
            self._takeSet(kind, nal)
        elif kind not in _DROPPED and not self._damaged:
            self._add(kind, nal)

    def _note(self, kind: int, start: bytes) -> None:
        if kind == NALType.IDR:
            self._picture = kind
        elif kind < NALType.IDR:
            if self._picture < 0:
                self._picture = kind
            if self._recovery and kind in _WITH_SLICE_HEADER and not isIntraSlice(start):
                self._intra = False
        elif kind == NALType.SEI and (self._recoveryPoints or self.awaitingKeyframe) and recoveryFrameCount(start) == 0:
            self._recovery = True

    def _admit(self) -> bool | None:
        if self._picture == NALType.IDR:
            self._since = None
            return True
        if self._recovery and self._intra:
            if self.awaitingKeyframe:
                self._since = self._time
                return True
            return self._recoveryPoints
        if self._since is not None:
            if self._time < self._since:
                return None
            self._since = None
        return False

    def _identify(self, kind: int, nal: bytes) -> int:
        if kind == NALType.SPS:
            return parseSPS(nal).id
        return parameterSetId(nal)

    def _configure(self) -> bytes:
        spsList = self._setsOf(NALType.SPS)
        config = avcConfig(spsList, self._setsOf(NALType.PPS), self._setsOf(NALType.SPS_EXTENSION))
        sps = parseSPS(spsList[0])
        self.width, self.height, self.reorder = sps.width, sps.height, sps.reorder
        return config
