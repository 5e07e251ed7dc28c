"""
Fuzzes the depacketizers of VP8, VP9, JPEG and PNG, and the parsers that they use: any packets, lost and out of order,
raise nothing, give only frames that those parsers take for whole, and hold no more than is allowed.

Run ``python fuzz/fuzz_videopayloads.py -max_total_time=600``; the arguments are libFuzzer's. Needs atheris.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import gettempdir

from harness import instrument

from realtime_tw.codec import bits, jpeg, png, vp8, vp9
from realtime_tw.errors import ProtocolError
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers import base
from realtime_tw.rtsp.depacketizers import jpeg as jpegPackets
from realtime_tw.rtsp.depacketizers import png as pngPackets
from realtime_tw.rtsp.depacketizers import vp8 as vp8Packets
from realtime_tw.rtsp.depacketizers import vp9 as vp9Packets

#: Instead of 16 MiB, so that inputs of a few hundred bytes meet it.
LIMIT = 1500

MODULES = (bits, jpeg, png, vp8, vp9, jpegPackets, pngPackets, vp8Packets, vp9Packets)

Receiver = (
    vp8Packets.VP8Depacketizer | vp9Packets.VP9Depacketizer | jpegPackets.JPEGDepacketizer | pngPackets.PNGDepacketizer
)


def packet(flags: int, payload: str) -> bytes:
    """A packet as :func:`checkDepacketizers` reads it."""
    data = bytes.fromhex(payload)
    return bytes([flags, len(data)]) + data


#: With these the fuzzer need not find the formats out by itself: what chooses the format, and two frames.
SEEDS = (
    b"\x00" + packet(0, "90808001 900000 9d012a 40003000 00000011") + packet(1, "80808001 aa") + packet(5, "10 110000"),
    b"\x01" + packet(0, "08 82498342 0003f002f6 aa") + packet(1, "04 bb") + packet(5, "0c 860040929c284900"),
    b"\x01" + packet(0, "be 9111 00 3800400030 00800060 010401 82498342 0003f002f6") + packet(1, "bc 9111 02 8a"),
    b"\x02" + packet(0, "00000000 01320808 aabb") + packet(1, "00000002 01320808 ccffd9"),
    b"\x03" + packet(1, "00000000 41800808 0004ffff 00000040" + "10" * 64 + "aa") + packet(5, "00000000 01320000 bb"),
    b"\x04"
    + packet(
        1,
        "89504e470d0a1a0a 0000000d49484452 0000001000000008 0802000000 00000000"
        "0000000149444154 aa 00000000 0000000049454e44 00000000",
    ),
    b"\x05" + bytes.fromhex("ffd8 ffc0000b080030004001011100 ffda0008010100003f00 aa ffd9"),
    b"\x05" + bytes.fromhex("8a8b c10101c1"),
)


def checkVP8(unit: AccessUnit) -> None:
    header = vp8.parseFrameHeader(unit.data)
    assert header.keyframe == unit.keyframe


def checkVP9(unit: AccessUnit) -> None:
    header = vp9.parseFrameHeader(unit.data)
    assert header.keyframe == unit.keyframe


def checkJPEG(unit: AccessUnit) -> None:
    # The scan is anything, so the parser may stop at a marker inside of it; the headers are ours.
    assert unit.keyframe
    assert unit.data.startswith(jpeg.SOI)
    assert unit.data.endswith(jpeg.EOI)
    at = 2
    while unit.data[at + 1] != 0xDA:
        at += 2 + int.from_bytes(unit.data[at + 2 : at + 4], "big")
    headers = unit.data[: at + 14] + jpeg.EOI
    info = jpeg.parseJPEG(headers)
    assert info.size == len(headers)


def checkPNG(unit: AccessUnit) -> None:
    assert unit.keyframe
    assert png.parsePNG(unit.data).size == len(unit.data)


FORMATS: tuple[tuple[Callable[[], Receiver], Callable[[AccessUnit], None]], ...] = (
    (vp8Packets.VP8Depacketizer, checkVP8),
    (vp9Packets.VP9Depacketizer, checkVP9),
    (jpegPackets.JPEGDepacketizer, checkJPEG),
    (lambda: jpegPackets.JPEGDepacketizer(60, 44), checkJPEG),
    (pngPackets.PNGDepacketizer, checkPNG),
)


def held(receiver: Receiver) -> int:
    """What is collected, as it is counted."""
    parts = receiver._parts
    frames = receiver._frames if isinstance(receiver, vp9Packets.VP9Depacketizer) else []
    return sum(map(len, parts)) + sum(map(len, frames)) + base.PACKET_COST * max(len(parts) - 1, 0)


def checkDepacketizers(which: int, data: bytes) -> None:
    """:param data: packets: a byte of flags (marker, lost, a step of the time), one of the length, the payload."""
    make, check = FORMATS[which % len(FORMATS)]
    receiver = make()
    at = time = 0
    while at + 2 <= len(data):
        flags, length = data[at], data[at + 1]
        # Some are repeated, to meet the limits.
        repeat = flags >> 4 & 3
        payload = data[at + 2 : at + 2 + length]
        at += 2 + length
        time += flags >> 2 & 3
        for _ in range(repeat * 7 + 1):
            discarded = receiver.discarded
            units = receiver.receive(payload, time, bool(flags & 1), bool(flags & 2))
            assert 0 <= receiver.discarded - discarded <= 2
            for unit in units:
                check(unit)
            assert held(receiver) <= LIMIT
            assert receiver.config == b""
    for unit in receiver.flush():
        check(unit)
    assert held(receiver) == 0


def checkParsers(data: bytes) -> None:
    parsers: tuple[Callable[[bytes], object], ...] = (
        vp8.parseFrameHeader,
        vp9.parseFrameHeader,
        vp9.splitSuperframe,
        jpeg.parseJPEG,
        png.parsePNG,
    )
    for parse in parsers:
        try:
            parse(data)
        except ProtocolError:
            continue
    try:
        frames = vp9.splitSuperframe(data)
    except ProtocolError:
        return
    if len(frames) > 1:
        assert vp9.splitSuperframe(vp9.joinSuperframe(frames)) == frames


def check(data: bytes) -> None:
    """One input: its first byte chooses what it goes into."""
    which = data[0] % (len(FORMATS) + 1) if data else 0
    if which < len(FORMATS):
        checkDepacketizers(which, data[1:])
    else:
        checkParsers(data[1:])


def main() -> None:
    import atheris

    for module in (jpegPackets, pngPackets, vp8Packets, vp9Packets):
        vars(module)["MAX_FRAME"] = LIMIT
    instrument(MODULES)
    # Kept, so that the next run begins with what this one has found.
    folder = Path(gettempdir(), "fuzz_videopayloads")
    folder.mkdir(exist_ok=True)
    for number, seed in enumerate(SEEDS):
        (folder / f"seed{number}").write_bytes(seed)
    atheris.Setup([*sys.argv, str(folder)], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
