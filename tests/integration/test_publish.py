"""Publishing over HTTP: what arrives on the channel, and what the publisher is told."""

import json
import subprocess
from collections.abc import Iterator

from tests.conftest import program
from tests.integration.support import PATIENCE, Answer, Redis, ServerFactory, Subscription, until


def test_thePublisherIsToldTheChannelAndHowManyReceive(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/publish/(\\w+)$ publish:room_$1")
    for method in ("POST", "PUT"):
        answer = server.request(method, "/publish/one", b"nobody listens")
        assert (answer.status, json.loads(answer.body)) == (200, {"channel": "room_one", "receivers": 0})
        assert answer.headers["Content-Type"] == "application/json"
    with Subscription(redis, "room_one") as one, Subscription(redis, "room_one") as two:
        answer = server.request("POST", "/publish/one", b"hello")
        assert json.loads(answer.body) == {"channel": "room_one", "receivers": 2}
        assert one.message() == two.message() == (b"room_one", b"hello")


def test_whatIsPublishedReachesSubscribersOfTheSameServer(twistd: ServerFactory) -> None:
    server = twistd.start("[realtime]\nroute = ^/publish$ publish:news\nroute = ^/events$ sse:news\n")
    with server.stream("/events") as one, server.stream("/events") as two:
        one.readUntil(b": ok\n\n")
        two.readUntil(b": ok\n\n")
        assert json.loads(server.request("POST", "/publish", b"hello").body)["receivers"] == 1
        assert one.readUntil(b"hello\n\n") == two.readUntil(b"hello\n\n") == b": ok\n\ndata: hello\n\n"


def test_everyBodyIsTakenAsItIsWhateverItsType(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/publish$ publish:news")
    form = b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n1\r\n--b--\r\n"
    with Subscription(redis, "news") as subscription:
        for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/plain", None):
            for body in (b"a=1&b=%20+&c", bytes(range(256)), form, b""):
                headers = {"Content-Type": kind} if kind else {}
                assert server.request("POST", "/publish", body, headers).status == 200
                assert subscription.payload() == body


def test_aChunkedBodyIsOneMessage(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/publish$ publish:news")
    with Subscription(redis, "news") as subscription:
        pieces = iter([b"one ", b"two ", b"three"])
        headers = {"Transfer-Encoding": "chunked"}
        assert server.request("POST", "/publish", pieces, headers, chunked=True).status == 200
        assert subscription.payload() == b"one two three"


def test_theLimitIsTheLargestMessageThatIsTaken(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(
        redis,
        "^/publish$ publish:channel=news,max_message=1000",
        "^/large$ publish:channel=news,max_message=3m",
    )
    with Subscription(redis, "news") as subscription:
        assert server.request("POST", "/publish", b"x" * 1000).status == 200
        assert subscription.payload() == b"x" * 1000
        refused = server.request("POST", "/publish", b"x" * 1001)
        assert refused.status == 413
        assert b"1000 bytes" in refused.body
        # More than a site keeps in memory by default, because the route says so.
        assert server.request("POST", "/large", b"y" * (3 << 20)).status == 200
        assert subscription.payload() == b"y" * (3 << 20)
        assert server.request("POST", "/publish", b"end").status == 200
        assert subscription.payload() == b"end"


def test_aChunkedBodyIsRefusedAsSoonAsItIsTooLarge(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/publish$ publish:channel=news,max_message=1000")
    with server.client(b"POST /publish HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n") as client:
        client.send(b"200\r\n" + b"x" * 512 + b"\r\n")
        client.send(b"200\r\n" + b"x" * 512 + b"\r\n")
        # It never ends its body, and is answered all the same.
        assert client.readUntil(b"\r\n\r\n").startswith(b"HTTP/1.1 413 ")


def test_aClientThatAsksFirstIsRefusedBeforeItSends(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/publish$ publish:channel=news,max_message=1000")
    head = b"POST /publish HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    with server.client(head % 5000) as client:
        assert client.readUntil(b"\r\n\r\n").startswith(b"HTTP/1.1 413 ")
    with Subscription(redis, "news") as subscription, server.client(head % 5) as client:
        assert client.readUntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"hello")
        client.readUntil(b'"receivers"')
        assert subscription.payload() == b"hello"


def test_withoutItsBrokerThePublisherIsToldToTryAgain(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/publish$ publish:news")
    assert server.request("POST", "/publish", b"x").status == 200
    redis.kill()
    server.logged("next attempt in")
    answer = server.request("POST", "/publish", b"x")
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) > 0
    redis.start()
    with Subscription(redis, "news") as subscription:
        until(lambda: server.request("POST", "/publish", b"back").status == 200, "a publish")
        assert subscription.payload() == b"back"


OWN, OTHER, EVIL = "http://127.0.0.1:PORT", "https://a.example", "https://evil.example"


def test_onlyPagesOfTheSameOriginOrOfAllowedOnesMayPublish(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(
        redis,
        "^/own$ publish:news",
        f"^/other$ publish:channel=news,origins={OTHER}",
        "^/any$ publish:channel=news,origins=*",
    )
    with Subscription(redis, "news") as subscription:
        for path, origin, status, allowed in (
            ("/own", None, 200, None),
            ("/own", OWN, 200, None),
            # TLS may end at a proxy, which passes Host on: the scheme is not ours to know.
            ("/own", "https://127.0.0.1:PORT", 200, None),
            ("/own", "http://127.0.0.1:1", 403, None),
            ("/own", EVIL, 403, None),
            ("/own", "null", 403, None),
            ("/own", "", 403, None),
            ("/own", "http://[", 403, None),
            ("/other", None, 200, None),
            ("/other", OWN, 200, None),
            ("/other", OTHER, 200, OTHER),
            ("/other", EVIL, 403, None),
            ("/other", "null", 403, None),
            ("/any", EVIL, 200, "*"),
            ("/any", "null", 200, "*"),
        ):
            body = f"{path} {origin}".encode()
            headers = {} if origin is None else {"Origin": origin.replace("PORT", str(server.port))}
            answer = server.request("POST", path, body, headers)
            assert (answer.status, answer.headers.get("Access-Control-Allow-Origin")) == (status, allowed), body
            # Refused means not done, not only unreadable.
            assert server.request("POST", "/own", b"end").status == 200
            if status == 200:
                assert subscription.payload() == body
            assert subscription.payload() == b"end"


def test_aPreflightAllowsTheMethodsAndTheTypeForAllowedOriginsOnly(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, f"^/publish$ publish:channel=news,origins={OTHER}", "^/own$ publish:news")

    def ask(path: str, origin: str) -> Answer:
        question = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        return server.request("OPTIONS", path, headers={"Origin": origin, **question})

    allowed = ask("/publish", OTHER)
    assert allowed.status == 204
    assert allowed.headers["Access-Control-Allow-Origin"] == OTHER
    assert allowed.headers["Access-Control-Allow-Methods"] == "POST, PUT"
    assert allowed.headers["Access-Control-Allow-Headers"] == "content-type"
    for denied in (ask("/publish", EVIL), ask("/own", OTHER)):
        assert not [name for name in denied.headers if name.startswith("Access-Control")]


def test_otherMethodsAreRefusedWithTheListOfThoseThatAreNot(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/publish$ publish:news")
    refused = server.get("/publish")
    assert refused.status == 405
    assert refused.headers["Allow"] == "POST, PUT, OPTIONS"


def test_oneConnectionCarriesManyMessagesInTheirOrder(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/publish$ publish:news")
    with Subscription(redis, "news") as subscription, server.client() as client:
        request = b"POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n%03d"
        client.send(b"".join(request % number for number in range(100)))
        assert [subscription.payload() for _ in range(100)] == [b"%03d" % number for number in range(100)]
        while client.received.count(b'"receivers"') < 100:
            client.readSome()


def test_curlPublishes(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/publish$ publish:channel=news,max_message=4m")
    curl = [program("curl"), "-sS", "-f", "--max-time", str(PATIENCE)]
    url = f"http://127.0.0.1:{server.port}/publish"
    large = twistd.directory / "large.bin"
    large.write_bytes(bytes(range(256)) * 8192)
    commands: Iterator[tuple[list[str], bytes]] = iter(
        [
            ([*curl, "-d", "hello=world", url], b"hello=world"),
            # curl asks with Expect: 100-continue before it sends a megabyte or more.
            ([*curl, "--data-binary", f"@{large}", url], large.read_bytes()),
            ([*curl, "-T", str(large), url], large.read_bytes()),
            ([*curl, "-T", str(large), "-H", "Transfer-Encoding: chunked", url], large.read_bytes()),
        ]
    )
    with Subscription(redis, "news") as subscription:
        for command, expected in commands:
            output = subprocess.run(command, capture_output=True, check=True).stdout
            assert json.loads(output) == {"channel": "news", "receivers": 1}
            assert subscription.payload() == expected
