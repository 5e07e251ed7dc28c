"""
What RTSP publishers send arrives frame by frame as it is in their files: number, order, bytes, keyframes, times.

Each codec, by ffmpeg and by GStreamer, with what is in the file copied and not coded anew. What is not here has no
payloader in that sender: PNG in both, for which there is a sender of the test's own; AV1 in both; H264 of packetization
mode 0 and AAC of RFC 3640 in GStreamer, unless a program takes its sink apart.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path

import pytest

from realtime_tw.media import Codec, Frame, Kind, Track
from tests.integration.media import Elementary, Library, Listener, Packet, Recording, Senders, retained, url
from tests.integration.rtspclient import SDP, Publisher
from tests.integration.support import Redis, Server, ServerFactory, until

#: Seconds that a packet's time may be off: Matroska's are rounded to a millisecond.
TOLERANCE = Fraction(1, 1000)

#: The same for files that do not round, when only ticks of RTP are rounded.
FINE = Fraction(1, 10_000)

CODECS = {
    "h264": Codec.H264,
    "hevc": Codec.HEVC,
    "vp8": Codec.VP8,
    "vp9": Codec.VP9,
    "aac": Codec.AAC,
    "opus": Codec.OPUS,
    "vorbis": Codec.VORBIS,
    "mp3": Codec.MP3,
    "mjpeg": Codec.JPEG,
    "png": Codec.PNG,
    "pcm_mulaw": Codec.PCMU,
    "pcm_alaw": Codec.PCMA,
    "pcm_s16be": Codec.L16,
}

#: Bytes of a sample. A packet of them has as many as the sender likes.
SAMPLED = {Codec.PCMU: 1, Codec.PCMA: 1, Codec.L16: 2}

#: Seconds that GStreamer's tracks may be apart. Before its first reports, which come when these files are nearly over,
#: only the arrival of packets tells how tracks belong together, and its first one waits 40 ms for an acknowledgement.
APART = Fraction(1, 10)

#: Seconds by which reports may then have moved a track: 5 ms in each second.
MOVED = Fraction(1, 100)


@dataclass(frozen=True)
class Case:
    """A file, and what its sender makes of it."""

    name: str

    @property
    def tolerance(self) -> Fraction:
        """Seconds that a time may be off."""
        return FINE if self.name.endswith((".mp4", ".wav")) else TOLERANCE

    @property
    def apart(self) -> Fraction:
        """Seconds that its tracks may be apart: none, when reports come before packets."""
        return self.tolerance

    @property
    def moved(self) -> Fraction:
        """Seconds by which a track may have been moved meanwhile."""
        return Fraction(0)

    @property
    def holds(self) -> Mapping[Codec, int]:
        """
        Frames that the sender collects for a packet, at most. At the end of the file it forgets to send what it has
        collected.
        """
        return {}

    def timeOf(self, packet: Packet) -> Fraction:
        """What it makes of a packet's time."""
        return packet.time


@dataclass(frozen=True)
class Ffmpeg(Case):
    """
    ffmpeg.

    :ivar options: what this codec needs.
    """

    options: tuple[str, ...] = ()
    paced: bool = False

    @property
    def holds(self) -> Mapping[Codec, int]:
        if "latm" in self.options:
            return {}
        return {Codec.AAC: 50 if "-pkt_size" in self.options else 7, Codec.VORBIS: 15, Codec.MP3: 3}

    def __str__(self) -> str:
        return "-".join(("ffmpeg", self.name, *(("paced",) if self.paced else ()), *self.options[1:]))


@dataclass(frozen=True)
class GStreamer(Case):
    """
    GStreamer.

    :ivar demuxer: takes the file apart.
    :ivar pads: of the demuxer, each with what is between it and the sink.
    """

    demuxer: str
    pads: tuple[tuple[str, str], ...]

    @property
    def apart(self) -> Fraction:
        return APART

    @property
    def moved(self) -> Fraction:
        return MOVED if len(self.pads) > 1 else Fraction(0)

    @property
    def holds(self) -> Mapping[Codec, int]:
        return {Codec.VORBIS: 15}

    def timeOf(self, packet: Packet) -> Fraction:
        """Opus' pre-skip lies before zero, and becomes zero."""
        return max(packet.time, Fraction(0))

    def __str__(self) -> str:
        return f"gstreamer-{self.name}"

    def pipeline(self, path: Path) -> str:
        """Queues, because the sink takes nothing before it has seen every stream."""
        branches = [f"d.{pad} ! queue max-size-time=0 max-size-buffers=0 ! {rest} s." for pad, rest in self.pads]
        return f"filesrc location={path} ! {self.demuxer} name=d {' '.join(branches)}"


CASES = [
    # As fast as the server takes it, unless paced: times must not depend on when packets arrive.
    Ffmpeg("h264.mp4"),
    Ffmpeg("h264.mp4", paced=True),
    Ffmpeg("h264.mp4", ("-rtpflags", "latm")),
    Ffmpeg("h264.mp4", ("-rtpflags", "h264_mode0", "-pkt_size", "60000")),
    Ffmpeg("h264-bframes.mp4"),
    Ffmpeg("h264-edited.mp4"),
    Ffmpeg("h264-slices.mkv"),
    Ffmpeg("h264-open.mkv"),
    Ffmpeg("hevc.mp4"),
    Ffmpeg("hevc-bframes.mkv"),
    Ffmpeg("vp8.webm"),
    Ffmpeg("vp9.webm", ("-strict", "experimental")),
    Ffmpeg("vp8-vorbis.webm"),
    Ffmpeg("opus.mkv"),
    Ffmpeg("vorbis.mkv"),
    Ffmpeg("jpeg.mkv"),
    Ffmpeg("jpeg-422.mkv"),
    Ffmpeg("pcmu.mkv"),
    Ffmpeg("pcma.wav"),
    Ffmpeg("l16.mkv"),
    Ffmpeg("mp3.mkv"),
    GStreamer("h264.mp4", "qtdemux", (("video_0", "h264parse !"), ("audio_0", "aacparse !"))),
    GStreamer("h264-bframes.mp4", "qtdemux", (("video_0", "h264parse !"), ("audio_0", "aacparse !"))),
    GStreamer("h264-slices.mkv", "matroskademux", (("video_0", "h264parse !"),)),
    GStreamer("h264-open.mkv", "matroskademux", (("video_0", "h264parse !"),)),
    GStreamer("hevc.mp4", "qtdemux", (("video_0", "h265parse !"),)),
    GStreamer("hevc-bframes.mkv", "matroskademux", (("video_0", "h265parse !"),)),
    GStreamer(
        "vp8.webm", "matroskademux", (("video_0", "video/x-vp8,profile=(string)0 !"), ("audio_0", "opusparse !"))
    ),
    GStreamer("vp9.webm", "matroskademux", (("video_0", "vp9parse !"),)),
    GStreamer("vp8-vorbis.webm", "matroskademux", (("video_0", "video/x-vp8,profile=(string)0 !"), ("audio_0", ""))),
    GStreamer("opus.mkv", "matroskademux", (("audio_0", "opusparse !"),)),
    GStreamer("vorbis.mkv", "matroskademux", (("audio_0", ""),)),
    GStreamer("jpeg.mkv", "matroskademux", (("video_0", "jpegparse !"),)),
    GStreamer("jpeg-422.mkv", "matroskademux", (("video_0", "jpegparse !"),)),
    GStreamer("pcmu.mkv", "matroskademux", (("audio_0", ""),)),
    GStreamer("pcma.wav", "wavparse", (("src", ""),)),
    GStreamer("l16.mkv", "matroskademux", (("audio_0", ""),)),
    GStreamer("mp3.mkv", "matroskademux", (("audio_0", "mpegaudioparse !"),)),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return Library(tmp_path_factory.mktemp("media"))


@pytest.fixture(scope="module")
def sharedRedis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    redis = Redis(tmp_path_factory.mktemp("redis"))
    redis.start()
    yield redis
    redis.kill()


@pytest.fixture(scope="module")
def server(logs: Path, tmp_path_factory: pytest.TempPathFactory, sharedRedis: Redis) -> Iterator[Server]:
    """One for all: each case has a channel of its own, and the server outlives them all."""
    factory = ServerFactory(logs, tmp_path_factory.mktemp("rtsp_exact"))
    yield factory.withRedis(sharedRedis, "^/([a-z0-9.-]+)$ rtsp:publish=$1,demuxer=auto")
    factory.stop()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_framesAreThoseOfTheFile(
    server: Server, sharedRedis: Redis, library: Library, tmp_path: Path, case: Ffmpeg | GStreamer
) -> None:
    channel = str(case).replace("_", "-")
    target = url(server.port, f"/{channel}")
    senders = Senders(tmp_path)
    path = library.file(case.name)
    with Listener(sharedRedis, channel) as listener:
        if isinstance(case, Ffmpeg):
            sender = senders.ffmpeg(path, target, *case.options, paced=case.paced)
        else:
            sender = senders.gstreamer(case.pipeline(path), target, "protocols=tcp")
        with sender:
            sender.finish()
        recording = listener.recording()
    until(lambda: retained(sharedRedis, channel) is None, "the retained description to vanish")
    check(recording, library.streams(case.name), case)


def test_pngImagesAreThoseOfTheFile(server: Server, sharedRedis: Redis, library: Library) -> None:
    # The draft: a file cut into packets of one time, the last of them with the marker.
    description = SDP.replace(b"m=audio 0 RTP/AVP 0", b"m=video 0 RTP/AVP 96\r\na=rtpmap:96 PNG/90000")
    streams = library.streams("png.mkv")
    with Listener(sharedRedis, "png") as listener, Publisher(server.port, "/png") as publisher:
        publisher.record(description)
        for packet in streams[0].packets:
            data, time = packet.data, round(packet.time * 90000)
            for at in range(0, len(data), 1400):
                publisher.send(data[at : at + 1400], 0, 96, at + 1400 >= len(data), time)
        assert publisher.ask("TEARDOWN", Session=publisher.session).status == 200
        recording = listener.recording()
    check(recording, streams, Case("png.mkv"))


def check(recording: Recording, streams: list[Elementary], case: Case) -> None:
    """The recording has everything that is in the file, and nothing else."""
    tracks = recording.tracks[-1].tracks
    assert sorted(track.kind.value for track in tracks) == sorted(stream.kind for stream in streams)
    origins = []
    for stream in streams:
        track = next(track for track in tracks if track.kind.value == stream.kind)
        checkTrack(track, stream)
        frames = recording.of(track)
        # What decoders need to know is known before the first frame.
        assert recording.firsts[track.id] == track
        if track.codec in SAMPLED:
            origins.append(checkSamples(track, frames, stream, case))
        else:
            origins.append(checkFrames(track, frames, stream, case))
    for origin in origins:
        assert abs(origin - origins[0]) <= case.apart, f"tracks apart: {[float(each) for each in origins]}"


def checkTrack(track: Track, stream: Elementary) -> None:
    assert track.codec is CODECS[stream.codec]
    assert (track.width, track.height) == (stream.width, stream.height)
    if track.kind is Kind.AUDIO:
        assert (track.sampleRate, track.channels) == (stream.sampleRate, stream.channels)
    assert normalConfig(track.codec, track.config) == normalConfig(track.codec, stream.config)


def checkFrames(track: Track, frames: list[Frame], stream: Elementary, case: Case) -> Fraction:
    """
    :return: what the track's times are ahead of the file's, in seconds.
    """
    packets = stream.packets
    held = len(packets) - len(frames)
    assert 0 <= held <= case.holds.get(track.codec, 0), f"{len(frames)} of {len(packets)} frames of {track.codec}"
    packets = packets[: len(frames)]
    normal = NORMAL.get(track.codec, bytes)
    different = [
        number
        for number, (packet, frame) in enumerate(zip(packets, frames, strict=True))
        if normal(packet.data) != normal(frame.data)
    ]
    assert not different, f"{track.codec}: frames {different} differ"
    keyframes = [isKeyframe(track.codec, packet) for packet in packets]
    assert [frame.keyframe for frame in frames] == keyframes
    return checkTimes(track, frames, [case.timeOf(packet) for packet in packets], case)


def checkTimes(track: Track, frames: list[Frame], times: list[Fraction], case: Case) -> Fraction:
    """:param times: what they should be, but for an offset."""
    offsets = [Fraction(frame.pts, track.clockRate) - time for frame, time in zip(frames, times, strict=True)]
    off = (max(offsets) - min(offsets) - case.moved) / 2
    assert off <= case.tolerance, f"{track.codec}: times off by {float(off)}: {[float(each) for each in offsets]}"
    # From frame to frame.
    assert all(abs(one - other) <= max(2 * case.tolerance, TOLERANCE) for one, other in pairwise(offsets)), offsets
    assert all(frame.dts <= frame.pts for frame in frames)
    assert all(frame.dts < following.dts for frame, following in pairwise(frames))
    if times == sorted(times):
        assert all(frame.dts == frame.pts for frame in frames)
    return offsets[0]


def checkSamples(track: Track, frames: list[Frame], stream: Elementary, case: Case) -> Fraction:
    """As :func:`checkFrames`; how samples are divided into frames is the sender's choice."""
    assert b"".join(frame.data for frame in frames) == b"".join(packet.data for packet in stream.packets)
    size = SAMPLED[track.codec] * track.channels
    counts = accumulate((len(frame.data) // size for frame in frames), initial=0)
    times = [Fraction(count, track.sampleRate) for count in counts]
    assert all(frame.keyframe for frame in frames)
    return checkTimes(track, frames, times[:-1], case)


# Forms: what may differ without a difference


def _nals(data: bytes) -> Iterator[bytes]:
    while data:
        size = int.from_bytes(data[:4])
        assert 0 < size <= len(data) - 4
        yield data[4 : 4 + size]
        data = data[4 + size :]


def _withoutSets(kind: Callable[[bytes], int], dropped: set[int]) -> Callable[[bytes], bytes]:
    """Parameter sets, delimiters and filler are no part of a frame here; files and senders have them or not."""
    return lambda data: b"".join(len(nal).to_bytes(4) + nal for nal in _nals(data) if kind(nal) not in dropped)


def _picture(data: bytes) -> bytes:
    """
    A JPEG picture as far as RTP can carry it (RFC 2435, section 3): size, sampling, quantization, coded samples.
    Comments and the segments of applications are not sent; a table that two components share may come back as two.
    """
    assert data[:2] == b"\xff\xd8"
    quantization: dict[int, bytes] = {}
    huffman: dict[int, bytes] = {}
    interval = frame = b""
    position = 2
    while True:
        marker, size = data[position + 1], int.from_bytes(data[position + 2 : position + 4])
        assert data[position] == 0xFF
        body = data[position + 4 : position + 2 + size]
        position += 2 + size
        if marker == 0xDB:
            quantization |= {body[at]: body[at + 1 : at + 65] for at in range(0, len(body), 65)}
        elif marker == 0xC4:
            while body:
                length = 17 + sum(body[1:17])
                huffman[body[0]] = body[1:length]
                body = body[length:]
        elif marker == 0xC0:
            frame = body
        elif marker == 0xDD:
            interval = body
        elif marker == 0xDA:
            parts = [frame[:6], interval]
            for number in range(frame[5]):
                # Its sampling and its tables' contents. The names of components and tables mean nothing.
                _, sampling, table = frame[6 + 3 * number : 9 + 3 * number]
                tables = body[2 + 2 * number]
                parts += [bytes((sampling,)), quantization[table], huffman[tables >> 4], huffman[16 | tables & 15]]
            return b"|".join([*parts, data[position : data.rindex(b"\xff\xd9")]])
        else:
            assert 0xE0 <= marker <= 0xEF or marker == 0xFE, marker


#: By codec: what of a frame must be the same.
NORMAL: dict[Codec, Callable[[bytes], bytes]] = {
    Codec.H264: _withoutSets(lambda nal: nal[0] & 31, {7, 8, 9, 12, 13}),
    Codec.HEVC: _withoutSets(lambda nal: nal[0] >> 1 & 63, {32, 33, 34, 35, 38}),
    Codec.JPEG: _picture,
}


def isKeyframe(codec: Codec, packet: Packet) -> bool:
    """
    Whether decoding can begin with a packet.

    Matroska and ffmpeg say so of H264's recovery points, too, after which the first pictures to be shown cannot be
    decoded; frames are called keyframes when they are IDR pictures.
    """
    if codec is Codec.H264:
        return any(nal[0] & 31 == 5 for nal in _nals(packet.data))
    return packet.keyframe


def normalConfig(codec: Codec, config: bytes) -> object:
    """What of a configuration must be the same."""
    if codec is Codec.HEVC:
        # x265 writes a message about itself into the file's, beside the parameter sets.
        return config[:22], _sets(config)
    if codec is Codec.VORBIS:
        # ffmpeg does not send the comments.
        headers = _unlaced(config)
        return headers[0], headers[2]
    if codec is Codec.OPUS:
        # The description of RTP says nothing of pre-skip, original rate and gain: only version and channels.
        return config[:10], config[18:]
    if codec is Codec.AAC:
        # An extension that says that there is no SBR. ffmpeg leaves it out of LATM.
        return config.removesuffix(bytes.fromhex("56e500"))
    if codec is Codec.H264:
        return config
    # Matroska's headers of L16 and others mean nothing here.
    return b""


def _sets(config: bytes) -> list[tuple[int, bytes]]:
    """The parameter sets of an HEVCDecoderConfigurationRecord, by type."""
    found = []
    position = 23
    for _ in range(config[22]):
        kind, count = config[position] & 63, int.from_bytes(config[position + 1 : position + 3])
        position += 3
        for _ in range(count):
            size = int.from_bytes(config[position : position + 2])
            if kind in (32, 33, 34):
                found.append((kind, config[position + 2 : position + 2 + size]))
            position += 2 + size
    return found


def _unlaced(config: bytes) -> list[bytes]:
    """Vorbis' three headers: ffmpeg laces them as Matroska does, with a 2 first."""
    assert config[0] == 2
    position = 1
    sizes = []
    for _ in range(2):
        size = 0
        while config[position] == 255:
            size += 255
            position += 1
        sizes.append(size + config[position])
        position += 1
    middle = position + sizes[0]
    return [config[position:middle], config[middle : middle + sizes[1]], config[middle + sizes[1] :]]
