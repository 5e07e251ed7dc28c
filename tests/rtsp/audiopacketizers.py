"""
The sending side of sound over RTP, for the tests of what receives it: each packetizer divides units as its RFC says,
and :func:`deliver` hands the packets over, or some of them.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.base import Depacketizer

#: What ffmpeg writes into the SDP for libvorbis, 8 kHz mono: one configuration, its comment header empty.
FFMPEG_VORBIS = (
    "AAAAAf7NugnKAh4AAXZvcmJpcwAAAAABQB8AAAAAAACAVwAAAAAAAJkBBXZvcmJpcxJCQ1YBAAABAAxSFCElGVNKYwiVUlIpBR1jUFtHHWPUOU"
    "YhZBBTiEkZpXtPKpVYSsgRUlgpRR1TTFNJlVKWKUUdYxRTSCFT1jFloXMUS4ZJCSVsTa50FkvomWOWMUYdY85aSp1j1jFFHWNSUkmhcxg6ZiVk"
    "FDpGxehifDA6laJCKL7H3lLpLYWKW4q91xpT6y2EGEtpwQhhc+211dxKasUYY4wxxsXiUyiC0JBVAAABAABABAFCQ1YBAAoAAMJQDEVRgNCQVQ"
    "BABgCAABRFcRTHcRxHkiTLAkJDVgEAQAAAAgAAKI7hKJIjSZJkWZZlWZameZaouaov+64u667t6roOhIasBADIAAAYhiGH3knMkFOQSSYpVcw5"
    "CKH1DjnlFGTSUsaYYoxRzpBTDDEFMYbQKYUQ1E45pQwiCENInWTOIEs96OBi5zgQGrIiAIgCAACMQYwhxpBzDEoGIXKOScggRM45KZ2UTEoorb"
    "SWSQktldYi55yUTkompbQWUsuklNZCKwUAAAQ4AAAEWAiFhqwIAKIAABCDkFJIKcSUYk4xh5RSjinHkFLMOcWYcowx6CBUzDHIHIRIKcUYc045"
    "5iBkDCrmHIQMMgEAAAEOAAABFkKhISsCgDgBAIMkaZqlaaJoaZooeqaoqqIoqqrleabpmaaqeqKpqqaquq6pqq5seZ5peqaoqp4pqqqpqq5rqq"
    "rriqpqy6ar2rbpqrbsyrJuu7Ks256qyrapurJuqq5tu7Js664s27rkearqmabreqbpuqrr2rLqurLtmabriqor26bryrLryratyrKua6bpuqKr"
    "2q6purLtyq5tu7Ks+6br6rbqyrquyrLu27au+7KtC7vourauyq6uq7Ks67It67Zs20LJ81TVM03X9UzTdVXXtW3VdW1bM03XNV1XlkXVdWXVlX"
    "VddWVb90zTdU1XlWXTVWVZlWXddmVXl0XXtW1Vln1ddWVfl23d92VZ133TdXVblWXbV2VZ92Vd94VZt33dU1VbN11X103X1X1b131htm3fF11X"
    "11XZ1oVVlnXf1n1lmHWdMLqurqu27OuqLOu+ruvGMOu6MKy6bfyurQvDq+vGseu+rty+j2rbvvDqtjG8um4cu7Abv+37xrGpqm2brqvrpivrum"
    "zrvm/runGMrqvrqiz7uurKvm/ruvDrvi8Mo+vquirLurDasq/Lui4Mu64bw2rbwu7aunDMsi4Mt+8rx68LQ9W2heHVdaOr28ZvC8PSN3a+AACA"
    "AQcAgAATykChISsCgDgBAAYhCBVjECrGIIQQUgohpFQxBiFjDkrGHJQQSkkhlNIqxiBkjknIHJMQSmiplNBKKKWlUEpLoZTWUmotptRaDKG0FE"
    "pprZTSWmopttRSbBVjEDLnpGSOSSiltFZKaSlzTErGoKQOQiqlpNJKSa1lzknJoKPSOUippNJSSam1UEproZTWSkqxpdJKba3FGkppLaTSWkmp"
    "tdRSba21WiPGIGSMQcmck1JKSamU0lrmnJQOOiqZg5JKKamVklKsmJPSQSglg4xKSaW1kkoroZTWSkqxhVJaa63VmFJLNZSSWkmpxVBKa621Gl"
    "MrNYVQUgultBZKaa21VmtqLbZQQmuhpBZLKjG1FmNtrcUYSmmtpBJbKanFFluNrbVYU0s1lpJibK3V2EotOdZaa0ot1tJSjK21mFtMucVYaw0l"
    "tBZKaa2U0lpKrcXWWq2hlNZKKrGVklpsrdXYWow1lNJiKSm1kEpsrbVYW2w1ppZibLHVWFKLMcZYc0u11ZRai621WEsrNcYYa2415VIAAMCAAw"
    "BAgAlloNCQlQBAFAAAYAxjjEFoFHLMOSmNUs45JyVzDkIIKWXOQQghpc45CKW01DkHoZSUQikppRRbKCWl1losAACgwAEAIMAGTYnFAQoNWQkA"
    "RAEAIMYoxRiExiClGIPQGKMUYxAqpRhzDkKlFGPOQcgYc85BKRljzkEnJYQQQimlhBBCKKWUAgAAChwAAAJs0JRYHKDQkBUBQBQAAGAMYgwxhi"
    "B0UjopEYRMSielkRJaCylllkqKJcbMWomtxNhICa2F1jJrJcbSYkatxFhiKgAA7MABAOzAQig0ZCUAkAcAQBijFGPOOWcQYsw5CCE0CDHmHIQQ"
    "Ksaccw5CCBVjzjkHIYTOOecghBBC55xzEEIIoYMQQgillNJBCCGEUkrpIIQQQimldBBCCKGUUgoAACpwAAAIsFFkc4KRoEJDVgIAeQAAgDFKOS"
    "clpUYpxiCkFFujFGMQUmqtYgxCSq3FWDEGIaXWYuwgpNRajLV2EFJqLcZaQ0qtxVhrziGl1mKsNdfUWoy15tx7ai3GWnPOuQAA3AUHALADG0U2"
    "JxgJKjRkJQCQBwBAIKQUY4w5h5RijDHnnENKMcaYc84pxhhzzjnnFGOMOeecc4wx55xzzjnGmHPOOeecc84556CDkDnnnHPQQeicc845CCF0zj"
    "nnHIQQCgAAKnAAAAiwUWRzgpGgQkNWAgDhAACAMZRSSimllFJKqKOUUkoppZRSAiGllFJKKaWUUkoppZRSSimllFJKKaWUUkoppZRSSimllFJK"
    "KaWUUkoppZRSSimllFJKKaWUUkoppZRSSimllFJKKaWUUkoppZRSSimllFJKKaWUUkoppZRSSimllFJKKaWUUkoppZRSSimVUkoppZRSSimllF"
    "JKKaUAIN8KBwD/BxtnWEk6KxwNLjRkJQAQDgAAGMMYhIw5JyWlhjEIpXROSkklNYxBKKVzElJKKYPQWmqlpNJSShmElGILIZWUWgqltFZrKam1"
    "lFIoKcUaS0qppdYy5ySkklpLrbaYOQelpNZaaq3FEEJKsbXWUmuxdVJSSa211lptLaSUWmstxtZibCWlllprqcXWWkyptRZbSy3G1mJLrcXYYo"
    "sxxhoLAOBucACASLBxhpWks8LR4EJDVgIAIQEABDJKOeecgxBCCCFSijHnoIMQQgghREox5pyDEEIIIYSMMecghBBCCKGUkDHmHIQQQgghhFI6"
    "5yCEUEoJpZRSSucchBBCCKWUUkoJIYQQQiillFJKKSGEEEoppZRSSiklhBBCKKWUUkoppYQQQiillFJKKaWUEEIopZRSSimllBJCCKGUUkoppZ"
    "RSQgillFJKKaWUUkooIYRSSimllFJKCSWUUkoppZRSSikhlFJKKaWUUkoppQAAgAMHAIAAI+gko8oibDThwgMQAAAAAgACTACBAYKCUQgChBEI"
    "AAAAAAAIAPgAAEgKgIiIaOYMDhASFBYYGhweICIkAAAAAAAAAAAAAAAABA=="
)


class Packet(NamedTuple):
    """
    :ivar units: numbers of the units of which something is in it.
    """

    payload: bytes
    time: int
    marker: bool
    units: tuple[int, ...] = ()


class Delivery(NamedTuple):
    """
    :ivar complete: numbers of the units of which nothing was lost.
    """

    units: list[AccessUnit]
    complete: list[int]


def deliver(depacketizer: Depacketizer, packets: Sequence[Packet], dropped: Collection[int] = ()) -> Delivery:
    """All packets but those with the dropped numbers."""
    units: list[AccessUnit] = []
    damaged: set[int] = set()
    lost = False
    for number, packet in enumerate(packets):
        if number in dropped:
            lost = True
            damaged.update(packet.units)
            continue
        units += depacketizer.receive(packet.payload, packet.time, packet.marker, lost)
        lost = False
    units += depacketizer.flush()
    return Delivery(units, sorted({unit for packet in packets for unit in packet.units} - damaged))


class Widths(NamedTuple):
    """Bits of the fields of an AU header (RFC 3640)."""

    size: int
    first: int
    delta: int


HBR = Widths(13, 3, 3)
LBR = Widths(6, 2, 2)


def auHeaders(fields: Sequence[tuple[int, int]]) -> bytes:
    """The section of headers from numbers and their widths, with its length in bits."""
    value = width = 0
    for number, count in fields:
        assert number < 1 << count
        value = value << count | number
        width += count
    return width.to_bytes(2) + (value << (-width % 8)).to_bytes((width + 7) // 8)


def packGeneric(
    units: Sequence[bytes], most: int, perPacket: int = 4, ticks: int = 1024, widths: Widths = HBR
) -> list[Packet]:
    """RFC 3640: as many units as fit into a packet; units that fit into none in fragments."""
    packets: list[Packet] = []
    number = 0
    while number < len(units):
        if len(units[number]) > most:
            whole = units[number]
            head = auHeaders([(len(whole), widths.size), (0, widths.first)])
            for at in range(0, len(whole), most):
                isLast = at + most >= len(whole)
                packets.append(Packet(head + whole[at : at + most], number * ticks, isLast, (number,)))
            number += 1
            continue
        end = number + 1
        while end < len(units) and end - number < perPacket and sum(map(len, units[number : end + 1])) <= most:
            end += 1
        fields: list[tuple[int, int]] = []
        for place in range(number, end):
            fields += [(len(units[place]), widths.size), (0, widths.delta if fields else widths.first)]
        payload = auHeaders(fields) + b"".join(units[number:end])
        packets.append(Packet(payload, number * ticks, True, tuple(range(number, end))))
        number = end
    return packets


def packInterleaved(units: Sequence[bytes], stride: int, perPacket: int, ticks: int = 1024) -> list[Packet]:
    """RFC 3640, 3.2.3.2: groups of packets, each with every stride-th unit of its group."""
    packets: list[Packet] = []
    for group in range(0, len(units), stride * perPacket):
        for first in range(group, min(group + stride, len(units))):
            places = list(range(first, min(group + stride * perPacket, len(units)), stride))
            fields: list[tuple[int, int]] = []
            for place in places:
                fields += [(len(units[place]), HBR.size), (stride - 1 if fields else 0, HBR.delta)]
            payload = auHeaders(fields) + b"".join(units[place] for place in places)
            packets.append(Packet(payload, first * ticks, True, tuple(places)))
    return packets


def latmLength(size: int) -> bytes:
    return b"\xff" * (size // 255) + bytes((size % 255,))


def packLATM(units: Sequence[bytes], most: int, frames: int = 1, ticks: int = 1024) -> list[Packet]:
    """RFC 6416: an element of some frames in packets of at most so many bytes."""
    packets: list[Packet] = []
    for first in range(0, len(units), frames):
        numbers = tuple(range(first, min(first + frames, len(units))))
        element = b"".join(latmLength(len(units[number])) + units[number] for number in numbers)
        for at in range(0, len(element), most):
            isLast = at + most >= len(element)
            packets.append(Packet(element[at : at + most], first * ticks, isLast, numbers))
    return packets


def packVorbis(
    units: Sequence[tuple[int, bytes]], most: int, perPacket: int = 15, ident: int = 0xABCDEF, dataType: int = 0
) -> list[Packet]:
    """RFC 5215: as many packets, which come with their times, as fit; others in fragments."""
    packets: list[Packet] = []
    number = 0
    while number < len(units):
        time, whole = units[number]
        if len(whole) > most:
            pieces = [whole[at : at + most] for at in range(0, len(whole), most)]
            for place, piece in enumerate(pieces):
                kind = 1 if place == 0 else 3 if place == len(pieces) - 1 else 2
                head = ident.to_bytes(3) + bytes((kind << 6 | dataType << 4,)) + len(piece).to_bytes(2)
                packets.append(Packet(head + piece, time, False, (number,)))
            number += 1
            continue
        end = number + 1
        while (
            end < len(units)
            and end - number < perPacket
            and sum(len(unit[1]) for unit in units[number : end + 1]) <= most
        ):
            end += 1
        body = b"".join(len(data).to_bytes(2) + data for _, data in units[number:end])
        head = ident.to_bytes(3) + bytes((dataType << 4 | end - number,))
        packets.append(Packet(head + body, time, False, tuple(range(number, end))))
        number = end
    return packets


def packMPA(units: Sequence[tuple[int, bytes]], most: int) -> list[Packet]:
    """RFC 2250, 3.5: as many frames, which come with their times, as fit; others in fragments."""
    packets: list[Packet] = []
    number = 0
    while number < len(units):
        time, whole = units[number]
        if len(whole) > most:
            for at in range(0, len(whole), most):
                packets.append(Packet(bytes(2) + at.to_bytes(2) + whole[at : at + most], time, False, (number,)))
            number += 1
            continue
        end = number + 1
        while end < len(units) and sum(len(unit[1]) for unit in units[number : end + 1]) <= most:
            end += 1
        body = b"".join(data for _, data in units[number:end])
        packets.append(Packet(bytes(4) + body, time, False, tuple(range(number, end))))
        number = end
    return packets
