"""Opus: how long a packet lasts (RFC 6716, section 3), and OpusHead, the codec's config (RFC 7845, section 5.1)."""

import struct
from dataclasses import dataclass

from realtime_tw.errors import ProtocolError

#: Of everything that counts samples of Opus, whatever was recorded.
SAMPLE_RATE = 48000

#: Samples of the longest packet: 120 ms.
MAX_SAMPLES = 5760

#: Bytes of one frame (RFC 6716, 3.4, R2); at most 48 of them are in a packet.
MAX_FRAME = 1275

_HEAD = struct.Struct("<8sBBHIhB")

_SILK = (480, 960, 1920, 2880)
_CELT = (120, 240, 480, 960)


def _frameSamples(configuration: int) -> int:
    if configuration < 12:
        return _SILK[configuration & 3]
    if configuration < 16:
        return _SILK[configuration & 1]
    return _CELT[configuration & 3]


#: Samples of each frame in a packet by the packet's first byte.
FRAME_SAMPLES = tuple(_frameSamples(first >> 3) for first in range(256))


def packetSamples(data: bytes) -> int:
    """
    What a packet decodes to, in samples at 48 kHz.

    :raises ProtocolError: for a malformed packet (RFC 6716, 3.4), one of more than 120 ms included.
    """
    samples = countSamples(data)
    if not samples:
        raise ProtocolError("malformed Opus packet")
    return samples


def countSamples(data: bytes) -> int:
    """:func:`packetSamples` without errors: 0 for a malformed packet."""
    if not data:
        return 0
    first = data[0]
    size = len(data) - 1
    code = first & 3
    if code == 0:
        return FRAME_SAMPLES[first] if size <= MAX_FRAME else 0
    if code == 1:
        return 2 * FRAME_SAMPLES[first] if not size & 1 and size <= 2 * MAX_FRAME else 0
    if code == 2:
        left = _afterLength(data, 1, size)
        return 2 * FRAME_SAMPLES[first] if 0 <= left <= MAX_FRAME else 0
    return _countFrames(data, FRAME_SAMPLES[first])


def _afterLength(data: bytes, offset: int, left: int) -> int:
    """Bytes that are left behind a length and its frame; negative when there are too few."""
    if left < 1:
        return -1
    length = data[offset]
    if length < 252:
        return left - 1 - length
    return left - 2 - length - 4 * data[offset + 1] if left > 1 else -1


def _countFrames(data: bytes, samples: int) -> int:
    """A packet that tells its number of frames (code 3)."""
    left = len(data) - 2
    if left < 0:
        return 0
    frames = data[1] & 0x3F
    if not frames or frames * samples > MAX_SAMPLES:
        return 0
    offset = 2
    if data[1] & 0x40:
        padding = 255
        while padding == 255:
            if left < 1:
                return 0
            padding = data[offset]
            offset += 1
            left -= 1 + min(padding, 254)
    if data[1] & 0x80:
        for _ in range(frames - 1):
            # Lengths stand together before the frames; what they take is the same.
            after = _afterLength(data, offset, left)
            if after < 0:
                return 0
            offset += 1 if data[offset] < 252 else 2
            left = after
        return frames * samples if left <= MAX_FRAME else 0
    if left < 0 or left % frames or left > frames * MAX_FRAME:
        return 0
    return frames * samples


@dataclass(frozen=True, slots=True)
class OpusHead:
    """
    :ivar preSkip: samples at 48 kHz that a player drops at the beginning.
    :ivar inputRate: Hz of what was encoded; for information only.
    :ivar gain: dB times 256.
    :ivar mapping: family 0 for one or two channels; others have a table behind the head.
    """

    channels: int
    preSkip: int = 0
    inputRate: int = SAMPLE_RATE
    gain: int = 0
    mapping: int = 0


def buildHead(channels: int, preSkip: int = 0, inputRate: int = SAMPLE_RATE) -> bytes:
    """
    An OpusHead of mapping family 0.

    :raises ProtocolError: for other than one or two channels, and numbers that do not fit.
    """
    if channels not in (1, 2) or not 0 <= preSkip < 1 << 16 or not 0 <= inputRate < 1 << 32:
        raise ProtocolError("OpusHead that cannot be written")
    return _HEAD.pack(b"OpusHead", 1, channels, preSkip, inputRate, 0, 0)


def parseHead(data: bytes) -> OpusHead:
    """
    :raises ProtocolError: for what is not an OpusHead, or of a version that is not compatible.
    """
    if len(data) < _HEAD.size:
        raise ProtocolError("truncated OpusHead")
    magic, version, channels, preSkip, inputRate, gain, mapping = _HEAD.unpack_from(data)
    if magic != b"OpusHead" or version > 15 or not channels or (not mapping and channels > 2):
        raise ProtocolError("bad OpusHead")
    if mapping and len(data) < _HEAD.size + 2 + channels:
        raise ProtocolError("truncated OpusHead")
    return OpusHead(channels, preSkip, inputRate, gain, mapping)
