"""
H264 (ITU-T H.264) as far as a server has to understand it: what a sequence parameter set says about the picture, the
AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1), and the two forms of NAL units in a row, each after its
length in 4 bytes, or after a start code (H.264, annex B). HEVC shares the forms.

Parameter sets and other NAL units are ``bytes`` from the header byte on, with emulation prevention, without start code.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from realtime_tw.codec.bits import BitReader, unescape
from realtime_tw.errors import LimitExceeded, ProtocolError

#: Bytes of one parameter set. Real ones have 10 to 200; scaling lists and all that VUI can hold make about 2,000.
MAX_PARAMETER_SET = 8192

#: Bytes of all parameter sets of one stream: a configuration is in every description of the stream that is sent. Room
#: for one of each id at the usual sizes.
MAX_PARAMETER_SETS = 1 << 16

#: Bytes of an SEI NAL unit that are searched for a message: captions and an encoder's settings make up to 2,000.
MAX_SEI = 1 << 14

#: NAL units of one picture. Real ones have up to some hundred slices; HEVC allows 600 at its highest level.
MAX_NALS = 4096

#: Samples on a side: level 6.2 of both codecs stops at 16,888.
MAX_SIDE = 16888

#: A start code of annex B. The longer one is this after a zero.
START_CODE = b"\0\0\1"

_LENGTH = struct.Struct(">I")

# Profiles whose parameter sets say how chroma is coded (H.264, 7.3.2.1.1): High and above, scalable, multiview.
_WITH_CHROMA = frozenset((100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135))

# Profiles whose configuration ends with the chroma format (14496-15, 5.3.3.1.2): all but Baseline, Main and Extended.
_WITHOUT_EXTENSION = frozenset((66, 77, 88))

# Profiles of which constraint_set3 makes an intra-only one (H.264, E.2.1 on max_num_reorder_frames).
_INTRA_PROFILES = frozenset((44, 86, 100, 110, 122, 244))

_EXTENDED_SAR = 255

_RECOVERY_POINT = 6

_I_SLICES = frozenset((2, 4, 7, 9))


class NALType(IntEnum):
    """H.264, table 7-1, and what RFC 6184 adds in section 5.2."""

    SLICE = 1
    PARTITION_A = 2
    PARTITION_B = 3
    PARTITION_C = 4
    IDR = 5
    SEI = 6
    SPS = 7
    PPS = 8
    AUD = 9
    END_OF_SEQUENCE = 10
    END_OF_STREAM = 11
    FILLER = 12
    SPS_EXTENSION = 13
    STAP_A = 24
    STAP_B = 25
    MTAP16 = 26
    MTAP24 = 27
    FU_A = 28
    FU_B = 29


@dataclass(frozen=True, slots=True)
class SPS:
    """
    A sequence parameter set.

    :ivar constraints: the byte of constraint flags behind the profile.
    :ivar chromaFormat: 0 grey, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    :ivar width: in samples, cropped: the picture as shown. Samples need not be square.
    :ivar reorder: max_num_reorder_frames: how many frames at most come before a frame in decoding order and after it
        on the screen. None when the stream does not say; the standard lets a decoder assume the most then, but most
        streams that do not say it reorder nothing.
    """

    id: int
    profile: int
    constraints: int
    level: int
    chromaFormat: int
    bitDepthLuma: int
    bitDepthChroma: int
    width: int
    height: int
    frameMbsOnly: bool
    reorder: int | None


def parseSPS(nal: bytes) -> SPS:
    """
    Read a sequence parameter set. VUI that cannot be read, as some cameras send it, is as good as none.

    :raises ProtocolError: for anything else that makes no sense.
    """
    reader = _reader(nal, NALType.SPS)
    profile = reader.bits(8)
    constraints = reader.bits(8)
    level = reader.bits(8)
    identifier = reader.ue(31)
    chroma, luma, depth, separate = 1, 8, 8, False
    if profile in _WITH_CHROMA:
        chroma = reader.ue(3)
        separate = chroma == 3 and reader.flag()
        luma = 8 + reader.ue(6)
        depth = 8 + reader.ue(6)
        reader.skip(1)
        if reader.flag():
            for index in range(12 if chroma == 3 else 8):
                if reader.flag():
                    _skipScalingList(reader, 16 if index < 6 else 64)
    reader.ue(12)
    order = _skipPictureOrder(reader)
    reader.ue(16)
    reader.skip(1)
    width = 16 * (reader.ue(MAX_SIDE // 16) + 1)
    height = 16 * (reader.ue(MAX_SIDE // 16) + 1)
    framesOnly = reader.flag()
    if not framesOnly:
        height *= 2
        reader.skip(1)
    reader.skip(1)
    if reader.flag():
        # Offsets count chroma samples, and in a stream that may have fields, lines of one field (H.264, 7.4.2.1.1).
        unitX = 2 if chroma in (1, 2) and not separate else 1
        unitY = (2 if chroma == 1 and not separate else 1) * (1 if framesOnly else 2)
        width -= unitX * (reader.ue(MAX_SIDE) + reader.ue(MAX_SIDE))
        height -= unitY * (reader.ue(MAX_SIDE) + reader.ue(MAX_SIDE))
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE):
        raise ProtocolError("H264 picture size makes no sense")
    reorder = _reordering(reader)
    # In Baseline there are no B slices; order type 2 says that both orders are the same.
    if reorder is None and (order == 2 or profile == 66 or (profile in _INTRA_PROFILES and constraints & 0x10)):
        reorder = 0
    return SPS(identifier, profile, constraints, level, chroma, luma, depth, width, height, framesOnly, reorder)


def parameterSetId(nal: bytes) -> int:
    """
    The id of an SPS, PPS or SPS extension, by which a newer one replaces it.

    :raises ProtocolError: when it is none of them, or too large to be used.
    """
    kind = nal[0] & 31 if nal else 0
    reader = _reader(nal, kind)
    if kind == NALType.SPS:
        reader.skip(24)
        return reader.ue(31)
    if kind == NALType.PPS:
        identifier = reader.ue(255)
        reader.ue(31)
        return identifier
    if kind == NALType.SPS_EXTENSION:
        return reader.ue(31)
    raise ProtocolError(f"H264 NAL unit of type {kind} where a parameter set is expected")


def recoveryFrameCount(sei: bytes) -> int | None:
    """
    How many frames after this one the picture is right when decoding begins here: what a recovery point message
    (H.264, D.2.8) in an SEI NAL unit says. None when there is no such message.
    """
    data = unescape(sei[:MAX_SEI])
    position, end = 1, len(data)
    while position + 2 < end:
        numbers = [0, 0]
        for index in (0, 1):
            while position < end and data[position] == 255:
                numbers[index] += 255
                position += 1
            if position >= end:
                return None
            numbers[index] += data[position]
            position += 1
        if numbers[0] == _RECOVERY_POINT:
            try:
                return BitReader(data[position : position + numbers[1]]).ue(0xFFFF)
            except ProtocolError:
                return None
        position += numbers[1]
    return None


def isIntraSlice(nal: bytes) -> bool:
    """Whether a slice (types 1, 2 and 5) is an I or SI slice, which needs no other picture."""
    reader = BitReader(unescape(nal[1:16]))
    try:
        reader.ue()
        return reader.ue() in _I_SLICES
    except ProtocolError:
        return False


def avcConfig(spsList: Sequence[bytes], ppsList: Sequence[bytes], spsExtList: Sequence[bytes] = ()) -> bytes:
    """
    An AVCDecoderConfigurationRecord for NAL units after their length in 4 bytes. What the first SPS says counts.

    :raises ProtocolError: when a set is missing, or the first SPS makes no sense.
    :raises LimitExceeded: for more or larger sets than fit.
    """
    if not spsList or not ppsList:
        raise ProtocolError("H264 without parameter sets")
    if len(spsList) > 31 or len(ppsList) > 255 or len(spsExtList) > 255:
        raise LimitExceeded("too many H264 parameter sets")
    sps = parseSPS(spsList[0])
    parts = [b"\1%c%c%c\xff%c" % (sps.profile, sps.constraints, sps.level, 0xE0 | len(spsList)), *_sized(spsList)]
    parts += [b"%c" % len(ppsList), *_sized(ppsList)]
    if sps.profile not in _WITHOUT_EXTENSION:
        depths = (0xF8 | sps.bitDepthLuma - 8, 0xF8 | sps.bitDepthChroma - 8)
        parts += [b"%c%c%c%c" % (0xFC | sps.chromaFormat, *depths, len(spsExtList)), *_sized(spsExtList)]
    return b"".join(parts)


def parseAVCConfig(config: bytes) -> tuple[list[bytes], list[bytes]]:
    """
    The sequence and the picture parameter sets in an AVCDecoderConfigurationRecord.

    :raises ProtocolError: when it is none, or one whose NAL units are not after 4 bytes of length.
    """
    if len(config) < 7 or config[0] != 1 or config[4] & 3 != 3:
        raise ProtocolError("not an AVC configuration with lengths of 4 bytes")
    spsList, position = takeSized(config, 6, config[5] & 31)
    if position >= len(config):
        raise ProtocolError("AVC configuration cut short")
    ppsList, position = takeSized(config, position + 1, config[position])
    return spsList, ppsList


def toAnnexB(data: bytes, config: bytes = b"", keyframe: bool = False) -> bytes:
    """
    A frame with start codes.

    :param data: NAL units after their length in 4 bytes.
    :param config: whose parameter sets come first when it is a keyframe.
    :raises ProtocolError: when either is damaged.
    """
    nals = splitLengthPrefixed(data)
    if keyframe and config:
        spsList, ppsList = parseAVCConfig(config)
        nals = [*spsList, *ppsList, *nals]
    return annexB(nals)


def annexB(nals: Iterable[bytes]) -> bytes:
    """NAL units, each after a start code of 4 bytes."""
    return b"".join([part for nal in nals for part in (b"\0\0\0\1", nal)])


def fromAnnexB(data: bytes) -> bytes:
    """
    A frame with lengths for one with start codes.

    :raises ProtocolError: as :func:`splitAnnexB`.
    """
    return lengthPrefixed(splitAnnexB(data))


def splitAnnexB(data: bytes) -> list[bytes]:
    """
    The NAL units between start codes of 3 or 4 bytes. Zeros behind a NAL unit belong to none.

    :raises ProtocolError: when the first thing is no start code.
    :raises LimitExceeded: for more than :data:`MAX_NALS`.
    """
    first, *others = data.split(START_CODE, MAX_NALS + 1)
    if first.strip(b"\0") or not others:
        raise ProtocolError("NAL units without start code")
    if len(others) > MAX_NALS:
        raise LimitExceeded("too many NAL units in a frame")
    return [nal for piece in others if (nal := piece.rstrip(b"\0"))]


def lengthPrefixed(nals: Iterable[bytes]) -> bytes:
    """NAL units, each after its length in 4 bytes."""
    return b"".join([part for nal in nals for part in (_LENGTH.pack(len(nal)), nal)])


def splitLengthPrefixed(data: bytes) -> list[bytes]:
    """
    The NAL units of a frame, each after its length in 4 bytes.

    :raises ProtocolError: when the lengths do not add up.
    :raises LimitExceeded: for more than :data:`MAX_NALS`.
    """
    nals: list[bytes] = []
    position, end = 0, len(data)
    while position < end:
        if position + 4 > end:
            raise ProtocolError("frame cut short")
        start = position + 4
        position = start + _LENGTH.unpack_from(data, position)[0]
        if position > end:
            raise ProtocolError("frame cut short")
        if len(nals) == MAX_NALS:
            raise LimitExceeded("too many NAL units in a frame")
        nals.append(data[start:position])
    return nals


def takeSized(config: bytes, position: int, count: int) -> tuple[list[bytes], int]:
    """
    So many parameter sets, each after its size in 2 bytes, and the position behind them.

    :raises ProtocolError: when the configuration ends before them, or one is empty.
    """
    found = []
    for _ in range(count):
        start = position + 2
        size = int.from_bytes(config[position:start])
        position = start + size
        if not size or position > len(config):
            raise ProtocolError("configuration cut short")
        found.append(config[start:position])
    return found, position


def _sized(nals: Sequence[bytes]) -> list[bytes]:
    if any(len(nal) > MAX_PARAMETER_SET for nal in nals):
        raise LimitExceeded("H264 parameter set too large")
    return [part for nal in nals for part in (len(nal).to_bytes(2), nal)]


def _reader(nal: bytes, kind: int) -> BitReader:
    """At the first bit behind the header of a NAL unit of that type."""
    if len(nal) > MAX_PARAMETER_SET:
        raise LimitExceeded("H264 parameter set too large")
    if not nal or nal[0] & 0x9F != kind:
        raise ProtocolError(f"not an H264 NAL unit of type {kind}")
    return BitReader(unescape(nal[1:]))


def _skipScalingList(reader: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + reader.se()) % 256
        last = following or last


def _skipPictureOrder(reader: BitReader) -> int:
    """:return: pic_order_cnt_type."""
    order = reader.ue(2)
    if order == 0:
        reader.ue(12)
    elif order == 1:
        reader.skip(1)
        reader.se()
        reader.se()
        for _ in range(reader.ue(255)):
            reader.se()
    return order


def _reordering(reader: BitReader) -> int | None:
    """max_num_reorder_frames of VUI (H.264, annex E.1.1); None when it is not there or cannot be read."""
    try:
        if not reader.flag():
            return None
        if reader.flag() and reader.bits(8) == _EXTENDED_SAR:
            reader.skip(32)
        if reader.flag():
            reader.skip(1)
        if reader.flag():
            reader.skip(4)
            if reader.flag():
                reader.skip(24)
        if reader.flag():
            reader.ue()
            reader.ue()
        if reader.flag():
            reader.skip(65)
        nalTimes = reader.flag()
        if nalTimes:
            _skipHRD(reader)
        vclTimes = reader.flag()
        if vclTimes:
            _skipHRD(reader)
        if nalTimes or vclTimes:
            reader.skip(1)
        reader.skip(1)
        if not reader.flag():
            return None
        reader.skip(1)
        for _ in range(4):
            reader.ue()
        return reader.ue(16)
    except ProtocolError:
        return None


def _skipHRD(reader: BitReader) -> None:
    count = reader.ue(31) + 1
    reader.skip(8)
    for _ in range(count):
        reader.ue()
        reader.ue()
        reader.skip(1)
    reader.skip(20)
