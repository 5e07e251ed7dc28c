"""
Vorbis (RFC 5215): up to 15 packets in an RTP packet, or one in several; configurations come in the SDP, and may come
among the packets (3.1.1).

Only the first packet of an RTP packet has a time: those of the others come from the block sizes. The marker is always 0
and means nothing.
"""

from collections.abc import Mapping, Sequence

from realtime_tw.codec.vorbis import (
    MAX_CONFIGURATIONS,
    MAX_HEADERS,
    BlockSizes,
    Headers,
    decodeConfiguration,
    laceHeaders,
    parseIdentification,
    parseModes,
    parsePackedHeaders,
)
from realtime_tw.errors import ProtocolError
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.base import NOTHING, PACKET_COST

#: Bytes of one packet in fragments. Packets of sound have a few KiB; this is room for headers with a picture in them.
MAX_PACKET = MAX_HEADERS

# Bits of the fourth byte of the payload header (2.2).
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_SOUND, _CONFIGURATION, _COMMENT = range(3)

_IDENT = 3
_HEADER = 4


class _Configuration:
    """What becomes of three headers."""

    __slots__ = ("blocks", "headers", "identification", "private")

    def __init__(self, headers: Headers) -> None:
        self.headers = headers
        self.identification = parseIdentification(headers.identification)
        self.blocks = BlockSizes(self.identification, parseModes(headers.setup))
        self.private = laceHeaders(headers)


class VorbisDepacketizer:
    """
    :ivar config: the three headers with Xiph lacing; empty until they are known.
    :ivar discarded: packets that were lost in part, malformed, or for which there was no configuration.
    :ivar sampleRate: in Hz; 0 when not known.
    :ivar channels: 0 when not known.
    """

    __slots__ = (
        "_clockRate",
        "_configurations",
        "_current",
        "_fragmentsOf",
        "_have",
        "_ident",
        "_parts",
        "_previous",
        "channels",
        "config",
        "discarded",
        "sampleRate",
    )

    def __init__(self, parameters: Mapping[str, str], clockRate: int) -> None:
        """
        :param parameters: of the SDP's ``fmtp``; keys in any case.
        :param clockRate: of the SDP's ``rtpmap``, in Hz.
        :raises ProtocolError: for a configuration that cannot be used. None at all may still come among the packets.
        """
        given = {key.strip().lower(): value.strip() for key, value in parameters.items()}
        text = given.get("configuration", "").strip('"')
        found = decodeConfiguration(text) if text else {}
        self._clockRate = clockRate
        self._configurations = {ident.to_bytes(_IDENT): _Configuration(headers) for ident, headers in found.items()}
        self.config = b""
        self.discarded = 0
        self.sampleRate = 0
        self.channels = 0
        self._ident = b""
        self._current: _Configuration | None = None
        if self._configurations:
            self._use(next(iter(self._configurations)))
        # Samples of the block before; 0 when it is not known.
        self._previous = 0
        # The packet that is on its way in fragments, and what they have in common: header and time.
        self._parts: list[bytes] = []
        self._have = 0
        self._fragmentsOf: tuple[bytes, int, int] = (b"", 0, 0)

    def _use(self, ident: bytes) -> None:
        configuration = self._configurations[ident]
        self._ident = ident
        self._current = configuration
        self._previous = 0
        self.config = configuration.private
        self.sampleRate = configuration.identification.sampleRate
        self.channels = configuration.identification.channels

    def receive(self, payload: bytes, time: int, marker: bool, lost: bool) -> Sequence[AccessUnit]:
        """As :meth:`realtime_tw.rtsp.depacketizers.base.Depacketizer.receive`."""
        if lost:
            self._previous = 0
            if self._parts:
                self._giveUp()
        if len(payload) <= _HEADER:
            if payload:
                self._giveUp()
            return NOTHING
        flags = payload[_IDENT]
        dataType = flags >> 4 & 3
        if flags >> 6 != _WHOLE:
            data = self._join(payload, time)
            if data is None:
                return NOTHING
            packets = [data]
        else:
            if self._parts:
                self._giveUp()
            packets = self._split(payload, flags & 15)
        if dataType == _SOUND:
            return self._sound(payload[:_IDENT], packets, time)
        if dataType == _CONFIGURATION and packets:
            self._learn(payload[:_IDENT], packets[0])
        # A comment that changes on the way is nobody's concern, and the fourth kind is reserved.
        return NOTHING

    def _giveUp(self) -> None:
        self.discarded += 1
        self._previous = 0
        self._parts = []

    def _split(self, payload: bytes, count: int) -> list[bytes]:
        """The packets of a payload, each behind its length."""
        packets: list[bytes] = []
        total = len(payload)
        offset = _HEADER
        for _ in range(count or 1):
            # GStreamer counts no packets where a configuration is whole.
            start = offset + 2
            if start > total:
                self._giveUp()
                break
            offset = start + (payload[start - 2] << 8 | payload[start - 1])
            if offset > total:
                self._giveUp()
                break
            packets.append(payload[start:offset])
        return packets

    def _join(self, payload: bytes, time: int) -> bytes | None:
        """One more fragment. :return: the whole packet; None while it is not complete."""
        flags = payload[_IDENT]
        kind = flags >> 6
        end = 2 + _HEADER + int.from_bytes(payload[_HEADER : _HEADER + 2])
        common = (payload[:_IDENT], flags & 0x3F, time)
        if kind == _FIRST:
            if self._parts:
                self._giveUp()
            self._fragmentsOf = common
            self._have = 0
        elif not self._parts:
            # Its beginning was lost: that was counted, or nobody saw it.
            return None
        if end > len(payload) or common != self._fragmentsOf:
            self._giveUp()
            return None
        self._parts.append(payload[_HEADER + 2 : end])
        self._have += end - _HEADER - 2 + PACKET_COST
        if self._have > MAX_PACKET:
            self._giveUp()
            return None
        if kind != _LAST:
            return None
        whole = b"".join(self._parts)
        self._parts = []
        return whole

    def _sound(self, ident: bytes, packets: list[bytes], time: int) -> Sequence[AccessUnit]:
        if ident != self._ident:
            if ident not in self._configurations:
                self.discarded += len(packets)
                return NOTHING
            self._use(ident)
        current = self._current
        assert current is not None
        sizes, before = current.blocks.current, current.blocks.previous
        rate = current.identification.sampleRate
        clockRate = self._clockRate
        previous = self._previous
        samples = 0
        units: list[AccessUnit] = []
        for packet in packets:
            if not packet:
                continue
            first = packet[0]
            size = sizes[first]
            if not size:
                self.discarded += 1
                continue
            at = time + (samples if rate == clockRate else samples * clockRate // rate)
            units.append(AccessUnit(at, True, packet))
            # What a packet adds is half of each of the two blocks that overlap. When the block before is not known, and
            # the packet does not know it, equal ones are most likely: of the first packet of a stream, where there is
            # none, ffmpeg thinks the same.
            samples += (size + (previous or before[first] or size)) >> 2
            previous = size
        self._previous = previous
        return units

    def _learn(self, ident: bytes, data: bytes) -> None:
        known = self._configurations.get(ident)
        try:
            headers = parsePackedHeaders(data)
            if known is not None and known.headers == headers:
                return
            configuration = _Configuration(headers)
        except ProtocolError:
            self.discarded += 1
            return
        if known is None and len(self._configurations) >= MAX_CONFIGURATIONS:
            del self._configurations[next(other for other in self._configurations if other != self._ident)]
        self._configurations[ident] = configuration
        if self._current is None or ident == self._ident:
            self._use(ident)

    def flush(self) -> Sequence[AccessUnit]:
        """Nothing that waits here is complete."""
        if self._parts:
            self._giveUp()
        self._previous = 0
        return NOTHING
