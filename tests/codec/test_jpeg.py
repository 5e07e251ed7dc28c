"""The structure of JPEG files: one that ffmpeg made, others after T.81, and nonsense."""

from base64 import b64decode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.jpeg import EOI, MAX_SEGMENTS, SOI, JPEGInfo, parseJPEG
from realtime_tw.errors import LimitExceeded, ProtocolError

#: ffmpeg -f lavfi -i testsrc2=size=32x32 -c:v mjpeg -huffman default -pix_fmt yuvj420p -q:v 16
FILE = b64decode(
    "/9j/4AAQSkZJRgABAgAAAQABAAD//gAQTGF2YzU5LjM3LjEwMAD/2wBDAAggICYgJiwsLCwsLDQwNDY2NjQ0NDQ2NjY6OjpEREQ6Ojo2Njo6QE"
    "BEREpMSkZGREZMTFBQUGBgXFxwcHSKiqb/xAGiAAABBQEBAQEBAQAAAAAAAAAAAQIDBAUGBwgJCgsBAAMBAQEBAQEBAQEAAAAAAAABAgMEBQYH"
    "CAkKCxAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRk"
    "dISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi"
    "4+Tl5ufo6erx8vP09fb3+Pn6EQACAQIEBAMEBwUEBAABAncAAQIDEQQFITEGEkFRB2FxEyIygQgUQpGhscEJIzNS8BVictEKFiQ04SXxFxgZGi"
    "YnKCkqNTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqCg4SFhoeIiYqSk5SVlpeYmZqio6Slpqeoqaqys7S1tre4ubrCw8TF"
    "xsfIycrS09TV1tfY2dri4+Tl5ufo6ery8/T19vf4+fr/wAARCAAgACADASIAAhEAAxEA/9oADAMBAAIRAxEAPwDy472chewz24GOpJrsEnuVJA"
    "btnomMeucYxWShH71epOwhf7wXkgfh+NdACPL2Y+b72zPON2cZ9cfjXjYis6z96N1fRPW17Pr0+R7s6S9pq/h5rP52stOvr8jzT54mGeDjI6Hg"
    "jqD0NdNFNNkhW9zwvb6iq7nHkKMIwLHBP3NzZXJ+nrz61diOfOBw5JBwP4sNk4r6KVebjdt/e/5rX9Ou5xuCcJQb91626N2Tt6302Ocf/WH/AD"
    "2qytVn/wBYf89qsrXz/ReiJxH8d+r/ADZzg61rrWQOta619bI4H/Df9dj/2Q=="
)

SOF = bytes.fromhex("ffc0 0011 08 0030 0040 03 012200 021101 031101")
SOS = bytes.fromhex("ffda 000c 03 0100 0211 0311 003f00")


class JPEGTests(SynchronousTestCase):
    def test_fileOfFFmpeg(self) -> None:
        self.assertEqual(parseJPEG(FILE), JPEGInfo(32, 32, len(FILE)))

    def test_anythingShorterIsNotWhole(self) -> None:
        for length in range(len(FILE)):
            with self.assertRaises(ProtocolError):
                parseJPEG(FILE[:length])

    def test_whatFollows(self) -> None:
        self.assertEqual(parseJPEG(FILE + bytes(5)).size, len(FILE))
        self.assertEqual(parseJPEG(FILE + FILE).size, len(FILE))

    def test_stuffingAndRestartMarkersAreScan(self) -> None:
        scan = b"a\xff\x00b\xff\xd0c\xff\xd7d\xff\xff\xff"
        data = SOI + SOF + SOS + scan + EOI
        self.assertEqual(parseJPEG(data + b"x"), JPEGInfo(64, 48, len(data)))

    def test_severalScansOfAProgressiveFile(self) -> None:
        data = SOI + SOF.replace(b"\xff\xc0", b"\xff\xc2") + SOS + b"a" + b"\xff\xc4\x00\x02" + SOS + b"b" + EOI
        self.assertEqual(parseJPEG(data), JPEGInfo(64, 48, len(data)))

    def test_fillBytesBeforeAMarker(self) -> None:
        data = SOI + b"\xff\xff" + SOF + b"\xff" + SOS + b"a" + EOI
        self.assertEqual(parseJPEG(data), JPEGInfo(64, 48, len(data)))

    def test_nonsense(self) -> None:
        for data in (
            b"",
            EOI,
            SOI + EOI,
            SOI + SOF + EOI,
            SOI + SOS + b"a" + EOI,
            SOI + SOI + SOF + SOS + EOI,
            SOI + SOF + b"\xff\x00\x00\x02" + SOS + EOI,
            SOI + SOF + b"\xff\x01\x00\x02" + SOS + EOI,
            SOI + SOF + b"\xff\xd8\x00\x02" + SOS + EOI,
            SOI + SOF + b"\xff\xd0\x00\x02" + SOS + EOI,
            SOI + SOF + b"\x00" + SOS + EOI,
            SOI + SOF + b"\xff\xfe\x00\x01" + SOS + EOI,
            SOI + SOF + b"\xff\xfe\xff\xff" + SOS + EOI,
            SOI + b"\xff\xc0\x00\x07\x08\x00\x30\x00\x40" + SOS + EOI,
            SOI + SOF.replace(b"\x00\x30", b"\x00\x00") + SOS + EOI,
            SOI + SOF.replace(b"\x00\x40", b"\x00\x00") + SOS + EOI,
        ):
            with self.assertRaises(ProtocolError):
                parseJPEG(data)

    def test_tablesAreNoFrameHeaders(self) -> None:
        # DHT, JPG and DAC lie between the codes of frame headers.
        for code in (0xC4, 0xC8, 0xCC):
            other = bytes([0xFF, code]) + SOF[2:]
            with self.assertRaises(ProtocolError):
                parseJPEG(SOI + other + SOS + EOI)

    def test_endlessSegments(self) -> None:
        with self.assertRaises(LimitExceeded):
            parseJPEG(SOI + b"\xff\xfe\x00\x02" * MAX_SEGMENTS + SOF + SOS + EOI)

    @given(st.one_of(st.binary(), st.builds(bytes.__add__, st.sampled_from([SOI, SOI + SOF + SOS]), st.binary())))
    def test_nothingElseIsRaised(self, data: bytes) -> None:
        try:
            info = parseJPEG(data)
        except ProtocolError:
            return
        self.assertEqual(data[info.size - 2 : info.size], EOI)

    @given(st.integers(2, len(FILE) - 1), st.integers(0, 255))
    def test_oneByteChanged(self, place: int, value: int) -> None:
        try:
            parseJPEG(FILE[:place] + bytes([value]) + FILE[place + 1 :])
        except ProtocolError:
            return
