"""Opus over RTP: one packet is one packet."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.opus import buildHead
from realtime_tw.media import AccessUnit
from realtime_tw.rtsp.depacketizers.opus import OpusDepacketizer

#: libopus by ffmpeg, mono, and by GStreamer, hybrid mode.
FFMPEG = bytes.fromhex("0808acb30ec6")
GSTREAMER = bytes.fromhex("780bf234501e8469c11d87c51068")


class OpusTests(SynchronousTestCase):
    def test_onePacketIsOneUnit(self) -> None:
        receiver = OpusDepacketizer({})
        # The marker begins a talk spurt; it ends nothing.
        self.assertEqual(list(receiver.receive(FFMPEG, 960, False, False)), [AccessUnit(960, True, FFMPEG)])
        self.assertEqual(list(receiver.receive(GSTREAMER, 1920, True, False)), [AccessUnit(1920, True, GSTREAMER)])
        self.assertEqual(list(receiver.flush()), [])
        self.assertEqual(receiver.discarded, 0)

    def test_lossIsAGap(self) -> None:
        self.assertEqual(len(OpusDepacketizer({}).receive(FFMPEG, 5, False, True)), 1)

    def test_channelsOfTheSDP(self) -> None:
        for parameters, channels in (
            ({}, 1),
            ({"sprop-stereo": "0"}, 1),
            ({"Sprop-Stereo": " 1"}, 2),
            ({"stereo": "1"}, 1),
        ):
            receiver = OpusDepacketizer(parameters)
            self.assertEqual((receiver.channels, receiver.sampleRate), (channels, 48000))
            self.assertEqual(receiver.config, buildHead(channels))

    def test_stereoPacketsCorrectAnSDPThatSaysNothing(self) -> None:
        receiver = OpusDepacketizer({})
        receiver.receive(FFMPEG, 0, False, False)
        self.assertEqual(receiver.channels, 1)
        receiver.receive(b"\x0c" + FFMPEG[1:], 0, False, False)
        self.assertEqual((receiver.channels, receiver.config), (2, buildHead(2)))
        receiver.receive(FFMPEG, 0, False, False)
        self.assertEqual(receiver.channels, 2)

    def test_emptyIsAPause(self) -> None:
        receiver = OpusDepacketizer({})
        self.assertEqual(list(receiver.receive(b"", 0, False, False)), [])
        self.assertEqual(receiver.discarded, 0)

    def test_malformedOrTooLong(self) -> None:
        # Three frames of 60 ms; an odd half; no count; a frame of 1276 bytes.
        for payload in (b"\x1b\x03", b"\x09aab", b"\x0b", b"\x08" + bytes(1276)):
            receiver = OpusDepacketizer({})
            self.assertEqual(list(receiver.receive(payload, 0, False, False)), [])
            self.assertEqual(receiver.discarded, 1)
        # A malformed one does not change the channels.
        receiver = OpusDepacketizer({})
        receiver.receive(b"\x0daab", 0, False, False)
        self.assertEqual(receiver.channels, 1)

    def test_severalFramesInAPacket(self) -> None:
        self.assertEqual(len(OpusDepacketizer({}).receive(b"\x1b\x02ab", 0, False, False)), 1)

    @given(st.binary(max_size=60))
    def test_nothingIsRaised(self, payload: bytes) -> None:
        receiver = OpusDepacketizer({})
        received = receiver.receive(payload, 7, False, False)
        self.assertEqual(len(received) + receiver.discarded, bool(payload))
