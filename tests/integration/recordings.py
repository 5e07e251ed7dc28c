"""
Real RTP for simulations: what ffmpeg's and GStreamer's payloaders send for short test signals, in small packets, so
that frames are divided; and a sender of PNG, for which neither has one.
"""

import re
import socket
import struct
import subprocess
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise, takewhile
from pathlib import Path
from random import Random

from realtime_tw.media import Codec, Frame
from realtime_tw.rtsp.clock import Timeline
from realtime_tw.rtsp.rtp import isRTCP
from realtime_tw.rtsp.sdp import Media, parseSDP
from realtime_tw.rtsp.stream import Stream, streamsOf
from tests.conftest import program

#: Bytes of the largest packet.
MTU = 400

#: Codecs whose frames refer to earlier ones.
PREDICTED = frozenset((Codec.H264, Codec.HEVC, Codec.VP8, Codec.VP9))

# Sound is noise: silence and tones code to less than a packet.
_VIDEO = "-f lavfi -i testsrc2=size=160x120:rate=25"
_AUDIO = "-f lavfi -i anoisesrc=seed=1:sample_rate=48000:duration=2"
_X264 = "-c:v libx264 -preset veryfast -g 15 -pix_fmt yuv420p -b:v 250k"
_X265 = "-c:v libx265 -preset ultrafast -pix_fmt yuv420p -b:v 250k -x265-params keyint=15:log-level=error"
_VPX = "-deadline realtime -cpu-used 8 -threads 1 -g 15 -b:v 250k"
_TESTPICTURE = "videotestsrc num-buffers=60 pattern=ball ! video/x-raw,format=I420,width=160,height=120,framerate=25/1"
_NOISE = "audiotestsrc wave=pink-noise num-buffers=90 samplesperbuffer=1024 ! audio/x-raw,rate=48000,channels=2"
_X264ENC = "x264enc speed-preset=veryfast key-int-max=15 bitrate=250 b-adapt=false bframes=2 ! h264parse"
_X265ENC = "x265enc speed-preset=ultrafast key-int-max=15 bitrate=250 option-string=open-gop=0:info=0 ! h265parse"
_VPENC = "deadline=1 cpu-used=8 threads=1 keyframe-max-dist=15 target-bitrate=250000"
_PAY = f"mtu={MTU}"


@dataclass(frozen=True)
class Recipe:
    """
    :ivar sender: arguments of ffmpeg, or the pipeline of GStreamer before its sink; empty for PNG.
    :ivar count: frames of the signal; 0 where it depends on the encoder.
    :ivar delimited: keyframes show their beginning, by a delimiter or parameter sets.
    """

    name: str
    codec: Codec
    sender: str
    count: int = 0
    delimited: bool = True

    @property
    def predicted(self) -> bool:
        return self.codec in PREDICTED

    def __str__(self) -> str:
        return self.name


RECIPES = (
    Recipe("h264", Codec.H264, f"{_VIDEO} -frames:v 60 {_X264} -bf 2 -x264-params aud=1:repeat-headers=1", 60),
    # Parameter sets are in the description alone, and nothing tells where a picture begins.
    Recipe("h264-bare", Codec.H264, f"{_VIDEO} -frames:v 60 {_X264} -bf 0 -flags +global_header", 60, delimited=False),
    Recipe(
        "h264-slices",
        Codec.H264,
        f"{_VIDEO} -frames:v 60 {_X264} -bf 0 -flags +global_header -x264-params aud=1:slices=3",
        60,
    ),
    Recipe("h264-gstreamer", Codec.H264, f"{_TESTPICTURE} ! {_X264ENC} ! rtph264pay {_PAY}", 60),
    Recipe("hevc", Codec.HEVC, f"{_VIDEO} -frames:v 60 {_X265}:bframes=2:open-gop=0:aud=1:repeat-headers=1", 60),
    # Keyframes are followed by pictures that are shown before them.
    Recipe("hevc-open", Codec.HEVC, f"{_VIDEO} -frames:v 60 {_X265}:bframes=2:aud=1:repeat-headers=1", 60),
    Recipe(
        "hevc-bare", Codec.HEVC, f"{_VIDEO} -frames:v 60 {_X265}:bframes=0 -flags +global_header", 60, delimited=False
    ),
    Recipe(
        "hevc-slices",
        Codec.HEVC,
        f"{_VIDEO} -frames:v 60 {_X265}:bframes=0:ctu=16:slices=3 -flags +global_header",
        60,
        delimited=False,
    ),
    Recipe("hevc-gstreamer", Codec.HEVC, f"{_TESTPICTURE} ! {_X265ENC} ! rtph265pay {_PAY} config-interval=-1", 60),
    Recipe("vp8", Codec.VP8, f"{_VIDEO} -frames:v 60 -c:v libvpx {_VPX}", 60),
    Recipe(
        "vp8-gstreamer", Codec.VP8, f"{_TESTPICTURE} ! vp8enc {_VPENC} ! rtpvp8pay {_PAY} picture-id-mode=15-bit", 60
    ),
    Recipe("vp9", Codec.VP9, f"{_VIDEO} -frames:v 60 -c:v libvpx-vp9 {_VPX} -strict experimental", 60),
    Recipe("vp9-gstreamer", Codec.VP9, f"{_TESTPICTURE} ! vp9enc {_VPENC} ! rtpvp9pay {_PAY}", 60),
    Recipe("aac", Codec.AAC, f"{_AUDIO} -c:a aac -ac 2 -b:a 192k"),
    # Several access units in a packet.
    Recipe("aac-low", Codec.AAC, f"{_AUDIO} -c:a aac -ac 1 -b:a 24k"),
    Recipe("latm", Codec.AAC, f"{_NOISE} ! audioconvert ! avenc_aac bitrate=192000 ! aacparse ! rtpmp4apay {_PAY}"),
    Recipe("opus", Codec.OPUS, f"{_AUDIO} -c:a libopus -b:a 96k"),
    Recipe("vorbis", Codec.VORBIS, f"{_AUDIO} -c:a libvorbis -ac 2 -q:a 8"),
    Recipe("vorbis-gstreamer", Codec.VORBIS, f"{_NOISE} ! audioconvert ! vorbisenc quality=0.9 ! rtpvorbispay {_PAY}"),
    Recipe("mp3", Codec.MP3, f"{_AUDIO} -c:a libmp3lame -b:a 256k -ac 2"),
    # Several frames in a packet.
    Recipe("mp3-low", Codec.MP3, f"{_AUDIO} -c:a libmp3lame -b:a 32k -ac 1"),
    Recipe("jpeg", Codec.JPEG, f"{_VIDEO} -frames:v 30 -c:v mjpeg -q:v 15 -huffman default -pix_fmt yuvj420p", 30),
    Recipe(
        "jpeg-gstreamer",
        Codec.JPEG,
        f"{_TESTPICTURE.replace('60', '30', 1)} ! jpegenc quality=60 ! rtpjpegpay {_PAY}",
        30,
    ),
    Recipe("png", Codec.PNG, "", 30),
    Recipe("pcmu", Codec.PCMU, f"{_AUDIO} -c:a pcm_mulaw -ar 8000 -ac 1"),
    Recipe("pcma", Codec.PCMA, f"{_AUDIO} -c:a pcm_alaw -ar 8000 -ac 1"),
    Recipe("l16", Codec.L16, f"{_AUDIO} -c:a pcm_s16be -ar 44100 -ac 2 -t 0.4"),
)


# Types of NAL units: parameter sets and delimiters.
_SETS = {Codec.H264: frozenset((7, 8, 9)), Codec.HEVC: frozenset((32, 33, 34, 35))}


@dataclass(frozen=True)
class Group:
    """
    Packets that make up one frame, or several.

    :ivar first: the index of the first packet.
    :ivar end: of the one behind the last.
    :ivar leading: how many of the first have nothing in them that is part of a frame: delimiters and parameter sets,
        which the description has, too.
    """

    first: int
    end: int
    frames: tuple[Frame, ...]
    leading: int = 0

    @property
    def keyframe(self) -> bool:
        return self.frames[0].keyframe


@dataclass(frozen=True)
class Recording:
    """
    :ivar media: as the sender described it.
    :ivar packets: in the order of their sequence numbers, without a gap.
    :ivar groups: of all packets, in their order.
    """

    recipe: Recipe
    media: Media
    packets: tuple[bytes, ...]
    groups: tuple[Group, ...] = field(default=(), repr=False)

    @property
    def frames(self) -> list[Frame]:
        """What comes out when nothing is damaged."""
        return [frame for group in self.groups for frame in group.frames]

    @property
    def reordered(self) -> bool:
        """Whether there are B-frames."""
        return any(frame.pts != frame.dts for frame in self.frames)

    def stream(self, reorder: int = 0) -> Stream:
        """Something that takes the packets."""
        (stream,) = streamsOf([self.media], Timeline(0, 0), reorder)
        return stream

    def seconds(self, index: int) -> float:
        """From the first packet to this one, by the sender's clock."""
        return signed(timeOf(self.packets[index]) - timeOf(self.packets[0])) / self.media.clockRate

    def groupOf(self, index: int) -> int:
        """The index of a packet's group."""
        return bisect_right(self.groups, index, key=lambda group: group.first) - 1


def timeOf(packet: bytes) -> int:
    """Its RTP time."""
    return int.from_bytes(packet[4:8])


def sequenceOf(packet: bytes) -> int:
    """Its sequence number."""
    return int.from_bytes(packet[2:4])


def signed(ticks: int) -> int:
    """A difference of RTP times."""
    return (ticks + 0x80000000 & 0xFFFFFFFF) - 0x80000000


def record(recipe: Recipe, directory: Path) -> Recording:
    """
    :param directory: for the sender's description.
    """
    # Datagrams may be lost when the machine is busy.
    for _ in range(3):
        if not recipe.sender:
            media, packets = _sendPNG(recipe.count)
        elif recipe.sender.startswith("-"):
            media, packets = _ffmpeg(recipe, directory)
        else:
            media, packets = _gstreamer(recipe)
        if packets and all(sequenceOf(later) == sequenceOf(one) + 1 & 0xFFFF for one, later in pairwise(packets)):
            break
    else:
        raise AssertionError(f"{recipe}: no recording without gaps")
    recording = Recording(recipe, media, tuple(packets))
    return Recording(recipe, media, recording.packets, tuple(_grouped(recording)))


def _grouped(recording: Recording) -> list[Group]:
    stream = recording.stream()
    kinds = _SETS.get(recording.recipe.codec, frozenset())

    def isLeading(packet: bytes) -> bool:
        return (packet[12] & 31 if recording.recipe.codec is Codec.H264 else packet[12] >> 1 & 63) in kinds

    groups: list[Group] = []
    first = 0
    for index, packet in enumerate(recording.packets):
        frames = stream.receive(packet, recording.seconds(index))
        if frames:
            leading = sum(1 for _ in takewhile(isLeading, recording.packets[first : index + 1]))
            groups.append(Group(first, index + 1, tuple(frames), leading))
            first = index + 1
    assert not stream.flush()
    assert first == len(recording.packets)
    assert stream.track.codec is recording.recipe.codec
    return groups


def _received(port: socket.socket, process: "subprocess.Popen[bytes]") -> list[bytes]:
    packets = []
    while True:
        try:
            packets.append(port.recv(65536))
        except TimeoutError:
            if process.poll() is not None:
                return [packet for packet in packets if not isRTCP(packet)]


def _socket() -> socket.socket:
    port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    port.bind(("127.0.0.1", 0))
    port.settimeout(0.05)
    return port


def _run(arguments: Sequence[str], port: socket.socket) -> tuple[list[bytes], str]:
    process = subprocess.Popen(
        [program(arguments[0]), *arguments[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        packets = _received(port, process)
    finally:
        if process.poll() is None:
            process.kill()
        said, complaints = process.communicate()
    assert process.returncode == 0, complaints.decode(errors="replace")
    return packets, said.decode(errors="replace")


def _ffmpeg(recipe: Recipe, directory: Path) -> tuple[Media, list[bytes]]:
    with _socket() as port, _socket() as reports:
        description = directory / f"{recipe.name}.sdp"
        numbers = f"{port.getsockname()[1]}?rtcpport={reports.getsockname()[1]}&pkt_size={MTU}"
        words = ["ffmpeg", "-nostdin", "-loglevel", "error", *recipe.sender.split()]
        packets, _ = _run([*words, "-f", "rtp", "-sdp_file", str(description), f"rtp://127.0.0.1:{numbers}"], port)
    text = description.read_bytes()
    (media,) = parseSDP(text[text.index(b"v=0") :]).medias
    return media, packets


def _gstreamer(recipe: Recipe) -> tuple[Media, list[bytes]]:
    with _socket() as port:
        sink = ["!", "udpsink", "name=out", "host=127.0.0.1", f"port={port.getsockname()[1]}", "sync=false"]
        packets, said = _run(["gst-launch-1.0", "-v", *recipe.sender.split(), *sink], port)
    (*_, caps) = re.findall(r"out\.GstPad:sink: caps = application/x-rtp, (.*)", said)
    # name=(type)value, and the value may be in quotes, with backslashes before what means something to GStreamer.
    fields = dict(re.findall(r"([\w-]+)=\(\w+\)(\"(?:[^\"\\]|\\.)*\"|[^,]*)", caps))
    fields = {key: re.sub(r"\\(.)", r"\1", value.strip('"')) for key, value in fields.items()}
    number, kind, rate = (fields.pop(key) for key in ("payload", "media", "clock-rate"))
    encoding = "/".join([fields.pop("encoding-name"), rate, *filter(None, [fields.pop("encoding-params", "")])])
    parameters = ";".join(f"{key}={value}" for key, value in fields.items())
    lines = ["v=0", f"m={kind} 0 RTP/AVP {number}", f"a=rtpmap:{number} {encoding}", f"a=fmtp:{number} {parameters}"]
    (media,) = parseSDP("\r\n".join(lines).encode()).medias
    return media, packets


def _sendPNG(count: int) -> tuple[Media, list[bytes]]:
    """Images after draft-boyaci-avt-png: a file is cut into packets, the last of which has the marker."""
    (media,) = parseSDP(b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 PNG/90000\r\n").medias
    random = Random(1)
    packets: list[bytes] = []
    for number in range(count):
        image = makePNG(16, random.randint(20, 60), random)
        pieces = [image[at : at + MTU - 12] for at in range(0, len(image), MTU - 12)]
        for piece in pieces:
            kind = 96 | (0x80 if piece is pieces[-1] else 0)
            header = struct.pack(">BBHII", 0x80, kind, len(packets) + 7 & 0xFFFF, number * 3600, 0x12345678)
            packets.append(header + piece)
    return media, packets


def makePNG(width: int, height: int, random: Random) -> bytes:
    """Noise in colour (PNG, section 11.2)."""
    rows = b"".join(b"\0" + random.randbytes(width * 3) for _ in range(height))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
