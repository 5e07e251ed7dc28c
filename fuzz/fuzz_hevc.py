"""
Fuzzes the HEVC depacketizer and what reads HEVC's headers: any packets in any order and with any loss raise nothing,
give only frames that are whole in form, and hold no more than the limit.

Run ``python fuzz/fuzz_hevc.py -max_total_time=600``; the arguments are libFuzzer's. Needs atheris.
"""

from contextlib import suppress

from harness import fuzz

from realtime_tw.codec import bits
from realtime_tw.codec import hevc as codec
from realtime_tw.codec.h264 import MAX_PARAMETER_SETS
from realtime_tw.errors import ProtocolError
from realtime_tw.rtsp.depacketizers import hevc, nal
from realtime_tw.rtsp.depacketizers.hevc import HEVCDepacketizer
from realtime_tw.rtsp.depacketizers.nal import NALDepacketizer

#: Small, so that inputs of a few hundred bytes meet it.
MOST = 2000

VPS = bytes.fromhex("40010c01ffff01600000030090000003000003003c959409")
SPS = bytes.fromhex("42010101600000030090000003000003003ca00a8804071111965654a4c2f0168080000003008000000c84")
PPS = bytes.fromhex("4401c073c189")

#: What the fuzzer would not find by itself: packets as :func:`packets` reads them, size and flags in front.
TOKENS = tuple(
    bytes((len(payload), flags)) + payload
    for flags in (0, 1, 2, 4, 5)
    for payload in (
        VPS,
        SPS,
        PPS,
        b"\x26\1\xafabc",
        b"\x2a\1\xafabc",
        b"\x10\1\xe0abc",
        b"\2\1\xd0abc",
        b"\x46\1\x50",
        b"\x48\1",
        b"\x62\1\x93abc",
        b"\x62\1\x13abc",
        b"\x62\1\x53abc",
        b"\x64\1\x26\x10\0abc",
        b"\x60\1\0\x18" + VPS + b"\0\x2b" + SPS + b"\0\6" + PPS + b"\0\4\x26\1ab",
        b"\0\0\0\1" + VPS + b"\0\0\0\1" + SPS + b"\0\0\1" + PPS + b"\0\0\1\x26\1ab",
    )
)


def packets(data: bytes) -> list[tuple[bytes, int, bool, bool]]:
    """Each after its size and flags: marker, lost, and how far the time goes on, or back."""
    found = []
    time = position = 0
    while position + 2 <= len(data):
        size, flags = data[position], data[position + 1]
        time += (flags >> 2 & 3) * (-1 if flags & 16 else 1)
        found.append((data[position + 2 : position + 2 + size], time, bool(flags & 1), bool(flags & 2)))
        position += 2 + size
    return found


def held(depacketizer: NALDepacketizer) -> int:
    return sum(map(len, depacketizer._parts)) + sum(map(len, depacketizer._sets.values()))


def check(data: bytes) -> None:
    """One input: its first byte has the options, the rest are packets."""
    options = data[0] if data else 0
    stream = packets(data[1:])
    # The first packets may as well be the description.
    sets = [VPS, SPS, PPS] if options & 1 else [payload for payload, *_ in stream[:4]] if options & 2 else []
    depacketizer = HEVCDepacketizer(sets, bool(options & 4))
    for begun, (payload, time, marker, lost) in enumerate(stream, 1):
        waiting = depacketizer.awaitingKeyframe
        units = depacketizer.receive(payload, time, marker, lost)
        assert not waiting or not units or units[0].keyframe
        assert len(units) <= 2
        assert held(depacketizer) <= MOST + MAX_PARAMETER_SETS + 260
        assert depacketizer.discarded <= begun
        for unit in units:
            assert depacketizer.config
            nals = codec.splitLengthPrefixed(unit.data)
            kinds = {nal[0] >> 1 for nal in nals}
            assert nals
            assert not kinds & {*range(32, 39), 48, 49, 50, *range(64, 128)}, kinds
            assert all(len(nal) > 1 and not nal[0] & 1 and not nal[1] >> 3 for nal in nals)
            assert unit.keyframe == (max(kind for kind in kinds if kind < 32) in range(16, 24)) or len(kinds) > 1
    if depacketizer.config:
        vpsList, spsList, ppsList = codec.parseHEVCConfig(depacketizer.config)
        assert codec.parseSPS(spsList[0]).width == depacketizer.width
        assert vpsList
        assert ppsList
    assert len(depacketizer.flush()) <= 1
    assert not depacketizer.flush()
    for call in (codec.parseSPS, codec.parameterSetId, codec.parseHEVCConfig, codec.toAnnexB):
        with suppress(ProtocolError):
            call(data[1:])


def main() -> None:
    vars(nal)["MAX_FRAME"] = MOST
    fuzz(check, [bits, codec, nal, hevc], TOKENS)


if __name__ == "__main__":
    main()
