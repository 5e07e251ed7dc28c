"""Server-Sent Events from a publish to the wire, through the real server."""

import http.client

import httpx
from httpx_sse import ServerSentEvent, connect_sse

from tests.integration.support import PATIENCE, Redis, Server, ServerFactory


def events(
    server: Server, path: str, count: int, publish: list[tuple[str, bytes]], redis: Redis
) -> list[tuple[str, str]]:
    """What an independent client library makes of messages that are published once it is connected."""
    received: list[tuple[str, str]] = []
    with (
        httpx.Client(timeout=PATIENCE) as client,
        connect_sse(client, "GET", f"http://127.0.0.1:{server.port}{path}") as source,
    ):
        redis.commands([("PUBLISH", channel, payload) for channel, payload in publish])
        event: ServerSentEvent
        for event in source.iter_sse():
            received.append((event.event, event.data))
            if len(received) == count:
                break
    return received


def test_messagesArriveFromRedis(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/events$ sse:subscribe=news")
    with server.stream("/events") as stream:
        assert stream.response.getheader("Content-Type") == "text/event-stream"
        stream.readUntil(b": ok\n\n")
        assert redis.publish("news", "hello") == 1
        assert stream.readUntil(b"hello\n\n").endswith(b"data: hello\n\n")


def test_theHeadSaysThatNothingMayBeKeptBack(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/events$ sse:news")
    with server.stream("/events") as stream:
        assert stream.response.status == 200
        assert stream.response.getheader("Cache-Control") == "no-cache"
        assert stream.response.getheader("X-Accel-Buffering") == "no"
        assert stream.response.getheader("Content-Length") is None
        # A proxy that waits for a first byte gets one although nothing was published.
        assert stream.readUntil(b"\n\n") == b": ok\n\n"


def test_everyKindOfLineEndMakesADataLine(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/events$ sse:news")
    payloads = [
        b"one\ntwo",
        b"one\r\ntwo",
        b"one\rtwo",
        b"a\n\nb",
        b"a\n\r\n\rb",
        b"ends\n",
        b"\nbegins",
        b" x: y",
        b"end",
    ]
    with server.stream("/events") as stream:
        stream.readUntil(b": ok\n\n")
        redis.commands([("PUBLISH", "news", payload) for payload in payloads])
        assert stream.readUntil(b"data: end\n\n") == (
            b": ok\n\n"
            b"data: one\ndata: two\n\n"
            b"data: one\ndata: two\n\n"
            b"data: one\ndata: two\n\n"
            b"data: a\ndata: \ndata: b\n\n"
            b"data: a\ndata: \ndata: \ndata: b\n\n"
            b"data: ends\ndata: \n\n"
            b"data: \ndata: begins\n\n"
            b"data:  x: y\n\n"
            b"data: end\n\n"
        )


def test_aClientLibraryReadsWhatWasPublished(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/events$ sse:news")
    texts = [
        "hello",
        "two\nlines",
        "data: not a field",
        "id: 7",
        ": not a comment",
        "äöü ☃ 🎉",
        '{"a": [1, 2]}',
        "x" * 100_000,
    ]
    received = events(server, "/events", len(texts), [("news", text.encode()) for text in texts], redis)
    assert received == [("message", text) for text in texts]


def test_aMessageCannotEndItsEventAndBeginAnother(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/events$ sse:news")
    published = [("news", b"a\n\nevent: admin\ndata: forged"), ("news", b"b\r\revent: admin\rdata: forged")]
    assert events(server, "/events", 2, published, redis) == [
        ("message", "a\n\nevent: admin\ndata: forged"),
        ("message", "b\n\nevent: admin\ndata: forged"),
    ]


def test_severalChannelsKeepTheOrderOfPublicationAndAreNamed(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/events$ sse:subscribe=a;b;c,event=channel")
    published = [("abc"[number * 7 % 3], b"%d" % number) for number in range(300)]
    received = events(server, "/events", len(published), published, redis)
    assert received == [(channel, payload.decode()) for channel, payload in published]


def test_severalChannelsWithoutNamesAreOneStream(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/events$ sse:subscribe=a;b")
    published = [("a", b"1"), ("b", b"2"), ("a", b"3")]
    assert events(server, "/events", 3, published, redis) == [("message", "1"), ("message", "2"), ("message", "3")]


def test_theSameChannelTwiceDeliversOnce(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/events$ sse:subscribe=a;a")
    with server.stream("/events") as stream:
        stream.readUntil(b": ok\n\n")
        redis.commands([("PUBLISH", "a", "once"), ("PUBLISH", "a", "end")])
        assert stream.readUntil(b"end\n\n") == b": ok\n\ndata: once\n\ndata: end\n\n"


def test_heartbeatsFillTheSilence(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(
        redis, "^/events$ sse:subscribe=news,heartbeat=1s", "^/raw$ sseraw:subscribe=news,heartbeat=1s"
    )
    with server.stream("/events") as stream, server.stream("/raw") as raw:
        assert stream.readUntil(b":\n\n:\n\n") == b": ok\n\n:\n\n:\n\n"
        assert raw.readUntil(b":\n\n:\n\n").endswith(b":\n\n:\n\n")
        redis.publish("news", "still here")
        stream.readUntil(b"data: still here\n\n")


def test_retryIsToldBeforeAnythingElse(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/events$ sse:subscribe=news,retry=1500")
    with server.stream("/events") as stream:
        assert stream.readUntil(b"\n\n") == b"retry: 1500\n\n"


def test_rawEventsGoOutAsTheyAre(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/raw$ sseraw:news")
    with server.stream("/raw") as stream:
        assert stream.response.getheader("Content-Type") == "text/event-stream"
        stream.readUntil(b"\n\n")
        opening = len(stream.received)
        redis.commands([("PUBLISH", "news", "id: 7\nevent: x\ndata: y\n\n"), ("PUBLISH", "news", b"\0\xff\r\n")])
        stream.readUntil(b"\xff\r\n")
        assert stream.received[opening:] == b"id: 7\nevent: x\ndata: y\n\n\0\xff\r\n"


def test_retainedValuesComeFirstUnlessTheRouteSaysNo(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(
        redis,
        "^/default$ sse:subscribe=a;b",
        "^/with$ sse:subscribe=a;b,retained=1",
        "^/without$ sse:subscribe=a;b,retained=0",
    )
    redis.commands([("SET", "a:retained", "kept a"), ("SET", "b:retained", "kept b")])
    with server.stream("/default") as default, server.stream("/with") as given, server.stream("/without") as without:
        for stream in (default, given, without):
            stream.readUntil(b": ok\n\n")
        for stream in (default, given):
            stream.readUntil(b"kept b\n\n")
        redis.publish("a", "live")
        expected = b": ok\n\ndata: kept a\n\ndata: kept b\n\ndata: live\n\n"
        assert default.readUntil(b"live\n\n") == expected
        assert given.readUntil(b"live\n\n") == expected
        assert without.readUntil(b"live\n\n") == b": ok\n\ndata: live\n\n"


def test_aSlowReaderWhoseRouteDropsMissesWholeEventsOnly(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/events$ sse:subscribe=news,slow=drop,buffer=64k", "^/fast$ sse:news")
    padding = b"x" * 10_000

    def publish(numbers: range) -> None:
        redis.commands([("PUBLISH", "news", b"%06d" % number + padding) for number in numbers])
        fast.readUntil(b"data: %06d" % numbers[-1])
        fast.received = b""

    # HTTP/1.0, so that the bytes are the events'.
    with server.client(b"GET /events HTTP/1.0\r\n\r\n") as slow, server.stream("/fast") as fast:
        slow.readUntil(b": ok\n\n")
        fast.readUntil(b": ok\n\n")
        for first in range(0, 2000, 50):
            publish(range(first, first + 50))
        # Much more than the kernel and 64 KiB hold. Now it reads, faster than messages come, and is served again.
        last = 2000
        while b"data: %06d" % last not in slow.readSome():
            last += 1
            publish(range(last, last + 1))
        while not slow.received.endswith(b"x\n\n"):
            slow.readSome()
        text = slow.received.partition(b": ok\n\n")[2]
    numbers = [int(event[6:12]) for event in text.split(b"\n\n") if event]
    assert text == b"".join(b"data: %06d%b\n\n" % (number, padding) for number in numbers)
    assert numbers == sorted(set(numbers))
    assert len(numbers) < 2000, "nothing was dropped"


def test_aPolicyThatDoesNotExistIsAnErrorAtTheStart(twistd: ServerFactory) -> None:
    file = twistd.directory / "bad.ini"
    file.write_text("[realtime]\nroute = ^/e$ sse:subscribe=a,slow=wait\n")
    ended = twistd.run("--routes", str(file))
    assert ended.returncode == 1
    assert f'{file}:2: slow: "wait" is none of' in ended.stderr


def test_headIsAnsweredWithTheHeadOnly(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/events$ sse:news")
    with server.client(b"HEAD /events HTTP/1.1\r\nHost: x\r\n\r\n") as client:
        head = client.readToEnd()
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nContent-Type: text/event-stream\r\n" in head
    assert head.endswith(b"\r\n\r\n")
    assert head.count(b"\r\n\r\n") == 1
    assert redis.publish("news", "x") == 0, "a HEAD request has no use for a subscription"


def test_http10IsServedWithoutChunksUntilTheConnectionCloses(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/events$ sse:news")
    with server.client(b"GET /events HTTP/1.0\r\n\r\n") as client:
        client.readUntil(b": ok\n\n")
        redis.publish("news", "one")
        redis.publish("news", "two")
        client.readUntil(b"two\n\n")
        server.terminate()
        head, _, body = client.readToEnd().partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert body.startswith(b": ok\n\ndata: one\n\ndata: two\n\nretry: ")
    assert body.endswith(b"\n\n")


def test_http11IsServedInChunksThatAreCompleteAtTheEnd(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/events$ sse:news")
    with server.client(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n") as client:
        client.readUntil(b": ok\n\n")
        redis.publish("news", "one")
        client.readUntil(b"one\n\n")
        server.terminate()
        head, _, body = client.readToEnd().partition(b"\r\n\r\n")
    assert b"\r\ntransfer-encoding: chunked" in head.lower()
    assert body.startswith(b"6\r\n: ok\n\n\r\nb\r\ndata: one\n\n\r\n")
    assert body.endswith(b"\r\n0\r\n\r\n")


def test_aBrowserIsToldToComeBackWhenTheServerStops(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/events$ sse:news")
    with server.stream("/events") as stream:
        stream.readUntil(b": ok\n\n")
        server.terminate()
        # http.client raises IncompleteRead where the last chunk is missing.
        assert stream.readToEnd().partition(b": ok\n\n")[2].startswith(b"retry: ")


def test_onlyTheOriginsOfTheRouteMayRead(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(
        redis,
        "^/one$ sse:subscribe=news,origins=https://a.example",
        "^/two$ sse:subscribe=news,origins=https://a.example https://b.example:8443",
        "^/any$ sse:subscribe=news,origins=*",
    )
    for path, origin, allowed in (
        ("/one", "https://a.example", "https://a.example"),
        ("/one", "HTTPS://A.example", "HTTPS://A.example"),
        ("/two", "https://b.example:8443", "https://b.example:8443"),
        ("/one", "https://evil.example", None),
        ("/one", "https://a.example.evil.example", None),
        ("/one", "http://a.example", None),
        ("/one", "null", None),
        ("/two", "https://b.example", None),
        ("/any", "https://anything.example", "*"),
    ):
        with server.stream(path, headers={"Origin": origin}) as stream:
            assert stream.response.status == 200
            assert stream.response.getheader("Access-Control-Allow-Origin") == allowed, (path, origin)
            credentials = "true" if allowed not in (None, "*") else None
            assert stream.response.getheader("Access-Control-Allow-Credentials") == credentials
            assert "Origin" in (stream.response.getheader("Vary") or "")
            stream.readUntil(b": ok\n\n")


def test_aRouteWithoutOriginsTellsOtherSitesNothing(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/events$ sse:news")
    with server.stream("/events", headers={"Origin": "https://a.example"}) as stream:
        assert stream.response.getheader("Access-Control-Allow-Origin") is None


def test_aPreflightIsAnsweredForAllowedOriginsOnly(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/events$ sse:subscribe=news,origins=https://a.example")
    question = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "Last-Event-ID"}
    allowed = server.request("OPTIONS", "/events", headers={"Origin": "https://a.example", **question})
    assert allowed.status == 204
    assert allowed.body == b""
    assert allowed.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert allowed.headers["Access-Control-Allow-Methods"] == "GET, HEAD"
    assert allowed.headers["Access-Control-Allow-Headers"] == "Last-Event-ID"
    denied = server.request("OPTIONS", "/events", headers={"Origin": "https://evil.example", **question})
    assert denied.status == 204
    assert not [name for name in denied.headers if name.startswith("Access-Control")]


def test_otherMethodsAreRefusedWithTheListOfThoseThatAreNot(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/events$ sse:news")
    for method in ("POST", "PUT", "DELETE"):
        refused = server.request(method, "/events", b"x" if method != "DELETE" else None)
        assert refused.status == http.client.METHOD_NOT_ALLOWED
        assert refused.headers["Allow"] == "GET, HEAD, OPTIONS"
