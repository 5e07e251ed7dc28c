"""
Fuzzes the H264 depacketizer and what reads H264's headers: any packets in any order and with any loss raise nothing,
give only frames that are whole in form, and hold no more than the limit.

Run ``python fuzz/fuzz_h264.py -max_total_time=600``; the arguments are libFuzzer's. Needs atheris.
"""

from contextlib import suppress

from harness import fuzz

from realtime_tw.codec import bits
from realtime_tw.codec import h264 as codec
from realtime_tw.errors import ProtocolError
from realtime_tw.rtsp.depacketizers import h264, nal
from realtime_tw.rtsp.depacketizers.h264 import H264Depacketizer
from realtime_tw.rtsp.depacketizers.nal import NALDepacketizer

#: Small, so that inputs of a few hundred bytes meet it.
MOST = 2000

SPS = bytes.fromhex("6764000dacb40a843c44460220000003002000000651e28554")
PPS = bytes.fromhex("68ef0fcb")

#: What the fuzzer would not find by itself: packets as :func:`packets` reads them, size and flags in front.
TOKENS = tuple(
    bytes((len(payload), flags)) + payload
    for flags in (0, 1, 2, 4, 5)
    for payload in (
        SPS,
        PPS,
        bytes.fromhex("677a001ebd423154e9d3a74d08c553a74e9d342342a226050282a24d322ffc0010"),
        b"\x65\x88\x84abc",
        b"\x41\x9a\x21abc",
        b"\x61\x88\x84abc",
        bytes.fromhex("060601c480"),
        b"\x09\xf0",
        b"\x7c\x85\x88abc",
        b"\x7c\x05abc",
        b"\x7c\x45abc",
        b"\x78\0\x19" + SPS + b"\0\4" + PPS + b"\0\4\x65\x88ab",
        b"\0\0\0\1" + SPS + b"\0\0\1" + PPS + b"\0\0\1\x65\x88ab",
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
    sets = [SPS, PPS] if options & 1 else [payload for payload, *_ in stream[:4]] if options & 2 else []
    depacketizer = H264Depacketizer(sets, bool(options & 4))
    for begun, (payload, time, marker, lost) in enumerate(stream, 1):
        waiting = depacketizer.awaitingKeyframe
        units = depacketizer.receive(payload, time, marker, lost)
        assert not waiting or not units or units[0].keyframe
        assert len(units) <= 2
        assert held(depacketizer) <= MOST + codec.MAX_PARAMETER_SETS + 260
        assert depacketizer.discarded <= begun
        for unit in units:
            assert depacketizer.config
            nals = codec.splitLengthPrefixed(unit.data)
            kinds = {nal[0] & 31 for nal in nals}
            assert nals
            assert not kinds & {0, 7, 8, 9, 10, 11, 12, 13, *range(24, 32)}, kinds
            assert unit.keyframe or 5 not in kinds
    if depacketizer.config:
        spsList, ppsList = codec.parseAVCConfig(depacketizer.config)
        assert codec.parseSPS(spsList[0]).width == depacketizer.width
        assert ppsList
    assert len(depacketizer.flush()) <= 1
    assert not depacketizer.flush()
    for call in (codec.parseSPS, codec.parameterSetId, codec.parseAVCConfig, codec.splitAnnexB, codec.toAnnexB):
        with suppress(ProtocolError):
            call(data[1:])


def main() -> None:
    vars(nal)["MAX_FRAME"] = MOST
    fuzz(check, [bits, codec, h264, nal], TOKENS)


if __name__ == "__main__":
    main()
