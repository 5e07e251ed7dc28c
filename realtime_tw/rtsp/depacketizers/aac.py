"""
AAC as mpeg4-generic (RFC 3640): several access units in a packet, or one in several packets.

A packet begins with a section of AU headers, whose fields are as wide as the SDP says, then maybe auxiliary data, then
the access units. In AAC-hbr (3.3.6) each header is 13 bits of size and 3 of index: the way that everybody sends, and
fast here; AAC-lbr (3.3.5), headers with time stamps and flags (3.2.1.1), units of constant size and interleaving
(3.2.3.2) take the general way.
"""

import struct
from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from typing import TypeAlias

from realtime_tw.codec.aac import MAX_UNIT, AudioSpecificConfig, buildConfig, parseADTS, parseConfig
from realtime_tw.codec.bits import BitReader
from realtime_tw.errors import ProtocolError
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.base import NOTHING, PACKET_COST

#: Access units that wait because units from before them may still come: 2.7 seconds of AAC-LC at 48 kHz. RFC 3640
#: (3.2.3.2) leaves the bound to the sender; nobody who sends live sound wants so many.
MAX_WAITING = 128

#: Packets of one access unit, so that one-byte fragments take no more memory than others.
MAX_FRAGMENTS = MAX_UNIT // PACKET_COST

#: Access units in one packet: 64 KiB of empty ones would be a cheap way to keep us busy.
MAX_UNITS = 512

# Field widths of the two modes, when the SDP names the mode only.
_MODES = {"aac-hbr": (13, 3, 3), "aac-lbr": (6, 2, 2)}

#: Bits of one field of a header. RFC 3640 (4.1) has no limit; 32 hold anything that fits into a packet.
MAX_FIELD = 32

# What a header says of its unit: the size, how many units after the first it is in time, and its offset in ticks, None
# when it does not say.
_Unit: TypeAlias = tuple[int, int, int | None]

_HBR_HEADERS = tuple(struct.Struct(f">{count}H") for count in range(64))


class AACDepacketizer:
    """
    :ivar config: the AudioSpecificConfig; of the SDP, or made from ADTS for senders that leave it in.
    :ivar discarded: access units that were begun and given up.
    :ivar sampleRate: Hz of the decoded sound; 0 when not known.
    :ivar channels: of the decoded sound; 0 when not known.
    """

    __slots__ = (
        "_abandoned",
        "_auxiliaryWidth",
        "_clockRate",
        "_constantSize",
        "_ctsWidth",
        "_denominator",
        "_dtsWidth",
        "_duration",
        "_expected",
        "_fast",
        "_have",
        "_headers",
        "_indexDeltaWidth",
        "_indexWidth",
        "_numerator",
        "_parts",
        "_rapWidth",
        "_released",
        "_sizeWidth",
        "_stateWidth",
        "_time",
        "_waiting",
        "channels",
        "config",
        "discarded",
        "sampleRate",
    )

    def __init__(self, parameters: Mapping[str, str], clockRate: int) -> None:
        """
        :param parameters: of the SDP's ``fmtp``; keys in any case.
        :param clockRate: of the SDP's ``rtpmap``, in Hz.
        :raises ProtocolError: for parameters that cannot be used.
        """
        given = {key.strip().lower(): value.strip() for key, value in parameters.items()}
        mode = given.get("mode", "" if "sizelength" in given or "constantsize" in given else "AAC-hbr").lower()
        size, index, delta = _MODES.get(mode, (0, 0, 0))
        self._constantSize = _number(given, "constantsize", 0, MAX_UNIT)
        self._sizeWidth = _number(given, "sizelength", 0 if self._constantSize else size, MAX_FIELD)
        self._indexWidth = _number(given, "indexlength", index if self._sizeWidth else 0, MAX_FIELD)
        self._indexDeltaWidth = _number(given, "indexdeltalength", delta if self._sizeWidth else 0, MAX_FIELD)
        self._ctsWidth = _number(given, "ctsdeltalength", 0, MAX_FIELD)
        self._dtsWidth = _number(given, "dtsdeltalength", 0, MAX_FIELD)
        self._rapWidth = min(_number(given, "randomaccessindication", 0, MAX_FIELD), 1)
        self._stateWidth = _number(given, "streamstateindication", 0, MAX_FIELD)
        self._auxiliaryWidth = _number(given, "auxiliarydatasizelength", 0, MAX_FIELD)
        others = self._ctsWidth + self._dtsWidth + self._rapWidth + self._stateWidth
        if not self._sizeWidth and not self._constantSize:
            raise ProtocolError("mpeg4-generic without sizes of access units")
        self._fast = (self._sizeWidth, self._indexWidth, self._indexDeltaWidth) == (13, 3, 3) and not (
            others + self._auxiliaryWidth
        )
        # Without any field in it the section of headers is left out as a whole (3.2.1).
        self._headers = self._sizeWidth + self._indexWidth + self._indexDeltaWidth + others > 0

        self.config = _config(given.get("config", ""))
        self.discarded = 0
        self.sampleRate = 0
        self.channels = 0
        self._duration = _number(given, "constantduration", 0, 1 << 32)
        # Ticks of one access unit: a whole number nearly always, exact otherwise.
        self._clockRate = clockRate
        self._numerator, self._denominator = (self._duration, 1) if self._duration else (1024, 1)
        if self.config:
            self._learn(parseConfig(self.config))

        # The access unit that is on its way in several packets.
        self._parts: list[bytes] = []
        self._have = 0
        self._expected = 0
        self._time = 0
        # ... or that lost a packet, by its time: its other packets are no loss of their own.
        self._abandoned: int | None = None
        # Interleaved units, by time, and the time up to which units are out.
        self._waiting: list[tuple[int, bytes]] = []
        self._released: int | None = None

    def _learn(self, config: AudioSpecificConfig) -> None:
        self.sampleRate = config.outputRate
        self.channels = config.outputChannels
        if not self._duration:
            ticks, rest = divmod(config.samplesPerFrame * self._clockRate, config.sampleRate)
            if rest:
                self._numerator, self._denominator = config.samplesPerFrame * self._clockRate, config.sampleRate
            else:
                self._numerator, self._denominator = ticks, 1

    def receive(self, payload: bytes, time: int, marker: bool, lost: bool) -> Sequence[AccessUnit]:
        """As :meth:`realtime_tw.rtsp.depacketizers.base.Depacketizer.receive`."""
        if lost and self._parts:
            self._abandon()
        if self._fast and not self._waiting:
            size = len(payload)
            # One whole access unit.
            if size > 4 and payload[0] == 0 and payload[1] == 16:
                header = payload[2] << 8 | payload[3]
                if header >> 3 == size - 4 and not self._parts and self._abandoned is None:
                    data = payload[4:]
                    if data[0] == 0xFF:
                        data = self._withoutADTS(data)
                    self._released = None
                    return (AccessUnit(time, True, data),)
        try:
            return self._receive(payload, time, marker)
        except ProtocolError:
            self.discarded += 1
            return NOTHING

    def _receive(self, payload: bytes, time: int, marker: bool) -> Sequence[AccessUnit]:
        units, offset = self._readHeaders(payload)
        if not units:
            return NOTHING
        total = len(payload)
        if len(units) == 1 and units[0][0] > total - offset:
            data = self._join(units[0][0], payload[offset:], time, marker)
            return self._release([(time, data)], time, False) if data else NOTHING
        if self._parts:
            self._abandon()
        self._abandoned = None
        numerator, denominator = self._numerator, self._denominator
        found: list[tuple[int, bytes]] = []
        interleaved = False
        for number, (size, index, shift) in enumerate(units):
            end = offset + size
            if end > total:
                # Only alone in its packet may a unit be a fragment.
                self.discarded += 1
                break
            data = payload[offset:end]
            offset = end
            if not data:
                continue
            if data[0] == 0xFF:
                data = self._withoutADTS(data)
            interleaved = interleaved or index != number
            found.append((time + (index * numerator // denominator if shift is None else shift), data))
        return self._release(found, time, interleaved)

    def _readHeaders(self, payload: bytes) -> tuple[list[_Unit], int]:
        """What the headers say, and where the access units begin."""
        if not payload:
            return [], 0
        if not self._headers:
            units = self._constantUnits(payload)
            offset = 0
        else:
            bits = payload[0] << 8 | payload[1] if len(payload) > 1 else 0
            offset = 2 + (bits + 7) // 8
            if not bits or offset > len(payload):
                raise ProtocolError("no AU headers")
            if self._fast:
                units = _readFast(payload, bits)
            else:
                units = self._readGeneral(payload[2:offset], bits)
        if self._auxiliaryWidth:
            reader = BitReader(payload[offset : offset + (self._auxiliaryWidth + 7) // 8])
            offset += (self._auxiliaryWidth + reader.bits(self._auxiliaryWidth) + 7) // 8
        return units, offset

    def _constantUnits(self, payload: bytes) -> list[_Unit]:
        size = self._constantSize
        count = len(payload) // size
        if count > MAX_UNITS:
            raise ProtocolError("too many access units")
        return [(size, number, None) for number in range(count or 1)]

    def _readGeneral(self, headers: bytes, bits: int) -> list[_Unit]:
        reader = BitReader(headers)
        units: list[_Unit] = []
        index = 0
        while reader.position < bits:
            size = reader.bits(self._sizeWidth) if self._sizeWidth else self._constantSize
            if units:
                index += 1 + reader.bits(self._indexDeltaWidth)
            else:
                # The serial number of the first: time stamps say it better.
                reader.bits(self._indexWidth)
            shift = _signed(reader, self._ctsWidth)
            _signed(reader, self._dtsWidth)
            reader.bits(self._rapWidth + self._stateWidth)
            units.append((size, index, shift))
            if len(units) > MAX_UNITS or index - len(units) >= MAX_WAITING:
                raise ProtocolError("too many access units, or too far apart")
        if reader.position != bits:
            raise ProtocolError("bad length of AU headers")
        return units

    def _join(self, size: int, data: bytes, time: int, marker: bool) -> bytes | None:
        """
        One more fragment.

        Each says how large the whole is: so whatever was lost, a unit that is not complete is not taken for one.

        :return: the whole; None while it is not complete.
        """
        if time == self._abandoned:
            return None
        if self._parts and (time != self._time or size != self._expected):
            self._abandon()
        self._abandoned = None
        if not self._parts:
            if size > MAX_UNIT:
                raise ProtocolError("access unit that is too large")
            self._time = time
            self._have = 0
            self._expected = size
        self._parts.append(data)
        self._have += len(data)
        if self._have < size and not marker and len(self._parts) < MAX_FRAGMENTS:
            return None
        if self._have != size:
            self._abandon()
            return None
        whole = b"".join(self._parts)
        self._parts = []
        return self._withoutADTS(whole) if whole[0] == 0xFF else whole

    def _abandon(self) -> None:
        self.discarded += 1
        self._parts = []
        self._abandoned = self._time

    def _withoutADTS(self, data: bytes) -> bytes:
        """
        A unit that may have an ADTS header, against the RFC.

        A raw data block cannot be mistaken for one: its first three bits would be those that end a block.
        """
        try:
            frame = parseADTS(data)
        except ProtocolError:
            return data
        if frame.frameSize != len(data) or frame.blocks != 1 or frame.headerSize == frame.frameSize:
            return data
        if not self.config and frame.config.channelConfig:
            self.config = buildConfig(frame.config)
            self._learn(frame.config)
        return data[frame.headerSize :]

    def _release(self, found: list[tuple[int, bytes]], time: int, interleaved: bool) -> Sequence[AccessUnit]:
        """
        Units in the order of their times.

        Times of packets grow even where units are interleaved, and nothing in a packet is before its time: so all units
        up to a packet's time are there, and those that follow them without a gap.
        """
        waiting = self._waiting
        if not interleaved and not waiting:
            self._released = None
            return [AccessUnit(at, True, data) for at, data in found]
        released = self._released
        ready: list[AccessUnit] = []
        if released is not None and time < released - MAX_WAITING * self._numerator // self._denominator:
            # Time begins anew.
            ready.extend(self.flush())
            waiting = self._waiting
            released = None
        for unit in found:
            if released is None or unit[0] > released:
                heappush(waiting, unit)
            else:
                self.discarded += 1
        # A unit after the next would be twice as far away; less than that is rounding of its sender's.
        ticks = 3 * self._numerator // (2 * self._denominator)
        reach = time if released is None else max(time, released + ticks)
        while waiting and (waiting[0][0] <= reach or len(waiting) > MAX_WAITING):
            at, data = heappop(waiting)
            ready.append(AccessUnit(at, True, data))
            reach = max(reach, at + ticks)
            released = at
        self._released = released
        return ready

    def flush(self) -> Sequence[AccessUnit]:
        """As :meth:`realtime_tw.rtsp.depacketizers.base.Depacketizer.flush`: interleaved units that wait for others."""
        if self._parts:
            self._abandon()
        self._abandoned = None
        waiting, self._waiting = sorted(self._waiting), []
        self._released = None
        return [AccessUnit(at, True, data) for at, data in waiting] if waiting else NOTHING


def _readFast(payload: bytes, bits: int) -> list[_Unit]:
    """Headers of AAC-hbr: 16 bits each."""
    count, rest = divmod(bits, 16)
    if rest or count > MAX_UNITS:
        raise ProtocolError("bad length of AU headers")
    layout = _HBR_HEADERS[count] if count < len(_HBR_HEADERS) else struct.Struct(f">{count}H")
    units: list[_Unit] = []
    index = -1
    for header in layout.unpack_from(payload, 2):
        index += 1 + (header & 7) if units else 1
        units.append((header >> 3, index, None))
    if index - count >= MAX_WAITING:
        raise ProtocolError("access units that are too far apart")
    return units


def _signed(reader: BitReader, width: int) -> int | None:
    """A time delta behind the flag that says whether it is there, in two's complement."""
    if not width or not reader.bits(1):
        return None
    value = reader.bits(width)
    return value - (1 << width) if value >> (width - 1) else value


def _number(parameters: Mapping[str, str], name: str, default: int, limit: int) -> int:
    text = parameters.get(name)
    if not text:
        return default
    # A number with many digits would take long to convert.
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > limit:
        raise ProtocolError(f"bad {name} in the SDP")
    return int(text)


def _config(text: str) -> bytes:
    try:
        config = bytes.fromhex(text.strip('"'))
    except ValueError:
        raise ProtocolError("config in the SDP that is not hexadecimal") from None
    if config:
        parseConfig(config)
    return config
