"""Engine.IO: the bytes of the protocol documents and of the reference parsers, strictness, round trips."""

import json
import re
from collections.abc import Callable
from urllib.parse import quote_plus

from engineio.packet import Packet as TheirPacket
from engineio.payload import Payload as TheirPayload
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.engineio import (
    MAX_BYTES,
    NOOP,
    PING,
    PROBE,
    PROBE_REPLY,
    Packet,
    PacketType,
    decodeJSONP,
    decodePacket,
    decodePayload,
    encodeBinaryPayload,
    encodeJSONP,
    encodeOpen,
    encodePacketBinary,
    encodePacketText,
    encodePayload,
    joinBinaryPayload,
    joinPayload,
    messageBase64,
    messageBinary,
    messageText,
)
from realtime_tw.errors import LimitExceeded, ProtocolError

MESSAGE = PacketType.MESSAGE
EURO = "€\N{GRINNING FACE}"

versions = st.sampled_from([3, 4])
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1e"))
packets = st.one_of(
    st.builds(Packet, st.sampled_from(list(PacketType)), texts),
    st.builds(Packet, st.just(MESSAGE), st.binary()),
)


def parsed(data: str | bytes) -> object:
    """The value of a JSON text; else the data."""
    try:
        return json.loads(data)
    except ValueError:
        return data


class PacketTests(SynchronousTestCase):
    def test_exactBytes(self) -> None:
        for version in (3, 4):
            self.assertEqual(encodePacketText(Packet(PacketType.PING, "probe"), version), PROBE)
            self.assertEqual(encodePacketText(Packet(PacketType.PONG, "probe"), version), PROBE_REPLY)
            self.assertEqual(encodePacketText(Packet(PacketType.NOOP), version), NOOP)
            self.assertEqual(encodePacketText(Packet(MESSAGE, EURO), version), b"4\xe2\x82\xac\xf0\x9f\x98\x80")
        binary = Packet(MESSAGE, b"\1\2\3\4")
        self.assertEqual(encodePacketText(binary, 4), b"bAQIDBA==")
        self.assertEqual(encodePacketText(binary, 3), b"b4AQIDBA==")
        self.assertEqual(encodePacketBinary(binary, 4), b"\1\2\3\4")
        self.assertEqual(encodePacketBinary(binary, 3), b"\4\1\2\3\4")

    def test_messagesThatAreEncodedAlready(self) -> None:
        self.assertEqual(messageText(b"hello"), b"4hello")
        self.assertEqual(messageBinary(b"\1"), b"\1")
        self.assertEqual(messageBinary(b"\1", 3), b"\4\1")
        self.assertEqual(messageBase64(b"\1\2\3\4"), b"bAQIDBA==")
        self.assertEqual(messageBase64(b"\1\2\3\4", 3), b"b4AQIDBA==")

    def test_decode(self) -> None:
        self.assertEqual(decodePacket(b"4hello", False), Packet(MESSAGE, "hello"))
        self.assertEqual(decodePacket(b"2", False), Packet(PacketType.PING))
        self.assertEqual(decodePacket(b'4{"a":1}', False).data, '{"a":1}')
        self.assertEqual(decodePacket(b"", True), Packet(MESSAGE, b""))
        self.assertEqual(decodePacket(b"\4", True, 3), Packet(MESSAGE, b""))
        self.assertEqual(decodePacket(b"b4AQ==", False, 3), Packet(MESSAGE, b"\1"))

    def test_refused(self) -> None:
        for version, isBinary, bad in (
            (4, False, b""),
            (4, False, b"7"),
            (4, False, b"9x"),
            (4, False, b"a"),
            (4, False, "\N{ARABIC-INDIC DIGIT THREE}".encode()),
            (4, False, b"4\xff"),
            (4, False, b"4\xed\xa0\x80"),
            (4, False, b"b!!!"),
            (4, False, b"bA"),
            (4, False, b"bAQ"),
            (4, False, b"bAQ==AQ=="),
            (4, False, b"b=AQ="),
            (4, False, b"bAQ==\n"),
            (4, False, "bé".encode()),
            (3, False, b"bAQ=="),
            (3, False, b"b2AQ=="),
            (3, True, b""),
            (3, True, b"\2a"),
            (3, True, b"4a"),
        ):
            with self.assertRaises(ProtocolError, msg=bad):
                decodePacket(bad, isBinary, version)

    def test_onlyMessagesAreBinary(self) -> None:
        for packet in (Packet(PacketType.PING, b"x"), Packet(MESSAGE, "x")):
            with self.assertRaises(ProtocolError):
                encodePacketBinary(packet)
        with self.assertRaises(ProtocolError):
            encodePacketText(Packet(PacketType.PING, b"x"))

    def test_loneSurrogates(self) -> None:
        self.assertEqual(encodePacketText(Packet(MESSAGE, "a\ud800b")), b"4a?b")

    @given(packets, versions)
    def test_roundTrip(self, packet: Packet, version: int) -> None:
        self.assertEqual(decodePacket(encodePacketText(packet, version), False, version), packet)
        if isinstance(packet.data, bytes):
            self.assertEqual(decodePacket(encodePacketBinary(packet, version), True, version), packet)

    @given(packets)
    def test_pythonEngineIO(self, packet: Packet) -> None:
        theirs = TheirPacket(int(packet.type), packet.data)
        encoded = theirs.encode(b64=True)
        self.assertEqual(encodePacketText(packet), encoded.encode())
        read = TheirPacket(encoded_packet=encodePacketText(packet).decode())
        self.assertEqual(read.packet_type, packet.type)
        # It parses text that is JSON, except for numbers.
        self.assertIn(read.data, [packet.data, parsed(packet.data)])


class PayloadTests(SynchronousTestCase):
    def test_revision4(self) -> None:
        payload = b"4hello\x1e2\x1e4world\x1ebAQIDBA=="
        decoded = [
            Packet(MESSAGE, "hello"),
            Packet(PacketType.PING),
            Packet(MESSAGE, "world"),
            Packet(MESSAGE, b"\1\2\3\4"),
        ]
        self.assertEqual(decodePayload(payload), decoded)
        self.assertEqual(encodePayload(decoded), payload)

    def test_revision3CountsAsJavaScriptDoes(self) -> None:
        # As engine.io-parser 2.2.1 writes them.
        payload = "4:4€\N{GRINNING FACE}2:4a10:b4AQIDBA==".encode()
        decoded = [Packet(MESSAGE, EURO), Packet(MESSAGE, "a"), Packet(MESSAGE, b"\1\2\3\4")]
        self.assertEqual(encodePayload(decoded, 3), payload)
        self.assertEqual(decodePayload(payload, 3), decoded)

    def test_revision3Binary(self) -> None:
        payload = bytes.fromhex("0008ff34e282acf09f98800105ff0401020304")
        decoded = [Packet(MESSAGE, EURO), Packet(MESSAGE, b"\1\2\3\4")]
        self.assertEqual(encodeBinaryPayload(decoded), payload)
        self.assertEqual(decodePayload(payload, 3, True), decoded)
        self.assertEqual(joinBinaryPayload([(b"4" * 12, False)]), b"\0\1\2\xff" + b"4" * 12)

    def test_spliced(self) -> None:
        self.assertEqual(joinPayload([messageText(b"a"), PING]), b"4a\x1e2")
        self.assertEqual(joinPayload([messageText(b"a"), PING], 3), b"2:4a1:2")
        self.assertEqual(joinPayload([PING]), PING)

    def test_nothing(self) -> None:
        self.assertEqual(joinPayload([]), b"")
        self.assertEqual(joinPayload([], 3), b"0:")
        self.assertEqual(decodePayload(b"0:", 3), [])

    def test_aTextCannotSmugglePacketsIn(self) -> None:
        payload = joinPayload([messageText(b"a\x1e1"), PING])
        self.assertEqual(decodePayload(payload), [Packet(MESSAGE, "a\ufffd1"), Packet(PacketType.PING)])
        self.assertEqual(decodePayload(joinPayload([b"4\x1e\x1e"])), [Packet(MESSAGE, "\ufffd\ufffd")])
        self.assertEqual(decodePayload(joinPayload([b"4a\x1e1"], 3), 3), [Packet(MESSAGE, "a\x1e1")])

    def test_refused(self) -> None:
        for version, isBinary, bad in (
            (4, False, b""),
            (4, False, b"\x1e"),
            (4, False, b"4a\x1e"),
            (4, False, b"\x1e4a"),
            (4, False, b"4a\x1e7"),
            (4, False, b"4\xff"),
            (3, False, b""),
            (3, False, b"4a"),
            (3, False, b":"),
            (3, False, b"0:0:"),
            (3, False, b"2:4a0:"),
            (3, False, b"3:4a"),
            (3, False, b"1:4a"),
            (3, False, b"-1:4"),
            (3, False, b"+1:4"),
            (3, False, b" 1:4"),
            (3, False, b"1e0:4"),
            (3, False, "\N{ARABIC-INDIC DIGIT ONE}:4".encode()),
            (3, False, b"00000000001:4"),
            (3, False, b"99999999999999:4"),
            # One half of a surrogate pair each.
            (3, False, "2:4\N{GRINNING FACE}1:4".encode()),
            (3, False, b"2:4\xff"),
            (3, True, b""),
            (3, True, b"\0"),
            (3, True, b"\0\xff"),
            (3, True, b"\0\0\xff"),
            (3, True, b"\2\1\xff4"),
            (3, True, b"\0\x0a\xff4"),
            (3, True, b"\0\2\xff4"),
            (3, True, b"\0\2\xff4\xff"),
            (3, True, b"\1\1\xff4"),
            (3, True, b"\0" + b"\0" * 10 + b"\1\xff4"),
            (3, True, b"\0\1"),
        ):
            with self.assertRaises(ProtocolError, msg=bad):
                decodePayload(bad, version, isBinary)

    def test_limits(self) -> None:
        cases = ((b"\x1e".join([b"4"] * 4), 4, False), (b"1:4" * 4, 3, False), (b"\0\1\xff4" * 4, 3, True))
        for body, version, isBinary in cases:
            self.assertEqual(len(decodePayload(body, version, isBinary, maxPackets=4)), 4)
            with self.assertRaises(LimitExceeded):
                decodePayload(body, version, isBinary, maxPackets=3)
            with self.assertRaises(LimitExceeded):
                decodePayload(body, version, isBinary, maxBytes=len(body) - 1)
        self.assertEqual(len(decodePayload(b"4" * MAX_BYTES)), 1)
        with self.assertRaises(LimitExceeded):
            decodePayload(b"4" * (MAX_BYTES + 1))
        self.assertEqual(len(decodePayload(b"\x1e".join([b"2"] * 10_000))), 10_000)

    @given(st.lists(packets, min_size=1), versions)
    def test_roundTrip(self, some: list[Packet], version: int) -> None:
        self.assertEqual(decodePayload(encodePayload(some, version), version), some)
        self.assertEqual(decodePayload(encodeBinaryPayload(some), 3, True), some)

    @given(st.lists(packets, min_size=1, max_size=16))
    def test_pythonEngineIO(self, some: list[Packet]) -> None:
        theirs = TheirPayload([TheirPacket(int(packet.type), packet.data) for packet in some])
        self.assertEqual(encodePayload(some), theirs.encode().encode())
        self.assertEqual(decodePayload(theirs.encode().encode()), some)
        read = TheirPayload(encoded_payload=encodePayload(some).decode())
        self.assertEqual([packet.packet_type for packet in read.packets], [packet.type for packet in some])

    @given(texts)
    def test_lengthsAreUTF16(self, text: str) -> None:
        length = joinPayload([text.encode()], 3).partition(b":")[0]
        self.assertEqual(int(length), len(text.encode("utf-16-le")) // 2)

    @given(
        st.lists(
            st.one_of(st.binary(max_size=3), st.sampled_from([b"1:4", b"2:", b"\x1e", b"4", b"\0\1\xff4", b"b4"]))
        ),
        versions,
        st.booleans(),
    )
    def test_onlyOurOwnErrors(self, pieces: list[bytes], version: int, isBinary: bool) -> None:
        body = b"".join(pieces)
        decoders: list[Callable[[], object]] = [
            lambda: decodePayload(body, version, isBinary),
            lambda: decodePacket(body, isBinary, version),
            lambda: decodeJSONP(body),
        ]
        for decode in decoders:
            try:
                decode()
            except ProtocolError:
                continue


class OpenTests(SynchronousTestCase):
    def test_exactBytes(self) -> None:
        # The sample session of the Socket.IO protocol document.
        self.assertEqual(
            encodeOpen("lv_VI97HAXpY6yYWAAAC", ["websocket"], 25000, 5000, 1000000),
            b'0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":5000,'
            b'"maxPayload":1000000}',
        )

    def test_revision3(self) -> None:
        handshake = json.loads(encodeOpen("x", [], 300, 200)[1:])
        self.assertEqual(handshake, {"sid": "x", "upgrades": [], "pingInterval": 300, "pingTimeout": 200})


def formOfAClient(payload: str) -> bytes:
    """What engine.io-client 3 posts: its two replacements, then the browser's form encoding."""
    return b"d=" + quote_plus(re.sub("\n", r"\\n", re.sub(r"\\n", "\\\\\n", payload))).encode()


class JSONPTests(SynchronousTestCase):
    def test_exactBytes(self) -> None:
        self.assertEqual(encodeJSONP("4", b"packet data"), b'___eio[4]("packet data");')
        self.assertEqual(encodeJSONP("0", b'11:42["a","b"]'), rb'___eio[0]("11:42[\"a\",\"b\"]");')

    def test_nothingEndsTheScript(self) -> None:
        payload = "</script><!--\u2028\u2029\r\n\"\\'€"
        script = encodeJSONP("1", payload.encode())
        self.assertTrue(script.isascii())
        self.assertIsNone(re.search(rb"[<\r\n]", script))
        self.assertEqual(json.loads(script[len(b"___eio[1](") : -2]), payload)

    def test_theIndexIsANumber(self) -> None:
        for index in ("", "a", "1];alert(1)//", "-1", "1\n", "\N{ARABIC-INDIC DIGIT ONE}", "1" * 11):
            with self.assertRaises(ProtocolError, msg=index):
                encodeJSONP(index, b"1:6")

    def test_newlines(self) -> None:
        # Measured with the reference implementation's client and server.
        for sent, payload in (
            (rb"a\nb", b"a\nb"),
            (rb"a\\nb", rb"a\nb"),
            (rb"a\\\nb", rb"a\\nb"),
            (rb"a\\\\nb", rb"a\\\nb"),
        ):
            self.assertEqual(decodeJSONP(b"d=" + sent), payload)

    def test_formEncoding(self) -> None:
        self.assertEqual(decodeJSONP(b"d=7%3A42%5B%22a+b%22%5D%2B"), b'7:42["a b"]+')
        self.assertEqual(decodeJSONP(b"x=1&d=1:2"), b"1:2")

    def test_refused(self) -> None:
        for bad in (b"", b"x=1", b"d", b"d=1&d=2", b"1:2"):
            with self.assertRaises(ProtocolError, msg=bad):
                decodeJSONP(bad)

    @given(texts.filter(lambda text: "\\\n" not in text))
    def test_roundTrip(self, text: str) -> None:
        # A backslash before a newline is the one thing the client's escaping cannot say.
        self.assertEqual(decodeJSONP(formOfAClient(text)).decode(), text)
        self.assertEqual(json.loads(encodeJSONP("7", text.encode())[len("___eio[7](") : -2]), text)
