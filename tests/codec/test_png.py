"""The structure of PNG files: one that ffmpeg made, others after the standard, and nonsense."""

from base64 import b64decode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.png import MAX_CHUNKS, SIGNATURE, PNGInfo, parsePNG
from realtime_tw.errors import LimitExceeded, ProtocolError

#: ffmpeg -f lavfi -i testsrc2=size=16x8
FILE = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAICAIAAAB/FOjAAAAACXBIWXMAAAABAAAAAQBPJcTWAAAAb0lEQVR4nGP4y8AARwz/QOjvXxCCcsAIKA"
    "ZEDP//gxCZGuzACELZ2oIQTAyEwAK2DHZ2IDTINSgbgtCzNnEgetxkAkRSDDxA5M/AB0S3OrWACF3D1MVhQNVtagxBDAxADau75kI0nK3pAarO"
    "l2MAAB4GYvE+ijIPAAAAAElFTkSuQmCC"
)
HEAD = FILE[:33]


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + b"\0\0\0\0"


class PNGTests(SynchronousTestCase):
    def test_fileOfFFmpeg(self) -> None:
        self.assertEqual(parsePNG(FILE), PNGInfo(16, 8, len(FILE)))

    def test_anythingShorterIsNotWhole(self) -> None:
        for length in range(len(FILE)):
            with self.assertRaises(ProtocolError):
                parsePNG(FILE[:length])

    def test_whatFollows(self) -> None:
        self.assertEqual(parsePNG(FILE + bytes(20)).size, len(FILE))

    def test_severalPictureChunksAndOthers(self) -> None:
        data = HEAD + chunk(b"tEXt", b"a") + chunk(b"IDAT", b"bc") + chunk(b"IDAT") + chunk(b"IEND")
        self.assertEqual(parsePNG(data), PNGInfo(16, 8, len(data)))

    def test_nonsense(self) -> None:
        end = chunk(b"IDAT", b"a") + chunk(b"IEND")
        for data in (
            b"",
            b"\x89PNG\n\n\x1a\n" + FILE[8:],
            SIGNATURE + FILE,
            HEAD + chunk(b"IEND"),
            HEAD + chunk(b"IDAT", b"a") + chunk(b"IEND", b"a"),
            HEAD[:16] + b"\0\0\0\0" + HEAD[20:] + end,
            HEAD[:20] + b"\0\0\0\0" + HEAD[24:] + end,
            HEAD[:16] + b"\x80\0\0\0" + HEAD[20:] + end,
            HEAD[:20] + b"\x80\0\0\0" + HEAD[24:] + end,
            HEAD[:11] + b"\x0c" + HEAD[12:] + end,
            HEAD[:12] + b"IDAT" + HEAD[16:] + end,
            HEAD + b"\xff\xff\xff\xff" + end[4:],
        ):
            with self.assertRaises(ProtocolError):
                parsePNG(data)

    def test_endlessChunks(self) -> None:
        with self.assertRaises(LimitExceeded):
            parsePNG(HEAD + chunk(b"IDAT") * MAX_CHUNKS + chunk(b"IEND"))

    @given(st.one_of(st.binary(), st.builds(bytes.__add__, st.sampled_from([SIGNATURE, HEAD]), st.binary())))
    def test_nothingElseIsRaised(self, data: bytes) -> None:
        try:
            info = parsePNG(data)
        except ProtocolError:
            return
        self.assertTrue(info.size <= len(data))

    @given(st.integers(8, len(FILE) - 1), st.integers(0, 255))
    def test_oneByteChanged(self, place: int, value: int) -> None:
        try:
            parsePNG(FILE[:place] + bytes([value]) + FILE[place + 1 :])
        except ProtocolError:
            return
