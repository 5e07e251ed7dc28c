"""From media of a description to tracks and depacketizers: every encoding name, static types, the unknown and wrong."""

from base64 import b64encode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.codec.h264 import avcConfig
from realtime_tw.errors import ProtocolError
from realtime_tw.media import Codec, Kind, Track
from realtime_tw.rtsp.depacketizers.aac import AACDepacketizer
from realtime_tw.rtsp.depacketizers.base import Depacketizer
from realtime_tw.rtsp.depacketizers.h264 import H264Depacketizer
from realtime_tw.rtsp.depacketizers.hevc import HEVCDepacketizer
from realtime_tw.rtsp.depacketizers.jpeg import JPEGDepacketizer
from realtime_tw.rtsp.depacketizers.latm import LATMDepacketizer
from realtime_tw.rtsp.depacketizers.mpa import MPADepacketizer
from realtime_tw.rtsp.depacketizers.opus import OpusDepacketizer
from realtime_tw.rtsp.depacketizers.pcm import PCMDepacketizer
from realtime_tw.rtsp.depacketizers.png import PNGDepacketizer
from realtime_tw.rtsp.depacketizers.raw import RawDepacketizer
from realtime_tw.rtsp.depacketizers.vorbis import VorbisDepacketizer
from realtime_tw.rtsp.depacketizers.vp8 import VP8Depacketizer
from realtime_tw.rtsp.depacketizers.vp9 import VP9Depacketizer
from realtime_tw.rtsp.formats import DEFAULT_CLOCK, describe, openMedia, rawTrack
from realtime_tw.rtsp.sdp import Media, parseSDP
from tests.rtsp.audiopacketizers import FFMPEG_VORBIS
from tests.rtsp.depacketizers import test_hevc as hevc
from tests.rtsp.depacketizers.test_h264 import HD_SPS, PPS, SPS

#: An rtpmap, what it becomes, and the clock rate.
ENCODINGS: list[tuple[str, str, Codec, type, int]] = [
    ("video", "H264/90000", Codec.H264, H264Depacketizer, 90000),
    ("video", "H265/90000", Codec.HEVC, HEVCDepacketizer, 90000),
    ("video", "HEVC/90000", Codec.HEVC, HEVCDepacketizer, 90000),
    ("video", "VP8/90000", Codec.VP8, VP8Depacketizer, 90000),
    ("video", "VP9/90000", Codec.VP9, VP9Depacketizer, 90000),
    ("video", "JPEG/90000", Codec.JPEG, JPEGDepacketizer, 90000),
    ("video", "PNG/90000", Codec.PNG, PNGDepacketizer, 90000),
    ("audio", "MPEG4-GENERIC/44100/2", Codec.AAC, AACDepacketizer, 44100),
    ("audio", "OPUS/48000/2", Codec.OPUS, OpusDepacketizer, 48000),
    ("audio", "VORBIS/44100/2", Codec.VORBIS, VorbisDepacketizer, 44100),
    ("audio", "MPA/90000", Codec.MP3, MPADepacketizer, 90000),
    ("audio", "PCMU/8000", Codec.PCMU, PCMDepacketizer, 8000),
    ("audio", "PCMA/16000/2", Codec.PCMA, PCMDepacketizer, 16000),
    ("audio", "L16/48000/2", Codec.L16, PCMDepacketizer, 48000),
]


def mediaOf(kind: str, encoding: str, fmtp: str = "", *attributes: str) -> Media:
    lines = ["v=0", f"m={kind} 0 RTP/AVP 96", f"a=rtpmap:96 {encoding}", *(f"a={each}" for each in attributes)]
    if fmtp:
        lines.append(f"a=fmtp:96 {fmtp}")
    (media,) = parseSDP("\r\n".join(lines).encode()).medias
    return media


def opened(kind: str, encoding: str, fmtp: str = "", *attributes: str) -> tuple[Track, Depacketizer]:
    return openMedia(mediaOf(kind, encoding, fmtp, *attributes), 3)


def sprop(*nals: bytes) -> str:
    return ",".join(b64encode(nal).decode() for nal in nals)


class EncodingTests(SynchronousTestCase):
    def test_everyName(self) -> None:
        for kind, encoding, codec, made, rate in ENCODINGS:
            for written in (encoding, encoding.lower()):
                track, depacketizer = opened(kind, written)
                self.assertIs(type(depacketizer), made, written)
                self.assertEqual((track.id, track.kind.value, track.codec), (3, kind, codec), written)
                self.assertEqual((track.clockRate, track.name), (rate, ""), written)

    def test_latmHasItsConfigInTheDescription(self) -> None:
        track, depacketizer = opened("audio", "MP4A-LATM/48000/2", "cpresent=0;config=40002320adca00")
        self.assertIs(type(depacketizer), LATMDepacketizer)
        self.assertEqual(track, Track(3, Kind.AUDIO, Codec.AAC, 48000, b"\x11\x90\x56\xe5\0", 0, 0, 48000, 2))

    def test_staticTypes(self) -> None:
        expected = {
            0: (Codec.PCMU, 8000, 8000, 1),
            8: (Codec.PCMA, 8000, 8000, 1),
            10: (Codec.L16, 44100, 44100, 2),
            11: (Codec.L16, 44100, 44100, 1),
            14: (Codec.MP3, 90000, 0, 0),
        }
        for number, values in expected.items():
            (media,) = parseSDP(b"v=0\r\nm=audio 0 RTP/AVP %d\r\n" % number).medias
            track, _ = openMedia(media, 1)
            self.assertEqual((track.codec, track.clockRate, track.sampleRate, track.channels), values)
        (media,) = parseSDP(b"v=0\r\nm=video 0 RTP/AVP 26\r\n").medias
        self.assertEqual(openMedia(media, 1)[0], Track(1, Kind.VIDEO, Codec.JPEG, 90000))

    def test_unknownNames(self) -> None:
        track, depacketizer = opened("video", "raw/90000", "sampling=YCbCr-4:2:2")
        self.assertIs(type(depacketizer), RawDepacketizer)
        self.assertEqual(track, Track(3, Kind.VIDEO, Codec.RTP, 90000, name="RAW"))
        track, _ = opened("application", "vnd.onvif.metadata/90000")
        self.assertEqual((track.kind, track.codec, track.name), (Kind.OTHER, Codec.RTP, "VND.ONVIF.METADATA"))
        # Known by number, but not to us.
        (media,) = parseSDP(b"v=0\r\nm=audio 0 RTP/AVP 9\r\n").medias
        self.assertEqual(openMedia(media, 1)[0], Track(1, Kind.AUDIO, Codec.RTP, 8000, name="G722"))

    def test_formatsThatNobodyDescribes(self) -> None:
        (media,) = parseSDP(b"v=0\r\nm=video 0 RTP/AVP 99 100\r\n").medias
        self.assertEqual(openMedia(media, 2)[0], Track(2, Kind.VIDEO, Codec.RTP, DEFAULT_CLOCK, name="99/100"))
        self.assertEqual(rawTrack(media, 2), openMedia(media, 2)[0])

    def test_withoutAClockNothingCanBeTimed(self) -> None:
        media = Media("video", formats=(96,), payloadType=96, encodingName="VP8")
        self.assertEqual(openMedia(media, 1)[0], Track(1, Kind.VIDEO, Codec.RTP, DEFAULT_CLOCK, name="VP8"))

    def test_parametersThatCannotBeUsed(self) -> None:
        for kind, encoding, fmtp in (
            ("video", "H264/90000", "packetization-mode=2"),
            ("audio", "MPEG4-GENERIC/48000/2", "mode=AAC-hbr;config=zz"),
            ("audio", "MPEG4-GENERIC/48000/2", "mode=AAC-hbr;sizelength=999"),
            ("audio", "MP4A-LATM/48000/2", "cpresent=0"),
            ("audio", "MP4A-LATM/48000/2", "cpresent=0;config=zz"),
            ("audio", "VORBIS/48000/2", "configuration=AAAA"),
            ("audio", "L16/48000/200", ""),
            # Sound that says it is a picture has no channels.
            ("video", "PCMU/8000", ""),
        ):
            with self.assertRaises(ProtocolError, msg=f"{encoding} {fmtp}"):
                opened(kind, encoding, fmtp)

    @given(
        st.sampled_from(ENCODINGS),
        st.dictionaries(
            st.sampled_from(["config", "mode", "sizelength", "configuration", "sprop-parameter-sets", "sprop-sps"]),
            st.text(max_size=20),
        ),
        st.text(max_size=20),
    )
    def test_nothingButOurErrors(
        self, encoding: tuple[str, str, Codec, type, int], fmtp: dict[str, str], size: str
    ) -> None:
        name, rate, *channels = encoding[1].split("/")
        media = Media(
            encoding[0],
            formats=(96,),
            payloadType=96,
            encodingName=name,
            clockRate=int(rate),
            channels=int(channels[0]) if channels else 1,
            fmtp=fmtp,
            attributes=(("framesize", size),),
        )
        try:
            track, depacketizer = openMedia(media, 1)
        except ProtocolError:
            return
        self.assertIs(describe(track, depacketizer), track)


class ParameterTests(SynchronousTestCase):
    def test_h264(self) -> None:
        track, _ = opened("video", "H264/90000", f"packetization-mode=1; sprop-parameter-sets={sprop(SPS, PPS)}")
        self.assertEqual((track.config, track.width, track.height), (avcConfig([SPS], [PPS]), 322, 242))
        track, _ = opened("video", "H264/90000", "packetization-mode=1")
        self.assertEqual((track.config, track.width), (b"", 0))

    def test_hevc(self) -> None:
        sets = ";".join(
            f"sprop-{name}={sprop(nal)}" for name, nal in (("vps", hevc.VPS), ("sps", hevc.SPS), ("pps", hevc.PPS))
        )
        track, depacketizer = opened("video", "H265/90000", sets)
        self.assertEqual(track.config, hevc.CONFIG)
        self.assertTrue(track.width > 0)
        self.assertEqual(len(depacketizer.receive(hevc.IDR, 0, True, False)), 1)

    def test_hevcWithOrderNumbers(self) -> None:
        sets = f"sprop-vps={sprop(hevc.VPS)};sprop-sps={sprop(hevc.SPS)};sprop-pps={sprop(hevc.PPS)}"
        numbered = hevc.IDR[:2] + b"\0\1" + hevc.IDR[2:]
        for written, payload in (("2", numbered), ("0", hevc.IDR), ("", hevc.IDR), (" 0 ", hevc.IDR)):
            _, depacketizer = opened("video", "H265/90000", f"{sets};sprop-max-don-diff={written}")
            (unit,) = depacketizer.receive(payload, 0, True, False)
            self.assertEqual(unit.data[4:], hevc.IDR, written)

    def test_framesize(self) -> None:
        for attribute, size in (
            ("framesize:96 2592-1944", (2592, 1944)),
            ("x-dimensions:4000,3000", (4000, 3000)),
            ("framesize:2592-1944", (2592, 1944)),
            ("framesize:96", (0, 0)),
            ("framesize:", (0, 0)),
            ("framesize:96 a-b", (0, 0)),
            ("framesize:96 0-0", (0, 0)),
            ("framesize:96 99999-99999", (0, 0)),
            ("width:1", (0, 0)),
        ):
            track, _ = opened("video", "JPEG/90000", "", attribute)
            self.assertEqual((track.width, track.height), size, attribute)

    def test_aacWithItsConfig(self) -> None:
        fmtp = "streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1210"
        track, _ = opened("audio", "MPEG4-GENERIC/44100/2", fmtp)
        self.assertEqual((track.config, track.sampleRate, track.channels), (b"\x12\x10", 44100, 2))

    def test_unitsOfAACFollowByTheClockOfTheDescription(self) -> None:
        for rate, ticks in ((44100, 1024), (90000, 1024 * 90000 // 44100)):
            _, depacketizer = opened("audio", f"MPEG4-GENERIC/{rate}/2", "mode=AAC-hbr;config=1210")
            units = depacketizer.receive(b"\0\x20\0\x10\0\x10abcd", 7, True, False)
            self.assertEqual([unit.time - 7 for unit in units], [0, ticks])

    def test_aacWithoutConfig(self) -> None:
        for fmtp in ("", "mode=AAC-hbr", "mode=aac-lbr", "sizelength=13;indexlength=3;indexdeltalength=3"):
            track, depacketizer = opened("audio", "MPEG4-GENERIC/48000/2", fmtp)
            self.assertIs(type(depacketizer), AACDepacketizer, fmtp)
            self.assertEqual((track.codec, track.config, track.sampleRate), (Codec.AAC, b"", 0))

    def test_modesThatAreNotAAC(self) -> None:
        for mode in ("CELP-cbr", "generic", "avc-video/quicktime"):
            track, depacketizer = opened("audio", "MPEG4-GENERIC/16000", f"mode={mode};config=1210")
            self.assertIs(type(depacketizer), RawDepacketizer)
            self.assertEqual((track.codec, track.name), (Codec.RTP, "MPEG4-GENERIC"))

    def test_vorbis(self) -> None:
        track, _ = opened("audio", "VORBIS/8000/1", f"configuration={FFMPEG_VORBIS}")
        self.assertEqual((track.sampleRate, track.channels, track.config[:1]), (8000, 1, b"\x02"))

    def test_opus(self) -> None:
        for fmtp, channels in (("", 1), ("sprop-stereo=1", 2), ("sprop-stereo=0", 1)):
            track, _ = opened("audio", "opus/48000/2", fmtp)
            self.assertEqual((track.sampleRate, track.channels, track.config[9]), (48000, channels, channels))

    def test_samples(self) -> None:
        track, _ = opened("audio", "L16/44100/2")
        self.assertEqual((track.sampleRate, track.channels), (44100, 2))
        track, _ = opened("audio", "PCMU/8000")
        self.assertEqual((track.sampleRate, track.channels), (8000, 1))
        for encoding, size in (("L16/44100/2", 4), ("L16/44100", 2), ("PCMA/8000/2", 2), ("PCMU/8000", 1)):
            _, depacketizer = opened("audio", encoding)
            self.assertEqual(len(depacketizer.receive(bytes(size * 3), 0, True, False)), 1)
            self.assertEqual(len(depacketizer.receive(bytes(size * 3 + 1), 0, True, False)), int(size == 1))


class DescriptionTests(SynchronousTestCase):
    def test_nothingNew(self) -> None:
        for kind, encoding, *_ in ENCODINGS:
            track, depacketizer = opened(kind, encoding)
            self.assertIs(describe(track, depacketizer), track)
            depacketizer.receive(b"nonsense", 0, True, False)
            self.assertIs(describe(track, depacketizer), track)

    def test_everythingNew(self) -> None:
        track, depacketizer = opened("video", "H264/90000")
        for nal in (SPS, PPS, b"\x65\x88\x84abc"):
            depacketizer.receive(nal, 0, nal[0] == 0x65, False)
        known = describe(track, depacketizer)
        self.assertEqual(known, Track(3, Kind.VIDEO, Codec.H264, 90000, avcConfig([SPS], [PPS]), 322, 242))
        self.assertIs(describe(known, depacketizer), known)
        for nal in (HD_SPS, b"\x65\x88\x84abc"):
            depacketizer.receive(nal, 3600, nal[0] == 0x65, False)
        changed = describe(known, depacketizer)
        self.assertEqual((changed.width, changed.height), (1920, 1080))
        self.assertEqual(
            (changed.id, changed.kind, changed.codec, changed.clockRate), (3, Kind.VIDEO, Codec.H264, 90000)
        )

    def test_whatWasKnownIsNotForgotten(self) -> None:
        track = Track(1, Kind.AUDIO, Codec.MP3, 90000, b"", 0, 0, 44100, 2)
        self.assertIs(describe(track, MPADepacketizer()), track)
