"""Bits of headers: the codes of the standards' table, every alignment, and a writer that works digit by digit."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.bits import BitReader, unescape
from realtime_tw.errors import ProtocolError
from tests.rtsp.packetizers import escape


def packed(digits: str) -> bytes:
    """Binary digits, filled up with zeros."""
    digits += "0" * (-len(digits) % 8)
    return bytes(int(digits[at : at + 8], 2) for at in range(0, len(digits), 8))


def expGolomb(value: int) -> str:
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits


class BitReaderTests(SynchronousTestCase):
    def test_codesOfTheStandard(self) -> None:
        # H.264, tables 9-2 and 9-3.
        codes = ["1", "010", "011", "00100", "00101", "00110", "00111", "0001000", "0001001", "0001010"]
        self.assertEqual([BitReader(packed(code)).ue() for code in codes], list(range(10)))
        self.assertEqual([BitReader(packed(code)).se() for code in codes[:7]], [0, 1, -1, 2, -2, 3, -3])

    def test_largestCode(self) -> None:
        for offset in range(8):
            reader = BitReader(packed("0" * offset + expGolomb(2**32 - 2)))
            reader.skip(offset)
            self.assertEqual(reader.ue(), 2**32 - 2)
            self.assertEqual(reader.position, offset + 63)

    def test_codeTooLong(self) -> None:
        for digits in ("0" * 32 + "1" + "0" * 32, "0" * 500):
            with self.assertRaises(ProtocolError):
                BitReader(packed(digits)).ue()

    def test_valueAboveTheLimit(self) -> None:
        self.assertEqual(BitReader(packed(expGolomb(16))).ue(16), 16)
        with self.assertRaises(ProtocolError):
            BitReader(packed(expGolomb(17))).ue(16)

    def test_endOfData(self) -> None:
        for call in (
            lambda reader: reader.bits(9),
            lambda reader: reader.skip(9),
            lambda reader: [reader.flag() for _ in range(9)],
            # A code whose zeros are there and whose end is not.
            lambda reader: [reader.skip(1), reader.ue()],
        ):
            with self.assertRaises(ProtocolError):
                call(BitReader(b"\x04"))
        with self.assertRaises(ProtocolError):
            BitReader(b"").ue()

    def test_nothingIsReadBeyondTheEnd(self) -> None:
        reader = BitReader(b"\xff")
        self.assertEqual((reader.bits(0), reader.bits(8), reader.left), (0, 255, 0))

    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("ue"), st.integers(0, 2**32 - 2)),
                st.tuples(st.just("se"), st.integers(-(2**31) + 1, 2**31 - 1)),
                st.tuples(st.just("flag"), st.booleans()),
                st.integers(1, 70).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, 2**n - 1))),
            )
        )
    )
    def test_everyMixture(self, items: list[tuple[str | int, int]]) -> None:
        digits = ""
        for kind, value in items:
            if isinstance(kind, int):
                digits += f"{value:0{kind}b}"
            elif kind == "flag":
                digits += "01"[value]
            else:
                digits += expGolomb(value if kind == "ue" else 2 * value - 1 if value > 0 else -2 * value)
        reader = BitReader(packed(digits))
        for kind, value in items:
            self.assertEqual(reader.bits(kind) if isinstance(kind, int) else getattr(reader, kind)(), value)
        self.assertEqual(reader.position, len(digits))
        self.assertEqual(reader.left, -len(digits) % 8)


class UnescapeTests(SynchronousTestCase):
    def test_emulationPrevention(self) -> None:
        # H.264, 7.4.1: the four sequences that are protected, and one three that follows nothing.
        for last in range(4):
            self.assertEqual(unescape(bytes((7, 0, 0, 3, last, 9))), bytes((7, 0, 0, last, 9)))
        self.assertEqual(unescape(b"\0\3\0\3\3"), b"\0\3\0\3\3")

    def test_twiceInARow(self) -> None:
        self.assertEqual(unescape(b"\0\0\3\0\0\3\1"), b"\0\0\0\0\1")
        self.assertEqual(unescape(b"\0\0\3\3"), b"\0\0\3")

    @given(st.lists(st.sampled_from((0, 0, 0, 1, 2, 3, 4, 255)), max_size=60).map(bytes))
    def test_roundTrip(self, content: bytes) -> None:
        content += b"\x80"
        escaped = escape(content)
        for forbidden in (b"\0\0\0", b"\0\0\1", b"\0\0\2"):
            self.assertNotIn(forbidden, escaped)
        self.assertEqual(unescape(escaped), content)
