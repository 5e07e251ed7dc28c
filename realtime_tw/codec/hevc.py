"""
HEVC (ITU-T H.265) as far as a server has to understand it: what parameter sets say about the picture, and the
HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3.1). Of streams in layers (annex F and on) only the base layer is
looked at. The forms of NAL units in a row are H264's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from realtime_tw.codec.bits import BitReader, unescape
from realtime_tw.codec.h264 import (
    MAX_PARAMETER_SET,
    MAX_SIDE,
    annexB,
    fromAnnexB,
    lengthPrefixed,
    splitAnnexB,
    splitLengthPrefixed,
    takeSized,
)
from realtime_tw.errors import LimitExceeded, ProtocolError

__all__ = [
    "SPS",
    "NALType",
    "annexB",
    "fromAnnexB",
    "hevcConfig",
    "lengthPrefixed",
    "parameterSetId",
    "parseHEVCConfig",
    "parseSPS",
    "splitAnnexB",
    "splitLengthPrefixed",
    "toAnnexB",
]

#: A decoded picture buffer has 16 places (H.265, A.4.2): no more references, and no more pictures out of order.
MAX_DPB = 16

_EXTENDED_SAR = 255


class NALType(IntEnum):
    """H.265, table 7-1, and what RFC 7798 adds in section 4.4."""

    RASL_N = 8
    RASL_R = 9
    BLA_W_LP = 16
    BLA_N_LP = 18
    IDR_W_RADL = 19
    IDR_N_LP = 20
    CRA = 21
    RESERVED_IRAP = 23
    RESERVED_VCL = 31
    VPS = 32
    SPS = 33
    PPS = 34
    AUD = 35
    END_OF_SEQUENCE = 36
    END_OF_BITSTREAM = 37
    FILLER = 38
    PREFIX_SEI = 39
    SUFFIX_SEI = 40
    AP = 48
    FU = 49
    PACI = 50


@dataclass(frozen=True, slots=True)
class SPS:
    """
    A sequence parameter set.

    :ivar profileTierLevel: 12 bytes: general profile space, tier, profile, compatibility and constraint flags, level.
    :ivar profile: general_profile_idc: 1 Main, 2 Main 10, 3 Main Still Picture, 4 format range extensions.
    :ivar level: 30 times the level's number.
    :ivar subLayers: how many temporal sub-layers there are at most.
    :ivar nested: sps_temporal_id_nesting_flag.
    :ivar chromaFormat: 0 grey, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    :ivar width: in samples, within the conformance window: the picture as shown. Samples need not be square.
    :ivar reorder: sps_max_num_reorder_pics of the highest sub-layer: how many pictures at most come before a picture in
        decoding order and after it on the screen.
    :ivar minSpatialSegmentation: min_spatial_segmentation_idc of VUI; 0 when it is not there.
    """

    id: int
    profileTierLevel: bytes
    profile: int
    level: int
    subLayers: int
    nested: bool
    chromaFormat: int
    bitDepthLuma: int
    bitDepthChroma: int
    width: int
    height: int
    reorder: int
    minSpatialSegmentation: int


def parseSPS(nal: bytes) -> SPS:
    """
    Read a sequence parameter set. VUI that cannot be read is as good as none.

    :raises ProtocolError: for anything else that makes no sense.
    """
    reader = _reader(nal, NALType.SPS)
    reader.skip(4)
    subLayers = _subLayers(reader)
    nested = reader.flag()
    general = reader.bits(96).to_bytes(12)
    _skipSubLayers(reader, subLayers)
    identifier = reader.ue(15)
    chroma = reader.ue(3)
    separate = chroma == 3 and reader.flag()
    width = reader.ue(MAX_SIDE)
    height = reader.ue(MAX_SIDE)
    if reader.flag():
        # Offsets count chroma samples (H.265, 7.4.3.2.1).
        unitX = 2 if chroma in (1, 2) and not separate else 1
        unitY = 2 if chroma == 1 and not separate else 1
        width -= unitX * (reader.ue(MAX_SIDE) + reader.ue(MAX_SIDE))
        height -= unitY * (reader.ue(MAX_SIDE) + reader.ue(MAX_SIDE))
    if width <= 0 or height <= 0:
        raise ProtocolError("HEVC picture size makes no sense")
    luma = 8 + reader.ue(8)
    depth = 8 + reader.ue(8)
    orderBits = 4 + reader.ue(12)
    reorder = 0
    for _ in range(subLayers if reader.flag() else 1):
        reader.ue(MAX_DPB)
        reorder = reader.ue(MAX_DPB)
        reader.ue()
    _skipCodingTools(reader, orderBits)
    segmentation = _minSpatialSegmentation(reader, subLayers)
    profile, level = general[0] & 31, general[11]
    picture = (chroma, luma, depth, width, height, reorder, segmentation)
    return SPS(identifier, general, profile, level, subLayers, nested, *picture)


def parameterSetId(nal: bytes) -> int:
    """
    The id of a VPS, SPS or PPS, by which a newer one replaces it.

    :raises ProtocolError: when it is none of them, or too large to be used.
    """
    kind = nal[0] >> 1 & 63 if nal else 0
    reader = _reader(nal, kind)
    if kind == NALType.VPS:
        return reader.bits(4)
    if kind == NALType.SPS:
        reader.skip(4)
        subLayers = _subLayers(reader)
        reader.skip(1 + 96)
        _skipSubLayers(reader, subLayers)
        return reader.ue(15)
    if kind == NALType.PPS:
        identifier = reader.ue(63)
        reader.ue(15)
        return identifier
    raise ProtocolError(f"HEVC NAL unit of type {kind} where a parameter set is expected")


def hevcConfig(vpsList: Sequence[bytes], spsList: Sequence[bytes], ppsList: Sequence[bytes]) -> bytes:
    """
    An HEVCDecoderConfigurationRecord for NAL units after their length in 4 bytes. What the first SPS says counts. The
    arrays are marked complete: there are no parameter sets in the frames.

    :raises ProtocolError: when a set is missing, or the first ones make no sense.
    :raises LimitExceeded: for more or larger sets than fit.
    """
    if not vpsList or not spsList or not ppsList:
        raise ProtocolError("HEVC without parameter sets")
    sps = parseSPS(spsList[0])
    layers = max(sps.subLayers, _layersOfVPS(vpsList[0]))
    # How the parts that a picture is divided into can be decoded side by side; says nothing without a promise that
    # there are such parts.
    parallelism = _parallelism(ppsList[0]) if sps.minSpatialSegmentation else 0
    parts = [
        b"\1",
        sps.profileTierLevel,
        (0xF000 | sps.minSpatialSegmentation).to_bytes(2),
        b"%c%c" % (0xFC | parallelism, 0xFC | sps.chromaFormat),
        b"%c%c" % (0xF8 | (sps.bitDepthLuma - 8) & 7, 0xF8 | (sps.bitDepthChroma - 8) & 7),
        # The average frame rate is not known.
        b"\0\0%c\3" % (layers << 3 | sps.nested << 2 | 3),
    ]
    for kind, nals in ((NALType.VPS, vpsList), (NALType.SPS, spsList), (NALType.PPS, ppsList)):
        if len(nals) > 64 or any(len(nal) > MAX_PARAMETER_SET for nal in nals):
            raise LimitExceeded("too many or too large HEVC parameter sets")
        parts.append(b"%c%b" % (0x80 | kind, len(nals).to_bytes(2)))
        parts += [part for nal in nals for part in (len(nal).to_bytes(2), nal)]
    return b"".join(parts)


def parseHEVCConfig(config: bytes) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """
    The video, the sequence and the picture parameter sets in an HEVCDecoderConfigurationRecord; other arrays are left
    out.

    :raises ProtocolError: when it is none, or one whose NAL units are not after 4 bytes of length.
    """
    if len(config) < 23 or config[0] != 1 or config[21] & 3 != 3:
        raise ProtocolError("not an HEVC configuration with lengths of 4 bytes")
    found: dict[int, list[bytes]] = {}
    position = 23
    for _ in range(config[22]):
        head = config[position : position + 3]
        if len(head) < 3:
            raise ProtocolError("HEVC configuration cut short")
        nals, position = takeSized(config, position + 3, int.from_bytes(head[1:]))
        found.setdefault(head[0] & 63, []).extend(nals)
    return found.get(NALType.VPS, []), found.get(NALType.SPS, []), found.get(NALType.PPS, [])


def toAnnexB(data: bytes, config: bytes = b"", keyframe: bool = False) -> bytes:
    """
    A frame with start codes.

    :param data: NAL units after their length in 4 bytes.
    :param config: whose parameter sets come first when it is a keyframe.
    :raises ProtocolError: when either is damaged.
    """
    nals = splitLengthPrefixed(data)
    if keyframe and config:
        vpsList, spsList, ppsList = parseHEVCConfig(config)
        nals = [*vpsList, *spsList, *ppsList, *nals]
    return annexB(nals)


def _reader(nal: bytes, kind: int) -> BitReader:
    """At the first bit behind the header of a NAL unit of that type."""
    if len(nal) > MAX_PARAMETER_SET:
        raise LimitExceeded("HEVC parameter set too large")
    # With the forbidden bit clear, and of the base layer.
    if len(nal) < 2 or nal[0] != kind << 1 or nal[1] >> 3:
        raise ProtocolError(f"not an HEVC NAL unit of type {kind}")
    return BitReader(unescape(nal[2:]))


def _subLayers(reader: BitReader) -> int:
    count = reader.bits(3) + 1
    if count > 7:
        raise ProtocolError("HEVC parameter set with more than 7 sub-layers")
    return count


def _skipSubLayers(reader: BitReader, subLayers: int) -> None:
    """The part of profile_tier_level (H.265, 7.3.3) that is not about the whole."""
    size = 0
    for _ in range(subLayers - 1):
        size += 88 * reader.flag() + 8 * reader.flag()
    if subLayers > 1:
        size += 2 * (8 - (subLayers - 1))
    reader.skip(size)


def _skipCodingTools(reader: BitReader, orderBits: int) -> None:
    """What stands between the picture and VUI (H.265, 7.3.2.2.1)."""
    for _ in range(6):
        reader.ue(32)
    if reader.flag() and reader.flag():
        _skipScalingLists(reader)
    reader.skip(2)
    if reader.flag():
        reader.skip(8)
        reader.ue(32)
        reader.ue(32)
        reader.skip(1)
    _skipReferenceSets(reader, reader.ue(64))
    if reader.flag():
        reader.skip(reader.ue(32) * (orderBits + 1))
    reader.skip(2)


def _skipScalingLists(reader: BitReader) -> None:
    """scaling_list_data (H.265, 7.3.4). Of size 32 there are only two."""
    for size in range(4):
        for _ in range(0, 6, 3 if size == 3 else 1):
            if not reader.flag():
                reader.ue(5)
                continue
            if size > 1:
                reader.se()
            for _ in range(min(64, 16 << 2 * size)):
                reader.se()


def _skipReferenceSets(reader: BitReader, count: int) -> None:
    """st_ref_pic_set (H.265, 7.3.7): each predicted from the one before it, or with its own pictures."""
    pictures = 0
    for index in range(count):
        if index and reader.flag():
            reader.skip(1)
            reader.ue(0x7FFF)
            # Of the pictures before, and of the picture itself: used by this one, or else still kept.
            pictures = sum(reader.flag() or reader.flag() for _ in range(pictures + 1))
            if pictures > MAX_DPB:
                raise ProtocolError("HEVC reference picture set makes no sense")
        else:
            pictures = reader.ue(MAX_DPB) + reader.ue(MAX_DPB)
            if pictures > MAX_DPB:
                raise ProtocolError("HEVC reference picture set makes no sense")
            for _ in range(pictures):
                reader.ue(0x7FFF)
                reader.skip(1)


def _minSpatialSegmentation(reader: BitReader, subLayers: int) -> int:
    """min_spatial_segmentation_idc of VUI (H.265, E.2.1); 0 when it is not there or cannot be read."""
    try:
        if not reader.flag():
            return 0
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
        reader.skip(3)
        if reader.flag():
            for _ in range(4):
                reader.ue()
        if reader.flag():
            reader.skip(64)
            if reader.flag():
                reader.ue()
            if reader.flag():
                _skipHRD(reader, subLayers)
        if not reader.flag():
            return 0
        reader.skip(3)
        return reader.ue(4095)
    except ProtocolError:
        return 0


def _skipHRD(reader: BitReader, subLayers: int) -> None:
    """hrd_parameters with what is common to all sub-layers (H.265, E.2.2)."""
    nal, vcl = reader.flag(), reader.flag()
    subPictures = False
    if nal or vcl:
        subPictures = reader.flag()
        if subPictures:
            reader.skip(19)
        reader.skip(8)
        if subPictures:
            reader.skip(4)
        reader.skip(15)
    for _ in range(subLayers):
        fixedGeneral = reader.flag()
        fixed = fixedGeneral or reader.flag()
        lowDelay = False
        if fixed:
            reader.ue()
        else:
            lowDelay = reader.flag()
        buffers = 1 if lowDelay else reader.ue(31) + 1
        for _ in range(buffers * (nal + vcl)):
            for _ in range(4 if subPictures else 2):
                reader.ue()
            reader.skip(1)


def _layersOfVPS(nal: bytes) -> int:
    reader = _reader(nal, NALType.VPS)
    reader.skip(12)
    return _subLayers(reader)


def _parallelism(nal: bytes) -> int:
    """parallelismType: 1 for slices, 2 for tiles, 3 for wavefronts, 0 when tiles and wavefronts are mixed."""
    reader = _reader(nal, NALType.PPS)
    reader.ue(63)
    reader.ue(15)
    reader.skip(7)
    reader.ue(15)
    reader.ue(15)
    reader.se()
    reader.skip(2)
    if reader.flag():
        reader.ue()
    reader.se()
    reader.se()
    reader.skip(4)
    tiles, wavefronts = reader.flag(), reader.flag()
    if tiles and wavefronts:
        return 0
    return 2 if tiles else 3 if wavefronts else 1
