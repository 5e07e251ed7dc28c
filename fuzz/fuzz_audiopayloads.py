"""
Fuzzes what reads sound: the depacketizers with any packets, and the parsers of configs with any bytes. No error but our
own, none at all from depacketizers; what waits in one is bounded; and times of AAC never go back but where packets' do.

Run ``python fuzz/fuzz_audiopayloads.py -max_total_time=600``; the arguments are libFuzzer's. Needs atheris.
"""

import contextlib
from binascii import b2a_base64
from collections.abc import Callable, Iterator

from harness import fuzz

from realtime_tw.codec import aac as aacCodec
from realtime_tw.codec import latm as latmCodec
from realtime_tw.codec import opus as opusCodec
from realtime_tw.codec import vorbis as vorbisCodec
from realtime_tw.errors import ProtocolError
from realtime_tw.rtsp.depacketizers import aac, latm, mpa, opus, pcm, raw, vorbis
from realtime_tw.rtsp.depacketizers.base import Depacketizer

#: Bytes that one depacketizer may hold back, counted as it counts: the largest limit of all, and a packet.
MOST = 128 * (1 << 16) + (1 << 16)

_IDENTIFICATION = b"\x01vorbis\0\0\0\0\x02\x80\xbb\0\0" + bytes(12) + b"\xb8\x01"
_SETUP = b"\x05vorbis" + bytes.fromhex("040000000000020000000404")
_HEADERS = b"\x02\x1e\x00" + _IDENTIFICATION + _SETUP
_CONFIGURATION = b"\0\0\0\1" + b"abc" + (len(_IDENTIFICATION) + len(_SETUP)).to_bytes(2) + _HEADERS

#: What the fuzzer would not find by itself.
TOKENS = (
    b"\x00\x10\x00\x20abcd",
    b"\x00\x20\x00\x08\x00\x0aab",
    b"\x00\x10\x04\x70",
    b"\xff\xf1\x50\x40\x01\x7f\xfc\x01\x18\x20\x07",
    b"\x11\x90",
    b"\x11\x88\x56\xe5\x00",
    bytes.fromhex("400023103fc0"),
    bytes.fromhex("40002320adca00"),
    b"\x06\x21\x10\x04\x60\x8c\x1c",
    b"\xff\xff\x00",
    b"abc\x01\0\x01\0",
    b"abc\x02\0\x01\x0e\0\x01\0",
    b"abc\x40\0\x02ab",
    b"abc\xc0\0\x02ab",
    b"abc\x11" + len(_HEADERS).to_bytes(2) + _HEADERS,
    _CONFIGURATION,
    vorbisCodec.laceHeaders(vorbisCodec.Headers(_IDENTIFICATION, vorbisCodec.EMPTY_COMMENT, _SETUP)),
    opusCodec.buildHead(2),
    b"\0\0\0\0\xff\xe3\x18\xc4" + bytes(68),
    b"\0\0\0\x14" + bytes(52),
    b"\x1b\x83\x01\x02",
)

MAKERS: tuple[Callable[[], Depacketizer], ...] = (
    lambda: aac.AACDepacketizer({}, 48000),
    lambda: aac.AACDepacketizer({"mode": "AAC-lbr", "config": "1190"}, 90000),
    lambda: aac.AACDepacketizer({"sizelength": "7", "ctsdeltalength": "5", "auxiliarydatasizelength": "3"}, 48000),
    lambda: aac.AACDepacketizer({"constantsize": "5", "indexdeltalength": "4", "dtsdeltalength": "3"}, 48000),
    lambda: aac.AACDepacketizer({"constantsize": "3"}, 48000),
    lambda: aac.AACDepacketizer({"sizelength": "32", "indexlength": "32", "indexdeltalength": "32"}, 48000),
    lambda: latm.LATMDepacketizer({}, 48000),
    lambda: latm.LATMDepacketizer({"cpresent": "0", "config": "40002320adca00"}, 48000),
    lambda: opus.OpusDepacketizer({}),
    lambda: vorbis.VorbisDepacketizer({}, 90000),
    lambda: vorbis.VorbisDepacketizer({"configuration": b2a_base64(_CONFIGURATION).decode()}, 48000),
    mpa.MPADepacketizer,
    lambda: pcm.PCMDepacketizer(2, 48000, 2),
    raw.RawDepacketizer,
)


def packets(data: bytes) -> Iterator[tuple[bytes, int, bool, bool]]:
    """Payload, time, marker and loss: a byte of flags and two of size before each; one in sixteen is repeated."""
    offset = time = 0
    while offset + 3 <= len(data):
        flags = data[offset]
        size = int.from_bytes(data[offset + 1 : offset + 3]) % 600
        payload = data[offset + 3 : offset + 3 + size]
        offset += 3 + size
        time += (0, 960, 1024, -4096)[flags >> 2 & 3]
        for _ in range(200 if flags >> 4 == 15 else 1):
            yield payload, time, bool(flags & 1), bool(flags & 2)


def held(value: object) -> int:
    """Bytes in what a depacketizer holds back."""
    if isinstance(value, bytes):
        return len(value) + 33
    if isinstance(value, list | tuple):
        return sum(map(held, value)) + 8 * len(value)
    return 0


def checkDepacketizer(data: bytes) -> None:
    depacketizer = MAKERS[data[0] % len(MAKERS)]()
    for payload, time, marker, lost in packets(data[1:]):
        for unit in depacketizer.receive(payload, time, marker, lost):
            assert unit.data
            assert unit.keyframe
        kept = sum(held(getattr(depacketizer, name)) for name in ("_parts", "_waiting") if hasattr(depacketizer, name))
        assert kept <= MOST, kept
        assert isinstance(depacketizer.config, bytes)
    depacketizer.flush()
    assert not any(getattr(depacketizer, name, None) for name in ("_parts", "_waiting"))


def checkCodecs(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        config = aacCodec.parseConfig(data)
        with contextlib.suppress(ProtocolError):
            assert aacCodec.parseConfig(aacCodec.buildConfig(config)) == config
        with contextlib.suppress(ProtocolError):
            frame = aacCodec.parseADTS(aacCodec.adtsHeader(data, 100))
            assert (frame.frameSize, frame.config.sampleRate) == (107, config.sampleRate)
    with contextlib.suppress(ProtocolError):
        aacCodec.parseADTS(data)
    with contextlib.suppress(ProtocolError):
        mux = latmCodec.parseStreamMuxConfig(data)
        assert aacCodec.parseConfig(mux.audioData).sampleRate == mux.audio.sampleRate
    with contextlib.suppress(ProtocolError):
        opusCodec.parseHead(data)
    assert 0 <= opusCodec.countSamples(data) <= opusCodec.MAX_SAMPLES
    with contextlib.suppress(ProtocolError):
        headers = vorbisCodec.unlaceHeaders(data)
        assert vorbisCodec.unlaceHeaders(vorbisCodec.laceHeaders(headers)) == headers
    with contextlib.suppress(ProtocolError):
        vorbisCodec.parsePackedConfiguration(data)
    with contextlib.suppress(ProtocolError):
        vorbisCodec.decodeConfiguration(data.decode("latin-1"))
    for parse in (vorbisCodec.parseModes, vorbisCodec.parseIdentification):
        with contextlib.suppress(ProtocolError):
            parse(data)


def check(data: bytes) -> None:
    """One input: its first byte chooses a depacketizer, or the parsers."""
    if not data:
        return
    if data[0] >= 0xC0:
        checkCodecs(data[1:])
    else:
        checkDepacketizer(data)


def main() -> None:
    modules = [aacCodec, latmCodec, opusCodec, vorbisCodec, aac, latm, mpa, opus, vorbis]
    # As they are, and as whole packets.
    fuzz(check, modules, [*TOKENS, *(b"\0" + len(token).to_bytes(2) + token for token in TOKENS)])


if __name__ == "__main__":
    main()
