"""
Audio and video as they cross the broker: *tracks*, described once, and their *frames*.

Frames, not containers: whatever comes in is taken apart once, where it arrives, and each process with viewers makes
the containers it needs. How both look on a channel is in :mod:`realtime_tw.codec.envelope`.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """What a track carries."""

    VIDEO = "video"
    AUDIO = "audio"
    OTHER = "other"


class Codec(Enum):
    """
    How the frames of a track are coded, and with them the form of ``Track.config`` and ``Frame.data``.

    ====== ======================================================== ===================================================
    codec  config                                                   data
    ====== ======================================================== ===================================================
    h264   AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3)  NAL units, each after its length in 4 bytes
    hevc   HEVCDecoderConfigurationRecord (14496-15, 8.3.3)         the same
    vp8    none                                                     one frame
    vp9    none                                                     one superframe
    av1    AV1CodecConfigurationRecord                              one temporal unit without temporal delimiter
    aac    AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1)           one raw_data_block, no ADTS
    mp3    none                                                     one frame with its header
    opus   OpusHead (RFC 7845, 5.1)                                 one packet
    vorbis the three headers with Xiph lacing, as in Matroska       one packet
    jpeg   none                                                     one JPEG file
    png    none                                                     one PNG file
    pcmu   none                                                     G.711 mu-law samples
    pcma   none                                                     G.711 A-law samples
    l16    none                                                     16-bit big-endian samples, channels interleaved
    rtp    none                                                     a whole RTP packet: a codec that we do not know
    ====== ======================================================== ===================================================

    Parameter sets of h264 and hevc are in the config and not in the frames; so are access unit delimiters and filler
    left out.
    """

    H264 = "h264"
    HEVC = "hevc"
    VP8 = "vp8"
    VP9 = "vp9"
    AV1 = "av1"
    AAC = "aac"
    MP3 = "mp3"
    OPUS = "opus"
    VORBIS = "vorbis"
    JPEG = "jpeg"
    PNG = "png"
    PCMU = "pcmu"
    PCMA = "pcma"
    L16 = "l16"
    RTP = "rtp"


@dataclass(frozen=True, slots=True)
class Track:
    """
    One elementary stream.

    :ivar id: 1 to 255, unique among the tracks of one source.
    :ivar clockRate: ticks per second of its frames' times.
    :ivar config: what a decoder needs before the first frame; see :class:`Codec`. Empty when the codec has none, or
        when it is not known yet: h264 and hevc may bring it with the first keyframe.
    :ivar width: of the picture in pixels, as shown; 0 when not known, and for sound.
    :ivar sampleRate: of the sound in Hz; 0 when not known, and for pictures.
    :ivar channels: of the sound; 0 when not known.
    :ivar name: for a codec that we do not know: the name that the source gave it.
    """

    id: int
    kind: Kind
    codec: Codec
    clockRate: int
    config: bytes = b""
    width: int = 0
    height: int = 0
    sampleRate: int = 0
    channels: int = 0
    name: str = ""


class Frame(NamedTuple):
    """
    One decodable access unit.

    :ivar track: its track's id.
    :ivar pts: when it is shown, in ticks of the track's clock. All tracks of a source have the same zero.
    :ivar dts: when it is decoded; equal to pts unless the codec reorders. Grows within a track.
    :ivar keyframe: decoding can begin here. Always true of sound.
    """

    track: int
    pts: int
    dts: int
    keyframe: bool
    data: bytes


class AccessUnit(NamedTuple):
    """
    What a depacketizer makes of packets.

    :ivar time: RTP time of its presentation, unwrapped: never jumps where 32 bits end.
    :ivar data: as in :class:`Codec`.
    """

    time: int
    keyframe: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class Tracks:
    """
    What a joiner needs before the first frame.

    :ivar tracks: in the order of the source's description.
    :ivar source: a random number of 32 bits that names this run of the source; every frame bears it too. When it
        changes, times begin anew.
    :ivar epoch: Unix time in milliseconds of the tracks' common zero; 0 when nobody knows.
    """

    tracks: tuple[Track, ...]
    source: int = 0
    epoch: int = 0
