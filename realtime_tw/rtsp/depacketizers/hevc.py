"""
HEVC out of RTP (RFC 7798): single NAL units, aggregation packets, fragmentation units, and PACI packets, of which the
extension is skipped. NAL units of other layers than the base layer are left out.

Decoding order numbers, which packets have when ``sprop-max-don-diff`` is above 0, are taken out. Packets that were sent
in another order than their NAL units are decoded in count as damage: no sender in use does that.
"""

from collections.abc import Sequence

from realtime_tw.codec.hevc import NALType, hevcConfig, parameterSetId, parseSPS
from realtime_tw.rtsp.depacketizers.nal import NALDepacketizer

_SETS = frozenset((NALType.VPS, NALType.SPS, NALType.PPS))

_DROPPED = frozenset((NALType.AUD, NALType.END_OF_SEQUENCE, NALType.END_OF_BITSTREAM, NALType.FILLER))

# Fragmented or not, these are looked at as a whole.
_SPECIAL = _SETS | _DROPPED

# With these an access unit begins, when it has them (H.265, 7.4.2.4.4): whatever was lost before was not part of it.
_FIRST = frozenset((NALType.AUD, NALType.VPS))

_ENDS = frozenset((NALType.END_OF_SEQUENCE, NALType.END_OF_BITSTREAM))

_RASL = frozenset((NALType.RASL_N, NALType.RASL_R))


class HEVCDepacketizer(NALDepacketizer):
    """
    HEVC. A keyframe is an IRAP picture: IDR, BLA or CRA. Where decoding begins with a CRA picture, the RASL pictures
    that belong to it refer to what is missing and are left out, as they always are after a BLA picture.

    :param parameterSets: VPS, SPS and PPS from the description; see
        :func:`realtime_tw.rtsp.depacketizers.nal.decodeSprop`.
    :param orderNumbers: ``sprop-max-don-diff`` is above 0.
    """

    __slots__ = ("_lastNumber", "_numbered", "_sequenceEnded", "_skipRASL", "_startsSequence")

    def __init__(self, parameterSets: Sequence[bytes] = (), orderNumbers: bool = False) -> None:
        super().__init__()
        self._numbered = orderNumbers
        self._lastNumber: int | None = None
        self._skipRASL = False
        self._startsSequence = False
        self._sequenceEnded = False
        self._takeFirstSets(parameterSets)
        self._sequenceEnded = False

    def _packet(self, payload: bytes) -> None:
        if len(payload) < 3:
            # A header alone is the end of a sequence, which is as short as that.
            if self._prefix is not None or len(payload) < 2 or self._numbered:
                self._damage()
            else:
                self._nal(payload)
            return
        kind = payload[0] >> 1 & 63
        if kind == NALType.PACI and len(payload) > 4:
            # The header of what is inside, from the fields that stand for it (section 4.4.4), and the extension's size.
            fields = payload[2] << 8 | payload[3]
            kind = fields >> 9 & 63
            header = bytes((fields >> 8 & 0xFE | payload[0] & 1, payload[1]))
            payload = header + payload[4 + (fields >> 4 & 31) :]
            if len(payload) < 3:
                self._damage()
                return
        if kind == NALType.FU:
            self._fragment(payload)
            return
        if self._prefix is not None:
            self._damage()
        if kind < NALType.AP:
            if self._numbered and not payload.startswith(b"\0\0"):
                if len(payload) < 4:
                    self._damage()
                    return
                self._number(payload[2] << 8 | payload[3])
                payload = payload[:2] + payload[4:]
            self._nals(payload)
        elif kind == NALType.AP:
            self._aggregate(payload)
        elif kind == NALType.PACI:
            self._damage()

    def _aggregate(self, payload: bytes) -> None:
        position, end = 2, len(payload)
        number = 0
        if self._numbered:
            number = payload[2] << 8 | payload[3] if end > 3 else 0
            position = 4
        while position + 2 < end:
            if self._numbered:
                self._number(number)
            start = position + 2
            position = start + (payload[position] << 8 | payload[position + 1])
            if position > end:
                self._damage()
                return
            if position > start:
                self._nals(payload[start:position])
            if self._numbered and position < end:
                number = (number + payload[position] + 1) & 0xFFFF
                position += 1

    def _number(self, number: int) -> None:
        """The decoding order number of the next NAL unit; they grow where the order is kept (section 6)."""
        last = self._lastNumber
        self._lastNumber = number
        if last is not None and (number - last) & 0xFFFF >= 0x8000:
            self._damage()

    def _fragment(self, payload: bytes) -> None:
        fragment = payload[2]
        kind = fragment & 63
        if fragment & 0x80:
            if self._suspect:
                self._suspect = False
                if kind not in _FIRST:
                    self._damage()
            content = 3
            if self._numbered:
                content = 5
                if len(payload) < 5:
                    self._damage()
                else:
                    self._number(payload[3] << 8 | payload[4])
            if self._prefix is not None or kind >= NALType.AP or payload[0] & 0x80 or not payload[1] & 7:
                self._damage()
            if self._damaged:
                return
            header = bytes((payload[0] & 0x81 | kind << 1, payload[1]))
            self._startFragments(payload[:2] + bytes((kind,)), header, payload[content:])
        elif self._prefix is None or kind != self._prefix[2]:
            self._damage()
        else:
            self._addFragment(payload[3:])
        if fragment & 0x40 and self._prefix is not None:
            # By the first fragment's header: the last one's need not say the same.
            whole = kind in _SPECIAL or bool(self._prefix[0] & 1 or self._prefix[1] >> 3)
            self._endFragments(kind, whole)

    def _nal(self, nal: bytes) -> None:
        if len(nal) < 2:
            self._damage()
            return
        kind = nal[0] >> 1 & 63
        if self._suspect:
            self._suspect = False
            if kind not in _FIRST:
                self._damage()
        if nal[0] & 0x80 or not nal[1] & 7 or NALType.AP <= kind <= NALType.PACI:
            self._damage()
        elif nal[0] & 1 or nal[1] >> 3:
            # Of another layer; a decoder of the base layer leaves it out as well.
            return
        elif kind in _SETS:
            self._takeSet(kind, nal)
        elif kind in _ENDS:
            self._sequenceEnded = True
        elif kind not in _DROPPED and not self._damaged:
            self._add(kind, nal)

    def _note(self, kind: int, start: bytes) -> None:
        if kind <= NALType.RESERVED_VCL:
            if self._picture < 0:
                self._startsSequence = self._sequenceEnded
                self._sequenceEnded = False
            self._picture = kind

    def _admit(self) -> bool | None:
        kind = self._picture
        if NALType.BLA_W_LP <= kind <= NALType.RESERVED_IRAP:
            self._skipRASL = self.awaitingKeyframe or self._startsSequence or kind <= NALType.BLA_N_LP
            return True
        if kind in _RASL and self._skipRASL:
            return None
        return False

    def _identify(self, kind: int, nal: bytes) -> int:
        if kind == NALType.SPS:
            return parseSPS(nal).id
        return parameterSetId(nal)

    def _configure(self) -> bytes:
        spsList = self._setsOf(NALType.SPS)
        config = hevcConfig(self._setsOf(NALType.VPS), spsList, self._setsOf(NALType.PPS))
        sps = parseSPS(spsList[0])
        self.width, self.height, self.reorder = sps.width, sps.height, sps.reorder
        return config
