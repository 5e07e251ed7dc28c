"""The chunked coding: borders kept, limits, nothing but our own errors."""

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.chunked import (
    LAST_CHUNK,
    MAX_LINE,
    MAX_TRAILER,
    BodyEnd,
    ChunkData,
    ChunkedDecoder,
    encodeChunk,
)
from realtime_tw.errors import ProtocolError


def decode(pieces: list[bytes]) -> tuple[list[bytes], bytes | None]:
    """The chunks, and what followed the body; None when it did not end."""
    decoder = ChunkedDecoder()
    chunks: list[bytes] = []
    chunk = b""
    for piece in pieces:
        for event in decoder.receive(piece):
            if isinstance(event, BodyEnd):
                return chunks, event.rest
            chunk += event.data
            if event.last:
                chunks.append(chunk)
                chunk = b""
        if decoder.error is not None:
            raise decoder.error
    return chunks, None


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data, cut at these places."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(places)]


class DecoderTests(SynchronousTestCase):
    def test_bordersAreKept(self) -> None:
        self.assertEqual(decode([b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nGET"]), ([b"abc", b"de"], b"GET"))

    def test_piecesOfAChunkAsTheyCome(self) -> None:
        decoder = ChunkedDecoder()
        self.assertEqual(decoder.receive(b"5\r\nab"), [ChunkData(b"ab", False)])
        self.assertEqual(decoder.receive(b"cde\r\n"), [ChunkData(b"cde", True)])

    def test_whatIsCompleteComesBeforeTheError(self) -> None:
        decoder = ChunkedDecoder()
        self.assertEqual(decoder.receive(b"1\r\na\r\nx\r\n"), [ChunkData(b"a", True)])
        self.assertIsNotNone(decoder.error)
        with self.assertRaises(ProtocolError):
            decoder.receive(b"")

    def test_trailersAreSkipped(self) -> None:
        self.assertEqual(decode([b"0\r\nA: b\r\nC: d\r\n\r\nrest"]), ([], b"rest"))

    def test_refused(self) -> None:
        for bad in (
            b"\r\n",
            b"x\r\n",
            b"-1\r\n",
            b"+1\r\n",
            b"0x1\r\n",
            b" 1\r\n",
            b"1_0\r\n",
            b"1" * 17 + b"\r\n",
            b"3\r\nabcd\r\n",
            b"3\r\nabc\n",
            b"1;\n\r\n",
            b"1;a\0\r\n",
            b"1" + b" " * MAX_LINE + b"\r\n",
            b"0\r\n" + b"a: b\r\n" * MAX_TRAILER,
            b"f" * (MAX_LINE + 2),
        ):
            with self.assertRaises(ProtocolError, msg=bad[:40]):
                decode([bad])

    def test_nothingAfterTheEnd(self) -> None:
        decoder = ChunkedDecoder()
        decoder.receive(LAST_CHUNK)
        with self.assertRaises(ProtocolError):
            decoder.receive(b"x")

    def test_aLongLineInManyPiecesIsNotSearchedAgain(self) -> None:
        decoder = ChunkedDecoder()
        for _ in range(MAX_LINE - 10):
            self.assertEqual(decoder.receive(b"0"), [])
        with self.assertRaises(ProtocolError):
            decoder.receive(b"\r\n")

    @given(st.lists(st.binary(min_size=1)), st.lists(st.integers(0, 10**6)))
    def test_roundTripForAnySplit(self, chunks: list[bytes], cuts: list[int]) -> None:
        wire = b"".join(map(encodeChunk, chunks)) + LAST_CHUNK + b"next"
        got, rest = decode(split(wire, cuts))
        self.assertEqual(got, chunks)
        self.assertIsNotNone(rest)

    @given(
        st.lists(st.one_of(st.binary(), st.sampled_from([b"1\r\n", b"a\r\n", b"0\r\n", b"\r\n", b"x", b";", b"\r"]))),
    )
    def test_onlyOurOwnErrors(self, pieces: list[bytes]) -> None:
        try:
            whole = decode([b"".join(pieces)])
        except ProtocolError:
            with self.assertRaises(ProtocolError):
                decode(pieces)
            return
        chunks, rest = decode(pieces)
        self.assertEqual((chunks, rest is None), (whole[0], whole[1] is None))

    def test_emptyDataIsNoChunk(self) -> None:
        self.assertEqual(encodeChunk(b""), b"")
        self.assertEqual(encodeChunk(b"x" * 16), b"10\r\n" + b"x" * 16 + b"\r\n")
        self.assertIsNone(re.search(rb"[A-F]", encodeChunk(b"x" * 171)[:2]))
