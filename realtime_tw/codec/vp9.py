"""
VP9 frames and superframes (VP9 Bitstream and Decoding Process Specification, section 6.2 and annex B).

A *superframe* is several frames that belong to one time: hidden frames with the one that is shown, or the spatial
layers of a picture. An index at its end holds their sizes. One frame alone has no index.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from realtime_tw.codec.bits import BitReader
from realtime_tw.errors import LimitExceeded, ProtocolError

#: Frames in a superframe: their number less one has 3 bits.
MAX_FRAMES = 8

#: Bytes of a frame in a superframe: its size has at most 4 bytes.
MAX_FRAME_SIZE = 0xFFFFFFFF

#: What :attr:`FrameHeader.colorSpace` is for sRGB, the one value that changes how the header goes on.
COLOR_SPACE_RGB = 7

_COLOR_SPACE_BT_601 = 1
_SYNC_CODE = 0x498342

# The longest uncompressed header up to the size of the picture is that of an intra-only frame: 95 bits.
_LONGEST = 16


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """
    The beginning of a frame's uncompressed header.

    :ivar profile: 0 to 3.
    :ivar showExisting: the frame only says that one decoded before is shown now; what follows here is then unset.
    :ivar keyframe: decoding can begin here.
    :ivar intraOnly: refers to no other frame, but what comes after it may: decoding cannot begin here.
    :ivar width: in pixels, as coded; 0 when the frame takes its size from another.
    :ivar bitDepth: 8, 10 or 12. This and all that follows is known of keyframes and intra-only frames; else 0.
    :ivar colorSpace: 0 unknown, 1 BT.601, 2 BT.709, 3 SMPTE 170, 4 SMPTE 240, 5 BT.2020, 6 reserved, 7 sRGB.
    :ivar fullRange: samples use all values, not the studio range.
    :ivar subsamplingX: 1 when there is one chroma sample for two luma samples of a row.
    :ivar subsamplingY: the same of columns: (1, 1) is 4:2:0, (1, 0) 4:2:2, (0, 1) 4:4:0, (0, 0) 4:4:4.
    """

    profile: int
    showExisting: bool = False
    keyframe: bool = False
    intraOnly: bool = False
    shown: bool = True
    errorResilient: bool = False
    width: int = 0
    height: int = 0
    bitDepth: int = 0
    colorSpace: int = 0
    fullRange: bool = False
    subsamplingX: int = 0
    subsamplingY: int = 0


def parseFrameHeader(data: bytes) -> FrameHeader:
    """
    :param data: a frame, or a superframe: then it is the header of the first frame.
    :raises ProtocolError: for what is no VP9 frame.
    """
    reader = BitReader(data[:_LONGEST])
    bits = reader.bits
    flag = reader.flag
    if bits(2) != 2:
        raise ProtocolError("no VP9 frame: wrong frame marker")
    profile = bits(1) | bits(1) << 1
    if profile == 3 and flag():
        raise ProtocolError("VP9 profile above 3")
    if flag():
        # Which of the 8 references it shows.
        reader.skip(3)
        return FrameHeader(profile, showExisting=True)
    keyframe = not flag()
    shown = flag()
    errorResilient = flag()
    if keyframe:
        _syncCode(bits(24))
        depth, space, full, x, y = _colorConfig(reader, profile)
        width = bits(16) + 1
        height = bits(16) + 1
        return FrameHeader(profile, False, True, False, shown, errorResilient, width, height, depth, space, full, x, y)
    intraOnly = not shown and flag()
    if not errorResilient:
        # Which contexts are reset.
        reader.skip(2)
    if intraOnly:
        _syncCode(bits(24))
        depth, space, full, x, y = 8, _COLOR_SPACE_BT_601, False, 1, 1
        if profile:
            depth, space, full, x, y = _colorConfig(reader, profile)
        # Which references it refreshes.
        reader.skip(8)
        width = bits(16) + 1
        height = bits(16) + 1
        return FrameHeader(profile, False, False, True, shown, errorResilient, width, height, depth, space, full, x, y)
    # Which references it refreshes; then the 3 that it uses, each with a sign.
    reader.skip(8 + 3 * 4)
    if flag() or flag() or flag():
        return FrameHeader(profile, shown=shown, errorResilient=errorResilient)
    width = bits(16) + 1
    height = bits(16) + 1
    return FrameHeader(profile, False, False, False, shown, errorResilient, width, height)


def _syncCode(value: int) -> None:
    if value != _SYNC_CODE:
        raise ProtocolError("VP9 frame without sync code")


def _colorConfig(reader: BitReader, profile: int) -> tuple[int, int, bool, int, int]:
    """Bit depth, color space, full range, subsampling of columns and of rows."""
    flag = reader.flag
    depth = 8
    if profile >= 2:
        depth = 12 if flag() else 10
    space = reader.bits(3)
    fullRange = space == COLOR_SPACE_RGB or flag()
    if not profile & 1:
        if space == COLOR_SPACE_RGB:
            raise ProtocolError(f"sRGB in VP9 profile {profile}")
        return depth, space, fullRange, 1, 1
    x = y = 0
    if space != COLOR_SPACE_RGB:
        x = reader.bits(1)
        y = reader.bits(1)
        if x and y:
            raise ProtocolError(f"4:2:0 in VP9 profile {profile}")
    if flag():
        raise ProtocolError("reserved bit in a VP9 header")
    return depth, space, fullRange, x, y


def splitSuperframe(data: bytes) -> list[bytes]:
    """
    The frames of a superframe, without its index; or the one frame without index.

    :raises ProtocolError: when an index does not fit the data. A frame alone may by chance end with the byte of an
        index, but not hold the same byte where the index would begin.
    """
    if not data:
        raise ProtocolError("empty VP9 frame")
    marker = data[-1]
    if marker & 0xE0 != 0xC0:
        return [data]
    count = (marker & 7) + 1
    width = (marker >> 3 & 3) + 1
    start = len(data) - 2 - count * width
    if start < 0 or data[start] != marker:
        return [data]
    frames = []
    position = 0
    for at in range(start + 1, len(data) - 1, width):
        end = position + int.from_bytes(data[at : at + width], "little")
        if end > start:
            raise ProtocolError("VP9 superframe whose index asks for more than there is")
        # A frame of size zero says: nothing of this layer.
        if end > position:
            frames.append(data[position:end])
        position = end
    if not frames:
        raise ProtocolError("VP9 superframe without frames")
    return frames


def joinSuperframe(frames: Sequence[bytes]) -> bytes:
    """
    One superframe of several frames; a single frame stays as it is.

    :param frames: 1 to :data:`MAX_FRAMES`, none of them with an index.
    :raises LimitExceeded: for more.
    """
    if len(frames) == 1:
        return frames[0]
    if not 1 < len(frames) <= MAX_FRAMES:
        raise LimitExceeded(f"VP9 superframe of {len(frames)} frames")
    longest = max(map(len, frames))
    if longest > MAX_FRAME_SIZE:
        raise LimitExceeded(f"VP9 frame of {longest} bytes")
    width = max((longest.bit_length() + 7) // 8, 1)
    marker = bytes([0xC0 | width - 1 << 3 | len(frames) - 1])
    sizes = [len(frame).to_bytes(width, "little") for frame in frames]
    return b"".join([*frames, marker, *sizes, marker])
