"""Redis as it is really run: passwords, users, databases, sockets, TLS, and one connection pair for all clients."""

import json
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import hiredis
import pytest

from tests.integration.authority import Authority
from tests.integration.support import Redis, Server, ServerFactory, freePort, until
from tests.integration.wire import Crowd, Wire, get

RedisMaker = Callable[..., Redis]

ROUTES = """\
[realtime]
broker = {broker}
route = ^/events$ sse:subscribe=news
route = ^/publish$ publish:news
"""


@pytest.fixture
def redisWith(tmp_path: Path) -> Iterator[RedisMaker]:
    """Starts Redis servers with options of the test's own."""
    servers: list[Redis] = []

    def make(*options: str, login: tuple[str, ...] = ()) -> Redis:
        server = Redis(tmp_path / f"redis-{len(servers)}", options)
        server.login = login
        servers.append(server)
        server.start()
        return server

    yield make
    for server in servers:
        server.kill()


def clients(redis: Redis) -> list[dict[str, str]]:
    """``CLIENT LIST`` without the connection that asks."""
    answer = redis.command("CLIENT", "LIST")
    assert isinstance(answer, bytes)
    entries = [dict(word.split("=", 1) for word in line.split()) for line in answer.decode().splitlines()]
    return [entry for entry in entries if entry["cmd"] != "client|list"]


def assertWorks(server: Server, redis: Redis) -> None:
    """Messages pass in both directions."""
    server.waitUntilConnected()
    with server.stream("/events") as stream:
        stream.readUntil(b": ok\n\n")
        assert redis.publish("news", "from redis") == 1
        stream.readUntil(b"data: from redis\n\n")
        answer = server.request("POST", "/publish", b"from a client")
        assert (answer.status, json.loads(answer.body)) == (200, {"channel": "news", "receivers": 1})
        stream.readUntil(b"data: from a client\n\n")


def test_onePublisherAndOneSubscriberConnectionWhateverTheNumberOfClients(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.start(
        f"[realtime]\nbroker = {redis.url}\n"
        "route = ^/events/(\\w+)$ sse:subscribe=$1\n"
        "route = ^/both$ sse:subscribe=red;green,event=channel\n"
        "route = ^/stream$ stream:blue\n"
        f"route = ^/same$ sse:subscribe=red,server=127.0.0.1:{redis.port}\n"
        "route = ^/publish$ publish:red\n"
    )
    server.waitUntilConnected()
    paths = ["/events/red", "/events/green", "/both", "/stream", "/same"]
    with Crowd(server, lambda number: get(paths[number % 5]), 200) as crowd:
        crowd.untilAll(lambda received: b"\r\n\r\n" in received, "200 response heads")
        assert server.request("POST", "/publish", b"sun").status == 200
        assert redis.publish("green", "sun") == 1
        assert redis.publish("blue", "sun") == 1
        crowd.untilAll(lambda received: b"sun" in received, "a message for everybody")
        assert sorted(int(entry["sub"]) for entry in clients(redis)) == [0, 3]
    # The last one that leaves a channel gives it up.
    until(lambda: sorted(int(entry["sub"]) for entry in clients(redis)) == [0, 0], "no subscriptions")


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_payloadsAreUntouched(twistd: ServerFactory, redis: Redis, version: str) -> None:
    payloads = [
        bytes(range(256)),
        *(b"123", b"1_000", b"-1", b"1.5", b"nan", b"True", b"null"),
        *(b"\xff\xfe\x80 not UTF-8", b"\xc3", b"\r\n", b"0\r\n\r\n", b"$5\r\nhello\r\n", b" \t ", b"\0"),
        b"",
        bytes(range(256)) * 1024,
    ]
    server = twistd.start(
        f"[realtime]\nbroker = {redis.url}\nroute = ^/raw$ stream:raw\nroute = ^/publish$ publish:raw\n"
    )
    server.waitUntilConnected()
    with Wire(server, get("/raw", version)) as wire:
        wire.readUntil(b"\r\n\r\n")
        # From Redis, and from a client.
        assert redis.commands([("PUBLISH", "raw", payload) for payload in payloads]) == [1] * len(payloads)
        assert server.request("POST", "/publish", b"".join(payloads)).status == 200
        assert redis.publish("raw", b"<the end>") == 1
        wire.readUntil(b"<the end>")
        body = wire.received.partition(b"\r\n\r\n")[2]
    if version == "HTTP/1.1":
        body = unchunked(body)
    assert body == b"".join(payloads) * 2 + b"<the end>"


def unchunked(data: bytes) -> bytes:
    """The body in a chunked one, as far as it goes."""
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        body += data[: int(size, 16)]
        data = data[int(size, 16) + 2 :]
    return body


@pytest.mark.parametrize("password", ["secret", "p@ss:w/r%d ? #1"])
def test_password(twistd: ServerFactory, redisWith: RedisMaker, password: str) -> None:
    redis = redisWith("--requirepass", password, login=(password,))
    with pytest.raises(hiredis.ReplyError, match="WRONGPASS"):
        redisWithLogin(redis, "wrong").command("PING")
    quoted = urllib.parse.quote(password, safe="")
    # In the file a percent sign is written twice.
    broker = f"redis://:{quoted}@127.0.0.1:{redis.port}".replace("%", "%%")
    server = twistd.start(ROUTES.format(broker=broker))
    assertWorks(server, redis)
    assert password not in server.log.read_text()


def redisWithLogin(redis: Redis, *login: str) -> Redis:
    """The same server, with another login for the test's commands."""
    other = object.__new__(Redis)
    other.__dict__.update(redis.__dict__, login=login)
    return other


def test_userOfAnACL(twistd: ServerFactory, redisWith: RedisMaker) -> None:
    redis = redisWith("--requirepass", "admin", login=("admin",))
    redis.command("ACL", "SETUSER", "web", "on", ">password", "~*", "&*", "+@all")
    server = twistd.start(ROUTES.format(broker=f"redis://web:password@127.0.0.1:{redis.port}"))
    assertWorks(server, redis)
    assert {entry["user"] for entry in clients(redis)} == {"web"}


def test_databaseNumber(twistd: ServerFactory, redis: Redis) -> None:
    redis.commands([("SELECT", 3), ("SET", "news:retained", "of database 3")])
    redis.command("SET", "news:retained", "of database 0")
    server = twistd.start(ROUTES.format(broker=f"{redis.url}/3"))
    with server.stream("/events") as stream:
        assert b"of database 0" not in stream.readUntil(b"data: of database 3\n\n")
    assertWorks(server, redis)
    assert {entry["db"] for entry in clients(redis)} == {"3"}


def test_unixSocket(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.start(ROUTES.format(broker=f"redis+unix://{redis.path}?db=2"))
    assertWorks(server, redis)
    assert {(entry["laddr"], entry["db"]) for entry in clients(redis)} == {(f"{redis.path}:0", "2")}


class SecureRedis:
    """Redis with TLS beside its plain port. :ivar authority: who signed its certificate."""

    def __init__(self, make: RedisMaker, directory: Path, *names: str) -> None:
        self.authority = Authority(directory / "certificates", "authority")
        certificate, key = self.authority.issue(*names)
        self.port = freePort()
        self.redis = make(
            *("--tls-port", str(self.port), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(self.authority.file)),
            *("--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
        )

    def url(self, host: str, authorities: Path) -> str:
        return f"rediss://{host}:{self.port}?cafile={authorities}"


@pytest.mark.parametrize(("name", "host"), [("localhost", "localhost"), ("127.0.0.1", "127.0.0.1")])
def test_tlsWithAnAuthorityOfOnesOwn(
    twistd: ServerFactory, redisWith: RedisMaker, tmp_path: Path, name: str, host: str
) -> None:
    secure = SecureRedis(redisWith, tmp_path, name)
    server = twistd.start(ROUTES.format(broker=secure.url(host, secure.authority.file)))
    assertWorks(server, secure.redis)
    assert {entry["laddr"] for entry in clients(secure.redis)} == {f"127.0.0.1:{secure.port}"}


def test_tlsWithSeveralAuthoritiesInOneFile(twistd: ServerFactory, redisWith: RedisMaker, tmp_path: Path) -> None:
    secure = SecureRedis(redisWith, tmp_path, "localhost")
    bundle = tmp_path / "bundle.pem"
    other = Authority(tmp_path / "certificates", "other")
    bundle.write_bytes(other.file.read_bytes() + secure.authority.file.read_bytes())
    server = twistd.start(ROUTES.format(broker=secure.url("localhost", bundle)))
    assertWorks(server, secure.redis)


def assertRefuses(server: Server, secure: SecureRedis, why: str) -> None:
    """The server says why it does not use this Redis, and nothing passes."""
    server.logged(why)
    answer = server.request("POST", "/publish", b"secret")
    assert answer.status == 503
    # An attempt that is under way is in the list, too, until its handshake has failed.
    until(lambda: clients(secure.redis) == [], "the end of all attempts")


def test_tlsWithAnUnknownAuthorityIsRefused(twistd: ServerFactory, redisWith: RedisMaker, tmp_path: Path) -> None:
    secure = SecureRedis(redisWith, tmp_path, "localhost")
    other = Authority(tmp_path / "certificates", "other")
    assertRefuses(
        twistd.start(ROUTES.format(broker=secure.url("localhost", other.file))), secure, "certificate verify failed"
    )


@pytest.mark.parametrize(("name", "host"), [("redis.example.com", "localhost"), ("localhost", "127.0.0.1")])
def test_tlsWithAnotherHostsNameIsRefused(
    twistd: ServerFactory, redisWith: RedisMaker, tmp_path: Path, name: str, host: str
) -> None:
    secure = SecureRedis(redisWith, tmp_path, name)
    assertRefuses(twistd.start(ROUTES.format(broker=secure.url(host, secure.authority.file))), secure, "Mismatch")


def test_channelThatAnACLDeniesHoldsUpNoOther(twistd: ServerFactory, redisWith: RedisMaker) -> None:
    redis = redisWith("--requirepass", "admin", login=("admin",))
    redis.command("ACL", "SETUSER", "web", "on", ">password", "~*", "resetchannels", "&news", "&more", "+@all")
    server = twistd.start(
        f"[realtime]\nbroker = redis://web:password@127.0.0.1:{redis.port}\n"
        "route = ^/events/(\\w+)$ sse:subscribe=$1\nroute = ^/publish/(\\w+)$ publish:$1\n"
    )
    server.waitUntilConnected()
    with server.stream("/events/news") as first:
        first.readUntil(b": ok\n\n")
        with server.stream("/events/secret") as denied, server.stream("/events/more") as second:
            denied.readUntil(b": ok\n\n")
            second.readUntil(b": ok\n\n")
            assert redis.publish("news", "one") == 1
            first.readUntil(b"data: one\n\n")
            assert redis.publish("secret", "no") == 0
            assert redis.publish("more", "two") == 1
            second.readUntil(b"data: two\n\n")
            assert server.request("POST", "/publish/secret", b"no").status == 503
            assert server.request("POST", "/publish/more", b"three").status == 200
            second.readUntil(b"data: three\n\n")
            assert denied.received == b": ok\n\n"
    log = server.logged("the broker refused channel b'secret'")
    assert "NOPERM" in log
    assert "Traceback" not in log


def test_loginThatIsCorrectedAtRunTime(twistd: ServerFactory, redisWith: RedisMaker) -> None:
    redis = redisWith("--requirepass", "other", login=("other",))
    server = twistd.start(ROUTES.format(broker=f"redis://:secret@127.0.0.1:{redis.port}"))
    log = server.logged("WRONGPASS")
    assert "secret" not in log
    assert server.request("POST", "/publish", b"too early").status == 503
    with server.stream("/events") as waiting:
        waiting.readUntil(b": ok\n\n")
        redis.command("CONFIG", "SET", "requirepass", "secret")
        redis.login = ("secret",)
        until(lambda: redis.publish("news", "hello") == 1, "the subscription")
        waiting.readUntil(b"data: hello\n\n")
    # The two connections log in by themselves, each at its own pace.
    until(lambda: server.request("POST", "/publish", b"again").status == 200, "the publisher")
    assertWorks(server, redis)


def test_databaseThatDoesNotExistIsSaidInTheLog(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.start(ROUTES.format(broker=f"{redis.url}/99"))
    server.logged("DB index is out of range")
    assert server.request("POST", "/publish", b"nowhere").status == 503


def test_brokersOfSingleRoutes(twistd: ServerFactory, redisWith: RedisMaker) -> None:
    one, two = redisWith(), redisWith()
    server = twistd.start(
        "[uwsgi]\n"
        f"route = ^/one$ sse:server=127.0.0.1:{one.port},subscribe=news\n"
        f"route = ^/two$ sse:server=127.0.0.1:{two.port},subscribe=news\n"
        f"route = ^/socket$ sse:server={two.path},subscribe=news\n"
        f"route = ^/publish$ publish:server=127.0.0.1:{two.port},channel=news\n",
        *("--broker", "memory:"),
    )
    # A pair for each server that is named, and none for the others.
    until(lambda: (len(clients(one)), len(clients(two))) == (2, 4), "all connections")
    until(lambda: server.request("POST", "/publish", b"early").status == 200, "the publisher")
    with server.stream("/one") as first, server.stream("/two") as second, server.stream("/socket") as third:
        for stream in (first, second, third):
            stream.readUntil(b": ok\n\n")
        assert one.publish("news", "of one") == 1
        first.readUntil(b"data: of one\n\n")
        assert json.loads(server.request("POST", "/publish", b"of two").body)["receivers"] == 2
        for stream in (second, third):
            assert b"of one" not in stream.readUntil(b"data: of two\n\n")
        assert b"of two" not in first.received
    assert (len(clients(one)), len(clients(two))) == (2, 4)
