"""
RTP control packets (RFC 3550, 6): what senders report, and our receiver reports.

Several packets travel in one: the compound is walked by the lengths in it, and what we have no use for (application
packets, feedback of RFC 4585, extended reports of RFC 3611) is skipped. Malformed ones raise
:class:`~realtime_tw.errors.ProtocolError`: forget the packet, keep the connection.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from realtime_tw.errors import LimitExceeded, ProtocolError

SENDER_REPORT = 200
RECEIVER_REPORT = 201
SOURCE_DESCRIPTION = 202
GOODBYE = 203

#: Packets in a compound: senders use two to four. Larger ones only cost time.
MAX_PACKETS = 64

#: Seconds from the beginning of NTP's first era, 1900, to that of Unix time.
UNIX_EPOCH = 2_208_988_800

#: Seconds of one NTP era: the first ends on 2036-02-07.
ERA = 1 << 32

_MAX_BLOCKS = 31
_CNAME = 1

_HEADER = struct.Struct("!BBH")
_SENDER = struct.Struct("!IQIII")
_BLOCK = struct.Struct("!IIIIII")
_WORD = struct.Struct("!I")


class ReportBlock(NamedTuple):
    """
    How one source is received (RFC 3550, 6.4.1).

    :ivar fractionLost: of the packets since the last report, in 1/256.
    :ivar lost: packets since the beginning; 24 bits with sign.
    :ivar highest: sequence number received, with 16 bits of wraps above it.
    :ivar jitter: in ticks of the source's clock.
    :ivar lastReport: the middle 32 bits of the NTP time in the last sender report; 0 when there was none.
    :ivar delay: since that report, in 1/65536 s.
    """

    ssrc: int
    fractionLost: int
    lost: int
    highest: int
    jitter: int
    lastReport: int
    delay: int


class SenderReport(NamedTuple):
    """
    :ivar ntp: 64 bits, seconds and fraction; 0 from a sender that has no clock.
    :ivar timestamp: the RTP time of the same moment, 32 bits.
    """

    ssrc: int
    ntp: int
    timestamp: int
    packets: int
    octets: int
    blocks: tuple[ReportBlock, ...] = ()

    @property
    def unixMicros(self) -> int:
        """The NTP time as microseconds since 1970, exact but for what is below one; for the years 1968 to 2104."""
        return ntpToUnixMicros(self.ntp)


class ReceiverReport(NamedTuple):
    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()


class SourceDescription(NamedTuple):
    """:ivar cname: what a sender's sources have in common."""

    ssrc: int
    cname: str


class Goodbye(NamedTuple):
    """:ivar sources: that end."""

    sources: tuple[int, ...]


ControlPacket = SenderReport | ReceiverReport | SourceDescription | Goodbye


def ntpToUnixMicros(ntp: int) -> int:
    """
    :param ntp: 64 bits. With the uppermost bit it is of the era that began in 1900, without of the one that begins in
        2036 (RFC 5905, 6 leaves the era to the context; RFC 4330, 3 has this rule).
    """
    seconds, fraction = ntp >> 32, ntp & 0xFFFFFFFF
    if seconds < 1 << 31:
        seconds += ERA
    return (seconds - UNIX_EPOCH) * 1_000_000 + (fraction * 1_000_000 >> 32)


def parseRTCP(data: bytes) -> list[ControlPacket]:
    """
    The packets of a compound that we know, in order.

    The first need not be a report: reduced-size RTCP (RFC 5506) has none, and nothing here depends on it.

    :raises ProtocolError: for a wrong version, and whatever is longer than what it is in.
    :raises LimitExceeded: for too many packets.
    """
    if not data:
        raise ProtocolError("empty RTCP packet")
    found: list[ControlPacket] = []
    start = count = 0
    while start < len(data):
        count += 1
        if count > MAX_PACKETS:
            raise LimitExceeded(f"RTCP compound of more than {MAX_PACKETS} packets")
        if len(data) - start < 4:
            raise ProtocolError("RTCP packet without a header")
        first, kind, words = _HEADER.unpack_from(data, start)
        end = start + 4 * words + 4
        if first >> 6 != 2:
            raise ProtocolError("RTCP packet of another version")
        if end > len(data):
            raise ProtocolError("RTCP packet shorter than its length")
        body = data[start + 4 : end]
        if first & 0x20:
            padding = body[-1] if body else 0
            if not 0 < padding <= len(body):
                raise ProtocolError("RTCP packet with more padding than content")
            body = body[:-padding]
        if kind == SENDER_REPORT:
            found.append(_senderReport(body, first & 31))
        elif kind == RECEIVER_REPORT:
            found.append(_receiverReport(body, first & 31))
        elif kind == SOURCE_DESCRIPTION:
            found += _descriptions(body, first & 31)
        elif kind == GOODBYE:
            if len(body) < 4 * (first & 31):
                raise ProtocolError("RTCP BYE without its sources")
            found.append(Goodbye(struct.unpack_from(f"!{first & 31}I", body)))
        start = end
    return found


def _senderReport(body: bytes, blocks: int) -> SenderReport:
    if len(body) < 24 + 24 * blocks:
        raise ProtocolError("short RTCP sender report")
    ssrc, ntp, timestamp, packets, octets = _SENDER.unpack_from(body)
    return SenderReport(ssrc, ntp, timestamp, packets, octets, _blocks(body, 24, blocks))


def _receiverReport(body: bytes, blocks: int) -> ReceiverReport:
    if len(body) < 4 + 24 * blocks:
        raise ProtocolError("short RTCP receiver report")
    return ReceiverReport(_WORD.unpack_from(body)[0], _blocks(body, 4, blocks))


def _blocks(body: bytes, start: int, count: int) -> tuple[ReportBlock, ...]:
    found = []
    for place in range(start, start + 24 * count, 24):
        ssrc, losses, highest, jitter, lastReport, delay = _BLOCK.unpack_from(body, place)
        lost = losses & 0xFFFFFF
        if lost >= 1 << 23:
            lost -= 1 << 24
        found.append(ReportBlock(ssrc, losses >> 24, lost, highest, jitter, lastReport, delay))
    return tuple(found)


def _descriptions(body: bytes, chunks: int) -> list[SourceDescription]:
    found = []
    place = 0
    for _ in range(chunks):
        if len(body) - place < 4:
            raise ProtocolError("RTCP source description without its sources")
        (ssrc,) = _WORD.unpack_from(body, place)
        place += 4
        while place < len(body) and body[place]:
            end = place + 2 + body[place + 1] if place + 1 < len(body) else len(body) + 1
            if end > len(body):
                raise ProtocolError("RTCP source description shorter than its items")
            if body[place] == _CNAME:
                found.append(SourceDescription(ssrc, body[place + 2 : end].decode("utf-8", "replace")))
            place = end
        # At least one zero, and then zeros up to the next word.
        place = (place | 3) + 1
    return found


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(0x80 | count, kind, len(body) // 4) + body


def encodeReceiverReport(ssrc: int, blocks: Sequence[ReportBlock], cname: str, goodbye: bool = False) -> bytes:
    """
    A compound: receiver reports, our name, and on request the goodbye.

    :param ssrc: ours.
    :param blocks: one per source; none is fine.
    :param cname: ``user@host`` or a random name; what is beyond 255 bytes in UTF-8 is cut off.
    """
    parts = []
    own = _WORD.pack(ssrc & 0xFFFFFFFF)
    for start in range(0, len(blocks) or 1, _MAX_BLOCKS):
        some = blocks[start : start + _MAX_BLOCKS]
        parts.append(_packet(RECEIVER_REPORT, len(some), own + b"".join(map(_encodeBlock, some))))
    name = cname.encode("utf-8", "replace")[:255]
    item = bytes((_CNAME, len(name))) + name
    parts.append(_packet(SOURCE_DESCRIPTION, 1, own + item + bytes(4 - len(item) % 4)))
    if goodbye:
        parts.append(_packet(GOODBYE, 1, own))
    return b"".join(parts)


def _encodeBlock(block: ReportBlock) -> bytes:
    lost = min(max(block.lost, -(1 << 23)), (1 << 23) - 1) & 0xFFFFFF
    losses = min(max(block.fractionLost, 0), 255) << 24 | lost
    jitter = min(max(block.jitter, 0), 0xFFFFFFFF)
    delay = min(max(block.delay, 0), 0xFFFFFFFF)
    return _BLOCK.pack(
        block.ssrc & 0xFFFFFFFF, losses, block.highest & 0xFFFFFFFF, jitter, block.lastReport & 0xFFFFFFFF, delay
    )
