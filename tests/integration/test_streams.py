"""Raw streams: channels to clients with ``stream``, and request bodies to channels with ``istream``."""

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.conftest import program
from tests.integration.support import PATIENCE, Client, Redis, Server, ServerFactory, Subscription, until

EVERY_BYTE = bytes(range(256))

#: What EBML (RFC 8794) and Matroska call the beginning of a file, and of a cluster.
EBML, CLUSTER = b"\x1a\x45\xdf\xa3", b"\x1f\x43\xb6\x75"


# To clients


def test_messagesArriveByteForByte(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/bare$ stream:news", "^/list$ stream:subscribe=news")
    payloads = [EVERY_BYTE, b"", b"\r\n0\r\n\r\n", b"x" * 300_000, b"end"]
    with server.stream("/bare") as bare, server.stream("/list") as given, server.client() as old:
        old.send(b"GET /bare HTTP/1.0\r\n\r\n")
        old.readUntil(b"\r\n\r\n")
        assert bare.response.status == 200
        redis.commands([("PUBLISH", "news", payload) for payload in payloads])
        expected = b"".join(payloads)
        assert bare.readUntil(b"end") == given.readUntil(b"end") == expected
        assert old.readUntil(b"end").partition(b"\r\n\r\n")[2] == expected


def test_prefixAndSuffixSurroundEveryMessage(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, r"^/s/(\w+)$ stream:subscribe=news,prefix=[$1\,${qs[x]}:,suffix=]")
    with server.stream("/s/me?x=1,2") as stream:
        redis.commands([("PUBLISH", "news", payload) for payload in ("one", "two\n", "")])
        assert stream.readUntil(b"[me,1,2:]") == b"[me,1,2:one][me,1,2:two\n][me,1,2:]"


def test_theContentTypeIsTheRoutes(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/typed$ stream:subscribe=news,content_type=audio/mpeg", "^/plain$ stream:news")
    with server.stream("/typed") as typed, server.stream("/plain") as plain:
        assert typed.response.getheader("Content-Type") == "audio/mpeg"
        # Not left to browsers, which would look at the bytes and may find HTML.
        assert plain.response.getheader("Content-Type") == "application/octet-stream"


def test_severalChannelsKeepTheOrderOfPublication(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/s$ stream:subscribe=a;b,suffix=|")
    with server.stream("/s") as stream:
        redis.commands([("PUBLISH", "ab"[number % 3 % 2], b"%d" % number) for number in range(200)])
        assert stream.readUntil(b"199|") == b"".join(b"%d|" % number for number in range(200))


def test_aStreamAnswersGetOnly(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/s$ stream:news")
    assert server.request("HEAD", "/s").status == 200
    refused = server.request("POST", "/s", b"x")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


def test_curlReadsAStream(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/s$ stream:news")
    command = [program("curl"), "-sSN", "--max-time", str(PATIENCE), f"http://127.0.0.1:{server.port}/s"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as curl:
        assert curl.stdout is not None
        until(lambda: redis.publish("news", EVERY_BYTE), "the subscription")
        assert curl.stdout.read(256) == EVERY_BYTE
        server.terminate()
        # The last chunk was sent: an incomplete transfer would be status 18.
        assert curl.stdout.read() == b""
        assert curl.wait(PATIENCE) == 0


# From clients


def chunk(data: bytes) -> bytes:
    """One HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def publisher(server: Server, path: str, headers: str = "Transfer-Encoding: chunked", method: str = "POST") -> Client:
    """A connection that has sent the head of a request and begins its body."""
    return server.client(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n".encode())


def test_eachChunkIsOneMessage(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/in$ istream:publish=news")
    chunks = [b"one", EVERY_BYTE, b"\r\n", b"0\r\n\r\n", b"x" * 200_000, b"end"]
    with Subscription(redis, "news") as subscription, publisher(server, "/in") as client:
        client.send(b"".join(map(chunk, chunks)))
        assert [subscription.payload() for _ in chunks] == chunks
        # Published while the body is going on; the answer comes with its end.
        assert client.received == b""
        client.send(b"0\r\n\r\n")
        client.readUntil(b"}")
    status, _, body = client.received.partition(b"\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 200 OK\r\n")
    assert json.loads(body) == {"channel": "news", "messages": len(chunks), "bytes": sum(map(len, chunks))}


def test_aChunkIsOneMessageHoweverItIsCutIntoSegments(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/in$ istream:publish=news", "^/turn$ return:204")
    sent = chunk(b"first") + chunk(b"second") + b"6;a=b\r\nthird!\r\n" + chunk(b"end")
    with Subscription(redis, "news") as subscription, publisher(server, "/in") as client:
        for position in range(0, len(sent), 3):
            client.send(sent[position : position + 3])
            # An answer to another request: the reactor has been round, and has read these three bytes by themselves.
            assert server.get("/turn").status == 204
        assert [subscription.payload() for _ in range(4)] == [b"first", b"second", b"third!", b"end"]


def test_aBodyWithALengthIsPublishedAsItIsRead(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/in$ istream:publish=news")
    with Subscription(redis, "news") as subscription, publisher(server, "/in", "Content-Length: 300005") as client:
        client.send(b"begin")
        assert subscription.payload() == b"begin"
        client.send(b"x" * 300_000)
        assert b"".join(subscription.payloads(300_000)) == b"x" * 300_000
        client.readUntil(b"}")
    assert json.loads(client.received.partition(b"\r\n\r\n")[2])["bytes"] == 300_005


def test_aBareArgumentIsTheChannelThatIsPublishedTo(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, r"^/in/(\w+)$ istream:cam_$1")
    with Subscription(redis, "cam_7") as subscription:
        assert server.request("POST", "/in/7", b"frame").status == 200
        assert subscription.payload() == b"frame"


def test_prefixAndSuffixSurroundEveryChunk(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/in$ istream:publish=news,prefix=<${qs[n]}:,suffix=>")
    with Subscription(redis, "news") as subscription:
        pieces = iter([b"one", b"two"])
        headers = {"Transfer-Encoding": "chunked"}
        answer = server.request("POST", "/in?n=a,publish=b", pieces, headers, chunked=True)
        assert json.loads(answer.body) == {"channel": "news", "messages": 2, "bytes": 6}
        assert [subscription.payload(), subscription.payload()] == [b"<a,publish=b:one>", b"<a,publish=b:two>"]


def test_aBodyWithoutLengthLastsUntilItsClientCloses(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/in$ istream:news")
    for head in (
        b"SOURCE /in HTTP/1.0\r\nContent-Type: audio/mpeg\r\n\r\n",
        b"SOURCE /in ICE/1.0\r\nContent-Type: audio/mpeg\r\n\r\n",
        b"SOURCE /in HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PUT /in HTTP/1.1\r\nHost: x\r\n\r\n",
    ):
        with Subscription(redis, "news") as subscription, server.client(head) as client:
            # Answered before it has sent anything: an Icecast source waits for that.
            assert re.match(rb"HTTP/1\.[01] 200 OK\r\n", client.readUntil(b"\r\n\r\n"))
            client.send(b"one")
            assert subscription.payload() == b"one"
            client.send(b"\r\n\r\ntwo")
            assert subscription.payload() == b"\r\n\r\ntwo"
            client.endSending()
            client.readToEnd()


def test_aSourceThatExpectsContinueIsToldSo(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/in$ istream:news")
    with (
        Subscription(redis, "news") as subscription,
        publisher(server, "/in", "Expect: 100-continue", "PUT") as client,
    ):
        assert client.readUntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"one")
        assert subscription.payload() == b"one"


def test_aPostWithoutLengthHasNoBody(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/in$ istream:news")
    with publisher(server, "/in", "Accept: */*") as client:
        client.readUntil(b"}")
        assert json.loads(client.received.partition(b"\r\n\r\n")[2]) == {"channel": "news", "messages": 0, "bytes": 0}


def test_aChunkOverTheLimitIsRefusedBeforeItIsComplete(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/in$ istream:publish=news,max_message=1000")
    with Subscription(redis, "news") as subscription:
        with publisher(server, "/in") as client:
            client.send(chunk(b"x" * 1000))
            assert subscription.payload() == b"x" * 1000
            client.send(b"3e9\r\n" + b"y" * 1001)
            answer = client.readUntil(b"bytes\n")
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert b"a chunk may have 1000 bytes" in answer
        redis.publish("news", "end")
        assert subscription.payload() == b"end"


def test_pagesOfOtherOriginsMayNotPublish(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/in$ istream:news", "^/open$ istream:publish=news,origins=https://a.example")
    with Subscription(redis, "news") as subscription:
        refused = server.request("POST", "/in", b"x", {"Origin": "https://a.example"})
        assert refused.status == 403
        with publisher(server, "/in", "Transfer-Encoding: chunked\r\nOrigin: https://a.example") as client:
            # Refused before the body, which may never end.
            assert client.readUntil(b"\r\n\r\n").startswith(b"HTTP/1.1 403 ")
        allowed = server.request("POST", "/open", b"y", {"Origin": "https://a.example"})
        assert (allowed.status, allowed.headers["Access-Control-Allow-Origin"]) == (200, "https://a.example")
        assert subscription.payload() == b"y"


def test_otherMethodsAreRefused(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/in$ istream:news")
    refused = server.get("/in")
    assert (refused.status, refused.headers["Allow"]) == (405, "POST, PUT, SOURCE, OPTIONS")


def test_aDamagedBodyEndsTheStream(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/in$ istream:news")
    with Subscription(redis, "news") as subscription, publisher(server, "/in") as client:
        client.send(chunk(b"one"))
        assert subscription.payload() == b"one"
        client.send(b"zz\r\n")
        assert client.readToEnd().startswith(b"HTTP/1.1 400 ")


def test_withoutItsBrokerThePublisherIsToldAtOnce(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/in$ istream:news")
    redis.kill()
    server.logged("next attempt in")
    with publisher(server, "/in") as client:
        client.send(chunk(b"x"))
        answer = client.readUntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: " in answer


def test_aStoppingServerTellsItsPublishers(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/in$ istream:news")
    with Subscription(redis, "news") as subscription, publisher(server, "/in") as client:
        client.send(chunk(b"one"))
        assert subscription.payload() == b"one"
        server.process.terminate()
        assert client.readUntil(b"\r\n\r\n").startswith(b"HTTP/1.1 503 ")
        client.close()
        server.process.wait(PATIENCE)


def test_aFastPublisherWaitsForASlowBroker(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/in$ istream:news")
    data = chunk(b"x" * 65_526)
    limit = 256 << 20
    with Subscription(redis, "news") as subscription, publisher(server, "/in") as client:
        client.send(chunk(b"begin"))
        assert subscription.payload() == b"begin"
        before = server.memory()
        redis.suspend()
        try:
            sent = client.sendWhileItGoes(data, limit)
        finally:
            redis.resume()
        assert sent < 64 << 20, "the client was never held up"
        assert server.memory() - before < 32 << 20
        # Nothing was lost, and it goes on: the rest of the chunk in progress, one more, the end.
        client.send(data[sent % len(data) :] if sent % len(data) else b"")
        client.send(chunk(b"end") + b"0\r\n\r\n")
        whole = -(-sent // len(data))
        assert [len(subscription.payload()) for _ in range(whole)] == [65_526] * whole
        assert subscription.payload() == b"end"
        answer = client.readUntil(b"}")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["messages"] == whole + 2


# Real programs


def test_curlPublishesAStream(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/in$ istream:news")
    command = [program("curl"), "-sSf", "--max-time", str(PATIENCE), "-N", "-T", "-"]
    with (
        Subscription(redis, "news") as subscription,
        subprocess.Popen(
            [*command, f"http://127.0.0.1:{server.port}/in"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as curl,
    ):
        assert curl.stdin is not None
        for piece in (b"one", EVERY_BYTE, b"three"):
            curl.stdin.write(piece)
            curl.stdin.flush()
            # curl makes a chunk of what it reads at once.
            assert subscription.payload() == piece
        output, _ = curl.communicate(timeout=PATIENCE)
        assert curl.returncode == 0
        assert json.loads(output) == {"channel": "news", "messages": 3, "bytes": 264}


def ffmpeg(*arguments: str | Path) -> bytes:
    """Run ffmpeg to its end; returns what it wrote to standard output."""
    command = [program("ffmpeg"), "-nostdin", "-hide_banner", "-loglevel", "error", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout


def endAfterFfmpeg(server: Server, others: int = 0) -> None:
    """
    Publish "end" behind everything that ffmpeg has sent.

    It does not wait for its request's answer, so that much may still be on its way when it ends. Once the server has
    closed the connection it has published all of that, and what it publishes itself comes after.

    :param others: how many other connections there are.
    """
    until(lambda: server.connections() == others, "the end of ffmpeg's request")
    assert server.request("POST", "/end", b"end").status == 200


def frames(file: Path) -> int:
    """How many video frames can be decoded from a file."""
    output = subprocess.run(
        [
            *(program("ffprobe"), "-v", "error", "-count_frames", "-select_streams", "v"),
            *("-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", str(file)),
        ],
        capture_output=True,
        check=True,
    ).stdout
    return int(output)


SOURCE: Sequence[str] = ("-re", "-f", "lavfi", "-i", "testsrc2=size=160x120:rate=10", "-t", "2")


def test_ffmpegPublishesWebMWithOneClusterInEachMessage(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(
        redis, "^/in$ istream:tv", "^/out$ stream:subscribe=tv,content_type=video/webm", "^/end$ publish:tv"
    )
    encoding = ["-c:v", "libvpx", "-g", "1", "-deadline", "realtime", "-f", "webm"]
    # HTTP/1.0, so that the body is the stream.
    with Subscription(redis, "tv") as subscription, server.client(b"GET /out HTTP/1.0\r\n\r\n") as viewer:
        viewer.readUntil(b"\r\n\r\n")
        ffmpeg(*SOURCE, *encoding, f"http://127.0.0.1:{server.port}/in")
        endAfterFfmpeg(server, 1)
        received = viewer.readUntil(b"end").partition(b"\r\n\r\n")[2].removesuffix(b"end")
        messages = []
        while (message := subscription.payload()) != b"end":
            messages.append(message)
    assert received == b"".join(messages)
    assert messages[0].startswith(EBML)
    assert all(message.startswith(CLUSTER) and message.count(CLUSTER) == 1 for message in messages[1:])
    file = twistd.directory / "received.webm"
    file.write_bytes(received)
    assert frames(file) == 20


def test_aViewerReadsByteForByteWhatFfmpegWrote(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/in$ istream:tv", "^/out$ stream:tv", "^/end$ publish:tv")
    source = twistd.directory / "source.webm"
    ffmpeg(*SOURCE[1:], "-c:v", "libvpx", "-g", "5", source)
    copy: list[str | Path] = ["-i", source, "-c", "copy", "-fflags", "+bitexact", "-flags", "+bitexact", "-f", "webm"]
    # Neither a pipe nor an HTTP request can be rewound, so ffmpeg writes the same to both.
    expected = ffmpeg(*copy, "pipe:1")
    assert expected.startswith(EBML)
    for method in ("POST", "PUT"):
        with server.client(b"GET /out HTTP/1.0\r\n\r\n") as viewer:
            viewer.readUntil(b"\r\n\r\n")
            ffmpeg(*copy, "-method", method, f"http://127.0.0.1:{server.port}/in")
            endAfterFfmpeg(server, 1)
            assert viewer.readUntil(b"end").partition(b"\r\n\r\n")[2] == expected + b"end"


def test_ffmpegPublishesAsAnIcecastSource(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/live.ogg$ istream:radio", "^/end$ publish:radio")
    sound = ["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", "1", "-c:a", "libvorbis"]
    target = f"icecast://source:hackme@127.0.0.1:{server.port}/live.ogg"
    for legacy in ("0", "1"):
        with Subscription(redis, "radio") as subscription:
            ffmpeg(*sound, "-content_type", "application/ogg", "-f", "ogg", "-legacy_icecast", legacy, target)
            endAfterFfmpeg(server)
            messages = []
            while (message := subscription.payload()) != b"end":
                messages.append(message)
        assert b"".join(messages).startswith(b"OggS")
        file = twistd.directory / f"received{legacy}.ogg"
        file.write_bytes(b"".join(messages))
        ffmpeg("-xerror", "-i", file, "-f", "null", "-")
