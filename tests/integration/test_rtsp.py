"""RTSP on the one port, as publishers meet it: routes, credentials, tunnels, rivals, bad days and bad requests."""

import base64
import hashlib
import re
import select
import signal
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from realtime_tw.codec.envelope import SourceEnd, SourceFrame, decode
from realtime_tw.media import Codec, Tracks
from tests.integration.certificates import Certificate
from tests.integration.media import DURATION, Library, Listener, Senders, retained, run, url
from tests.integration.rtspclient import SDP, SOURCE, TWO, Publisher
from tests.integration.support import PATIENCE, Redis, Server, ServerFactory, Subscription, freePort, until

TCP = "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return Library(tmp_path_factory.mktemp("media"))


@pytest.fixture
def senders(tmp_path: Path) -> Senders:
    return Senders(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A Redis that no test ends."""
    server = Redis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def receivers() -> Iterator[list[socket.socket]]:
    """Four UDP sockets: two pairs of neighbouring ports."""
    sockets: list[socket.socket] = []
    while len(sockets) < 4:
        first, second = socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
        first.bind(("127.0.0.1", 0))
        try:
            second.bind(("127.0.0.1", first.getsockname()[1] + 1))
        except OSError:
            first.close()
            second.close()
            continue
        sockets += [first, second]
    for each in sockets:
        each.settimeout(PATIENCE)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    yield sockets
    for each in sockets:
        each.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def site(
    logs: Path,
    tmp_path_factory: pytest.TempPathFactory,
    shared: Redis,
    receivers: list[socket.socket],
    certificate: Certificate,
) -> Iterator["Site"]:
    """A server for all who do not end it; each test has a channel of its own, and the server outlives them all."""
    directory = tmp_path_factory.mktemp("rtsp")
    users = directory / "users"
    users.write_text("cam1:{SHA}" + base64.b64encode(hashlib.sha1(b"s3cret").digest()).decode() + "\n")
    targets = ";".join(f"127.0.0.1:{receivers[index].getsockname()[1]}" for index in (0, 2))
    secure = freePort()
    factory = ServerFactory(logs, directory)
    server = factory.withRedis(
        shared,
        "^/guarded basicauth:Cameras,cam1:s3cret",
        f"^/listed basicauth:Cameras,{users}",
        r"^/(?:cam|guarded|listed)/(\w+) rtsp:publish=$1,demuxer=auto",
        r"^/rival/(\w+) rtsp:publish=$1,demuxer=auto,takeover=1",
        r"^/hasty/(\w+) rtsp:publish=$1,demuxer=auto,timeout=2",
        r"^/web/(\w+) rtsp:publish=$1,video_demuxer=h264,audio_demuxer=aac,track_prefix=1",
        r"^/packets/(\w+) rtsp:publish=$1",
        r"^/pictures/(\w+) rtsp:publish=$1,video_channel=0",
        r"^/sounds/(\w+) rtsp:publish=$1,audio_channel=2",
        f"^/forward interleaved:{targets}",
        f"^/reports interleaved:targets={targets},rtcp=1",
        r"^/view/(\w+)$ stream:$1",
        "^/events$ sse:subscribe=news",
        r"^/publish/(\w+)$ publish:$1",
        arguments=["--listen", certificate.endpoint(secure)],
    )
    yield Site(server, secure)
    factory.stop()


class Site:
    """
    :ivar port: of ``server``.
    :ivar secure: its port with TLS.
    """

    def __init__(self, server: Server, secure: int) -> None:
        self.server = server
        self.port = server.port
        self.secure = secure


def vanished(redis: Redis, channel: str) -> None:
    until(lambda: retained(redis, channel) is None, "the retained description to vanish")


def described(redis: Redis, channel: str) -> Tracks:
    tracks = until(lambda: retained(redis, channel), "a retained description")
    assert isinstance(tracks, Tracks)
    return tracks


# From a camera to another process


def test_framesReachAnotherProcessFromThePortThatServesHTTP(
    site: Site, shared: Redis, twistd: ServerFactory, library: Library, senders: Senders
) -> None:
    other = twistd.withRedis(shared, "^/cam$ stream:first")
    with (
        site.server.stream("/events") as events,
        other.stream("/cam") as viewer,
        Subscription(shared, "first") as subscription,
        senders.ffmpeg(library.file("h264.mp4"), url(site.port, "/cam/first")) as sender,
    ):
        events.readUntil(b": ok\n\n")
        tracks = described(shared, "first")
        assert [track.codec for track in tracks.tracks] == [Codec.H264, Codec.AAC]
        # While it publishes, the same port serves everybody else.
        assert site.server.request("POST", "/publish/news", b"hello").status == 200
        events.readUntil(b"data: hello\n\n")
        assert sender.process.poll() is None
        with other.stream("/cam") as newcomer:
            # The description comes first, whatever was published before.
            newcomer.readUntil(b"\xffRT\x01\x02")
            assert decode(newcomer.received.partition(b"\xffRT\x01\x02")[0]) == tracks
        sender.finish()
        payloads = [subscription.payload()]
        while not isinstance(decode(payloads[-1]), SourceEnd):
            payloads.append(subscription.payload())
        viewer.readUntil(payloads[-1])
        assert viewer.received == b"".join(payloads)
        messages = [decode(payload) for payload in payloads]
        assert sum(isinstance(message, SourceFrame) for message in messages) > 100
    vanished(shared, "first")


def test_timesAreOfTheClock(site: Site, shared: Redis, library: Library, senders: Senders) -> None:
    target = url(site.port, "/cam/clock")
    with Listener(shared, "clock") as listener, senders.ffmpeg(library.file("h264.mp4"), target):
        recording = listener.recording(lambda recording: len(recording.order) > 50)
        tracks = recording.tracks[-1]
        frame = recording.order[-1]
        (track,) = [track for track in tracks.tracks if track.id == frame.track]
        shown = tracks.epoch / 1000 + frame.pts / track.clockRate
        # The sender's clock is this one.
        assert abs(time.time() - shown) < 3


def test_ffmpegTriesTCPByItself(site: Site, shared: Redis, library: Library, senders: Senders) -> None:
    # It asks for UDP first, and is told 461.
    target = url(site.port, "/cam/udp")
    with (
        Listener(shared, "udp") as listener,
        senders.ffmpeg(library.file("h264.mp4"), target, paced=False, transport=None) as sender,
    ):
        sender.finish()
        assert len(listener.recording().order) > 100


# Credentials


@pytest.mark.parametrize("path", ["/guarded/%s", "/listed/%s"])
def test_ffmpegWithAPassword(site: Site, shared: Redis, library: Library, senders: Senders, path: str) -> None:
    # With the first, it is offered Digest and takes it.
    channel = path[1:-3]
    file = library.file("pcma.wav")
    with Listener(shared, channel) as listener:
        for credentials in ("", "cam1:wrong", "cam2:s3cret"):
            target = url(site.port, path % channel, credentials)
            with senders.ffmpeg(file, target, paced=False) as refused:
                assert refused.wait() != 0
                assert "401" in refused.said
        with senders.ffmpeg(file, url(site.port, path % channel, "cam1:s3cret"), paced=False) as sender:
            sender.finish()
            assert len(listener.recording().tracks) == 1


@pytest.mark.parametrize("path", ["/guarded/%s", "/listed/%s"])
def test_gstreamerWithAPassword(site: Site, shared: Redis, library: Library, senders: Senders, path: str) -> None:
    channel = path[1:-3] + "2"
    pipeline = f"filesrc location={library.file('pcma.wav')} ! wavparse ! s."
    credentials = ("user-id=cam1", "user-pw=s3cret")
    with (
        Listener(shared, channel) as listener,
        senders.gstreamer(pipeline, url(site.port, path % channel), "protocols=tcp", *credentials),
    ):
        listener.recording(lambda recording: recording.order)


def digest(challenge: str, user: str, password: str, method: str, uri: str) -> str:
    """The answer to a challenge of RFC 2069, by the RFC's own formula."""
    fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm, nonce = fields["realm"], fields["nonce"]

    def md5(*parts: str) -> str:
        return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()

    response = md5(md5(user, realm, password), nonce, md5(method, uri))
    return f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", response="{response}"'


def test_passwordInTheRuleIsOfferedAsDigestToo(site: Site) -> None:
    with Publisher(site.port, "/guarded/digest") as publisher:
        refused = publisher.ask("ANNOUNCE", body=SDP)
        assert refused.status == 401
        assert [offer.split()[0] for offer in refused.offered] == ["Digest", "Basic"]
        challenge = refused.offered[0]
        for user, password, method in (
            ("cam1", "wrong", "ANNOUNCE"),
            ("cam2", "s3cret", "ANNOUNCE"),
            ("cam1", "s3cret", "RECORD"),
        ):
            wrong = digest(challenge, user, password, method, publisher.url)
            assert publisher.ask("ANNOUNCE", body=SDP, Authorization=wrong).status == 401
        right = digest(challenge, "cam1", "s3cret", "ANNOUNCE", publisher.url)
        assert publisher.ask("ANNOUNCE", body=SDP, Authorization=right).status == 200
    with Publisher(site.port, "/guarded/digest2") as publisher:
        # The challenge was another connection's.
        assert publisher.ask("ANNOUNCE", body=SDP, Authorization=right).status == 401
        basic = "Basic " + base64.b64encode(b"cam1:s3cret").decode()
        assert publisher.ask("ANNOUNCE", body=SDP, Authorization=basic).status == 200


def test_passwordInAFileIsOfferedAsBasicOnly(site: Site) -> None:
    with Publisher(site.port, "/listed/basic") as publisher:
        refused = publisher.ask("ANNOUNCE", body=SDP)
        assert refused.status == 401
        assert [offer.split()[0] for offer in refused.offered] == ["Basic"]


# Rivals


def test_aSecondPublisherIsRefused(site: Site, shared: Redis, library: Library, senders: Senders) -> None:
    target = url(site.port, "/cam/only")
    with Listener(shared, "only") as listener, senders.ffmpeg(library.file("h264.mp4"), target, loop=True) as first:
        tracks = described(shared, "only")
        with senders.ffmpeg(library.file("pcma.wav"), target) as second:
            assert second.wait() != 0
            assert "455" in second.said
        # The first goes on as if nothing had been.
        assert first.process.poll() is None
        recording = listener.recording(lambda recording: len(recording.order) > 100)
        assert recording.tracks == [tracks]
        assert retained(shared, "only") == tracks


def test_aSecondPublisherTakesOver(site: Site, shared: Redis, library: Library, senders: Senders) -> None:
    target = url(site.port, "/rival/best")
    with (
        Subscription(shared, "best") as subscription,
        site.server.stream("/view/best") as viewer,
        senders.ffmpeg(library.file("h264.mp4"), target, loop=True) as first,
    ):
        before = described(shared, "best").source
        with senders.ffmpeg(library.file("vp8.webm"), target, loop=True) as second:
            # It finds its connection closed.
            first.wait()
            until(lambda: described(shared, "best").source != before, "the second publisher's description")
            after = described(shared, "best")
            assert [track.codec for track in after.tracks] == [Codec.VP8, Codec.OPUS]
            sources: list[int] = []
            while sources.count(after.source) < 50:
                message = decode(subscription.payload())
                assert isinstance(message, Tracks | SourceFrame)
                sources.append(message.source)
            # One after the other, and never mixed.
            assert sources == sorted(sources, key=[before, after.source].index)
            # Viewers keep their connection.
            viewer.readUntil(b"\xffRT\x01\x02\x01\x01\0" + after.source.to_bytes(4))
            assert second.process.poll() is None
        vanished(shared, "best")


# Other ways in


def test_rtspOverTLS(site: Site, shared: Redis, library: Library, senders: Senders) -> None:
    target = url(site.secure, "/cam/tls", scheme="rtsps")
    with Listener(shared, "tls") as listener, senders.ffmpeg(library.file("h264.mp4"), target, paced=False) as sender:
        sender.finish()
        recording = listener.recording()
        assert len(recording.of(recording.tracks[-1].tracks[0])) == 25 * DURATION
    vanished(shared, "tls")


def test_gstreamerTunnelsThroughHTTP(site: Site, shared: Redis, library: Library, senders: Senders) -> None:
    path = library.file("h264.mp4")
    pipeline = f"filesrc location={path} ! qtdemux name=d d.video_0 ! queue ! h264parse ! s."
    target = url(site.port, "/cam/tunnel", scheme="rtsph")
    with Listener(shared, "tunnel") as listener, senders.gstreamer(pipeline, target) as sender:
        sender.finish()
        recording = listener.recording()
        assert [track.codec for track in recording.tracks[-1].tracks] == [Codec.H264]
        assert len(recording.order) == 25 * DURATION
    vanished(shared, "tunnel")
    # Nothing is left of it.
    until(lambda: site.server.connections() == 0, "both connections to be closed")


# Bad days


def test_aKilledPublisherLeavesNothingBehind(site: Site, shared: Redis, library: Library, senders: Senders) -> None:
    target = url(site.port, "/cam/killed")
    with Listener(shared, "killed") as listener, senders.ffmpeg(library.file("h264.mp4"), target, loop=True) as sender:
        described(shared, "killed")
        sender.kill()
        assert listener.recording().ended
    vanished(shared, "killed")
    until(lambda: site.server.connections() == 0, "its connection to be closed")


def test_aKilledServerComesBack(twistd: ServerFactory, shared: Redis, library: Library, senders: Senders) -> None:
    rule = "^/cam rtsp:publish=back,demuxer=auto"
    first = twistd.withRedis(shared, rule)
    with senders.ffmpeg(library.file("h264.mp4"), url(first.port), loop=True) as sender:
        before = described(shared, "back")
        first.process.kill()
        first.process.wait()
        sender.wait()
    twistd.withRedis(shared, rule, arguments=["--listen", f"tcp:{first.port}:interface=127.0.0.1"])
    with (
        Listener(shared, "back") as listener,
        senders.ffmpeg(library.file("h264.mp4"), url(first.port), paced=False) as sender,
    ):
        sender.finish()
        recording = listener.recording()
        assert recording.tracks[0].source != before.source
        assert len(recording.order) > 100
    # Also that of the one that was killed.
    vanished(shared, "back")


def test_aServerThatStopsSaysGoodbye(twistd: ServerFactory, shared: Redis, library: Library, senders: Senders) -> None:
    server = twistd.withRedis(shared, r"^/(\w+) rtsp:publish=$1,demuxer=auto")
    with (
        Listener(shared, "stop") as listener,
        Publisher(server.port, "/idle") as idle,
        Publisher(server.port, "/raw") as raw,
        senders.ffmpeg(library.file("h264.mp4"), url(server.port, "/stop"), loop=True) as sender,
    ):
        assert idle.ask("OPTIONS").status == 200
        raw.record()
        raw.send()
        described(shared, "stop")
        described(shared, "raw")
        server.process.terminate()
        sender.wait()
        assert idle.client.readToEnd() == b""
        # On the channel of RTCP: a receiver report comes first, and a BYE (203) is in the same packet.
        channel, goodbye = raw.reportsToEnd()[-1]
        assert (channel, goodbye[1]) == (1, 201)
        assert b"\x81\xcb" in goodbye
        assert server.process.wait(PATIENCE) == -signal.SIGTERM
        assert listener.recording().ended
    assert retained(shared, "stop") is retained(shared, "raw") is None
    assert "cut" not in server.log.read_text()


def test_aSilentPublisherIsClosed(site: Site, shared: Redis) -> None:
    with Publisher(site.port, "/hasty/silent") as publisher:
        publisher.record()
        publisher.send()
        described(shared, "silent")
        began = time.monotonic()
        publisher.client.readToEnd()
        assert 1 < time.monotonic() - began < 6
    vanished(shared, "silent")


def test_requestsKeepASilentPublisherAliveAndReportsAreSent(site: Site) -> None:
    with Publisher(site.port, "/hasty/asking") as publisher:
        publisher.record()
        publisher.send()
        began = time.monotonic()
        # The first report comes after 2.5 to 7.5 seconds; silence would have been closed after two.
        while not publisher.reports or time.monotonic() - began < 3.5:
            assert time.monotonic() - began < PATIENCE
            assert publisher.ask("GET_PARAMETER", Session=publisher.session).status == 200
            time.sleep(0.5)
        channel, report = publisher.reports[0]
        # RR, of one source: the publisher's, of which nothing was lost.
        assert (channel, report[0] & 31, report[1]) == (1, 1, 201)
        assert report[8:12] == SOURCE.to_bytes(4)
        assert report[12:16] == bytes(4)


def test_aPublisherThatIsFasterThanRedisWaits(
    twistd: ServerFactory, redis: Redis, library: Library, senders: Senders
) -> None:
    server = twistd.withRedis(redis, "^/cam rtsp:publish=cam,demuxer=auto")
    with (
        Listener(redis) as listener,
        senders.ffmpeg(library.file("jpeg.mkv"), url(server.port), paced=False, loop=True),
    ):
        recording = listener.recording(lambda recording: len(recording.order) > 100)
        before = server.memory()
        redis.suspend()
        try:
            time.sleep(1.5)
            # 256 KiB may wait. Without a bound it would be 25 MB by now.
            assert server.memory() - before < 8_000_000
        finally:
            redis.resume()
        # It goes on where it was.
        count = len(recording.order)
        listener.recording(lambda recording: len(recording.order) > 2 * count, recording)
        times = [frame.pts for frame in recording.order]
        assert all(after - earlier < 2 * 3600 for earlier, after in pairwise(times))


def test_garbageEndsOnlyItsSender(site: Site, shared: Redis) -> None:
    with Publisher(site.port, "/cam/good") as good, Listener(shared, "good") as listener:
        good.record()
        good.send()
        recording = listener.recording(lambda recording: recording.order)
        assert recording.order[0].data == b"x" * 160
        for number in range(20):
            with Publisher(site.port, f"/cam/bad{number}") as bad:
                bad.record()
                noise = hashlib.shake_128(bytes((number,))).digest(3000)
                bad.client.send(b"?" + noise.replace(b"$", b"#") + b"\r\n\r\n")
                bad.client.endSending()
                assert b" 400 " in bad.client.readToEnd()
        # On its channels anything may come.
        for number in range(200):
            good.sendOn(number % 4, hashlib.shake_128(bytes((number,))).digest(number * 3))
        good.send(b"y" * 160)
        listener.recording(lambda recording: recording.order[-1].data == b"y" * 160, recording)
        assert good.ask("TEARDOWN", Session=good.session).status == 200


# As uwsgi-realtime publishes


def prefixed(payloads: Sequence[bytes]) -> dict[int, list[tuple[int, bytes]]]:
    """Payloads and their milliseconds, by the number before them."""
    found: dict[int, list[tuple[int, bytes]]] = {}
    for payload in payloads:
        number, milliseconds = struct.unpack_from(">BQ", payload)
        found.setdefault(number, []).append((milliseconds, payload[9:]))
    return found


def test_demuxersOfUwsgiRealtime(site: Site, shared: Redis, library: Library, senders: Senders) -> None:
    target = url(site.port, "/web/web")
    with (
        Subscription(shared, "web") as subscription,
        senders.ffmpeg(library.file("h264-bframes.mp4"), target, paced=False) as sender,
    ):
        sender.finish()
        # On the connection to Redis on which the server has published the frames.
        assert site.server.request("POST", "/publish/web", b"end").status == 200
        tracks = prefixed([*iter(subscription.payload, b"end")])
    assert retained(shared, "web") is None
    assert sorted(tracks) == [0, 2]
    video, audio = tracks[0], tracks[2]
    assert len(video) == 25 * DURATION
    assert all(data.startswith(b"\0\0\0\1") for _, data in video)
    assert probe("h264", "width,height,nb_read_frames", video) == "320,240,50"
    assert probe("aac", "profile,sample_rate,channels,nb_read_frames", audio) == f"LC,44100,2,{len(audio)}"
    # Milliseconds, with both tracks on one clock. AAC has 1024 samples a frame.
    assert {after[0] - before[0] for before, after in pairwise(audio)} == {23, 24}
    assert sorted(at for at, _ in video) == [video[0][0] + 40 * number for number in range(len(video))]
    assert abs(audio[0][0] - video[0][0]) <= 1


def probe(form: str, entries: str, frames: list[tuple[int, bytes]]) -> str:
    """What ffprobe finds in a bare stream that it decodes."""
    words = f"-v error -f {form} -count_frames -show_entries stream={entries} -of csv=p=0 pipe:".split()
    return run("ffprobe", *words, data=b"".join(data for _, data in frames)).decode().strip()


@pytest.mark.parametrize(("path", "kinds"), [("packets", {96, 97}), ("pictures", {96}), ("sounds", {97})])
def test_withoutDemuxerRTPIsPublished(
    site: Site, shared: Redis, library: Library, senders: Senders, path: str, kinds: set[int]
) -> None:
    found: dict[int, list[bytes]] = {}
    with (
        Subscription(shared, path) as subscription,
        senders.ffmpeg(library.file("h264.mp4"), url(site.port, f"/{path}/{path}"), paced=False) as sender,
    ):
        sender.finish()
        assert site.server.request("POST", f"/publish/{path}", b"end").status == 200
        for packet in iter(subscription.payload, b"end"):
            found.setdefault(packet[1] & 127, []).append(packet)
    assert found.keys() == kinds
    for packets in found.values():
        assert all(packet[0] == 0x80 for packet in packets)
        assert isComplete(packets)


def isComplete(packets: Sequence[bytes]) -> bool:
    """Whether the sequence numbers of RTP packets follow each other."""
    numbers = [int.from_bytes(packet[2:4]) for packet in packets]
    return all((after - before) & 0xFFFF == 1 for before, after in pairwise(numbers))


def test_aCodecThatTheRuleDoesNotNameIsRefused(site: Site, library: Library, senders: Senders) -> None:
    with senders.ffmpeg(library.file("vp8.webm"), url(site.port, "/web/other")) as sender:
        assert sender.wait() != 0
        assert "415" in sender.said


# Packets over UDP


def waiting(receiver: socket.socket) -> list[bytes]:
    """The datagrams that have arrived."""
    found = []
    while select.select([receiver], [], [], 0.2)[0]:
        found.append(receiver.recv(2000))
    return found


@pytest.mark.parametrize("path", ["/forward", "/reports"])
def test_packetsAreForwardedOverUDP(site: Site, receivers: list[socket.socket], path: str) -> None:
    report = bytes.fromhex("80c80006") + bytes(range(24))
    with Publisher(site.port, path) as publisher:
        publisher.record(TWO, streams=2)
        sent = [publisher.send(bytes((number,)) * (number + 1)) for number in range(50)]
        other = [publisher.send(bytes((number,)) * 500, channel=2, kind=8) for number in range(20)]
        publisher.sendOn(1, report)
        publisher.sendOn(3, report)
        sent.append(publisher.send(b"end"))
        other.append(publisher.send(b"end", channel=2, kind=8))
        assert [receivers[0].recv(2000) for _ in sent] == sent
        assert [receivers[2].recv(2000) for _ in other] == other
        for receiver in (receivers[1], receivers[3]):
            # They were sent before what has arrived.
            assert waiting(receiver) == ([report] if path == "/reports" else [])
        assert waiting(receivers[0]) == waiting(receivers[2]) == []


def test_ffmpegIsForwarded(site: Site, library: Library, senders: Senders, receivers: list[socket.socket]) -> None:
    with senders.ffmpeg(library.file("vp8.webm"), url(site.port, "/reports"), paced=False) as sender:
        sender.finish()
        video, audio = waiting(receivers[0]), waiting(receivers[2])
        # Sender reports come before the first packet.
        assert [waiting(receiver)[0][1] for receiver in (receivers[1], receivers[3])] == [200, 200]
    assert isComplete(video)
    assert isComplete(audio)
    # One frame ends with each marker.
    assert sum(packet[1] >> 7 for packet in video) == 25 * DURATION


# Requests


def test_severalSessionsOfOneConnection(site: Site, shared: Redis) -> None:
    with Publisher(site.port, "/cam/again") as publisher, Listener(shared, "again") as listener:
        options = publisher.ask("OPTIONS")
        assert options.status == 200
        assert {"ANNOUNCE", "RECORD", "GET_PARAMETER"} <= set(options.headers["public"].split(", "))
        for number in range(3):
            publisher.record()
            payload = bytes((number,)) * 160
            publisher.send(payload)
            assert publisher.ask("PAUSE", Session=publisher.session).status == 200
            # Not while it pauses.
            publisher.send(b"unheard")
            assert publisher.ask("RECORD", Session=publisher.session).status == 200
            publisher.send(payload)
            assert publisher.ask("TEARDOWN", Session=publisher.session).status == 200
            assert [frame.data for frame in listener.recording().order] == [payload, payload]


WRONG = [
    # What is asked, and the status.
    ("before ANNOUNCE", ("SETUP", "/streamid=0", b"", {"Transport": TCP}), 455),
    ("RECORD before ANNOUNCE", ("RECORD", "", b"", {}), 455),
    ("TEARDOWN before ANNOUNCE", ("TEARDOWN", "", b"", {}), 455),
    ("a session that is not there", ("RECORD", "", b"", {"Session": "abc"}), 454),
    ("DESCRIBE", ("DESCRIBE", "", b"", {}), 404),
    ("no rule for the path", ("ANNOUNCE", "/../nowhere", SDP, {}), 404),
    ("PLAY", ("PLAY", "", b"", {}), 405),
    ("an unknown method", ("JUMP", "", b"", {}), 501),
    ("another description", ("ANNOUNCE", "", b"<x/>", {"Content_Type": "text/xml"}), 415),
    ("a parameter", ("GET_PARAMETER", "", b"volume\r\n", {"Content_Type": "text/parameters"}), 451),
    ("an empty description", ("ANNOUNCE", "", b"v=0\r\n", {}), 400),
    ("no description", ("ANNOUNCE", "", b"", {}), 400),
]


@pytest.mark.parametrize(("what", "request_", "status"), WRONG, ids=[each[0] for each in WRONG])
def test_wrongRequests(site: Site, what: str, request_: tuple[str, str, bytes, Mapping[str, str]], status: int) -> None:
    method, path, body, headers = request_
    with Publisher(site.port, "/cam/wrong") as publisher:
        if path.startswith("/.."):
            publisher.url, path = url(site.port, "/nowhere"), ""
        assert publisher.ask(method, path, body, **headers).status == status
        # Nothing of it lasts.
        assert publisher.ask("OPTIONS").status == 200


def test_wrongRequestsOfASession(site: Site) -> None:
    with Publisher(site.port, "/cam/wrong") as publisher:
        assert publisher.ask("ANNOUNCE", body=TWO).status == 200
        assert publisher.ask("ANNOUNCE", body=TWO).status == 455
        assert publisher.ask("SETUP", "/streamid=7", Transport=TCP).status == 404
        assert publisher.ask("SETUP", "", Transport=TCP).status == 459
        assert publisher.ask("SETUP", "/streamid=0", Transport="RTP/AVP;unicast;client_port=5000-5001").status == 461
        assert publisher.ask("SETUP", "/streamid=0").status == 400
        assert publisher.ask("SETUP", "/streamid=0", Transport=TCP.replace("0-1", "0-5")).status == 400
        assert publisher.ask("RECORD").status == 455
        # Refusals leave the session as it was; of several transports the first that is served is taken.
        several = "RTP/AVP;unicast;client_port=5000-5001," + TCP.replace("0-1", "4-5")
        reply = publisher.ask("SETUP", "/streamid=0", Transport=several)
        assert reply.status == 200
        assert "interleaved=4-5" in reply.headers["transport"]
        session = reply.headers["session"].partition(";")[0]
        taken = publisher.ask("SETUP", "/streamid=1", Transport=TCP.replace("0-1", "4-5"), Session=session)
        assert taken.status == 400
        assert publisher.ask("SETUP", "/streamid=0", Transport=TCP, Session=session).status == 455
        assert publisher.ask("RECORD", Session="other").status == 454
        assert publisher.ask("PAUSE", Session=session).status == 455
        lost = publisher.ask("GET_PARAMETER", body=b"x\r\n", Content_Type="text/parameters", Session=session)
        assert lost.status == 451
        # A stream that nobody set up is left out.
        assert publisher.ask("RECORD", Session=session).status == 200
        assert publisher.ask("SETUP", "/streamid=1", Transport=TCP, Session=session).status == 455
        assert publisher.ask("TEARDOWN", Session=session).status == 200
        assert publisher.ask("RECORD", Session=session).status == 454


@pytest.mark.parametrize("version", ["RTSP/2.0", "RTSP/1.1"])
def test_anotherVersionOfRTSP(site: Site, version: str) -> None:
    with Publisher(site.port, "/cam/wrong") as publisher:
        publisher.ask("OPTIONS")
        assert publisher.ask("OPTIONS", version=version).status == 505


def test_actionsThatAreNotForRTSP(site: Site) -> None:
    with Publisher(site.port, "/events") as publisher:
        assert publisher.ask("ANNOUNCE", body=SDP).status == 405
    # And RTSP's action is not for browsers.
    assert site.server.get("/cam/x").status == 400


def test_tooMuch(site: Site) -> None:
    with Publisher(site.port, "/cam/wrong") as publisher:
        publisher.client.send(
            b"ANNOUNCE %b RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 9999999\r\n\r\n" % publisher.url.encode()
        )
        assert publisher.reply().status == 413
        assert publisher.client.readToEnd() == b""
    with Publisher(site.port, "/cam/wrong") as publisher:
        publisher.client.send(b"OPTIONS * RTSP/1.0\r\n" + b"X-Y: %b\r\n" % (b"z" * 100) * 2000)
        with closing(publisher.client):
            assert publisher.reply().status == 413


def test_requestsInPieces(site: Site) -> None:
    with Publisher(site.port, "/cam/wrong") as publisher:
        text = f"ANNOUNCE {publisher.url} RTSP/1.0\r\nCSeq: 9\r\nContent-Length: {len(SDP)}\r\n\r\n".encode() + SDP
        for position in range(len(text)):
            publisher.client.send(text[position : position + 1])
        reply = publisher.reply()
        assert (reply.status, reply.headers["cseq"]) == (200, "9")
