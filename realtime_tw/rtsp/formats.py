"""
From a medium of a session description to its track and its depacketizer.

Encoding names are those of the IANA registry of RTP payload formats, in upper case.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from realtime_tw.errors import ProtocolError
from realtime_tw.media import Codec, Kind, Track
from realtime_tw.rtsp.depacketizers.aac import AACDepacketizer
from realtime_tw.rtsp.depacketizers.base import Depacketizer
from realtime_tw.rtsp.depacketizers.h264 import H264Depacketizer
from realtime_tw.rtsp.depacketizers.hevc import HEVCDepacketizer
from realtime_tw.rtsp.depacketizers.jpeg import JPEGDepacketizer
from realtime_tw.rtsp.depacketizers.latm import LATMDepacketizer
from realtime_tw.rtsp.depacketizers.mpa import MPADepacketizer
from realtime_tw.rtsp.depacketizers.nal import decodeSprop
from realtime_tw.rtsp.depacketizers.opus import OpusDepacketizer
from realtime_tw.rtsp.depacketizers.pcm import PCMDepacketizer
from realtime_tw.rtsp.depacketizers.png import PNGDepacketizer
from realtime_tw.rtsp.depacketizers.raw import RawDepacketizer
from realtime_tw.rtsp.depacketizers.vorbis import VorbisDepacketizer
from realtime_tw.rtsp.depacketizers.vp8 import VP8Depacketizer
from realtime_tw.rtsp.depacketizers.vp9 import VP9Depacketizer
from realtime_tw.rtsp.sdp import Media

#: Of a medium that does not say: what nearly all video has.
DEFAULT_CLOCK = 90000

_KINDS = {"video": Kind.VIDEO, "audio": Kind.AUDIO}

Maker = Callable[[Media], Depacketizer]


def _h264(media: Media) -> Depacketizer:
    if media.fmtp.get("packetization-mode", "0").strip() == "2":
        raise ProtocolError("H264 in packetization mode 2, whose order is not that of decoding", 415)
    return H264Depacketizer(decodeSprop(media.fmtp.get("sprop-parameter-sets", "")))


def _hevc(media: Media) -> Depacketizer:
    sets = [nal for name in ("vps", "sps", "pps") for nal in decodeSprop(media.fmtp.get(f"sprop-{name}", ""))]
    return HEVCDepacketizer(sets, media.fmtp.get("sprop-max-don-diff", "0").strip() not in ("", "0"))


def _jpeg(media: Media) -> Depacketizer:
    # Pictures that are too large for the payload header: "26 2048-1536", and "2048,1536".
    said = media.attribute("framesize") or media.attribute("x-dimensions") or ""
    numbers = [int(number) for number in re.findall(r"[0-9]{1,5}", said)[-2:]]
    return JPEGDepacketizer(*numbers) if len(numbers) == 2 else JPEGDepacketizer()


def _isAAC(media: Media) -> bool:
    return media.fmtp.get("mode", "aac-hbr").lower().startswith("aac")


_FORMATS: Mapping[str, tuple[Codec, Maker]] = {
    "H264": (Codec.H264, _h264),
    "H265": (Codec.HEVC, _hevc),
    "HEVC": (Codec.HEVC, _hevc),
    "VP8": (Codec.VP8, lambda media: VP8Depacketizer()),
    "VP9": (Codec.VP9, lambda media: VP9Depacketizer()),
    "JPEG": (Codec.JPEG, _jpeg),
    "PNG": (Codec.PNG, lambda media: PNGDepacketizer()),
    "MPEG4-GENERIC": (Codec.AAC, lambda media: AACDepacketizer(media.fmtp, media.clockRate)),
    "MP4A-LATM": (Codec.AAC, lambda media: LATMDepacketizer(media.fmtp, media.clockRate)),
    "OPUS": (Codec.OPUS, lambda media: OpusDepacketizer(media.fmtp)),
    "VORBIS": (Codec.VORBIS, lambda media: VorbisDepacketizer(media.fmtp, media.clockRate)),
    "MPA": (Codec.MP3, lambda media: MPADepacketizer()),
    "PCMU": (Codec.PCMU, lambda media: PCMDepacketizer(1, media.clockRate, media.channels)),
    "PCMA": (Codec.PCMA, lambda media: PCMDepacketizer(1, media.clockRate, media.channels)),
    "L16": (Codec.L16, lambda media: PCMDepacketizer(2, media.clockRate, media.channels)),
}


def openMedia(media: Media, number: int) -> tuple[Track, Depacketizer]:
    """
    What a medium becomes.

    :param number: the track's id.
    :return: the track as far as the description tells, and what takes its packets; ``RawDepacketizer`` for an encoding
        that we do not know.
    :raises ProtocolError: for parameters with which it cannot be decoded.
    """
    kind = _KINDS.get(media.kind, Kind.OTHER)
    known = _FORMATS.get(media.encodingName)
    if known is None or not media.clockRate or (media.encodingName == "MPEG4-GENERIC" and not _isAAC(media)):
        return rawTrack(media, number), RawDepacketizer()
    codec, make = known
    return describe(Track(number, kind, codec, media.clockRate), depacketizer := make(media)), depacketizer


def rawTrack(media: Media, number: int) -> Track:
    """The track of a medium whose packets are passed on as they are."""
    name = media.encodingName or "/".join(map(str, media.formats))
    return Track(number, _KINDS.get(media.kind, Kind.OTHER), Codec.RTP, media.clockRate or DEFAULT_CLOCK, name=name)


def describe(track: Track, depacketizer: Depacketizer) -> Track:
    """The track with what its depacketizer knows by now; the same object when nothing is new."""
    known: dict[str, int | bytes] = {}
    if depacketizer.config != track.config:
        known["config"] = depacketizer.config
    for name in ("width", "height", "sampleRate", "channels"):
        value: int = getattr(depacketizer, name, 0)
        if value and value != getattr(track, name):
            known[name] = value
    return replace(track, **known) if known else track  # type: ignore[arg-type]
