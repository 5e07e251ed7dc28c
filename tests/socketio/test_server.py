"""The Socket.IO server through its Engine.IO resource, without a network."""

import json
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.brokers.memory import MemoryBroker
from realtime_tw.hub import Hub
from realtime_tw.socketio.client import Socket
from realtime_tw.socketio.resource import SocketIOResource
from realtime_tw.socketio.server import ConnectionRefused
from tests.doubles import WebClient, tree


class Client:
    """One client over polling."""

    def __init__(self, web: WebClient, version: int = 4) -> None:
        self._web = web
        self.query = f"EIO={version}&transport=polling"
        opened, *self.rest = self.poll()
        self.query += "&sid=" + json.loads(opened[1:])["sid"]

    def request(self, method: str, body: str = "") -> tuple[int, str]:
        head = f"{method} /io?{self.query} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        answer = self._web.send(head.encode() + body.encode()).value().decode()
        if not answer:
            return 0, ""
        start, _, payload = answer.partition("\r\n\r\n")
        return int(start.split()[1]), payload

    def poll(self) -> list[str]:
        status, payload = self.request("GET")
        assert status == 200, (status, payload)
        return payload.split("\x1e")

    def send(self, *packets: str) -> None:
        assert self.request("POST", "\x1e".join(packets)) == (200, "ok")

    def connect(self, namespace: str = "") -> str:
        self.send(f"40{namespace}")
        answer = self.poll()[0]
        sid: str = json.loads(answer[answer.index("{") :])["sid"]
        return sid


class ServerTests(SynchronousTestCase):
    def start(self, **options: Any) -> WebClient:
        self.clock = Clock()
        self.hub = Hub(MemoryBroker(self.clock), self.clock)
        self.io = SocketIOResource(self.hub, **options)
        return WebClient(tree(io=self.io))

    def assertNothingLeft(self) -> None:
        self.assertEqual(self.io.sessions, {})
        for namespace in self.io.namespaces._namespaces.values():
            self.assertEqual((namespace.sockets, namespace._rooms), ({}, {}))
        stats = self.hub.stats()
        self.assertEqual((stats["subscribers"], stats["channels"]), (0, 0))
        self.clock.pump([0, 0])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_rooms(self) -> None:
        web = self.start(publish="unused")
        main = self.io.of("/")
        one, two = Client(web), Client(web)
        first, second = one.connect(), two.connect()
        main.sockets[first].join("room")
        self.assertEqual(main.emit("a", room="room"), 1)
        self.assertEqual(main.emit("b", skip="room"), 1)
        self.assertEqual(main.emit("c", room=["room", second]), 2)
        self.assertEqual(main.emit("d", room=["room", second], skip=[first]), 1)
        self.io.emit("e", 1, room=first)
        main.sockets[first].leave("room")
        main.sockets[first].leave("never there")
        self.assertEqual(main.emit("f", room="room"), 0)
        self.assertEqual(one.poll(), ['42["a"]', '42["c"]', '42["e",1]'])
        self.assertEqual(two.poll(), ['42["b"]', '42["c"]', '42["d"]'])
        one.send("1")
        two.send("1")
        self.assertNothingLeft()

    def test_acknowledgementsOfClients(self) -> None:
        web = self.start(publish="unused")
        client = Client(web)
        socket = self.io.of("/").sockets[client.connect()]
        answer = socket.call("question", 1)
        self.assertEqual(client.poll(), ['420["question",1]'])
        client.send('430["yes",{}]', '430["again"]', "437[]")
        self.assertEqual(self.successResultOf(answer), ["yes", {}])
        late = socket.call("question", timeout=5)
        self.clock.advance(5)
        self.failureResultOf(late, TimeoutError)
        lost = socket.call("question")
        client.send("1")
        self.failureResultOf(lost, ConnectionDone)
        self.assertNothingLeft()

    def test_answersThatComeLater(self) -> None:
        web = self.start(publish="unused")
        waiting: Deferred[Any] = Deferred()

        @self.io.of("/").on("ask")
        def ask(socket: Socket, *args: Any) -> Deferred[Any]:
            return waiting

        client = Client(web)
        client.connect()
        client.send('425["ask"]')
        waiting.callback(("two", "values"))
        self.assertEqual(client.poll(), ['435["two","values"]'])

    def test_aHandlerThatFailsDoesNotAnswer(self) -> None:
        web = self.start(publish="unused")

        @self.io.of("/").on("ask")
        def ask(socket: Socket, *args: Any) -> None:
            raise ZeroDivisionError

        client = Client(web)
        client.connect()
        client.send('425["ask"]')
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(client.request("GET"), (0, ""))

    def test_authorization(self) -> None:
        web = self.start(publish="unused")
        decision: Deferred[None] = Deferred()

        @self.io.of("/later").authorize
        def later(socket: Socket) -> Deferred[None]:
            return decision

        @self.io.of("/broken").authorize
        def broken(socket: Socket) -> None:
            raise ZeroDivisionError

        client = Client(web)
        client.send("40/broken,", "40/later,", '42/later,["too soon"]')
        self.assertEqual(client.poll(), ['44/broken,{"message":"Internal server error"}'])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        decision.errback(ConnectionRefused("no", [1]))
        self.assertEqual(client.poll(), ['44/later,{"message":"no","data":[1]}'])

    def test_theConnectTimeoutAndADecisionThatTakesLong(self) -> None:
        web = self.start(publish="unused", connectTimeout=1.0)
        decision: Deferred[None] = Deferred()
        self.io.of("/later").authorize(lambda socket: decision)
        client, silent = Client(web), Client(web)
        client.send("40/later,")
        self.clock.advance(1)
        self.assertEqual(silent.request("GET")[0], 400)
        self.assertEqual(len(self.io.sessions), 1)
        decision.errback(ConnectionRefused("no"))
        self.clock.advance(1)
        self.assertNothingLeft()

    def test_goneBeforeTheDecision(self) -> None:
        web = self.start(subscribe="news", connectTimeout=1.0)
        decision: Deferred[None] = Deferred()
        self.hub.prepare = lambda channels: decision  # type: ignore[method-assign]
        client = Client(web)
        client.send("40")
        client.send("1")
        decision.callback(None)
        self.assertNothingLeft()

    def test_disconnecting(self) -> None:
        web = self.start(publish="unused")
        self.io.of("/other")
        gone: list[str] = []
        self.io.of("/").disconnected(lambda socket, reason: gone.append(reason))
        client = Client(web)
        socket = self.io.of("/").sockets[client.connect()]
        client.connect("/other,")
        socket.disconnect()
        self.assertEqual(client.poll(), ["41"])
        # On its way when it was thrown out.
        client.send('42["message"]')
        socket = self.io.of("/").sockets[client.connect()]
        socket.disconnect(close=True)
        self.assertEqual(client.poll(), ["41/other,", "41", "1"])
        self.assertEqual(client.request("GET")[0], 400)
        self.assertEqual(gone, ["server namespace disconnect"] * 2)
        self.assertNothingLeft()

    def test_channels(self) -> None:
        web = self.start(subscribe="news", publish="said")
        self.hub.publish("news", b"as it is", retain=True)
        self.clock.advance(0)
        client = Client(web)
        client.send("40")
        connected, retained = client.poll()
        self.assertEqual((connected[:2], retained), ("40", '42["message","as it is"]'))
        self.hub.publish("news", b"live")
        self.clock.advance(0)
        self.assertEqual(client.poll(), ['42["message","live"]'])
        self.assertEqual(self.hub.stats()["subscribers"], 1)
        client.send('421["hello"]')
        self.assertEqual(client.poll(), ["431[]"])
        client.send("1")
        self.assertNothingLeft()

    def test_backPressure(self) -> None:
        web = self.start(publish="said")
        waiting: list[Deferred[int]] = []

        def publish(channel: bytes, payload: bytes, retain: bool = False) -> Deferred[int]:
            waiting.append(Deferred())
            return waiting[-1]

        self.patch(self.hub.broker, "publish", publish)
        client = Client(web)
        client.connect()
        flood = "\x1e".join(['42["hello"]'] * 300)
        head = f"POST /io?{client.query} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(flood)}\r\n\r\n"
        transport = web.send(f"{head}{flood}".encode())
        self.assertEqual((len(waiting), transport.value()), (300, b""))
        for each in waiting[:-1]:
            each.callback(1)
        self.assertTrue(transport.value().endswith(b"\r\n\r\nok"))
        client.send('42["more"]', "1")
        for each in waiting[-2:]:
            each.callback(1)
        self.assertNothingLeft()

    def test_sessionsThatNobodyComesBackTo(self) -> None:
        web = self.start(subscribe="news", publish="said")
        for version in (4, 3):
            Client(web, version) if version == 4 else web.send(
                b"GET /io?EIO=3&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n"
            )
        Client(web).send("40")
        self.assertEqual(len(self.io.sessions), 3)
        self.clock.pump([2.5] * 20)
        self.assertNothingLeft()

    def test_stopping(self) -> None:
        web = self.start(subscribe="news", publish="said")
        client = Client(web)
        client.connect()
        self.io.closeAll("the server is stopping")
        self.assertEqual(client.request("GET")[0], 400)
        self.assertNothingLeft()

    def test_processesBehindOneBroker(self) -> None:
        web = self.start(emitter="key")
        other = SocketIOResource(self.hub, emitter="key")
        one, two = Client(web), Client(WebClient(tree(io=other)))
        first, second = one.connect(), two.connect()
        self.io.emit("hello", b"\x01", room="")
        self.io.emit("to one", room=second)
        other.emit("back", skip=second)
        self.clock.advance(0)
        self.assertEqual(one.poll(), ['451-["hello",{"_placeholder":true,"num":0}]', "bAQ==", '42["back"]'])
        self.assertEqual(two.poll(), ['451-["hello",{"_placeholder":true,"num":0}]', "bAQ==", '42["to one"]'])
        self.hub.publish("key", json.dumps({"method": "emit", "event": "python", "data": [1]}).encode())
        self.hub.publish("key", b"\x80\x05}q\x00.")
        self.clock.advance(0)
        self.assertEqual(one.poll(), ['42["python",1]'])
        self.assertTrue(first)
        one.send("1")
        two.send("1")
        self.assertNothingLeft()
