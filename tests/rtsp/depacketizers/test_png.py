"""PNG from packets: any division of files that ffmpeg and this test made, loss, and nonsense."""

import zlib
from base64 import b64decode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.png import SIGNATURE
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.base import MAX_FRAME
from realtime_tw.rtsp.depacketizers.png import PNGDepacketizer
from tests.rtsp.videopacketizers import STEP, Packet, damaged, deliver, flood, losses, noise, pngPackets

#: ffmpeg -f lavfi -i testsrc2=size=16x8
FILE = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAICAIAAAB/FOjAAAAACXBIWXMAAAABAAAAAQBPJcTWAAAAb0lEQVR4nGP4y8AARwz/QOjvXxCCcsAIKA"
    "ZEDP//gxCZGuzACELZ2oIQTAyEwAK2DHZ2IDTINSgbgtCzNnEgetxkAkRSDDxA5M/AB0S3OrWACF3D1MVhQNVtagxBDAxADau75kI0nK3pAarO"
    "l2MAAB4GYvE+ijIPAAAAAElFTkSuQmCC"
)


def chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


def png(data: bytes, width: int = 640, height: int = 480) -> bytes:
    """A file of two picture chunks."""
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    half = len(data) // 2
    chunks = [chunk(b"IHDR", header), chunk(b"IDAT", data[:half]), chunk(b"IDAT", data[half:]), chunk(b"IEND", b"")]
    return SIGNATURE + b"".join(chunks)


class PNGDepacketizerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.receiver = PNGDepacketizer()

    def test_anyDivision(self) -> None:
        for size in range(1, len(FILE) + 1):
            units = deliver(self.receiver, pngPackets(FILE, size, size))
            self.assertEqual(units, [AccessUnit(size, True, FILE)])
        self.assertEqual((self.receiver.width, self.receiver.height), (16, 8))
        self.assertEqual((self.receiver.discarded, self.receiver.config), (0, b""))

    def test_imagesOfManyPackets(self) -> None:
        # A defect of the predecessor: it compared every packet with the time of the image before.
        files = [png(bytes(5000)), png(bytes(3000), 320, 240)]
        packets = [packet for number, file in enumerate(files) for packet in pngPackets(file, number, 1000)]
        self.assertEqual([unit.data for unit in deliver(self.receiver, packets)], files)
        self.assertEqual((self.receiver.width, self.receiver.height), (320, 240))

    def test_lostMarkerIsSeenByTheTime(self) -> None:
        packets = [packet._replace(marker=False) for packet in pngPackets(FILE, 0, 50) + pngPackets(FILE, 1, 50)]
        self.assertEqual(deliver(self.receiver, packets), [AccessUnit(0, True, FILE)])
        self.assertEqual(self.receiver.flush(), (AccessUnit(1, True, FILE),))
        self.assertEqual(self.receiver.flush(), ())

    def test_lostMarkerAndAnImageInOnePacket(self) -> None:
        packets = [packet._replace(marker=False) for packet in pngPackets(FILE, 0, 50)] + pngPackets(FILE, 1)
        self.assertEqual(deliver(self.receiver, packets), [AccessUnit(0, True, FILE), AccessUnit(1, True, FILE)])

    def test_imageThatIsNotWhole(self) -> None:
        for marker in (True, False):
            receiver = PNGDepacketizer()
            deliver(receiver, [Packet(FILE[:-1], 0, marker)])
            self.assertEqual(deliver(receiver, pngPackets(FILE, 1)), [AccessUnit(1, True, FILE)])
            self.assertEqual(receiver.discarded, 1)

    def test_flushGivesUpWhatIsCut(self) -> None:
        deliver(self.receiver, pngPackets(FILE, 0, 50)[:-1])
        self.assertEqual((self.receiver.flush(), self.receiver.discarded), ((), 1))

    def test_whatFollowsTheFileIsCutOff(self) -> None:
        self.assertEqual(deliver(self.receiver, [Packet(FILE + bytes(3), 0, True)]), [AccessUnit(0, True, FILE)])

    def test_emptyPacketsMeanNothing(self) -> None:
        packets = pngPackets(FILE, 0, 50)
        packets[1:1] = [Packet(b"", 0, False)]
        self.assertEqual(deliver(self.receiver, packets), [AccessUnit(0, True, FILE)])

    def test_endlessImage(self) -> None:
        flood(PNGDepacketizer, SIGNATURE, lambda _: b"a", MAX_FRAME // 64)

    def test_largeImages(self) -> None:
        file = png(bytes(15_000_000))
        for time in (1, 2):
            self.assertEqual(len(deliver(self.receiver, pngPackets(file, time, 1400))), 1)
        self.assertEqual(deliver(self.receiver, pngPackets(png(bytes(17_000_000)), 3, 1400)), [])
        self.assertEqual(self.receiver.discarded, 1)

    def test_lossOfTheBeginning(self) -> None:
        [_, packet, *rest] = pngPackets(FILE, 0, 50)
        self.assertEqual(self.receiver.receive(*packet, True), ())
        self.assertEqual(deliver(self.receiver, rest), [])
        self.assertEqual(self.receiver.discarded, 0)

    @given(st.lists(st.tuples(st.integers(0, 300), st.integers(20, 100)), max_size=8), losses)
    def test_anyLossLeavesTheOtherImages(self, made: list[tuple[int, int]], missing: set[int]) -> None:
        packets: list[Packet] = []
        expected = []
        for number, (length, size) in enumerate(made):
            file = png(bytes([number]) * length, number + 1, number + 2)
            added = pngPackets(file, number * STEP, size)
            if missing.isdisjoint(range(len(packets), len(packets) + len(added))):
                expected.append(AccessUnit(number * STEP, True, file))
            packets += added
        self.assertEqual(damaged(PNGDepacketizer(), packets, missing), expected)

    @given(noise([SIGNATURE, FILE, FILE[:33], b"\x89"]))
    def test_nothingIsRaised(self, packets: list[tuple[Packet, bool]]) -> None:
        receiver = PNGDepacketizer()
        for packet, lost in packets:
            receiver.receive(*packet, lost)
        receiver.flush()
