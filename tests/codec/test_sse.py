"""The event stream format, against a reader written from the standard."""

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.sse import encodeComment, encodeEvent, encodeRetry


def readEvents(stream: bytes) -> list[tuple[bytes, bytes]]:
    """(type, data) of every event: WHATWG HTML, section 9.2.6."""
    events: list[tuple[bytes, bytes]] = []
    kind, data = b"", b""
    for line in re.split(rb"\r\n|\n|\r", stream):
        if not line:
            if data:
                events.append((kind or b"message", data[:-1]))
            kind, data = b"", b""
            continue
        if line.startswith(b":"):
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            kind = value
        elif field == b"data":
            data += value + b"\n"
    return events


class EventTests(SynchronousTestCase):
    def test_exactBytes(self) -> None:
        self.assertEqual(encodeEvent(b"hello"), b"data: hello\n\n")
        self.assertEqual(encodeEvent(b"hello", b"news"), b"event: news\ndata: hello\n\n")
        self.assertEqual(encodeEvent(b""), b"data: \n\n")
        self.assertEqual(encodeRetry(3000), b"retry: 3000\n\n")
        self.assertEqual(encodeComment(b"a\nb"), b": a\n: b\n\n")

    def test_everyKindOfLineEnd(self) -> None:
        self.assertEqual(encodeEvent(b"a\nb\r\nc\rd\n"), b"data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n")

    def test_aLeadingBlankSurvives(self) -> None:
        self.assertEqual(readEvents(encodeEvent(b" x")), [(b"message", b" x")])

    def test_nothingIsSmuggledInByAChannelName(self) -> None:
        for name in (b"a\ndata: x\n\n", b"a\rdata: x\r\r", b"a\r\ndata: x"):
            self.assertEqual(readEvents(encodeEvent(b"y", name)), [(b"a", b"y")])

    @given(st.lists(st.tuples(st.binary(), st.binary())))
    def test_roundTrip(self, messages: list[tuple[bytes, bytes]]) -> None:
        stream = b": ok\n\n" + b"".join(encodeEvent(data, kind) for kind, data in messages)
        expected = []
        for kind, data in messages:
            name = re.split(rb"[\r\n]", kind, maxsplit=1)[0]
            expected.append((name or b"message", re.sub(rb"\r\n|\r", b"\n", data)))
        self.assertEqual(readEvents(stream), expected)
