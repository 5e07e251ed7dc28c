"""Redis that is not there, goes away, comes back, or says nothing: clients stay, and publishers are told at once."""

import re
import selectors
import signal
import socket
import subprocess
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.integration.support import Redis, ServerFactory, freePort, python, until
from tests.integration.wire import Crowd, get

ROUTES = """\
[realtime]
broker = {redis.url}
static-map = /files={directory}
route = ^/events$ sse:subscribe=news
route = ^/publish$ publish:news
route = ^/in$ istream:publish=news
"""

#: A publisher with retained values, as another program would be one. It says "ready", and ends with its input.
OWNER = """\
import sys
from twisted.internet import reactor, stdio
from twisted.internet.protocol import Protocol
from realtime_tw import Hub

hub = Hub.fromURL(sys.argv[1])

class Input(Protocol):
    def connectionLost(self, reason):
        hub.broker.stop().addBoth(lambda _: reactor.stop())

def publish():
    if not hub.broker.connected:
        reactor.callLater(0.01, publish)
        return
    done = hub.publish("news", b"line 1\\nline 2", retain=True)
    done.addCallback(lambda _: print("ready", flush=True))

stdio.StandardIO(Input())
reactor.callWhenRunning(publish)
reactor.run()
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory with a file to serve."""
    directory = tmp_path / "files"
    directory.mkdir()
    (directory / "hello.txt").write_text("hello")
    return directory


@pytest.fixture
def absent(tmp_path: Path) -> Redis:
    """A Redis that nobody has started."""
    return Redis(tmp_path / "redis")


def test_absentAtTheStart(twistd: ServerFactory, absent: Redis, files: Path) -> None:
    server = twistd.start(ROUTES.format(redis=absent, directory=files))
    try:
        assert server.get("/files/hello.txt").body == b"hello"
        for path in ("/publish", "/in"):
            refused = server.request("POST", path, b"hello")
            assert (refused.status, refused.headers["Retry-After"], refused.body) == (503, "2", b"Redis is away\n")
        with server.stream("/events") as first, server.stream("/events") as second:
            first.readUntil(b": ok\n\n")
            second.readUntil(b": ok\n\n")
            absent.start()
            until(lambda: absent.publish("news", "at last") == 1, "the subscription")
            first.readUntil(b"data: at last\n\n")
            second.readUntil(b"data: at last\n\n")
        until(lambda: server.request("POST", "/publish", b"hello").status == 200, "a publish")
    finally:
        absent.kill()


def test_absenceIsToldOnceForEachAttempt(twistd: ServerFactory, absent: Redis, files: Path) -> None:
    server = twistd.start(ROUTES.format(redis=absent, directory=files))
    line = re.compile(rf"^(\S+) .*Redis at {absent.url} is away: (.*) \(next attempt in ([\d.]+) s\)$", re.MULTILINE)
    until(lambda: len(line.findall(server.log.read_text())) >= 6, "six attempts")
    told = line.findall(server.log.read_text())
    assert all("refused" in why for _, why, _ in told)
    delays = [float(delay) for _, _, delay in told]
    # It backs off, and each announced delay has passed before the next announcement: nobody says it twice. The log's
    # clock ticks in seconds, and the delays are rounded.
    assert delays[0] < 0.3
    assert 0.5 < max(delays) <= 1.2
    elapsed = datetime.fromisoformat(told[-1][0]) - datetime.fromisoformat(told[0][0])
    assert sum(delays[:-1]) < elapsed.total_seconds() + 1.5


def test_killedAndRestartedUnderAThousandSubscribers(twistd: ServerFactory, redis: Redis, files: Path) -> None:
    server = twistd.start(ROUTES.format(redis=redis, directory=files))
    with Crowd(server, lambda _: get("/events"), 1000) as crowd:
        crowd.untilAll(lambda received: b": ok\n\n" in received, "a thousand subscriptions")
        assert redis.publish("news", "before") == 1
        crowd.untilAll(lambda received: b"data: before\n\n" in received, "the first message")
        redis.kill()
        until(lambda: server.request("POST", "/publish", b"lost").status == 503, "the server to notice")
        redis.start()
        back = time.monotonic()
        while redis.publish("news", "after") != 1:
            assert time.monotonic() < back + 5, "no subscription five seconds after Redis' return"
            crowd.pump(0.05)
        crowd.untilAll(lambda received: b"data: after\n\n" in received, "a message after Redis' return", 5)
        resumed = time.monotonic() - back
        print(f"delivery to 1000 subscribers resumed {resumed:.2f} s after Redis' return")
        assert resumed < 5
        assert crowd.lost == 0
        # Nothing was delivered twice, as it would be over two subscriptions.
        assert redis.publish("news", "once") == 1
        crowd.untilAll(lambda received: b"data: once\n\n" in received, "one more message")
        assert {received.count(b"data: once\n\n") for received in crowd.received} == {1}


def test_killedWhileItIsPublishedTo(twistd: ServerFactory, redis: Redis, files: Path) -> None:
    server = twistd.start(ROUTES.format(redis=redis, directory=files))
    until(lambda: server.request("POST", "/publish", b"x").status == 200, "a publish")
    redis.suspend()
    # It is on its way when Redis dies: not known to be published, so told as a failure, and at once.
    with server.client(b"POST /publish HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello") as client:
        # Another request's answer says that the server has seen the first.
        assert server.get("/files/hello.txt").status == 200
        redis.kill()
        assert client.readUntil(b"answered\n").startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 2\r\n" in client.received


def test_suspendedRedisDoesNotHoldPublishersForEver(twistd: ServerFactory, redis: Redis, files: Path) -> None:
    server = twistd.start(ROUTES.format(redis=redis, directory=files))
    server.waitUntilConnected()
    with server.stream("/events") as stream:
        stream.readUntil(b": ok\n\n")
        assert server.request("POST", "/publish", b"one").status == 200
        redis.suspend()
        began = time.monotonic()
        answer = server.request("POST", "/publish", b"two")
        print(f"503 after {time.monotonic() - began:.1f} s")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
        # A server that accepts connections and says nothing is not there: from now on it is known at once.
        for _ in range(20):
            assert server.request("POST", "/publish", b"three").status == 503
        assert time.monotonic() < began + 19
        server.logged("is away")
        redis.resume()
        until(lambda: server.request("POST", "/publish", b"four").status == 200, "a publish")
        until(lambda: redis.publish("news", "five") == 1, "the subscription")
        stream.readUntil(b"data: five\n\n")


def test_redisThatStillLoadsItsDataIsWaitedFor(twistd: ServerFactory, tmp_path: Path, files: Path) -> None:
    # Loading is made slow enough to be met: 20,000 keys, 100 microseconds each.
    redis = Redis(tmp_path / "redis")
    redis.start()
    try:
        redis.command("EVAL", "for i = 1, 20000 do redis.call('SET', i, i) end", 0)
        redis.command("SAVE")
        redis.kill()
        redis.options += ["--key-load-delay", "100", "--loading-process-events-interval-bytes", "1024"]
        redis.start()
        server = twistd.start(ROUTES.format(redis=redis, directory=files))
        server.logged("is away: LOADING")
        assert server.request("POST", "/publish", b"early").status == 503
        until(lambda: server.request("POST", "/publish", b"late").status == 200, "a publish")
    finally:
        redis.kill()


def test_retainedValuesReachNewSubscribersOfEveryProcess(
    twistd: ServerFactory, redis: Redis, files: Path, tmp_path: Path
) -> None:
    servers = [twistd.start(ROUTES.format(redis=redis, directory=files)) for _ in range(2)]
    for server in servers:
        server.waitUntilConnected()

    def untilNobodyListens() -> None:
        """The number of receivers must be that of the next reader alone."""
        until(lambda: redis.command("PUBSUB", "NUMSUB", "news") == [b"news", 0], "the end of the subscription")

    with open(tmp_path / "owner.log", "wb") as log:
        owner = subprocess.Popen(
            [python(), "-c", OWNER, redis.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        )
    assert owner.stdin is not None
    assert owner.stdout is not None
    try:
        assert owner.stdout.readline() == b"ready\n", (tmp_path / "owner.log").read_text()
        for server in servers:
            with server.stream("/events") as stream:
                stream.readUntil(b"data: line 1\ndata: line 2\n\n")
                assert redis.publish("news", "live") == 1
                received = stream.readUntil(b"data: live\n\n")
                assert received == b": ok\n\ndata: line 1\ndata: line 2\n\ndata: live\n\n"
            untilNobodyListens()
        owner.stdin.close()
        assert owner.wait(20) == 0
    finally:
        owner.kill()
        owner.wait()
        owner.stdout.close()
    # It went with its owner.
    for server in servers:
        with server.stream("/events") as stream:
            assert redis.publish("news", "live") == 1
            assert stream.readUntil(b"data: live\n\n") == b": ok\n\ndata: live\n\n"
        untilNobodyListens()


def test_brokerOfASingleRouteMayBeAbsent(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.start(
        f"[realtime]\nbroker = {redis.url}\nroute = ^/events$ sse:subscribe=news\n"
        f"route = ^/other$ sse:server=127.0.0.1:{freePort()},subscribe=news\n"
    )
    with server.stream("/other") as other, server.stream("/events") as stream:
        other.readUntil(b": ok\n\n")
        stream.readUntil(b": ok\n\n")
        assert redis.publish("news", "hello") == 1
        stream.readUntil(b"data: hello\n\n")
        assert other.received == b": ok\n\n"


def test_aThousandClientsThatComeAtOnceAreAllLetIn(twistd: ServerFactory) -> None:
    # As after a restart. Those that find no place in the listening socket's queue would come back after seconds.
    server = twistd.start("[realtime]\nroute = ^/events$ sse:subscribe=news\n")
    # Nothing is accepted meanwhile.
    server.process.send_signal(signal.SIGSTOP)
    clients = []
    try:
        for _ in range(1000):
            client = socket.socket()
            clients.append(client)
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", server.port))
        waiting = selectors.DefaultSelector()
        for client in clients:
            waiting.register(client, selectors.EVENT_WRITE)
        connected = 0
        while ready := waiting.select(0.5):
            for key, _ in ready:
                waiting.unregister(key.fileobj)
                connected += 1
        waiting.close()
        assert connected >= min(1000, int(Path("/proc/sys/net/core/somaxconn").read_text()))
    finally:
        server.process.send_signal(signal.SIGCONT)
        for client in clients:
            client.close()
