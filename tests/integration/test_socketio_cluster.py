"""Socket.IO over several processes: ours, the official emitter's, and Node's own server, behind one real Redis."""

import json
import pickle
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest
import socketio

from tests.integration.iosupport import Address, Example, Script, Socket
from tests.integration.support import Redis, Server, ServerFactory, until

HERE = Path(__file__).parent


@contextmanager
def connected(port: int, namespace: str = "/", auth: bool = False) -> Iterator[tuple[Socket, str]]:
    """A client, and the id of its socket."""
    with Address(port, "/socket.io/").webSocket() as socket:
        socket.handshake()
        prefix = "" if namespace == "/" else namespace + ","
        socket.send("40" + prefix)
        answer = socket.read()
        assert isinstance(answer, str)
        sid: str = json.loads(answer[2 + len(prefix) :])["sid"]
        if auth:
            # What the test's application sends to everybody.
            assert '["auth"' in str(socket.read())
        yield socket, sid


class Orders:
    """A Node program that does what it is told."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def __call__(self, call: str, *args: Any, **more: Any) -> Any:
        self._script.say(json.dumps({"call": call, "args": args, **more}))
        line = self._script.line()
        assert not line.startswith("failed"), line
        return json.loads(line)


@pytest.fixture
def emit(node: Path, redis: Redis) -> Iterator[Orders]:
    """The official emitter."""
    with Script(node, "socketio_cluster.js", "emitter", str(redis.port)) as script:
        script.expect("ready")
        yield Orders(script)


@pytest.fixture
def application(logs: Path, tmp_path: Path, redis: Redis) -> Iterator[Example]:
    """A process with the Python API."""
    server = Example("socketio_app", logs / f"{tmp_path.name}-application.log", "--redis", redis.url, directory=HERE)
    until(lambda: subscriptions(redis) >= 1, "its subscription")
    yield server
    server.kill()


def subscriptions(redis: Redis) -> int:
    """How many processes listen for requests in the main namespace, the patterns being in force as well."""
    reply = redis.command("PUBSUB", "NUMSUB", "socket.io-request#/#")
    assert isinstance(reply, list)
    return int(reply[1])


def start(twistd: ServerFactory, redis: Redis, more: str = "") -> Server:
    return twistd.withRedis(redis, f"^/socket.io/ socket.io:emitter=socket.io{more}")


def test_emitter(twistd: ServerFactory, redis: Redis, emit: Orders) -> None:
    first, second = start(twistd, redis), start(twistd, redis)
    with ExitStack() as stack:
        one, oneId = stack.enter_context(connected(first.port))
        two, twoId = stack.enter_context(connected(second.port))
        three, threeId = stack.enter_context(connected(second.port))
        everybody = (one, two, three)
        emit("emit", "hello", 1, "2", {"3": [True, None, "ü€𝄞", 1.5]})
        for socket in everybody:
            assert socket.read() == '42["hello",1,"2",{"3":[true,null,"ü€𝄞",1.5]}]'
        emit("emit", "file", binary="bytes")
        for socket in everybody:
            assert socket.read() == '451-["file",{"_placeholder":true,"num":0}]'
            assert socket.read() == b"bytes"
        emit("emit", "when", date="2026-01-02T03:04:05.678Z")
        for socket in everybody:
            assert socket.read() == '42["when","2026-01-02T03:04:05.678Z",null]'
        # To one socket, whose id is a room.
        emit("emit", "only", to=[twoId])
        emit("emit", "not", to=[], **{"except": [twoId]})
        emit("emit", "end")
        assert [one.read(), one.read()] == ['42["not"]', '42["end"]']
        assert [two.read(), two.read()] == ['42["only"]', '42["end"]']
        assert [three.read(), three.read()] == ['42["not"]', '42["end"]']
        # Into a room, and a message to it right after: nothing comes too early.
        emit("socketsJoin", ["room", "other"], to=[oneId])
        emit("emit", "first", to=["room"])
        emit("socketsJoin", "room", to=[threeId])
        emit("emit", "both", to=["room"])
        emit("emit", "several", to=["room", twoId, "nobody's"])
        emit("emit", "but one", to=["room"], **{"except": ["other"]})
        emit("socketsLeave", "room", to=["other"])
        emit("emit", "left", to=["room"])
        emit("emit", "end")
        assert [one.read() for _ in range(4)] == ['42["first"]', '42["both"]', '42["several"]', '42["end"]']
        assert [two.read() for _ in range(2)] == ['42["several"]', '42["end"]']
        assert [three.read() for _ in range(5)] == [
            *('42["both"]', '42["several"]', '42["but one"]', '42["left"]', '42["end"]')
        ]
        # Out of the namespace, with the connection kept; out of everything.
        emit("disconnectSockets", to=[oneId])
        assert one.read() == "41"
        one.send("40")
        assert str(one.read()).startswith("40{")
        emit("disconnectSockets", True, to=[threeId])
        assert three.read() == "41"
        three.closed()
        emit("emit", "end")
        assert [one.read(), two.read()] == ['42["end"]', '42["end"]']


def test_aKeyThatLooksLikeAPatternIsHeardFromTheStart(twistd: ServerFactory, redis: Redis) -> None:
    key = r"a*[b]?\c"
    written = key.replace("\\", "\\\\")
    server = twistd.withRedis(redis, f"^/socket.io/ socket.io:emitter={written}")
    # Nobody has connected yet.
    until(lambda: redis.command("PUBSUB", "NUMSUB", f"{key}-request#/#") == [f"{key}-request#/#".encode(), 1], "it")
    with connected(server.port) as (socket, _):
        packet = {"type": 2, "data": ["hello"], "nsp": "/"}
        options: dict[str, Any] = {"rooms": [], "except": [], "flags": {}}
        for channel in (f"{key}#/#", "axxb?c#/#", "a*[b]?c#/#"):
            redis.publish(channel, msgpack.packb([channel, packet, options]))
        redis.publish(f"{key}#/#", msgpack.packb(["x", {**packet, "data": ["end"]}, options]))
        assert [socket.read(), socket.read()] == ['42["hello"]', '42["end"]']


def test_emitterToOtherNamespaces(twistd: ServerFactory, redis: Redis, emit: Orders) -> None:
    server = twistd.withRedis(redis, "^/socket.io/ socket.io:emitter=socket.io,namespace=/chat")
    with connected(server.port, "/chat") as (socket, _):
        emit("emit", "elsewhere")
        emit("emit", "here", nsp="/chat")
        assert socket.read() == '42/chat,["here"]'


def test_emitterToClientsOfRevision4AndOverPolling(twistd: ServerFactory, redis: Redis, emit: Orders) -> None:
    server = start(twistd, redis)
    address = Address(server.port, "/socket.io/")
    polling = address.open(3)
    assert polling.read() == ["40"]
    with address.webSocket("EIO=3&transport=websocket") as socket:
        socket.handshake()
        assert socket.read() == "40"
        emit("emit", "file", binary="bytes")
        assert socket.read() == '451-["file",{"_placeholder":true,"num":0}]'
        assert socket.read() == b"\x04bytes"
        assert polling.read() == ['451-["file",{"_placeholder":true,"num":0}]', "b4Ynl0ZXM="]


def test_whatIsNotOfTheFormatIsIgnored(twistd: ServerFactory, redis: Redis, emit: Orders) -> None:
    server = start(twistd, redis)
    with connected(server.port) as (socket, _):
        for channel in ("socket.io#/#", "socket.io#/#room#", "socket.io-request#/#"):
            for payload in (
                b"",
                b"\xc1",
                b"{",
                b"[" * 100_000,
                b"\x91" * 100_000,
                b"{}",
                b"\x93\xa1a\x80\x80",
                b"\xc0",
            ):
                redis.publish(channel, payload)
            redis.publish(channel, b'{"type":2,"opts":{"rooms":5},"rooms":["x"]}')
            redis.publish(channel, b'{"a":' * 100_000)
            redis.publish(channel, b'{"type":7,"requestId":"1","packet":{},"opts":{}}')
        emit("emit", "hello")
        assert socket.read() == '42["hello"]'
    assert "is not of the Redis adapter's format" in server.log.read_text()
    assert "Traceback" not in server.log.read_text()


def test_anApplicationsEmitReachesClientsOfAllProcesses(
    twistd: ServerFactory, redis: Redis, application: Example
) -> None:
    first, second = start(twistd, redis), start(twistd, redis)
    with ExitStack() as stack:
        one, oneId = stack.enter_context(connected(first.port))
        two, _ = stack.enter_context(connected(second.port))
        three, threeId = stack.enter_context(connected(application.port, auth=True))
        sockets = (one, two, three)

        def tell(event: str, *args: Any, **more: Any) -> None:
            server = Address(application.port, "/emit")
            assert server.request("POST", "", json.dumps({"event": event, "args": args, **more}).encode()).body == b"ok"

        tell("hello", 1, {"a": None})
        for socket in sockets:
            assert socket.read() == '42["hello",1,{"a":null}]'
        tell("one", room=oneId)
        tell("others", skip=threeId)
        tell("end")
        assert [one.read() for _ in range(3)] == ['42["one"]', '42["others"]', '42["end"]']
        assert [two.read() for _ in range(2)] == ['42["others"]', '42["end"]']
        assert three.read() == '42["end"]'


def test_aServerOfNode(twistd: ServerFactory, redis: Redis, node: Path, application: Example) -> None:
    ours = start(twistd, redis)
    with Script(node, "socketio_cluster.js", "server", str(redis.port)) as script, ExitStack() as stack:
        port = int(script.line())
        order = Orders(script)
        theirs, theirId = stack.enter_context(connected(port))
        mine, mineId = stack.enter_context(connected(ours.port))
        until(lambda: subscriptions(redis) == 3, "the subscription of Node's server")
        third, thirdId = stack.enter_context(connected(application.port, auth=True))
        third.send('420["join","room"]')
        assert third.read() == "430[]"
        # Requests to all processes are answered by all: nothing times out.
        found = {socket["id"]: socket for socket in order("fetchSockets")}
        assert set(found) == {theirId, mineId, thirdId}
        assert found[thirdId] == {"id": thirdId, "rooms": sorted(["room", thirdId]), "data": {"joined": "room"}}
        assert [socket["id"] for socket in order("fetchSockets", to=["room"])] == [thirdId]
        assert order("allRooms") == sorted([theirId, mineId, thirdId, "room"])
        assert order("serverSideEmit", "anybody") == [None, None]
        # Broadcasts both ways.
        order("emit", "from node", to=["room", theirId])
        assert [theirs.read(), third.read()] == ['42["from node"]', '42["from node"]']
        body = json.dumps({"event": "from us", "args": [1]}).encode()
        assert Address(application.port, "/emit").request("POST", "", body).body == b"ok"
        assert [theirs.read(), mine.read(), third.read()] == ['42["from us",1]'] * 3
        # An event that everybody acknowledges.
        script.say(json.dumps({"call": "emitWithAck", "args": ["question"], "timeout": 20000}))
        for answer, socket in enumerate((theirs, mine, third)):
            question = socket.read()
            assert isinstance(question, str)
            assert question.endswith('["question"]')
            socket.send(f"43{question[2 : question.index('[')]}[{answer}]")
        assert sorted(json.loads(script.line())) == [0, 1, 2]
        # And changes.
        order("socketsJoin", "new", to=[mineId])
        order("emit", "to new", to=["new"])
        assert mine.read() == '42["to new"]'
        order("disconnectSockets", True, to=[thirdId])
        assert third.read() == "41"
        third.closed()


def test_redisGoesAndComesBack(twistd: ServerFactory, redis: Redis, emit: Orders) -> None:
    server = start(twistd, redis)
    with connected(server.port) as (socket, sid):
        redis.kill()
        server.logged("is away")
        redis.start()
        until(lambda: subscriptions(redis) == 1 and redis.command("PUBSUB", "NUMPAT") == 1, "the subscriptions")
        emit("emit", "hello", to=[sid])
        assert socket.read() == '42["hello"]'


def test_pythonSocketIOsWriteOnlyManager(twistd: ServerFactory, redis: Redis) -> None:
    manager = socketio.RedisManager(redis.url, channel="socket.io", write_only=True)
    first, second = start(twistd, redis), start(twistd, redis)
    with ExitStack() as stack:
        one, oneId = stack.enter_context(connected(first.port))
        two, twoId = stack.enter_context(connected(second.port))
        manager.emit("hello", {"a": [1, "ü€𝄞"]})
        manager.emit("several", (1, "2"))
        manager.emit("nothing", None)
        manager.emit("file", [b"\x01\x02"])
        for socket in (one, two):
            assert socket.read() == '42["hello",{"a":[1,"ü€𝄞"]}]'
            assert socket.read() == '42["several",1,"2"]'
            assert socket.read() == '42["nothing"]'
            assert socket.read() == '451-["file",[{"_placeholder":true,"num":0}]]'
            assert socket.read() == b"\x01\x02"
        manager.emit("to one", 1, room=oneId)
        manager.emit("but one", 1, skip_sid=oneId)
        manager.enter_room(oneId, "/", "room")
        manager.enter_room(twoId, "/", "room")
        manager.leave_room(oneId, "/", "room")
        manager.emit("to room", 1, room="room")
        manager.emit("elsewhere", 1, namespace="/other")
        # What reading a pickle would do: nothing of it is done.
        redis.publish("socket.io", pickle.dumps({"method": "emit", "event": "pickled", "data": 1}))
        manager.emit("end", 1)
        assert [one.read(), one.read()] == ['42["to one",1]', '42["end",1]']
        assert [two.read(), two.read(), two.read()] == ['42["but one",1]', '42["to room",1]', '42["end",1]']


def test_sessionsLeaveNothing(application: Example) -> None:
    def stats() -> Any:
        return json.loads(Address(application.port, "/stats").request("GET", "").body)

    empty = stats()
    assert empty == {"sessions": 0, "sockets": 0, "rooms": 0, "timers": 0}
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(connected(application.port, auth=True))
        session = Address(application.port, "/socket.io/").open()
        session.send("40")
        assert stats()["sessions"] == 6
        session.send("1")
    until(lambda: stats() == empty, "the end of all sessions")
