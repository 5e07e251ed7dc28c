"""
The Engine.IO protocol against ``examples/engineio_echo.py``: what the public protocol test suite asserts for
revision 4, the same for revision 3 where it is defined, and what is this server's own.
"""

import base64
import json
import random
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosedOK, InvalidStatus

from realtime_tw.codec.engineio import decodePayload
from tests.integration.iosupport import QUIET, Example, Polling, Socket
from tests.integration.support import PATIENCE, until

WEBSOCKET = "EIO=4&transport=websocket"


@pytest.fixture(scope="module")
def echo(logs: Path) -> Iterator[Example]:
    """The example with quiet heartbeats."""
    example = Example("engineio_echo", logs / "engineio_echo.log", *QUIET)
    yield example
    example.kill()


@pytest.fixture(scope="module")
def lively(logs: Path) -> Iterator[Example]:
    """The example as protocol suites use it."""
    example = Example("engineio_echo", logs / "engineio_lively.log")
    yield example
    example.kill()


@pytest.fixture(scope="module")
def beating(logs: Path) -> Iterator[Example]:
    """
    The example with heartbeats that leave a test on a busy machine the time to answer.

    The time for the answer is over before the next ping is due: what comes is one ping, and then the end.
    """
    arguments = ("--ping-interval", "1000", "--ping-timeout", "900")
    example = Example("engineio_echo", logs / "engineio_beating.log", *arguments)
    yield example
    example.kill()


versions = pytest.mark.parametrize("version", [4, 3])


# Handshake


@versions
def test_pollingHandshake(lively: Example, version: int) -> None:
    session = lively.open(version)
    assert session.opening.headers["Content-Type"] == "text/plain; charset=UTF-8"
    assert set(session.handshake) == {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}
    assert session.handshake["upgrades"] == ["websocket"]
    assert session.handshake["pingInterval"] == 300
    assert session.handshake["pingTimeout"] == 200
    assert session.handshake["maxPayload"] == 1_000_000
    assert isinstance(session.sid, str)
    assert session.rest == []


@versions
def test_webSocketHandshake(lively: Example, version: int) -> None:
    with lively.webSocket(f"EIO={version}&transport=websocket") as socket:
        opened = socket.handshake()
    assert set(opened) == {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"}
    assert opened["upgrades"] == []
    assert (opened["pingInterval"], opened["pingTimeout"], opened["maxPayload"]) == (300, 200, 1_000_000)


def test_sessionIdsAreUnguessable(echo: Example) -> None:
    sids = {echo.open().sid for _ in range(50)}
    assert len(sids) == 50
    # 120 bits, in an alphabet that needs no escaping in a query.
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{20}", sid) for sid in sids)
    # Nothing of them repeats at a place, as parts of a time or of a counter would.
    assert all(len({sid[place] for sid in sids}) > 10 for place in range(20))


@pytest.mark.parametrize(
    ("method", "query"),
    [
        ("GET", "transport=polling"),
        ("GET", "EIO=abc&transport=polling"),
        ("GET", "EIO=5&transport=polling"),
        ("GET", "EIO=&transport=polling"),
        ("GET", "EIO=4"),
        ("GET", "EIO=4&transport=abc"),
        ("GET", "EIO=4&transport="),
        ("GET", "EIO=4&transport=polling&sid=abc"),
        ("POST", "EIO=4&transport=polling"),
        ("PUT", "EIO=4&transport=polling"),
        ("DELETE", "EIO=4&transport=polling"),
        ("GET", "EIO=4&transport=websocket"),
        ("POST", "EIO=4&transport=websocket"),
    ],
)
def test_badRequests(echo: Example, method: str, query: str) -> None:
    answer = echo.request(method, query, b"" if method != "GET" else None)
    assert answer.status == 400
    assert set(json.loads(answer.body)) == {"code", "message"}


@pytest.mark.parametrize(
    "query", ["transport=websocket", "EIO=abc&transport=websocket", "EIO=4", "EIO=4&transport=abc"]
)
def test_badWebSocketRequests(echo: Example, query: str) -> None:
    with pytest.raises(InvalidStatus) as caught, echo.webSocket(query):
        pass
    assert caught.value.response.status_code == 400


def test_aWebSocketForAnUnknownSession(echo: Example) -> None:
    with pytest.raises(InvalidStatus) as caught, echo.webSocket(WEBSOCKET + "&sid=abc"):
        pass
    assert caught.value.response.status_code == 400


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_badMethodsOfASession(echo: Example, method: str) -> None:
    session = echo.open()
    assert echo.request(method, session.query, b"4x").status == 400
    session.send("4still there")
    assert session.read() == ["4still there"]


def test_aSessionKeepsItsRevision(echo: Example) -> None:
    session = echo.open(4)
    assert echo.get(session.query.replace("EIO=4", "EIO=3")).status == 400


# Messages


@versions
def test_textOverPolling(echo: Example, version: int) -> None:
    session = echo.open(version)
    session.send("4hello", "4", "4Grüße € 𝄞" if version == 4 else "4plain")
    received: list[str] = []
    while len(received) < 3:
        received += session.read()
    assert received == ["4hello", "4", "4Grüße € 𝄞" if version == 4 else "4plain"]


def test_lengthsOfRevision3AreThoseOfJavaScript(echo: Example) -> None:
    session = echo.open(3)
    # Five code units after the 4: the clef is two of them.
    assert session.post("6:4ü€𝄞x").body == b"ok"
    answer = session.poll()
    assert answer.body == "6:4ü€𝄞x".encode()


@versions
def test_binaryOverPolling(echo: Example, version: int) -> None:
    session = echo.open(version)
    packet = "bAQIDBA==" if version == 4 else "b4AQIDBA=="
    session.send(packet)
    assert session.read() == [packet]


def test_binaryBodiesOfRevision3(echo: Example) -> None:
    session = echo.open(3)
    body = b"\x00\x06\xff4hello\x01\x05\xff\x04\x01\x02\x03\x04"
    assert session.post(body, **{"Content-Type": "application/octet-stream"}).body == b"ok"
    received: list[str] = []
    while len(received) < 2:
        received += session.read()
    assert received == ["4hello", "b4AQIDBA=="]


@versions
def test_messagesOverWebSocket(echo: Example, version: int) -> None:
    prefix = b"" if version == 4 else b"\x04"
    with echo.webSocket(f"EIO={version}&transport=websocket") as socket:
        socket.handshake()
        socket.send("4hello", prefix + bytes([1, 2, 3, 4]), "4", prefix, "4Grüße € 𝄞")
        assert [socket.read() for _ in range(5)] == ["4hello", prefix + bytes([1, 2, 3, 4]), "4", prefix, "4Grüße € 𝄞"]


@versions
def test_base64OverWebSocketWhenAsked(echo: Example, version: int) -> None:
    packet = "bAQIDBA==" if version == 4 else "b4AQIDBA=="
    with echo.webSocket(f"EIO={version}&transport=websocket&b64=1") as socket:
        socket.handshake()
        socket.send(packet)
        assert socket.read() == packet


@versions
def test_manyMessagesOfOnePostKeepTheirOrder(echo: Example, version: int) -> None:
    session = echo.open(version)
    packets = [f"4{number}" for number in range(1000)]
    session.send(*packets)
    received: list[str] = []
    while len(received) < 1000:
        received += session.read()
    assert received == packets


def test_aSeparatorInATextDoesNotBecomeAPacket(echo: Example) -> None:
    with echo.webSocket() as socket:
        socket.handshake()
        socket.send("4a\x1e1")
        assert socket.read() == "4a\x1e1"


def test_aPollWaits(echo: Example) -> None:
    session = echo.open()
    waiting = session.waiting()
    session.send("4hello")
    assert waiting.answer().body == b"4hello"


# JSONP


@versions
def test_jsonp(echo: Example, version: int) -> None:
    opening = echo.get(f"EIO={version}&transport=polling&j=0")
    assert opening.headers["Content-Type"] == "text/javascript; charset=UTF-8"
    match = re.fullmatch(rb"___eio\[0\]\((.*)\);", opening.body)
    assert match is not None
    payload = json.loads(match[1])
    sid = re.search(r'"sid":"([^"]+)"', payload)
    assert sid is not None
    query = f"EIO={version}&transport=polling&sid={sid[1]}"
    packet = "4line\\\\n" if version == 4 else "8:4line\\n\u20282"
    form = "d=" + (packet if version == 4 else "7:4line\\nx").replace("\\n", "%5Cn")
    posted = echo.request("POST", f"{query}&j=1", form.encode(), {"Content-Type": "application/x-www-form-urlencoded"})
    assert (posted.status, posted.body) == (200, b"ok")
    polled = echo.get(f"{query}&j=2")
    match = re.fullmatch(rb"___eio\[2\]\((.*)\);", polled.body)
    assert match is not None
    assert json.loads(match[1]) == ("4line\\n" if version == 4 else "7:4line\nx")


def test_jsonpCannotBeCode(echo: Example) -> None:
    session = echo.open()
    assert echo.get(f"{session.query}&j=alert(1)").status == 400
    session.send("4</script><!--\u2028")
    body = echo.get(f"{session.query}&j=7").body
    assert b"<" not in body
    assert body.isascii()


# Heartbeats


def test_theServerPingsOverPolling(beating: Example) -> None:
    session = beating.open()
    for _ in range(2):
        assert session.read() == ["2"]
        session.send("3")


def test_theServerPingsOverWebSocket(beating: Example) -> None:
    with beating.webSocket() as socket:
        socket.handshake()
        for _ in range(2):
            assert socket.read() == "2"
            socket.send("3")


def test_withoutAPongOverPolling(beating: Example) -> None:
    session = beating.open()
    assert session.read() == ["2"]
    # A poll that waits is told.
    assert session.poll().body == b"1"
    session.assertClosed()


def test_withoutAPollAtAll(lively: Example) -> None:
    session = lively.open()
    # Asks with a method that is refused in any case: only the reason changes.
    until(
        lambda: json.loads(lively.request("PUT", session.query, b"").body)["message"] == "Session ID unknown",
        "the end of the session",
    )
    session.assertClosed()


def test_withoutAPongOverWebSocket(lively: Example) -> None:
    with lively.webSocket() as socket:
        socket.handshake()
        socket.closed()
        assert socket.received[1:] == ["2"]


def test_clientsOfRevision3Ping(beating: Example) -> None:
    with beating.webSocket("EIO=3&transport=websocket") as socket:
        socket.handshake()
        for _ in range(3):
            socket.send("2")
            assert socket.read() == "3"
        socket.send("2probe")
        assert socket.read() == "3probe"
        # And then no more: it is not pinged, but closed.
        socket.closed()
        assert set(socket.received[1:]) == {"3", "3probe"}


def test_clientsOfRevision3PingOverPolling(beating: Example) -> None:
    session = beating.open(3)
    session.send("2")
    assert session.read() == ["3"]
    assert session.packets(session.poll().body) == ["1"]
    session.assertClosed()


# Closing


@versions
def test_theClientClosesOverPolling(echo: Example, version: int) -> None:
    session = echo.open(version)
    waiting = session.waiting()
    # A round trip on another connection: the poll has been received by then, as it was sent before.
    session.send("4x")
    assert session.packets(waiting.answer().body) == ["4x"]
    waiting = session.waiting()
    assert echo.get("").status == 400
    session.send("1")
    answer = waiting.answer()
    assert (answer.status, session.packets(answer.body)) == (200, ["6"])
    session.assertClosed()


@versions
def test_theClientClosesOverWebSocket(echo: Example, version: int) -> None:
    with echo.webSocket(f"EIO={version}&transport=websocket") as socket:
        sid = socket.handshake()["sid"]
        socket.send("1")
        socket.closed()
    assert echo.get(f"EIO={version}&transport=polling&sid={sid}").status == 400


def test_aLostWebSocketEndsTheSession(echo: Example) -> None:
    with echo.webSocket() as socket:
        sid = socket.handshake()["sid"]
        assert json.loads(echo.get(f"EIO=4&transport=polling&sid={sid}").body)["message"] == "Bad request"
        socket.connection.socket.shutdown(2)
    query = f"EIO=4&transport=polling&sid={sid}"
    until(lambda: json.loads(echo.get(query).body)["message"] == "Session ID unknown", "the end of the session")


@versions
def test_aCancelledPollClosesTheSession(echo: Example, version: int) -> None:
    session = echo.open(version)
    session.waiting().cancel()
    until(
        lambda: json.loads(echo.request("PUT", session.query, b"").body)["message"] == "Session ID unknown",
        "the end of the session",
    )
    session.assertClosed()


@versions
def test_aSecondPollFailsAndClosesTheSession(echo: Example, version: int) -> None:
    session = echo.open(version)
    first = session.waiting()
    second = session.waiting()
    answers = sorted([first.answer(), second.answer()], key=lambda answer: answer.status)
    assert [answer.status for answer in answers] == [200, 400]
    assert session.packets(answers[0].body) == ["1"]
    session.assertClosed()


@versions
@pytest.mark.parametrize("body", ["abc", "", "9", "4ok\x1eabc", "b!", "99999999999999999999:4", "-1:4"])
def test_aMalformedPayloadClosesTheSession(echo: Example, version: int, body: str) -> None:
    session = echo.open(version)
    assert session.post(body).status == 400
    session.assertClosed()


# "2x" is a ping in revision 3, and unexpected from a client of revision 4.
@pytest.mark.parametrize(
    ("version", "message"),
    [(version, message) for version in (3, 4) for message in ("abc", "", "9", "b!", "0", "\x00")] + [(4, "2x")],
)
def test_aMalformedMessageClosesTheWebSocket(echo: Example, version: int, message: str) -> None:
    with echo.webSocket(f"EIO={version}&transport=websocket") as socket:
        socket.handshake()
        socket.send(message)
        socket.closed()
        assert len(socket.received) == 1


def test_textThatIsNotUTF8(echo: Example) -> None:
    session = echo.open()
    assert session.post(b"4\xff\xfe").status == 400
    session.assertClosed()


# Limits


def test_aPayloadOfTheLimit(echo: Example) -> None:
    session = echo.open()
    packet = "4" + "x" * 999_999
    session.send(packet)
    assert session.read() == [packet]


@pytest.mark.parametrize("body", ["5:4", "1:", "0", "-", "3:4ok5:4"])
def test_aMalformedPayloadOfRevision3ClosesTheSession(echo: Example, body: str) -> None:
    session = echo.open(3)
    assert session.post(body).status == 400
    session.assertClosed()


@versions
def test_aPayloadBeyondTheLimitIsRefused(echo: Example, version: int) -> None:
    session = echo.open(version)
    assert session.post("4" + "x" * 1_000_000).status == 413
    # As with the reference, that is all: nothing of it was taken.
    session.send("4still there")
    assert session.read() == ["4still there"]


@versions
def test_aMessageBeyondTheLimitClosesTheWebSocket(echo: Example, version: int) -> None:
    with echo.webSocket(f"EIO={version}&transport=websocket") as socket:
        socket.handshake()
        socket.send("4" + "x" * 999_999)
        assert len(socket.read()) == 1_000_000
        socket.send("4" + "x" * 1_000_000)
        assert socket.closed() == 1009


# Upgrade


def upgrade(session: Polling, socket: Socket) -> None:
    socket.send("2probe")
    assert socket.read() == "3probe"
    socket.send("5")


@versions
def test_upgrade(echo: Example, version: int) -> None:
    session = echo.open(version)
    with echo.webSocket(f"EIO={version}&transport=websocket&sid={session.sid}") as socket:
        upgrade(session, socket)
        binary = b"\x01\x02" if version == 4 else b"\x04\x01\x02"
        socket.send("4hello", binary)
        assert [socket.read(), socket.read()] == ["4hello", binary]


@versions
def test_pollsDuringAnUpgrade(echo: Example, version: int) -> None:
    session = echo.open(version)
    pending = session.waiting()
    with echo.webSocket(f"EIO={version}&transport=websocket&sid={session.sid}") as socket:
        socket.send("2probe")
        assert socket.read() == "3probe"
        assert session.packets(pending.answer().body) == ["6"]
        assert session.packets(session.poll().body) == ["6"]
        # Messages still come over polling until the client has decided.
        session.send("4before")
        assert session.read() == ["4before"]
        socket.send("5", "4after")
        assert socket.read() == "4after"


@versions
def test_afterAnUpgradePollingIsRefused(echo: Example, version: int) -> None:
    session = echo.open(version)
    with echo.webSocket(f"EIO={version}&transport=websocket&sid={session.sid}") as socket:
        upgrade(session, socket)
        socket.send("4x")
        assert socket.read() == "4x"
        assert session.poll().status == 400
        assert session.post("4x").status == 400
        socket.send("4still there")
        assert socket.read() == "4still there"


@versions
def test_aSecondWebSocketIsClosed(echo: Example, version: int) -> None:
    session = echo.open(version)
    query = f"EIO={version}&transport=websocket&sid={session.sid}"
    with echo.webSocket(query) as socket:
        upgrade(session, socket)
        socket.send("4x")
        assert socket.read() == "4x"
        with echo.webSocket(query) as second:
            second.closed()
            assert second.received == []
        socket.send("4still there")
        assert socket.read() == "4still there"


def test_whatWaitsGoesOverTheWebSocket(echo: Example) -> None:
    for version in (4, 3):
        session = echo.open(version)
        large = "4" + "é" * 150_000
        with echo.webSocket(f"EIO={version}&transport=websocket&sid={session.sid}") as socket:
            socket.send("2probe")
            assert socket.read() == "3probe"
            binary = base64.b64encode(bytes(300_000)).decode()
            prefix = "b" if version == 4 else "b4"
            for packet in ("4one", prefix + binary, large, "4last"):
                assert session.post(packet if version == 4 else f"{len(packet)}:{packet}").body == b"ok"
            socket.send("5")
            raw = bytes(300_000) if version == 4 else b"\x04" + bytes(300_000)
            assert [socket.read() for _ in range(4)] == ["4one", raw, large, "4last"]


@pytest.mark.parametrize("message", ["4hello", "2", "2other", "abc", "3probe", b"\x02probe"])
def test_aProbeThatIsNoneLeavesTheSessionAlone(echo: Example, message: str | bytes) -> None:
    session = echo.open()
    query = f"{WEBSOCKET}&sid={session.sid}"
    with echo.webSocket(query) as socket:
        socket.send(message)
        socket.closed()
        assert socket.received == []
    session.send("4hello")
    assert "4hello" in session.read()
    # And it may try again.
    with echo.webSocket(query) as socket:
        upgrade(session, socket)
        socket.send("4x")
        assert socket.read() == "4x"


def test_aProbeThatIsLostLeavesTheSessionAlone(echo: Example) -> None:
    session = echo.open()
    with echo.webSocket(f"{WEBSOCKET}&sid={session.sid}") as socket:
        socket.send("2probe")
        assert socket.read() == "3probe"
    session.send("4hello")
    assert "4hello" in session.read()
    waiting = session.waiting()
    session.send("4waits again")
    assert waiting.answer().body == b"4waits again"


def test_aSessionThatClosesDuringTheProbe(echo: Example) -> None:
    session = echo.open()
    with echo.webSocket(f"{WEBSOCKET}&sid={session.sid}") as socket:
        socket.send("2probe")
        assert socket.read() == "3probe"
        session.send("1")
        socket.send("5")
        socket.closed()
    session.assertClosed()


# Other origins


def test_cors(echo: Example) -> None:
    answer = echo.get("EIO=4&transport=polling", Origin="https://elsewhere.example")
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] in ("*", "https://elsewhere.example")
    preflight = echo.request(
        "OPTIONS",
        "EIO=4&transport=polling",
        None,
        {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"},
    )
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Origin"] in ("*", "https://elsewhere.example")
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]


# Whatever comes


def test_fuzzedBodiesAndFrames(echo: Example) -> None:
    # A fixed seed: a failure can be looked at.
    chance = random.Random(20)
    seeds = [b"4hello", b"b4AQID", b"6:4hello", b"\x00\x06\xff4hello", b"2probe", b"5", b"4\x1e4\x1e1", "4ü€𝄞".encode()]
    for _ in range(150):
        body = bytearray(b"\x1e".join(chance.choices(seeds, k=chance.randint(1, 3))))
        for _ in range(chance.randint(0, 3)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        version = chance.choice((3, 4))
        session = echo.open(version)
        kind = chance.choice(("text/plain", "application/octet-stream", "application/x-www-form-urlencoded", ""))
        answer = session.post(bytes(body), **{"Content-Type": kind})
        assert answer.status in (200, 400), answer
        with echo.webSocket(f"EIO={version}&transport=websocket") as socket:
            socket.handshake()
            try:
                message: str | bytes = bytes(body).decode()
            except UnicodeDecodeError:
                message = bytes(body)
            with suppress(ConnectionClosedOK):
                socket.send(message, "4end")
                while socket.connection.recv(PATIENCE) != "4end":
                    pass
    assert "Traceback" not in echo.log.read_text()
    # It is as good as new.
    session = echo.open()
    session.send("4hello")
    assert decodePayload(session.poll().body)[0].data == "hello"
