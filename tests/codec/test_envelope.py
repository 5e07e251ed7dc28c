"""The envelope: exact bytes, round trips, and nothing but our own error."""

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.envelope import (
    MAGIC,
    SourceEnd,
    SourceFrame,
    decode,
    encodeEnd,
    encodeFrame,
    encodeTracks,
    isEnvelope,
)
from realtime_tw.errors import ProtocolError
from realtime_tw.media import Codec, Frame, Kind, Track, Tracks

signed = st.integers(-(1 << 63), (1 << 63) - 1)
count = st.integers(0, 1 << 32)

frames = st.builds(Frame, st.integers(1, 255), signed, signed, st.booleans(), st.binary(max_size=50))
tracks = st.builds(
    Track,
    st.integers(1, 255),
    st.sampled_from(Kind),
    st.sampled_from(Codec),
    st.integers(1, 1 << 32),
    st.binary(max_size=20),
    count,
    count,
    count,
    count,
    st.text(max_size=5),
)


class EnvelopeTests(SynchronousTestCase):
    def test_aFrame(self) -> None:
        encoded = encodeFrame(0xDEADBEEF, Frame(2, 90000, -1, True, b"data"))
        self.assertEqual(
            encoded,
            bytes.fromhex("ff525401 02 02 01 00 deadbeef 0000000000015f90 ffffffffffffffff") + b"data",
        )
        self.assertTrue(isEnvelope(encoded))
        self.assertEqual(encodeFrame(0, Frame(2, 0, 0, False, b""))[6], 0)

    def test_tracks(self) -> None:
        video = Track(1, Kind.VIDEO, Codec.H264, 90000, b"\x01\x64", 320, 240)
        encoded = encodeTracks(Tracks((video,), 7, 1700000000000))
        self.assertEqual(encoded[:12], bytes.fromhex("ff525401 01 00 00 00 00000007"))
        described = {
            "epoch": 1700000000000,
            "tracks": [
                {
                    "id": 1,
                    "kind": "video",
                    "codec": "h264",
                    "clockRate": 90000,
                    "width": 320,
                    "height": 240,
                    "config": "AWQ=",
                }
            ],
        }
        self.assertEqual(json.loads(encoded[12:]), described)

    def test_theEnd(self) -> None:
        self.assertEqual(encodeEnd(1), bytes.fromhex("ff525401 03 00 00 00 00000001"))
        self.assertEqual(decode(encodeEnd(1)), SourceEnd(1))

    def test_nothingElseLooksLikeIt(self) -> None:
        for other in (
            b"",
            b"\xff",
            b"\xff\xd8\xff\xe0",
            b"\x89PNG\r\n\x1a\n",
            b"\x1a\x45\xdf\xa3",
            b"text",
            b"\xffRT\x02",
        ):
            self.assertFalse(isEnvelope(other))

    def test_unknownTypesAreNothing(self) -> None:
        self.assertIsNone(decode(MAGIC + b"\x09" + bytes(20)))

    def test_damage(self) -> None:
        whole = encodeTracks(Tracks((Track(1, Kind.AUDIO, Codec.OPUS, 48000),)))
        for bad in (
            MAGIC,
            encodeFrame(0, Frame(1, 0, 0, True, b""))[:-1],
            whole[:-1],
            whole.replace(b'"id":1', b'"id":0'),
            whole.replace(b'"id":1', b'"id":"1"'),
            whole.replace(b"48000", b"0"),
            whole.replace(b"opus", b"opium"),
            whole.replace(b'"tracks":[', b'"tracks":[1,'),
            whole[:12] + b"[" * 100_000,
            whole[:12] + b'{"tracks": {}}',
            whole[:12] + b"\xff",
        ):
            self.assertRaises(ProtocolError, decode, bad)

    @given(st.integers(0, 0xFFFFFFFF), frames)
    def test_framesRoundTrip(self, source: int, frame: Frame) -> None:
        self.assertEqual(decode(encodeFrame(source, frame)), SourceFrame(source, frame))

    @given(st.builds(Tracks, st.lists(tracks, max_size=4).map(tuple), st.integers(0, 0xFFFFFFFF), count))
    def test_tracksRoundTrip(self, described: Tracks) -> None:
        self.assertEqual(decode(encodeTracks(described)), described)

    @given(st.binary(max_size=60))
    def test_onlyOurOwnError(self, rest: bytes) -> None:
        with contextlib.suppress(ProtocolError):
            decode(MAGIC + rest)
