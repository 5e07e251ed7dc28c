"""
LATM (ISO/IEC 14496-3, 1.7.3): the StreamMuxConfig around an AudioSpecificConfig, and the lengths before each frame, as
far as RTP needs them (RFC 6416, section 5): one program with one layer.
"""

from dataclasses import dataclass

from realtime_tw.codec.aac import ER_AAC_ELD, MAX_CONFIG, AudioSpecificConfig, readConfig
from realtime_tw.codec.bits import BitReader
from realtime_tw.errors import ProtocolError


@dataclass(frozen=True, slots=True)
class StreamMuxConfig:
    """
    :ivar audio: what the AudioSpecificConfig in it says.
    :ivar audioData: its bytes, beginning at a byte's border.
    :ivar frames: in one audioMuxElement, 1 to 64.
    :ivar frameSize: bytes of every frame; 0 when each comes after its length.
    :ivar hasOther: something that is not sound follows the frames.
    """

    audio: AudioSpecificConfig
    audioData: bytes
    frames: int = 1
    frameSize: int = 0
    hasOther: bool = False


def parseStreamMuxConfig(data: bytes) -> StreamMuxConfig:
    """
    The ``config`` of an SDP, decoded from its hexadecimal digits.

    :raises ProtocolError: for several programs or layers, for what is not AAC, and when truncated.
    """
    if len(data) > MAX_CONFIG:
        raise ProtocolError(f"StreamMuxConfig of more than {MAX_CONFIG} bytes")
    # GStreamer's ends right behind the AudioSpecificConfig. As zeros, what is missing there is what is usual.
    return readStreamMuxConfig(BitReader(data + b"\0\0\0"))


def readStreamMuxConfig(bits: BitReader) -> StreamMuxConfig:
    """
    A StreamMuxConfig wherever it begins; the reader is then behind it.

    :raises ProtocolError: as :func:`parseStreamMuxConfig`.
    """
    version = bits.bits(1)
    if version and bits.bits(1):
        raise ProtocolError("unknown version of StreamMuxConfig")
    if version:
        _readValue(bits)  # fullness of a buffer
    sameTime = bits.bits(1)
    frames = bits.bits(6) + 1
    programs = bits.bits(4) + 1
    layers = bits.bits(3) + 1
    if not sameTime or programs > 1 or layers > 1:
        raise ProtocolError("LATM with several programs or layers is not supported")
    end = None
    if version:
        length = _readValue(bits)
        if length > bits.left:
            raise ProtocolError("truncated StreamMuxConfig")
        end = bits.position + length
    start = bits.position
    # Without a length an extension behind the config is found by its mark. That cannot be mistaken: as frame length
    # type, its first three bits are reserved.
    audio = readConfig(bits)
    if end is None:
        if audio.objectType == ER_AAC_ELD:
            raise ProtocolError("LATM with ELD whose config has no length is not supported")
        audioData = readBytes(bits, start, bits.position)
    elif bits.position > end:
        raise ProtocolError("AudioSpecificConfig longer than its length")
    else:
        bits.skip(end - bits.position)
        audioData = readBytes(bits, start, end)
    frameSize = _readFrameLength(bits)
    hasOther = bits.flag()
    if hasOther:
        _readOtherLength(bits, version)
    if bits.bits(1):
        bits.skip(8)  # a checksum of the config
    return StreamMuxConfig(audio, audioData, frames, frameSize, hasOther)


def _readFrameLength(bits: BitReader) -> int:
    kind = bits.bits(3)
    if kind == 0:
        bits.skip(8)  # fullness of a buffer
        return 0
    if kind == 1:
        return bits.bits(9) + 20
    raise ProtocolError(f"LATM frame length type {kind} is not AAC's")


def _readValue(bits: BitReader) -> int:
    """LatmGetValue: a number after the number of its bytes."""
    return bits.bits((bits.bits(2) + 1) * 8)


def _readOtherLength(bits: BitReader, version: int) -> None:
    """The length of data that is not sound. It follows the sound in each element, where nobody looks for it."""
    if version:
        _readValue(bits)
        return
    while bits.bits(1):
        bits.skip(8)
    bits.skip(8)


def readBytes(bits: BitReader, start: int, end: int) -> bytes:
    """
    The bits between two positions, moved to a byte's border and filled up with zeros; the reader is then behind them.

    :raises ProtocolError: when they are not all there.
    """
    bits.position = start
    count = end - start
    return (bits.bits(count) << (-count % 8)).to_bytes((count + 7) // 8)


def payloadLength(data: bytes, offset: int) -> tuple[int, int]:
    """
    PayloadLengthInfo: a run of bytes of 255 and one that is less, which add up.

    :return: the frame's size, and where it begins.
    :raises ProtocolError: when the run does not end.
    """
    size = 0
    total = len(data)
    while offset < total:
        value = data[offset]
        size += value
        offset += 1
        if value != 255:
            return size, offset
    raise ProtocolError("truncated LATM length")


def readPayloadLength(bits: BitReader) -> int:
    """
    :func:`payloadLength` where bytes have no borders.

    :raises ProtocolError: when the run does not end.
    """
    size = 0
    while (value := bits.bits(8)) == 255:
        size += 255
    return size + value
