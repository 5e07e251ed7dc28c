"""The actions that take RTSP publishers: their keys, and what they make of them."""

from collections.abc import Mapping
from typing import Any

from twisted.web.resource import IResource

from realtime_tw.errors import ProtocolError
from realtime_tw.hub import Hub
from realtime_tw.media import Codec, Kind
from realtime_tw.routing.arguments import ActionSpec, Key
from realtime_tw.routing.arguments import Kind as KeyKind
from realtime_tw.rtsp.outputs import ForwardingOutput, FramesOutput, Output, PayloadsOutput, Selection
from realtime_tw.rtsp.rtp import MAX_REORDER
from realtime_tw.rtsp.server import TIMEOUT, Publication

Values = Mapping[str, Any]

#: Channel numbers before the payloads: those of the first two streams of nearly every publisher.
_VIDEO, _AUDIO = 0, 2

_VIDEO_CODECS = tuple(codec.value for codec in (Codec.PNG, Codec.VP8, Codec.H264, Codec.HEVC, Codec.VP9, Codec.JPEG))
_AUDIO_CODECS = tuple(
    codec.value for codec in (Codec.AAC, Codec.OPUS, Codec.VORBIS, Codec.MP3, Codec.PCMU, Codec.PCMA, Codec.L16)
)

_SESSION = (
    Key("timeout", KeyKind.SECONDS, default=TIMEOUT),
    Key("reorder", KeyKind.COUNT, default=0, most=MAX_REORDER),
)

RTSP = ActionSpec(
    "rtsp",
    (
        Key("server", KeyKind.SERVER),
        Key("publish", KeyKind.TEXT, required=True),
        Key("demuxer", KeyKind.CHOICE, choices=("auto",)),
        Key("video_demuxer", KeyKind.CHOICE, choices=_VIDEO_CODECS),
        Key("audio_demuxer", KeyKind.CHOICE, choices=_AUDIO_CODECS),
        Key("video_channel", KeyKind.COUNT, most=255),
        Key("audio_channel", KeyKind.COUNT, most=255),
        Key("track_prefix", KeyKind.FLAG, default=False),
        Key("takeover", KeyKind.FLAG, default=False),
        *_SESSION,
    ),
    bare="publish",
    summary="takes RTSP publishers: cameras, ffmpeg, GStreamer",
)

INTERLEAVED = ActionSpec(
    "interleaved",
    (Key("targets", KeyKind.ADDRESSES, required=True), Key("rtcp", KeyKind.FLAG, default=False), *_SESSION),
    bare="targets",
    summary="forwards an RTSP publisher's RTP packets over UDP",
)


def rtspPublication(hub: Hub, values: Values) -> Publication:
    """What ``rtsp`` makes of a publisher."""
    output: Output
    if values["demuxer"] == "auto":
        output = FramesOutput(hub, values["publish"], values["takeover"])
    else:
        output = PayloadsOutput(hub, values["publish"], selections(values), values["track_prefix"], values["takeover"])
    return Publication(output, values["timeout"], values["reorder"])


def selections(values: Values) -> dict[Kind, Selection]:
    """
    Which kinds of tracks are published, and how. A kind of which a key speaks is; when none does, both are, as RTP
    packets.
    """
    chosen: dict[Kind, Selection] = {}
    none = all(values[f"{kind}_{key}"] is None for kind in ("video", "audio") for key in ("demuxer", "channel"))
    for kind, number in ((Kind.VIDEO, _VIDEO), (Kind.AUDIO, _AUDIO)):
        demuxer, channel = values[f"{kind.value}_demuxer"], values[f"{kind.value}_channel"]
        if none or demuxer is not None or channel is not None:
            chosen[kind] = Selection(
                None if demuxer is None else Codec(demuxer), number if channel is None else channel
            )
    return chosen


def interleavedPublication(hub: Hub, values: Values) -> Publication:
    """What ``interleaved`` makes of a publisher."""
    targets = [(address.host, address.port) for address in values["targets"]]
    output = ForwardingOutput(hub.clock, targets, values["rtcp"])
    return Publication(output, values["timeout"], values["reorder"])


def overHTTP(tunnels: IResource | None) -> IResource:
    """What HTTP clients of these actions meet."""
    if tunnels is None:
        raise ProtocolError("this address speaks RTSP")
    return tunnels
