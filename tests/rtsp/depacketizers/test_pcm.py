"""Samples over RTP, and packets that nobody looks into."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import ProtocolError
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.pcm import MAX_CHANNELS, PCMDepacketizer
from realtime_tw.rtsp.depacketizers.raw import RawDepacketizer

#: The beginning of what ffmpeg sends for a sine in G.711 mu-law at 8 kHz, and in L16.
PCMU = bytes.fromhex("ffc8bab3afafb2b9c6ef4a3b332f2f32394467ccbcb4b0afb2b8c2df4d3c3530")
L16 = bytes.fromhex("000001ff03f805ee07b009620aee0c4e")


class PCMTests(SynchronousTestCase):
    def test_onePacketIsOneUnit(self) -> None:
        receiver = PCMDepacketizer(1, 8000)
        self.assertEqual((receiver.config, receiver.sampleRate, receiver.channels), (b"", 8000, 1))
        self.assertEqual(list(receiver.receive(PCMU, 160, False, False)), [AccessUnit(160, True, PCMU)])
        self.assertEqual(list(receiver.flush()), [])

    def test_lossIsAGap(self) -> None:
        receiver = PCMDepacketizer(1, 8000)
        self.assertEqual(list(receiver.receive(PCMU, 320, True, True)), [AccessUnit(320, True, PCMU)])
        self.assertEqual(receiver.discarded, 0)

    def test_wholeSamplesOfAllChannels(self) -> None:
        receiver = PCMDepacketizer(2, 44100, 2)
        self.assertEqual(list(receiver.receive(L16, 0, False, False)), [AccessUnit(0, True, L16)])
        for length in (13, 14, 15):
            self.assertEqual(list(receiver.receive(L16[:length], 0, False, False)), [])
        self.assertEqual(receiver.discarded, 3)

    def test_emptyIsNothing(self) -> None:
        receiver = PCMDepacketizer(1, 8000)
        self.assertEqual(list(receiver.receive(b"", 0, False, False)), [])
        self.assertEqual(receiver.discarded, 0)

    def test_badChannels(self) -> None:
        self.assertEqual(PCMDepacketizer(2, 48000, MAX_CHANNELS).channels, MAX_CHANNELS)
        for channels in (0, -1, MAX_CHANNELS + 1):
            with self.assertRaises(ProtocolError):
                PCMDepacketizer(2, 48000, channels)

    @given(st.binary(max_size=30), st.integers(1, 2), st.integers(1, 4))
    def test_anyBytes(self, payload: bytes, size: int, channels: int) -> None:
        receiver = PCMDepacketizer(size, 48000, channels)
        received = receiver.receive(payload, 5, False, False)
        self.assertEqual(bool(received), bool(payload) and len(payload) % (size * channels) == 0)


class RawTests(SynchronousTestCase):
    def test_packetsAsTheyAre(self) -> None:
        receiver = RawDepacketizer()
        packet = bytes.fromhex("80e00001000000a000000001") + b"payload"
        self.assertEqual(list(receiver.receive(packet, 160, True, True)), [AccessUnit(160, True, packet)])
        self.assertEqual(list(receiver.receive(b"", 0, False, False)), [])
        self.assertEqual(list(receiver.flush()), [])
        self.assertEqual((receiver.config, receiver.discarded), (b"", 0))
