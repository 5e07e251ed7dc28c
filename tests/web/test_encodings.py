"""What goes over the wire for a batch of messages."""

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from realtime_tw.interfaces import IEncoding
from realtime_tw.model import Message
from realtime_tw.web.encodings import RECONNECT_SPREAD, ChunkedEncoding, SSEEncoding, StreamEncoding

BATCH = [Message(b"a", b"1"), Message(b"b", b"2\n3")]


class EncodingTests(SynchronousTestCase):
    def test_exactBytes(self) -> None:
        for encoding, expected in (
            (SSEEncoding(), b"data: 1\n\ndata: 2\ndata: 3\n\n"),
            (SSEEncoding(named=True), b"event: a\ndata: 1\n\nevent: b\ndata: 2\ndata: 3\n\n"),
            (SSEEncoding(raw=True), b"12\n3"),
            (StreamEncoding(), b"12\n3"),
            (StreamEncoding(b"<", b">"), b"<1><2\n3>"),
            (ChunkedEncoding(StreamEncoding(b"<", b">")), b"8\r\n<1><2\n3>\r\n"),
        ):
            self.assertEqual(encoding.encode(BATCH), expected)
            verifyObject(IEncoding, encoding)

    def test_equalOnesAreInterchangeable(self) -> None:
        self.assertEqual(ChunkedEncoding(SSEEncoding()), ChunkedEncoding(SSEEncoding()))
        self.assertEqual(len({SSEEncoding(), SSEEncoding(), SSEEncoding(True), StreamEncoding()}), 3)

    def test_framing(self) -> None:
        self.assertEqual(ChunkedEncoding(SSEEncoding()).frame(b"abc"), b"3\r\nabc\r\n")
        self.assertEqual(SSEEncoding().frame(b"abc") + StreamEncoding().frame(b"d"), b"abcd")
        self.assertEqual(ChunkedEncoding(SSEEncoding()).heartbeat, b"3\r\n:\n\n\r\n")
        self.assertEqual(ChunkedEncoding(StreamEncoding()).heartbeat, b"")

    def test_farewells(self) -> None:
        self.assertEqual(ChunkedEncoding(StreamEncoding()).farewell(), b"0\r\n\r\n")
        self.assertEqual(SSEEncoding(raw=True).farewell() + StreamEncoding().farewell(), b"")
        delays = set()
        for _ in range(50):
            line = SSEEncoding().farewell()
            self.assertTrue(line.startswith(b"retry: ") and line.endswith(b"\n\n"))
            delays.add(int(line[7:]))
        self.assertTrue(RECONNECT_SPREAD[0] <= min(delays) < max(delays) < RECONNECT_SPREAD[1])
