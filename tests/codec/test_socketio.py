"""Socket.IO packets: the tables of the protocol document, strictness, limits, and python-socketio on the other side."""

import json
from collections.abc import Iterator
from itertools import cycle
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from socketio.packet import Packet as TheirPacket
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.jsontext import MAX_DEPTH, encodeJSON, validJSON
from realtime_tw.codec.socketio import (
    MAX_ACK_ID,
    MAX_ATTACHMENTS,
    MAX_BYTES,
    MAX_NAMESPACE,
    RESERVED_EVENTS,
    SocketDecoder,
    SocketPacket,
    SocketPacketType,
    encodeAck,
    encodeAckRaw,
    encodeConnect,
    encodeConnectError,
    encodeDisconnect,
    encodeEvent,
    encodeEventRaw,
    encodePacket,
    eventPrefix,
    rawArguments,
)
from realtime_tw.errors import LimitExceeded, ProtocolError

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR, BINARY_EVENT, _ = SocketPacketType

#: Packet, text, attachments: "Packet encoding" in the protocol document.
DOCUMENT: list[tuple[SocketPacket, bytes, list[bytes]]] = [
    (SocketPacket(CONNECT), b"0", []),
    (SocketPacket(CONNECT, data={"sid": "wZX3oN0bSVIhsaknAAAI"}), b'0{"sid":"wZX3oN0bSVIhsaknAAAI"}', []),
    (SocketPacket(CONNECT, "/admin"), b"0/admin,", []),
    (SocketPacket(CONNECT, "/admin", data={"sid": "oSO0"}), b'0/admin,{"sid":"oSO0"}', []),
    (SocketPacket(CONNECT_ERROR, data={"message": "Not authorized"}), b'4{"message":"Not authorized"}', []),
    (SocketPacket(EVENT, data=["foo"]), b'2["foo"]', []),
    (SocketPacket(EVENT, "/admin", data=["bar"]), b'2/admin,["bar"]', []),
    (
        SocketPacket(EVENT, data=["baz", b"\1\2\3\4"], attachments=(b"\1\2\3\4",)),
        b'51-["baz",{"_placeholder":true,"num":0}]',
        [b"\1\2\3\4"],
    ),
    (
        SocketPacket(EVENT, "/admin", data=["baz", b"\1\2", b"\3\4"], attachments=(b"\1\2", b"\3\4")),
        b'52-/admin,["baz",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]',
        [b"\1\2", b"\3\4"],
    ),
    (SocketPacket(EVENT, ackId=12, data=["foo"]), b'212["foo"]', []),
    (SocketPacket(ACK, ackId=12, data=[]), b"312[]", []),
    (SocketPacket(EVENT, "/admin", 13, ["foo"]), b'2/admin,13["foo"]', []),
    (SocketPacket(ACK, "/admin", 13, ["bar"]), b'3/admin,13["bar"]', []),
    (
        SocketPacket(EVENT, "/", 14, ["foo", b"\1\2\3\4"], (b"\1\2\3\4",)),
        b'51-14["foo",{"_placeholder":true,"num":0}]',
        [b"\1\2\3\4"],
    ),
    (
        SocketPacket(ACK, "/", 15, ["bar", b"\1\2\3\4"], (b"\1\2\3\4",)),
        b'61-15["bar",{"_placeholder":true,"num":0}]',
        [b"\1\2\3\4"],
    ),
    (SocketPacket(DISCONNECT), b"1", []),
    (SocketPacket(DISCONNECT, "/admin"), b"1/admin,", []),
]

numbers = st.one_of(st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False))
keys = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda key: key != "_placeholder")
plainValues: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(st.characters(exclude_categories=["Cs"]))),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(keys, inner)),
    max_leaves=8,
)
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(plainValues, st.binary()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(keys, inner)),
    max_leaves=8,
)
names = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda name: name not in RESERVED_EVENTS)
namespaces = st.sampled_from(["/", "/admin", "/a/b", "/ü", "/a b"])
ackIds = st.one_of(st.none(), st.integers(0, MAX_ACK_ID))


def decode(text: bytes, attachments: Iterator[bytes] | list[bytes] | tuple[bytes, ...] = (), version: int = 5) -> Any:
    """The packet that text and attachments make."""
    decoder = SocketDecoder(version)
    packet = decoder.receiveText(text.decode())
    for attachment in attachments:
        assert packet is None
        assert decoder.incomplete
        packet = decoder.receiveBinary(attachment)
    assert not decoder.incomplete
    assert packet is not None
    return packet


class DocumentTests(SynchronousTestCase):
    def test_decode(self) -> None:
        for packet, text, attachments in DOCUMENT:
            self.assertEqual(decode(text, attachments), packet)

    def test_encode(self) -> None:
        for packet, text, attachments in DOCUMENT:
            self.assertEqual(encodePacket(packet), (text, tuple(attachments)))

    def test_encoders(self) -> None:
        self.assertEqual(encodeEvent("/", "foo"), (b'2["foo"]', ()))
        self.assertEqual(
            encodeEvent("/admin", "foo", [1, "2", {"3": [True]}], 13)[0], b'2/admin,13["foo",1,"2",{"3":[true]}]'
        )
        self.assertEqual(
            encodeEvent("/", "foo", [b"\1", {"a": [bytearray(b"\2")]}]),
            (b'52-["foo",{"_placeholder":true,"num":0},{"a":[{"_placeholder":true,"num":1}]}]', (b"\1", b"\2")),
        )
        self.assertEqual(encodeAck("/", 12), (b"312[]", ()))
        self.assertEqual(encodeAck("/admin", 1, [b"x"]), (b'61-/admin,1[{"_placeholder":true,"num":0}]', (b"x",)))
        self.assertEqual(encodeConnect("/", "abc"), b'0{"sid":"abc"}')
        self.assertEqual(encodeConnect("/admin", "abc"), b'0/admin,{"sid":"abc"}')
        self.assertEqual(
            encodeConnectError("/random", "Invalid namespace"), b'4/random,{"message":"Invalid namespace"}'
        )
        self.assertEqual(encodeConnectError("/", "no", {"code": 1}), b'4{"message":"no","data":{"code":1}}')
        self.assertEqual(encodeDisconnect("/"), b"1")
        self.assertEqual(encodeDisconnect("/admin"), b"1/admin,")

    def test_revision4(self) -> None:
        self.assertEqual(encodeConnect("/", "abc", 4), b"0")
        self.assertEqual(encodeConnect("/admin", "abc", 4), b"0/admin,")
        self.assertEqual(encodeConnectError("/", "Not authorized", version=4), b'4"Not authorized"')
        self.assertEqual(encodeConnectError("/a", "no", {"code": 1}, 4), b'4/a,{"code":1}')
        packet = decode(b"0/admin?token=a%2Cb&x=?,", version=4)
        self.assertEqual((packet.namespace, packet.query), ("/admin", "token=a%2Cb&x=?"))
        self.assertEqual(encodePacket(packet)[0], b"0/admin?token=a%2Cb&x=?,")
        self.assertEqual(decode(b"0/?a=b", version=4).namespace, "/")
        self.assertEqual(decode(b"0/admin?a=b,").namespace, "/admin?a=b")
        self.assertEqual(decode(b'4"Not authorized"', version=4).data, "Not authorized")

    def test_theCommaMayBeMissingAtTheEnd(self) -> None:
        self.assertEqual(decode(b"0/random"), SocketPacket(CONNECT, "/random"))
        self.assertEqual(decode(b"1/custom"), SocketPacket(DISCONNECT, "/custom"))


class SpliceTests(SynchronousTestCase):
    def test_events(self) -> None:
        self.assertEqual(encodeEventRaw("/", b'"foo"', b'{"a":1}'), b'2["foo",{"a":1}]')
        self.assertEqual(encodeEventRaw("/chat", b'"foo"', b"1,2", 7), b'2/chat,7["foo",1,2]')
        self.assertEqual(encodeEventRaw("/", b'"foo"'), b'2["foo"]')
        self.assertEqual(eventPrefix("/chat", 'a"b') + b"1]", b'2/chat,["a\\"b",1]')
        self.assertEqual(encodeAckRaw("/", 456, b'1,"2",{"3":[false]}'), b'3456[1,"2",{"3":[false]}]')
        self.assertEqual(encodeAckRaw("/", 1), b"31[]")

    def test_rawArguments(self) -> None:
        for text, raw in (
            (b'2["message",1,"2",{"3":[true]}]', '1,"2",{"3":[true]}'),
            (b'2 [ "a,\\"]" , 1 , 2 ] ', "1 , 2"),
            (b'2["a"]', ""),
            (b"2[12,34]", "34"),
            (b"2[-1.5e3]", ""),
            (b"31[ 1,[2] ]", "1,[2]"),
            (b"31[]", ""),
        ):
            self.assertEqual(rawArguments(decode(text)), raw)

    @given(names, st.lists(plainValues), namespaces, ackIds)
    def test_echo(self, name: str, args: list[Any], namespace: str, ackId: int | None) -> None:
        text, _ = encodeEvent(namespace, name, args, ackId)
        raw = rawArguments(decode(text)).encode()
        self.assertEqual(encodeEventRaw(namespace, encodeJSON(name), raw, ackId), text)
        if args:
            self.assertEqual(eventPrefix(namespace, name) + raw + b"]", encodeEvent(namespace, name, args)[0])
        self.assertEqual(encodeAckRaw(namespace, 5, raw), encodeAck(namespace, 5, args)[0])


class JSONTests(SynchronousTestCase):
    def test_compactAndReadable(self) -> None:
        self.assertEqual(encodeJSON({"a": ["ü€", None]}), '{"a":["ü€",null]}'.encode())

    def test_loneSurrogatesStayEscaped(self) -> None:
        self.assertEqual(encodeJSON("ü\ud800\\ud800"), '"ü'.encode() + b'\\ud800\\\\ud800"')
        packet = decode(b'2["a","\\ud83d\\ude00","\\ude00\\ud83d"]')
        self.assertEqual(packet.arguments, ["\N{GRINNING FACE}", "\ude00\ud83d"])
        self.assertEqual(encodeEvent("/", "a", packet.arguments)[0], '2["a","😀","\\ude00\\ud83d"]'.encode())
        self.assertEqual(encodeEvent("/", "\ud800", [b"x"])[0], b'51-["\\ud800",{"_placeholder":true,"num":0}]')

    def test_whatJSONCannotSay(self) -> None:
        circle: list[Any] = []
        circle.append(circle)
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        for bad in (float("nan"), float("inf"), circle, deep, object(), {1, 2}, {b"key": 1}, {(1,): 1}):
            with self.assertRaises(ProtocolError):
                encodeJSON(bad)
            with self.assertRaises(ProtocolError):
                encodeEvent("/", "a", [bad, b"x"])
        with self.assertRaises(ProtocolError):
            encodeJSON(b"x")

    def test_valid(self) -> None:
        for good in (b"1", b' {"a": [1.5, null]}\n', '"€"'.encode(), b'"\\ud800"', b"[" * MAX_DEPTH + b"]" * MAX_DEPTH):
            self.assertTrue(validJSON(good), good)
        for bad in (
            b"",
            b"1,2",
            b"1]",
            b"NaN",
            b"-Infinity",
            b"1e999",
            b"9" * 5000,
            b'"\n"',
            b'"\x1e"',
            b"'a'",
            b'"\xff"',
            b"\xef\xbb\xbf1",
            '"a"'.encode("utf-16"),
            b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
            b'{"a":' * 200_000,
        ):
            self.assertFalse(validJSON(bad), bad[:20])

    def test_numbersAsNames(self) -> None:
        self.assertEqual(
            [decode(b"2[%b]" % name).event for name in (b"1", b"1.0", b"1.5", b"-2")], ["1", "1", "1.5", "-2"]
        )


class DecoderTests(SynchronousTestCase):
    def test_refused(self) -> None:
        for bad in (
            "",
            "abc",
            "7",
            "9[]",
            "\N{ARABIC-INDIC DIGIT TWO}[]",
            " 2[]",
            # Payloads.
            "2",
            "2{}",
            "2[]",
            "2null",
            '2"a"',
            "2[null]",
            "2[true]",
            '2[["a"]]',
            '2{"0":"a"}',
            '2["a"',
            '2["a"]x',
            '2["a",NaN]',
            '2["a",1e999]',
            '2["a",' + "1" * 5000 + "]",
            '2["a\n"]',
            "3",
            "31",
            "31{}",
            '3["a"]',
            "0[]",
            "0null",
            '0"a"',
            "1{}",
            "1[]",
            "4",
            "41",
            # Ids.
            '2abc["a"]',
            '2-1["a"]',
            '2+1["a"]',
            '21.5["a"]',
            "012",
            "112",
            # Namespaces.
            '2admin,["a"]',
            '2/admin["a"]',
            '2/admin["a","b"]',
            '2,["a"]',
            # Attachments.
            '5["a"]',
            '50-["a"]',
            '500-["a"]',
            '5-["a"]',
            '5-1-["a"]',
            '51["a"]',
            '51.5-["a"]',
            '21-["a"]',
            "01-{}",
            '51-["a",{"_placeholder":true}]',
            '51-["a",{"_placeholder":true,"num":1}]',
            '51-["a",{"_placeholder":true,"num":-1}]',
            '51-["a",{"_placeholder":true,"num":0.0}]',
            '51-["a",{"_placeholder":true,"num":"0"}]',
            '51-["a",{"_placeholder":true,"num":false}]',
            '51-["a",{"_placeholder":true,"num":"__proto__"}]',
            '51-[{"_placeholder":true,"num":0}]',
            '51-["a",{"b":[{"_placeholder":true,"num":9}]}]',
            *(f'2["{name}"]' for name in RESERVED_EVENTS),
            '51-["disconnect",{"_placeholder":true,"num":0}]',
        ):
            for version in (4, 5):
                with self.assertRaises(ProtocolError, msg=bad[:40]):
                    SocketDecoder(version).receiveText(bad)

    def test_refusalsOfRevision4HaveAnyPayload(self) -> None:
        self.assertEqual(decode(b"4[1]", version=4).data, [1])
        with self.assertRaises(ProtocolError):
            SocketDecoder().receiveText("4[1]")

    def test_attachmentsComeAfterTheirText(self) -> None:
        decoder = SocketDecoder()
        with self.assertRaises(ProtocolError):
            decoder.receiveBinary(b"x")
        decoder = SocketDecoder()
        self.assertIsNone(decoder.receiveText('52-["a",{"_placeholder":true,"num":0}]'))
        self.assertIsNone(decoder.receiveBinary(b"x"))
        with self.assertRaises(ProtocolError):
            decoder.receiveText('2["a"]')

    def test_placeholdersInAnyOrder(self) -> None:
        text = (
            b'52-["a",{"b":{"_placeholder":true,"num":1}},[{"num":0,"_placeholder":true}],'
            b'{"_placeholder":true,"num":1}]'
        )
        packet = decode(text, [b"x", b"y"])
        self.assertEqual(packet.arguments, [{"b": b"y"}, [b"x"], b"y"])
        self.assertEqual(packet.attachments, (b"x", b"y"))

    def test_placeholdersOfPlainPacketsAreData(self) -> None:
        self.assertEqual(decode(b'2["a",{"_placeholder":true,"num":7}]').arguments, [{"_placeholder": True, "num": 7}])

    def test_usedAgainAfterEachPacket(self) -> None:
        decoder = SocketDecoder()
        for _ in range(2):
            self.assertIsNotNone(decoder.receiveText('2["a"]'))
            self.assertIsNone(decoder.receiveText('51-["a",{"_placeholder":true,"num":0}]'))
            self.assertIsNotNone(decoder.receiveBinary(b"x"))

    def test_limits(self) -> None:
        decoder = SocketDecoder(maxAttachments=2, maxBytes=100, maxDepth=3)
        self.assertIsNotNone(decoder.receiveText('2["a",[[1]],"[[["]'))
        for bad in ('53-["a"]', '2["' + "a" * 100 + '"]', '2["a",[[[1]]]]', '2["a",{"b":{"c":{}}}]'):
            with self.assertRaises(LimitExceeded):
                decoder.receiveText(bad)
        self.assertIsNone(decoder.receiveText('52-["a"]'))
        self.assertIsNone(decoder.receiveBinary(bytes(92)))
        with self.assertRaises(LimitExceeded):
            decoder.receiveBinary(b"x")

    def test_defaultLimits(self) -> None:
        many = ",".join(["{}"] * 1000)
        self.assertIsNotNone(SocketDecoder().receiveText(f'2["a",{many}]'))
        self.assertEqual(decode(b'2%d["a"]' % MAX_ACK_ID).ackId, MAX_ACK_ID)
        self.assertEqual(len(decode(b"0/" + b"a" * (MAX_NAMESPACE - 1)).namespace), MAX_NAMESPACE)
        nested = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
        self.assertIsNotNone(SocketDecoder().receiveText(f'2["a",{nested}]'))
        self.assertIsNone(SocketDecoder().receiveText(f'5{MAX_ATTACHMENTS}-["a"]'))
        for bad in (
            f'2{MAX_ACK_ID + 1}["a"]',
            f'2{"1" * 100_000}["a"]',
            f'5{MAX_ATTACHMENTS + 1}-["a"]',
            f'5{"1" * 100_000}-["a"]',
            "0/" + "a" * MAX_NAMESPACE,
            f'2["a",[{nested}]]',
            '2["a",' + "[" * 500_000,
            '2["a",' + '{"a":' * 200_000,
            '2["a"' + " " * MAX_BYTES + "]",
        ):
            # Nesting without an end is bad JSON where Python's own limit is not reached first.
            with self.assertRaises(ProtocolError, msg=bad[:40]):
                SocketDecoder().receiveText(bad)

    def test_namespacesThatCannotBeSent(self) -> None:
        for bad in ("", "admin", "/a,b", "a/"):
            with self.assertRaises(ProtocolError, msg=bad):
                encodeEvent(bad, "a")
        self.assertEqual(encodeDisconnect("/\ud800"), b"1/?,")

    @given(names, st.lists(values), namespaces, ackIds)
    def test_roundTrip(self, name: str, args: list[Any], namespace: str, ackId: int | None) -> None:
        text, attachments = encodeEvent(namespace, name, args, ackId)
        if len(attachments) <= MAX_ATTACHMENTS:
            packet = decode(text, attachments)
            self.assertEqual((packet.type, packet.namespace, packet.ackId), (EVENT, namespace, ackId))
            self.assertEqual((packet.event, packet.arguments, packet.attachments), (name, args, attachments))
            self.assertEqual(encodePacket(packet), (text, attachments))

    @given(names, st.lists(values), namespaces, ackIds)
    def test_pythonSocketIO(self, name: str, args: list[Any], namespace: str, ackId: int | None) -> None:
        theirs = TheirPacket(2, [name, *args], namespace, ackId).encode()
        text, *attachments = theirs if isinstance(theirs, list) else [theirs]
        if len(attachments) <= MAX_ATTACHMENTS:
            packet = decode(text.encode(), attachments)
            self.assertEqual((packet.namespace, packet.ackId, packet.data), (namespace, ackId, [name, *args]))
        ours, parts = encodeEvent(namespace, name, args, ackId)
        read = TheirPacket(encoded_packet=ours.decode())
        self.assertEqual(read.attachment_count, len(parts))
        for part in parts:
            read.add_attachment(part)
        self.assertEqual((read.namespace or "/", read.id, read.data), (namespace, ackId, [name, *args]))
        self.assertEqual(read.packet_type, BINARY_EVENT if parts else EVENT)

    @given(st.integers(0, MAX_ACK_ID), st.lists(values), namespaces)
    def test_pythonSocketIOAcks(self, ackId: int, args: list[Any], namespace: str) -> None:
        theirs = TheirPacket(3, args, namespace, ackId).encode()
        text, *attachments = theirs if isinstance(theirs, list) else [theirs]
        if len(attachments) <= MAX_ATTACHMENTS:
            packet = decode(text.encode(), attachments)
            self.assertEqual((packet.type, packet.ackId, packet.arguments), (ACK, ackId, args))
        ours, parts = encodeAck(namespace, ackId, args)
        self.assertEqual(
            (json.loads(ours[ours.index(b"[") :]), list(parts)), (json.loads(text[text.index("[") :]), attachments)
        )

    @given(
        st.lists(
            st.one_of(
                st.text(max_size=4),
                st.sampled_from(
                    ["2", "5", "1-", "/a,", "/", "12", '["a"]', "[", "]", "{}", '{"_placeholder":true,"num":0}', ","]
                ),
            ),
        ),
        st.sampled_from([4, 5]),
        st.lists(st.binary(max_size=4), min_size=1),
    )
    def test_onlyOurOwnErrors(self, pieces: list[str], version: int, binary: list[bytes]) -> None:
        decoder = SocketDecoder(version, maxAttachments=20)
        try:
            packet = decoder.receiveText("".join(pieces))
            for attachment in cycle(binary):
                if packet is not None:
                    break
                packet = decoder.receiveBinary(attachment)
        except ProtocolError:
            return
        assert packet is not None
        text, attachments = encodePacket(packet)
        if len(attachments) <= MAX_ATTACHMENTS and packet.data is not None:
            again = decode(text, attachments, version)
            self.assertEqual((again.namespace, again.ackId, again.data), (packet.namespace, packet.ackId, packet.data))
