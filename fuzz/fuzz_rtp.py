"""
Fuzzes RTP and RTCP of one track: any packets at all give no error but our own, bounded memory, and times in order.

Run ``python fuzz/fuzz_rtp.py -max_total_time=600``; the arguments are libFuzzer's. Needs atheris.
"""

import struct
from collections.abc import Sequence

from harness import fuzz

from realtime_tw.errors import ProtocolError
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp import clock, rtcp, rtp
from realtime_tw.rtsp.clock import MAX_REORDER, DecodeTimes, Timeline, TrackClock
from realtime_tw.rtsp.rtcp import MAX_PACKETS, ReceiverReport, SenderReport, encodeReceiverReport, parseRTCP
from realtime_tw.rtsp.rtp import MAX_MISORDER, Receiver, isRTCP, payloadBounds

#: What the fuzzer would not find by itself: each is a length and a packet, as :func:`check` reads them.
TOKENS = tuple(
    bytes((len(packet),)) + packet
    for packet in (
        *(struct.pack("!BBHII", 0x80, 0x60, number, 900 * number, 7) + b"ab" for number in (1, 2, 3, 5, 4, 9000, 9001)),
        *(struct.pack("!BBHII", 0x80, 0xE0, number, 0xFFFFFF00, 8) + b"ab" for number in (65535, 0, 1)),
        struct.pack("!BBHII", 0xB1, 0x60, 6, 1, 7) + b"AAAA\xbe\xde\0\1abcdpay\0\0\3",
        struct.pack("!BBHII", 0x80, 0x0D, 6, 1, 7) + b"noise",
        struct.pack("!BBHIQIII", 0x80, 200, 6, 7, 0xEEADDB87_7D70A3D7, 900, 1, 1),
        struct.pack("!BBHIQIII", 0x80, 200, 6, 7, 0xEEADDB8C_7D70A3D7, 450900, 1, 1),
        struct.pack("!BBHIIIIIII", 0x81, 201, 7, 7, 1, 2, 3, 4, 5, 6),
        struct.pack("!BBHI", 0x81, 202, 3, 7) + b"\1\2ab\0\0\0\0",
        struct.pack("!BBHI", 0x81, 203, 1, 7),
    )
)


class Double:
    """A depacketizer that completes an access unit with each packet, and remembers it."""

    def __init__(self) -> None:
        self.config = b""
        self.discarded = 0
        self.time = 0

    def receive(self, payload: bytes, time: int, marker: bool, lost: bool) -> Sequence[AccessUnit]:
        self.time = time
        return (AccessUnit(time, marker, payload),)

    def flush(self) -> Sequence[AccessUnit]:
        return (AccessUnit(self.time, True, b""),)


def control(packet: bytes, receiver: Receiver, track: TrackClock, arrival: float) -> None:
    """What a server does with RTCP."""
    try:
        packets = parseRTCP(packet)
    except ProtocolError:
        return
    assert len(packets) <= MAX_PACKETS * 31
    for one in packets:
        if isinstance(one, SenderReport):
            time = receiver.senderReported(one, arrival)
            if time is not None:
                track.senderReported(time, one.unixMicros)


def check(data: bytes) -> None:
    """One input: its first byte is the reorder window, then packets follow, each behind its length in one byte."""
    reorder = data[0] % 8 if data else 0
    double = Double()
    receiver = Receiver(double, (96, 97), 90000, reorder, whole=bool(data) and data[0] >= 128)
    timeline = Timeline(1e9, 0.0)
    first, track = timeline.track(48000), timeline.track(90000)
    first.senderReported(0, 10**15)
    first.convert(0, 0.0)
    decodeTimes = DecodeTimes(None if reorder % 2 else reorder, 3600)
    last: int | None = None
    place, arrival = 1, 0.0
    while place < len(data):
        packet = data[place + 1 : place + 1 + data[place]]
        place += 1 + data[place]
        arrival += 0.01
        if isRTCP(packet):
            control(packet, receiver, track, arrival)
            continue
        bounds = payloadBounds(packet)
        assert bounds is None or 12 <= bounds[0] <= bounds[1] <= len(packet)
        sources = receiver.sources
        units = list(receiver.receive(packet, arrival))
        if receiver.sources != sources:
            track.restart()
        if place >= len(data):
            units += receiver.flush()
        for unit in units:
            pts, dts = decodeTimes.next(track.convert(unit.time, arrival))
            assert dts <= pts
            assert last is None or last < dts
            last = dts
        assert len(receiver._held) <= reorder
        assert len(receiver._missing) <= MAX_MISORDER
        assert len(decodeTimes._window) <= MAX_REORDER
        report = receiver.report(arrival)
        if report is not None:
            [parsed, _] = parseRTCP(encodeReceiverReport(1, [report], "c"))
            assert parsed == ReceiverReport(1, (report,))
    assert timeline.epoch


def main() -> None:
    fuzz(check, [rtp, rtcp, clock], TOKENS)


if __name__ == "__main__":
    main()
