"""AudioSpecificConfig and ADTS: bytes made by encoders and by hand after the standard, and nonsense."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.aac import (
    PS,
    SAMPLE_RATES,
    SBR,
    AudioSpecificConfig,
    adtsHeader,
    buildConfig,
    parseADTS,
    parseConfig,
)
from realtime_tw.errors import ProtocolError

LC = AudioSpecificConfig(2, 48000, 2, 2)


def bitString(*fields: str) -> bytes:
    """Bits written as digits; filled up with zeros."""
    text = "".join(fields).replace(" ", "")
    return int(text + "0" * (-len(text) % 8), 2).to_bytes((len(text) + 7) // 8)


class ConfigTests(SynchronousTestCase):
    def test_ffmpegSaysThatThereIsNoSBR(self) -> None:
        config = AudioSpecificConfig(2, 48000, 1, 1, trailing=True)
        self.assertEqual(parseConfig(bytes.fromhex("118856e500")), config)
        self.assertEqual(buildConfig(config), bytes.fromhex("118856e500"))
        stereo = parseConfig(bytes.fromhex("121056e500"))
        self.assertEqual((stereo.sampleRate, stereo.channels, stereo.outputRate), (44100, 2, 44100))

    def test_twoBytesOfLC(self) -> None:
        self.assertEqual(parseConfig(b"\x11\x90"), LC)
        self.assertEqual(buildConfig(LC), b"\x11\x90")

    def test_heAACTellsItsCoreAndItsOutput(self) -> None:
        # 5, index 6 (24 kHz), 2 channels, output index 3, core 2.
        data = bitString("00101 0110 0010 0011 00010 000")
        config = parseConfig(data)
        self.assertEqual(config, AudioSpecificConfig(2, 24000, 2, 2, 1024, SBR, 48000))
        self.assertEqual((config.outputRate, config.outputChannels), (48000, 2))
        self.assertEqual(buildConfig(config), data)

    def test_parametricStereoMakesTwoOfOne(self) -> None:
        config = parseConfig(bitString("11101 0110 0001 0011 00010 000"))
        self.assertEqual(config, AudioSpecificConfig(2, 24000, 1, 1, 1024, PS, 48000))
        self.assertEqual(config.outputChannels, 2)

    def test_extensionBehindTheConfig(self) -> None:
        data = bitString("00010 0110 0001 000", "01010110111 00101 1 0011")
        config = parseConfig(data)
        self.assertEqual(config, AudioSpecificConfig(2, 24000, 1, 1, 1024, SBR, 48000, True))
        self.assertEqual(buildConfig(config), data)
        withPS = parseConfig(bitString("00010 0110 0001 000", "01010110111 00101 1 0011", "10101001000 1"))
        self.assertEqual((withPS.extension, withPS.outputChannels), (PS, 2))
        withoutPS = parseConfig(bitString("00010 0110 0001 000", "01010110111 00101 1 0011", "10101001000 0"))
        self.assertEqual((withoutPS.extension, withoutPS.outputChannels), (SBR, 1))

    def test_rateIn24Bits(self) -> None:
        config = parseConfig(bitString("00010 1111 000000001011101110000001 0001 000"))
        self.assertEqual(config, AudioSpecificConfig(2, 48001, 1, 1))

    def test_shortFrames(self) -> None:
        self.assertEqual(parseConfig(bitString("00010 0011 0010 100")).samplesPerFrame, 960)
        # ER AAC LD: its resilience bits only with the extension flag, epConfig 0.
        self.assertEqual(parseConfig(bitString("10111 0011 0001 000 00")).samplesPerFrame, 512)
        self.assertEqual(parseConfig(bitString("10111 0011 0001 101 000 0 00")).samplesPerFrame, 480)
        # ELD is 39: escape and 7.
        self.assertEqual(parseConfig(bitString("11111 000111 0011 0001 0")).samplesPerFrame, 512)
        self.assertEqual(parseConfig(bitString("11111 000111 0011 0001 1")).samplesPerFrame, 480)

    def test_coreCoderDelayIsPassedOver(self) -> None:
        data = bitString("00010 0011 0010 0 1 11111111111111 0", "01010110111 00101 0")
        self.assertEqual(parseConfig(data), AudioSpecificConfig(2, 48000, 2, 2, trailing=True))

    def test_channelsOfAProgramConfigElement(self) -> None:
        # 2 front (one a pair), 1 side pair, 0 back, 1 LFE, 1 data, 0 coupling; a stereo mixdown; a comment of 2 bytes.
        element = "0000 01 0011 0010 0001 0000 01 001 0000 0 1 0101 0" + "00000 10001" + "10010" + "0000" + "0001"
        head = "00010 0011 0000 000"
        padding = "0" * (-len((head + element).replace(" ", "")) % 8)
        data = bitString(head, element, padding, "00000010", "0" * 16, "01010110111 00101 0")
        self.assertEqual(parseConfig(data), AudioSpecificConfig(2, 48000, 0, 6, trailing=True))

    def test_eightChannels(self) -> None:
        self.assertEqual(parseConfig(bitString("00010 0011 0111 000")).channels, 8)

    def test_refused(self) -> None:
        for data in (
            b"",
            b"\x11",
            bitString("00010 1101 0010 000"),  # reserved rate
            bitString("00010 1111", "0" * 24, "0010 000"),  # rate of zero
            bitString("01000 0011 0010 000"),  # CELP
            bitString("11111 001010 0011 0010 000"),  # USAC
            bitString("10001 0011 0010 000 10"),  # error protection
            b"\x11\x90" + bytes(2000),
        ):
            with self.assertRaises(ProtocolError):
                parseConfig(data)

    def test_whatCannotBeWritten(self) -> None:
        for config in (
            AudioSpecificConfig(2, 48000, 0, 6),
            AudioSpecificConfig(23, 48000, 2, 2),
            AudioSpecificConfig(2, 48000, 2, 2, 512),
            AudioSpecificConfig(2, 1 << 24, 2, 2),
            AudioSpecificConfig(2, 48000, 16, 2),
        ):
            with self.assertRaises(ProtocolError):
                buildConfig(config)

    @given(
        st.integers(1, 4),
        st.one_of(st.sampled_from(SAMPLE_RATES), st.integers(1, (1 << 24) - 1)),
        st.sampled_from([(1, 1), (2, 2), (6, 6), (7, 8)]),
        st.sampled_from([960, 1024]),
        st.sampled_from([0, SBR, PS]),
        st.booleans(),
    )
    def test_roundTrip(
        self, kind: int, rate: int, channels: tuple[int, int], samples: int, extension: int, trailing: bool
    ) -> None:
        output = 48000 if extension else 0
        config = AudioSpecificConfig(kind, rate, *channels, samples, extension, output, trailing)
        self.assertEqual(parseConfig(buildConfig(config)), config)

    @given(st.binary(max_size=60))
    def test_nothingButOurErrors(self, data: bytes) -> None:
        try:
            config = parseConfig(data)
        except ProtocolError:
            return
        self.assertGreater(config.sampleRate, 0)
        self.assertIn(config.samplesPerFrame, (480, 512, 960, 1024))


class ADTSTests(SynchronousTestCase):
    def test_profileRateAndChannelsAreTrue(self) -> None:
        # By hand: ffff 0001 | profile 1, index 3, channels 2 | 7 + 100 bytes | fullness all ones.
        expected = bitString("111111111111 0 00 1", "01 0011 0 010 0000", "0000001101011", "11111111111 00")
        self.assertEqual(adtsHeader(b"\x11\x90", 100), expected)

    def test_adtsWrittenByFfmpeg(self) -> None:
        # ffmpeg -f lavfi -i anullsrc=r=44100:cl=mono -c:a aac -f adts: the second frame.
        frame = parseADTS(bytes.fromhex("fff15040017ffc01182007"))
        self.assertEqual(frame.config, AudioSpecificConfig(2, 44100, 1, 1))
        self.assertEqual((frame.headerSize, frame.frameSize, frame.blocks), (7, 11, 1))

    def test_secondProfileBits(self) -> None:
        for kind in (1, 2, 3, 4):
            header = adtsHeader(buildConfig(AudioSpecificConfig(kind, 44100, 1, 1)), 1)
            self.assertEqual(header[2] >> 6, kind - 1)

    def test_heAACIsWrittenAsItsCore(self) -> None:
        header = adtsHeader(bitString("00101 0110 0010 0011 00010 000"), 10)
        self.assertEqual(parseADTS(header).config, AudioSpecificConfig(2, 24000, 2, 2))

    def test_whatADTSCannotSay(self) -> None:
        for config, size in (
            (b"\x11\x90", 8185),
            (buildConfig(AudioSpecificConfig(2, 48001, 2, 2)), 10),
            (buildConfig(AudioSpecificConfig(2, 48000, 2, 2, 960)), 10),
            (buildConfig(AudioSpecificConfig(2, 48000, 11, 7)), 10),
            (bitString("10111 0011 0001 000 00"), 10),
            (b"", 10),
        ):
            with self.assertRaises(ProtocolError):
                adtsHeader(config, size)
        self.assertEqual(parseADTS(adtsHeader(b"\x11\x90", 8184)).frameSize, 8191)

    def test_checksumBelongsToTheHeader(self) -> None:
        header = bytearray(adtsHeader(b"\x11\x90", 100))
        header[1] &= 0xFE
        header[6] |= 2
        self.assertEqual(parseADTS(bytes(header))[1:], (9, 107, 3))

    def test_atAnOffset(self) -> None:
        data = b"\xff\xf1" + adtsHeader(b"\x11\x90", 3) + b"abc"
        self.assertEqual(parseADTS(data, 2).frameSize, 10)

    def test_refused(self) -> None:
        header = adtsHeader(b"\x11\x90", 3)
        for data in (
            b"",
            header[:6],
            b"\xff\xe1" + header[2:],  # sync of MPEG audio only
            b"\xff\xf3" + header[2:],  # a layer
            header[:2] + b"\x7c" + header[3:],  # rate index 15
            header[:3] + b"\x80\x00\xdf" + header[6:],  # shorter than its header
        ):
            with self.assertRaises(ProtocolError):
                parseADTS(data)
        with self.assertRaises(ProtocolError):
            parseADTS(header, 1)

    @given(st.integers(1, 4), st.sampled_from(SAMPLE_RATES), st.sampled_from([(1, 1), (7, 8)]), st.integers(0, 8184))
    def test_roundTrip(self, kind: int, rate: int, channels: tuple[int, int], size: int) -> None:
        config = AudioSpecificConfig(kind, rate, *channels)
        frame = parseADTS(adtsHeader(buildConfig(config), size))
        self.assertEqual((frame.config, frame.frameSize, frame.blocks), (config, size + 7, 1))

    @given(st.binary(max_size=12), st.integers(0, 12))
    def test_nothingButOurErrors(self, data: bytes, offset: int) -> None:
        try:
            frame = parseADTS(b"\xff\xf1" + data, offset)
        except ProtocolError:
            return
        self.assertGreaterEqual(frame.frameSize, frame.headerSize)
