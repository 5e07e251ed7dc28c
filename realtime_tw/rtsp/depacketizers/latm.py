"""
AAC as MP4A-LATM (RFC 6416, section 5), which GStreamer prefers: an audioMuxElement in one or more packets, its last one
marked; in it each frame comes after its length.

With ``cpresent=0`` the SDP has the StreamMuxConfig. With ``cpresent=1``, which is what its absence means, elements may
begin with it, and nothing in them stands on a byte's border.
"""

from collections.abc import Mapping, Sequence

from realtime_tw.codec.aac import MAX_UNIT
from realtime_tw.codec.bits import BitReader
from realtime_tw.codec.latm import (
    StreamMuxConfig,
    parseStreamMuxConfig,
    payloadLength,
    readBytes,
    readPayloadLength,
    readStreamMuxConfig,
)
from realtime_tw.errors import ProtocolError
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.base import NOTHING, PACKET_COST

#: Bytes of one audioMuxElement. Several of the largest frames fit; 64 frames, which an element may have, would delay
#: the sound by more than a second.
MAX_ELEMENT = 4 * MAX_UNIT

#: Frames in one packet. An element has at most 64, and a packet of empty ones would be a cheap way to keep us busy.
MAX_UNITS = 256


class LATMDepacketizer:
    """
    :ivar config: the AudioSpecificConfig out of the StreamMuxConfig; empty until it is known.
    :ivar discarded: elements that were begun and given up.
    :ivar sampleRate: Hz of the decoded sound; 0 when not known.
    :ivar channels: of the decoded sound; 0 when not known.
    """

    __slots__ = (
        "_clockRate",
        "_denominator",
        "_fragments",
        "_have",
        "_inBand",
        "_mux",
        "_numerator",
        "_parts",
        "_skipping",
        "_time",
        "channels",
        "config",
        "discarded",
        "sampleRate",
    )

    def __init__(self, parameters: Mapping[str, str], clockRate: int) -> None:
        """
        :param parameters: of the SDP's ``fmtp``; keys in any case.
        :param clockRate: of the SDP's ``rtpmap``, in Hz.
        :raises ProtocolError: for a config that cannot be used, or that is missing.
        """
        given = {key.strip().lower(): value.strip() for key, value in parameters.items()}
        self._clockRate = clockRate
        self._inBand = given.get("cpresent", "1") != "0"
        self.config = b""
        self.discarded = 0
        self.sampleRate = 0
        self.channels = 0
        self._numerator = 1024
        self._denominator = 1
        self._mux: StreamMuxConfig | None = None
        text = given.get("config", "").strip('"')
        if text:
            try:
                self._learn(parseStreamMuxConfig(bytes.fromhex(text)))
            except ValueError:
                raise ProtocolError("config in the SDP that is not hexadecimal") from None
        elif not self._inBand:
            raise ProtocolError("MP4A-LATM without config")

        # The element that is on its way.
        self._parts: list[bytes] = []
        self._have = 0
        self._time = 0
        # Everything up to the next marker belongs to an element that lost a packet.
        self._skipping = False
        # Whether the sender was seen to divide elements: then what follows a loss may be the end of one.
        self._fragments = False

    def _learn(self, mux: StreamMuxConfig) -> None:
        self._mux = mux
        audio = mux.audio
        self.config = mux.audioData
        self.sampleRate = audio.outputRate
        self.channels = audio.outputChannels
        self._numerator = audio.samplesPerFrame * self._clockRate
        self._denominator = audio.sampleRate

    def receive(self, payload: bytes, time: int, marker: bool, lost: bool) -> Sequence[AccessUnit]:
        """As :meth:`realtime_tw.rtsp.depacketizers.base.Depacketizer.receive`."""
        if lost and (self._parts or self._fragments):
            # No packet says whether it begins an element. Where elements are divided at all, only a marker does. Where
            # they are not, each packet is whole, and the lengths in it must fit exactly.
            if self._parts:
                self._giveUp()
            self._skipping = True
        if self._skipping:
            self._skipping = not marker
            return NOTHING
        if self._parts:
            if time != self._time:
                self._giveUp()
            elif marker:
                self._parts.append(payload)
                payload = b"".join(self._parts)
                self._parts = []
        if not marker:
            self._collect(payload, time)
            return NOTHING
        return self._element(payload, time)

    def _collect(self, payload: bytes, time: int) -> None:
        if not self._parts:
            self._have = 0
            self._time = time
            self._fragments = True
        self._parts.append(payload)
        self._have += len(payload) + PACKET_COST
        if self._have > MAX_ELEMENT:
            self._giveUp()
            self._skipping = True

    def _giveUp(self) -> None:
        self.discarded += 1
        self._parts = []

    def _element(self, data: bytes, time: int) -> Sequence[AccessUnit]:
        try:
            units = self._readUnaligned(data) if self._inBand else self._readAligned(data)
        except ProtocolError:
            self.discarded += 1
            return NOTHING
        numerator, denominator = self._numerator, self._denominator
        return [
            AccessUnit(time + number * numerator // denominator, True, unit)
            for number, unit in enumerate(units)
            if unit
        ]

    def _readAligned(self, data: bytes) -> list[bytes]:
        """
        The frames of an element that begins at a byte's border.

        Some senders put several elements into a packet, one behind the other.
        """
        mux = self._mux
        assert mux is not None
        units: list[bytes] = []
        total = len(data)
        offset = 0
        while offset < total and (len(units) < mux.frames or not mux.hasOther):
            if mux.frameSize:
                size = mux.frameSize
            else:
                size = data[offset]
                if size == 255:
                    size, offset = payloadLength(data, offset)
                else:
                    offset += 1
            end = offset + size
            if end > total or len(units) >= MAX_UNITS:
                raise ProtocolError("LATM frame that is longer than its packet")
            units.append(data[offset:end])
            offset = end
        return units

    def _readUnaligned(self, data: bytes) -> list[bytes]:
        """The frames of an element that may begin with a StreamMuxConfig."""
        bits = BitReader(data)
        if bits.left and not bits.flag():
            mux = readStreamMuxConfig(bits)
            if mux != self._mux:
                self._learn(mux)
        known = self._mux
        units: list[bytes] = []
        for _ in range(known.frames if known is not None and bits.left else 0):
            assert known is not None
            size = known.frameSize or readPayloadLength(bits)
            units.append(readBytes(bits, bits.position, bits.position + size * 8))
        return units

    def flush(self) -> Sequence[AccessUnit]:
        """Nothing that waits here is complete."""
        if self._parts:
            self._giveUp()
        self._skipping = False
        return NOTHING
