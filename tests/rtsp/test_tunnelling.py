"""The base64 of the HTTP tunnel: padding in the middle, any split, nothing but our own errors."""

import base64
import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import ProtocolError
from realtime_tw.rtsp.tunnelling import TunnelDecoder

#: What GStreamer's rtspclientsink posts first, and the request it stands for.
GSTREAMER = (
    b"T1BUSU9OUyBydHNwOi8vMTI3LjAuMC4xOjI4NjEyL2xpdmUgUlRTUC8xLjANCkNTZXE6IDENClVzZXItQWdlbnQ6IEdTdHJlYW1lci8xLjIyLjAN"
    b"CkRhdGU6IFN1biwgMjIgTm92IDIwMjYgMjE6MTk6NTYgR01UDQoNCg=="
)
GSTREAMER_TEXT = (
    b"OPTIONS rtsp://127.0.0.1:28612/live RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: GStreamer/1.22.0\r\n"
    b"Date: Sun, 22 Nov 2026 21:19:56 GMT\r\n\r\n"
)


def decode(pieces: list[bytes]) -> tuple[bytes, bool]:
    """What was decoded, and whether an error followed."""
    decoder = TunnelDecoder()
    found = b""
    try:
        for piece in pieces:
            found += decoder.receive(piece)
        found += decoder.receive(b"")
    except ProtocolError:
        return found, True
    return found, False


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data, cut at these places."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(places)]


class DecoderTests(SynchronousTestCase):
    def test_examplesOfTheStandard(self) -> None:
        # RFC 4648, section 10.
        for text, data in (
            (b"", b""),
            (b"Zg==", b"f"),
            (b"Zm8=", b"fo"),
            (b"Zm9v", b"foo"),
            (b"Zm9vYg==", b"foob"),
            (b"Zm9vYmE=", b"fooba"),
            (b"Zm9vYmFy", b"foobar"),
        ):
            self.assertEqual(decode([text]), (data, False))

    def test_whatGStreamerPosts(self) -> None:
        self.assertEqual(decode([GSTREAMER]), (GSTREAMER_TEXT, False))
        self.assertEqual(decode([GSTREAMER * 2]), (GSTREAMER_TEXT * 2, False))

    def test_paddingInTheMiddle(self) -> None:
        self.assertEqual(decode([b"Zg==Zm8=Zm9vZg=="]), (b"ffofoof", False))

    def test_whiteSpaceAnywhere(self) -> None:
        self.assertEqual(decode([b"\r\nZ g\t=\r\n=\r\nZm8\n= "]), (b"ffo", False))

    def test_aGroupIsGivenAsSoonAsItIsComplete(self) -> None:
        decoder = TunnelDecoder()
        self.assertEqual(decoder.receive(b"Zm9vZg="), b"foo")
        self.assertEqual(decoder.receive(b"="), b"f")
        self.assertEqual(decoder.receive(b"Zm"), b"")
        self.assertEqual(decoder.receive(b"9vZ"), b"foo")

    def test_refused(self) -> None:
        for bad in (
            b"=",
            b"Z=",
            b"Z===",
            b"Zg=a",
            b"Zg=a====",
            b"Zg===",
            b"Zm8==",
            b"Zm9v=",
            b"Zm9-",
            b"Zm9_",
            b"!",
            b"Z!",
            b"Zg!",
            b"Zg=!",
            b"Zg\0=",
            b"\x0b",
            b"Z\xe9",
            b"$\0\0\0",
        ):
            self.assertTrue(decode([bad])[1], bad)
            self.assertTrue(decode([bytes([byte]) for byte in bad])[1], bad)

    def test_whatIsDecodedComesBeforeTheError(self) -> None:
        decoder = TunnelDecoder()
        self.assertEqual(decoder.receive(b"Zm9vZg==Zm!"), b"foof")
        self.assertIsNotNone(decoder.error)
        for data in (b"", b"Zm9v"):
            with self.assertRaises(ProtocolError) as caught:
                decoder.receive(data)
            self.assertEqual(caught.exception.status, 400)

    def test_withNothingBeforeItTheErrorIsRaisedAtOnce(self) -> None:
        with self.assertRaises(ProtocolError):
            TunnelDecoder().receive(b"Zm!")

    @given(st.lists(st.binary(max_size=20)), st.sampled_from([b"", b"\r\n", b" "]), st.lists(st.integers(0, 10**4)))
    def test_eachRequestOnItsOwn(self, requests: list[bytes], between: bytes, cuts: list[int]) -> None:
        wire = between.join(map(base64.b64encode, requests))
        self.assertEqual(decode(split(wire, cuts)), (b"".join(requests), False))

    @given(
        st.lists(st.sampled_from([b"Z", b"g", b"=", b"==", b"Zm9v", b"+/", b"\n", b"!", b"\0"])),
        st.lists(st.integers(0, 10**4)),
    )
    def test_anySplit(self, parts: list[bytes], cuts: list[int]) -> None:
        wire = b"".join(parts)
        whole = decode([wire])
        self.assertEqual(decode(split(wire, cuts)), whole)
        self.assertEqual(decode([bytes([byte]) for byte in wire]), whole)

    @given(st.binary())
    def test_onlyOurOwnErrors(self, data: bytes) -> None:
        found, _ = decode([data])
        self.assertTrue(len(found) * 4 <= len(data) * 3)

    def test_timeIsProportionalToTheBytes(self) -> None:
        # Quadratic, this takes minutes.
        begin = time.perf_counter()
        self.assertEqual(decode([b"Zg==" * 100000]), (b"f" * 100000, False))
        self.assertEqual(decode([b"Z \n" * 400000]), (base64.b64decode(b"ZZZZ") * 100000, False))
        self.assertEqual(decode([b"Z"] * 40000), (base64.b64decode(b"ZZZZ") * 10000, False))
        self.assertTrue(time.perf_counter() - begin < 20)
