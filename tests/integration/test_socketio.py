"""
The Socket.IO protocol against ``examples/socketio_echo.py``: what the public protocol test suite asserts for revision
5, and where revision 4 differs; then the channel mapping through ``twistd realtime`` and a real Redis.
"""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import socketio
from websockets.exceptions import ConnectionClosed

from tests.integration.iosupport import QUIET, Address, Example, Socket
from tests.integration.support import PATIENCE, Redis, Server, ServerFactory, Subscription, until


@pytest.fixture(scope="module")
def echo(logs: Path) -> Iterator[Example]:
    """The example with quiet heartbeats."""
    example = Example("socketio_echo", logs / "socketio_echo.log", *QUIET)
    yield example
    example.kill()


@contextmanager
def connected(address: Address, namespace: str = "/", auth: str = "") -> Iterator[Socket]:
    """A client of revision 5 that is connected to a namespace."""
    with address.webSocket() as socket:
        socket.handshake()
        connect(socket, namespace, auth)
        yield socket


def connect(socket: Socket, namespace: str = "/", auth: str = "") -> str:
    """Connect to a namespace; returns the socket's id."""
    prefix = "" if namespace == "/" else namespace + ","
    socket.send("40" + prefix + auth)
    answer = socket.read()
    assert isinstance(answer, str)
    assert answer.startswith("40" + prefix)
    sid = json.loads(answer[2 + len(prefix) :])
    assert set(sid) == {"sid"}
    found: str = sid["sid"]
    return found


def echoed(socket: Socket) -> Socket:
    """After the event that the example sends to everybody who connects."""
    answer = socket.read()
    assert isinstance(answer, str)
    assert '["auth",' in answer
    return socket


# Connecting


@pytest.mark.parametrize(("namespace", "prefix"), [("/", ""), ("/custom", "/custom,")])
def test_connect(echo: Example, namespace: str, prefix: str) -> None:
    with connected(echo, namespace) as socket:
        assert socket.read() == f'42{prefix}["auth",{{}}]'
    with connected(echo, namespace, '{"token":"123"}') as socket:
        assert socket.read() == f'42{prefix}["auth",{{"token":"123"}}]'


def test_connectOverPolling(echo: Example) -> None:
    session = echo.open()
    session.send('40{"token":"123"}')
    received = session.read()
    while len(received) < 2:
        received += session.read()
    assert received[0].startswith('40{"sid":"')
    assert received[1] == '42["auth",{"token":"123"}]'


def test_theSocketsIdIsNotTheSessions(echo: Example) -> None:
    with echo.webSocket() as socket:
        opened = socket.handshake()
        assert connect(socket) != opened["sid"]


def test_aNamespaceWithAQuery(echo: Example) -> None:
    with echo.webSocket() as socket:
        socket.handshake()
        socket.send("40/random")
        assert socket.read() == '44/random,{"message":"Invalid namespace"}'
        # The connection is as good as before.
        connect(socket)


def test_severalNamespaces(echo: Example) -> None:
    with connected(echo) as socket:
        echoed(socket)
        connect(socket, "/custom")
        echoed(socket)
        socket.send('42/custom,["message",1]', '42["message",2]')
        assert [socket.read(), socket.read()] == ['42/custom,["message-back",1]', '42["message-back",2]']


def test_whoDoesNotConnectIsClosed(echo: Example) -> None:
    with echo.webSocket() as socket:
        socket.handshake()
        socket.closed()
        assert len(socket.received) == 1


def test_whoIsRefusedAndDoesNothingElseIsClosed(echo: Example) -> None:
    with echo.webSocket() as socket:
        socket.handshake()
        socket.send("40/random")
        socket.closed()
        assert socket.received[1:] == ['44/random,{"message":"Invalid namespace"}']


def test_whoDoesNotConnectOverPollingIsClosed(echo: Example) -> None:
    session = echo.open()
    assert session.read() == ["1"]
    session.assertClosed()


# Disconnecting


def test_disconnectFromANamespace(echo: Example) -> None:
    with connected(echo) as socket:
        echoed(socket)
        connect(socket, "/custom")
        echoed(socket)
        # What still comes for the namespace is nobody's business, and nobody's fault.
        socket.send("41/custom,", '42/custom,["message",1]', '42["message",2]')
        assert socket.read() == '42["message-back",2]'
        # And connect again, as another.
        connect(socket, "/custom")


def test_disconnectFromTheMainNamespace(echo: Example) -> None:
    with connected(echo) as socket:
        echoed(socket)
        socket.send("41")
        connect(socket, "/custom")
        echoed(socket)


def test_disconnectTheTransport(echo: Example) -> None:
    with connected(echo) as socket:
        echoed(socket)
        socket.send("1")
        socket.closed()


# Messages


@pytest.mark.parametrize("arguments", ["", ',1,"2",{"3":[true]}', ',null,1.5e3,"ü€𝄞"', ',{"a":{"b":[[],{}]}}'])
def test_messages(echo: Example, arguments: str) -> None:
    with connected(echo) as socket:
        echoed(socket)
        socket.send(f'42["message"{arguments}]')
        answer = socket.read()
        assert isinstance(answer, str)
        assert json.loads(answer[2:]) == ["message-back", *json.loads(f'["message"{arguments}]')[1:]]


def test_binary(echo: Example) -> None:
    text = '["message",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
    with connected(echo) as socket:
        echoed(socket)
        socket.send("452-" + text, b"\x01\x02\x03", b"\x04\x05\x06")
        assert socket.read() == "452-" + text.replace("message", "message-back")
        assert [socket.read(), socket.read()] == [b"\x01\x02\x03", b"\x04\x05\x06"]


def test_binaryOverPolling(echo: Example) -> None:
    session = echo.open()
    session.send("40", '451-["message",{"_placeholder":true,"num":0}]', "bAQIDBA==")
    received: list[str] = []
    while len(received) < 4:
        received += session.read()
    assert received[2:] == ['451-["message-back",{"_placeholder":true,"num":0}]', "bAQIDBA=="]


def test_acknowledgements(echo: Example) -> None:
    with connected(echo) as socket:
        echoed(socket)
        socket.send('42456["message-with-ack",1,"2",{"3":[false]}]')
        assert socket.read() == '43456[1,"2",{"3":[false]}]'
        socket.send('420["message-with-ack"]')
        assert socket.read() == "430[]"
        # Answered although nobody asked for the answer: no.
        socket.send('42["message-with-ack",1]', '42["message",2]')
        assert socket.read() == '42["message-back",2]'


def test_acknowledgementsWithBinary(echo: Example) -> None:
    text = '["message-with-ack",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
    with connected(echo) as socket:
        echoed(socket)
        socket.send("452-789" + text, b"\x01\x02\x03", b"\x04\x05\x06")
        assert socket.read() == '462-789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
        assert [socket.read(), socket.read()] == [b"\x01\x02\x03", b"\x04\x05\x06"]


def test_anAckThatNobodyWaitsForIsIgnored(echo: Example) -> None:
    with connected(echo) as socket:
        echoed(socket)
        socket.send("437[1]", '42["message",2]')
        assert socket.read() == '42["message-back",2]'


# Malformed


@pytest.mark.parametrize(
    "packet",
    [
        "4abc",
        "47",
        "4",
        "42{}",
        "42[]",
        "42",
        '42["unfinished"',
        "42[{}]",
        "42[null]",
        '42["disconnect"]',
        '42["connect"]',
        '42abc["message-with-ack",1,"2",{"3":[false]}]',
        '4299999999999999999999["message"]',
        "43[1]",
        "430{}",
        "40[]",
        "41{}",
        '44{"message":"?"}',
        '451["message"]',
        '451-["message",{"_placeholder":true,"num":1}]',
        '451-["message",{"_placeholder":true,"num":-1}]',
        '451-["message",{"_placeholder":true,"num":"constructor"}]',
        '4599-["message"]',
        '42/never,["message"]',
        '42["message",NaN]',
        '42["message",' + "[" * 500 + "]" * 500 + "]",
    ],
)
def test_malformedPacketsCloseTheConnection(echo: Example, packet: str) -> None:
    with connected(echo) as socket:
        echoed(socket)
        socket.send(packet)
        socket.closed()
        assert len(socket.received) == 3


def test_binaryThatBelongsToNothing(echo: Example) -> None:
    with connected(echo) as socket:
        echoed(socket)
        socket.send(b"x")
        socket.closed()


def test_textInPlaceOfBinary(echo: Example) -> None:
    with connected(echo) as socket:
        echoed(socket)
        socket.send('451-["message",{"_placeholder":true,"num":0}]', '42["message"]')
        socket.closed()


def test_fuzzedPackets(echo: Example) -> None:
    chance = random.Random(5)
    seeds = ['2["message",1]', '212["message-with-ack",{"a":[]}]', "0", "1", '0/custom,{"a":1}', "3[1]", '51-["m",{}]']
    for _ in range(300):
        packet = list(chance.choice(seeds))
        for _ in range(chance.randint(0, 3)):
            packet[chance.randrange(len(packet))] = chance.choice('0123456789[]{}",/-é\x00\ud7ff')
        with echo.webSocket() as socket:
            socket.handshake()
            try:
                socket.send("40", "4" + "".join(packet))
                while socket.connection.recv(0.01):
                    pass
            except (ConnectionClosed, TimeoutError):
                pass
    assert "Traceback" not in echo.log.read_text()
    with connected(echo):
        pass


# Revision 4


def test_revision4IsConnectedWithoutAsking(echo: Example) -> None:
    session = echo.open(3)
    received = session.rest
    while len(received) < 2:
        received += session.read()
    assert received == ["40", '42["auth",{}]']
    with echo.webSocket("EIO=3&transport=websocket") as socket:
        socket.handshake()
        assert [socket.read(), socket.read()] == ["40", '42["auth",{}]']


def test_revision4Namespaces(echo: Example) -> None:
    with echo.webSocket("EIO=3&transport=websocket") as socket:
        socket.handshake()
        assert [socket.read(), socket.read()] == ["40", '42["auth",{}]']
        socket.send("40/custom?token=123,")
        assert socket.read() == "40/custom,"
        assert socket.read() == '42/custom,["auth",{}]'
        socket.send("40/random,")
        assert socket.read() == '44/random,"Invalid namespace"'
        socket.send('42/custom,7["message-with-ack",1]')
        assert socket.read() == "43/custom,7[1]"


def test_revision4Binary(echo: Example) -> None:
    with echo.webSocket("EIO=3&transport=websocket") as socket:
        socket.handshake()
        assert [socket.read(), socket.read()] == ["40", '42["auth",{}]']
        socket.send('451-["message",{"_placeholder":true,"num":0}]', b"\x04\x01\x02")
        assert socket.read() == '451-["message-back",{"_placeholder":true,"num":0}]'
        assert socket.read() == b"\x04\x01\x02"


# An upgrade under a namespace


@pytest.mark.parametrize("version", [4, 3])
def test_upgradeOfAConnectedSession(echo: Example, version: int) -> None:
    session = echo.open(version)
    if version == 4:
        session.send("40")
    received = session.rest
    while len(received) < 2:
        received += session.packets(session.poll().body)
    with echo.webSocket(f"EIO={version}&transport=websocket&sid={session.sid}") as socket:
        socket.send("2probe")
        assert socket.read() == "3probe"
        session.send('421["message-with-ack","on the way"]')
        socket.send("5", '422["message-with-ack",{"a":1}]')
        assert [socket.read(), socket.read()] == ['431["on the way"]', '432[{"a":1}]']


# Channels


def start(twistd: ServerFactory, redis: Redis, arguments: str = "") -> Server:
    return twistd.withRedis(redis, f"^/socket.io/ socket.io:subscribe=news;more,publish=said{arguments}")


def address(server: Server) -> Address:
    return Address(server.port, "/socket.io/")


def test_messagesOfChannelsAreEvents(twistd: ServerFactory, redis: Redis) -> None:
    server = start(twistd, redis, ",event=update")
    with connected(address(server)) as socket:
        redis.publish("news", 'a "text" with ü€𝄞')
        assert socket.read() == '42["update","a \\"text\\" with ü€𝄞"]'
        redis.publish("more", b"\xff\x00binary")
        assert socket.read() == '451-["update",{"_placeholder":true,"num":0}]'
        assert socket.read() == b"\xff\x00binary"
        redis.publish("news", '{"json":"stays text"}')
        assert socket.read() == '42["update","{\\"json\\":\\"stays text\\"}"]'


def test_messagesThatAreJSON(twistd: ServerFactory, redis: Redis) -> None:
    server = start(twistd, redis, ",json=1")
    with connected(address(server)) as socket:
        for payload, expected in (
            ('{"a": [1, null]}', '42["message",{"a": [1, null]}]'),
            ("17", '42["message",17]'),
            ("not json", '42["message","not json"]'),
            ("NaN", '42["message","NaN"]'),
            ("1,2", '42["message","1,2"]'),
            ('1]\x1e42["admin"', '42["message","1]\\u001e42[\\"admin\\""]'),
        ):
            redis.publish("news", payload)
            assert socket.read() == expected


def test_messagesOverPolling(twistd: ServerFactory, redis: Redis) -> None:
    server = start(twistd, redis)
    session = address(server).open()
    session.send("40")
    assert session.read()[0].startswith("40{")
    redis.publish("news", b"\xff\x00binary")
    redis.publish("news", "text")
    received: list[str] = []
    while len(received) < 3:
        received += session.read()
    assert received == ['451-["message",{"_placeholder":true,"num":0}]', "b/wBiaW5hcnk=", '42["message","text"]']


def test_nothingIsLostInAnUpgrade(twistd: ServerFactory, redis: Redis) -> None:
    server = start(twistd, redis)
    session = address(server).open()
    session.send("40")
    assert session.read()[0].startswith("40{")
    with address(server).webSocket(f"EIO=4&transport=websocket&sid={session.sid}") as socket:
        socket.send("2probe")
        assert socket.read() == "3probe"
        for number in range(100):
            redis.publish("news", f"{number}")
        socket.send("5")
        for number in range(100, 300):
            redis.publish("news", f"{number}")
        assert [socket.read() for _ in range(300)] == [f'42["message","{number}"]' for number in range(300)]


def test_aWholeSlowUpgradeOfTheOnlyClientMissesNothing(twistd: ServerFactory, redis: Redis) -> None:
    server = start(twistd, redis)
    session = address(server).open()
    session.send("40")
    assert session.read()[0].startswith("40{")
    with address(server).webSocket(f"EIO=4&transport=websocket&sid={session.sid}") as socket:
        socket.send("2probe")
        assert socket.read() == "3probe"
        # In one write: the messages of one read, before and after the client changes over.
        redis.commands([("PUBLISH", "news", f"{number}") for number in range(500)])
        socket.send("5")
        redis.commands([("PUBLISH", "news", f"{number}") for number in range(500, 1000)])
        assert [socket.read() for _ in range(1000)] == [f'42["message","{number}"]' for number in range(1000)]


def test_eventsOfClientsArePublished(twistd: ServerFactory, redis: Redis) -> None:
    server = start(twistd, redis)
    with Subscription(redis, "said") as said, address(server).webSocket() as socket:
        socket.handshake()
        sid = connect(socket)
        socket.send('42["hello",1,{"a":["ü"]}]')
        assert json.loads(said.payload()) == {"sid": sid, "nsp": "/", "event": "hello", "args": [1, {"a": ["ü"]}]}
        socket.send('451-["file",{"data":{"_placeholder":true,"num":0}}]', b"\x01\x02\x03")
        message = json.loads(said.payload())
        assert message["args"] == [{"data": {"base64": "AQID"}}]
        # An acknowledgement is the broker's word.
        socket.send('425["ask"]')
        assert json.loads(said.payload())["event"] == "ask"
        assert socket.read() == "435[]"


def test_noAcknowledgementWithoutTheBroker(twistd: ServerFactory, redis: Redis) -> None:
    server = start(twistd, redis)
    with connected(address(server)) as socket:
        redis.suspend()
        socket.send('421["lost"]')
        # Another connection is served meanwhile: the server is not, the broker is, what is waited for.
        assert server.get("/nothing").status == 404
        redis.kill()
        server.logged("is away")
        socket.send('422["lost, too"]')
        redis.start()
        # The first answer of all is to what was sent once Redis was there again.
        with Subscription(redis, "said") as said:
            number = 3

            def tried() -> bool:
                nonlocal number
                number += 1
                socket.send(f'42{number}["taken"]')
                try:
                    answer = socket.connection.recv(0.3)
                except TimeoutError:
                    return False
                assert str(answer) not in ("431[]", "432[]")
                return str(answer).startswith("43")

            until(tried, "an acknowledgement")
            assert json.loads(said.payload())["event"] == "taken"


def test_theRetainedValueComesFirst(twistd: ServerFactory, redis: Redis) -> None:
    redis.command("SET", "news:retained", "as it is")
    server = start(twistd, redis)
    for query in ("EIO=4&transport=websocket", None):
        if query:
            with address(server).webSocket(query) as socket:
                socket.handshake()
                connect(socket)
                redis.publish("news", "live")
                assert [socket.read(), socket.read()] == ['42["message","as it is"]', '42["message","live"]']
        else:
            session = address(server).open()
            session.send("40")
            received: list[str] = []
            while len(received) < 2:
                received += session.read()
            assert received[1] == '42["message","as it is"]'


def test_otherNamespacesAndOrigins(twistd: ServerFactory, redis: Redis) -> None:
    server = start(twistd, redis, ",namespace=/chat")
    with address(server).webSocket() as socket:
        socket.handshake()
        socket.send("40")
        assert socket.read() == '44{"message":"Invalid namespace"}'
        connect(socket, "/chat")
        redis.publish("news", "hello")
        assert socket.read() == '42/chat,["message","hello"]'
    refused = address(server).get("EIO=4&transport=polling", Origin="https://elsewhere.example")
    assert refused.status == 403
    assert "Access-Control-Allow-Origin" not in refused.headers
    same = address(server).get("EIO=4&transport=polling", Origin=f"http://127.0.0.1:{server.port}")
    assert same.status == 200


# The end of everything


def test_aSlowClientIsClosed(twistd: ServerFactory, redis: Redis) -> None:
    server = start(twistd, redis, ",buffer=200k")
    session = address(server).open()
    session.send("40")
    assert session.read()[0].startswith("40{")
    with connected(address(server)) as reader, address(server).webSocket(max_queue=1) as sleeper:
        sleeper.handshake()
        connect(sleeper)
        for number in range(200):
            redis.publish("news", f"{number}" + "x" * 100_000)
            answer = reader.read()
            assert isinstance(answer, str)
            assert answer.startswith(f'42["message","{number}x')
        assert sleeper.closed() in (1006, 1008)
    session.assertClosed()


def test_stoppingClosesEverybody(twistd: ServerFactory, redis: Redis) -> None:
    server = start(twistd, redis)
    session = address(server).open()
    session.send("40")
    assert session.read()[0].startswith("40{")
    waiting = session.waiting()
    with connected(address(server)) as socket:
        server.process.terminate()
        assert socket.closed() == 1001
    assert waiting.answer().body == b"1"
    server.process.wait(PATIENCE)
    assert "Traceback" not in server.log.read_text()


# python-socketio's client


@pytest.mark.parametrize("transports", [["polling"], ["websocket"], ["polling", "websocket"]])
def test_pythonClient(echo: Example, transports: list[str]) -> None:
    client: Any = socketio.Client()
    back: list[Any] = []
    client.on("message-back", lambda *args: back.append(args))
    client.on("message-back", lambda *args: back.append(args), namespace="/custom")
    client.connect(
        f"http://127.0.0.1:{echo.port}",
        transports=transports,
        namespaces=["/", "/custom"],
        auth={"token": "abc"},
        wait_timeout=PATIENCE,
    )
    try:
        answer = client.call("message-with-ack", ("1", b"\x02", {"3": [b"\x04"]}), timeout=PATIENCE)
        assert tuple(answer) == ("1", b"\x02", {"3": [b"\x04"]})
        client.emit("message", {"a": b"\x01"})
        until(lambda: back, "the echo")
        assert back == [({"a": b"\x01"},)]
        client.emit("message", "custom", namespace="/custom")
        until(lambda: len(back) == 2, "the echo of the other namespace")
        assert back[1] == ("custom",)
    finally:
        client.disconnect()
