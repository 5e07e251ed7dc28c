"""Session descriptions: those of real publishers, their quirks, and what no publisher sends."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import LimitExceeded, ProtocolError
from realtime_tw.rtsp.sdp import (
    MAX_ATTRIBUTES,
    MAX_FORMATS,
    MAX_MEDIAS,
    MAX_SDP,
    Media,
    SessionDescription,
    encodeSDP,
    matchControl,
    parseSDP,
    resolveControl,
)

#: ffmpeg 5.1 in ANNOUNCE: ``-c:v libx264 -c:a aac -f rtsp``.
FFMPEG_H264_AAC = (
    b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=No Name\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"a=tool:libavformat LIBAVFORMAT_VERSION\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    b"a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0LADdoFB+wEQAAAAwBAAAAMo8UKqA==,aM4PyA==; "
    b"profile-level-id=42C00D\r\na=control:streamid=0\r\nm=audio 0 RTP/AVP 97\r\nb=AS:69\r\n"
    b"a=rtpmap:97 MPEG4-GENERIC/48000/1\r\na=fmtp:97 profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;"
    b"indexdeltalength=3; config=118856E500\r\na=control:streamid=1\r\n"
)

#: ffmpeg 5.1: ``-c:v libx265 -f rtsp``.
FFMPEG_HEVC = (
    b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=No Name\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"a=tool:libavformat LIBAVFORMAT_VERSION\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H265/90000\r\n"
    b"a=fmtp:96 sprop-vps=QAEMAf//AWAAAAMAkAAAAwAAAwA8ugJA; "
    b"sprop-sps=QgEBAWAAAAMAkAAAAwAAAwA8oAoIDxZbpKTC8BaAgAAAAwCAAAAMhA==; sprop-pps=RAHAcYMS\r\n"
    b"a=control:streamid=0\r\n"
)

#: ffmpeg 5.1: ``-c:a libvorbis -f rtp -sdp_file``; the configuration is cut here. One medium has no control.
FFMPEG_VORBIS = (
    b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=No Name\nc=IN IP4 127.0.0.1\nt=0 0\na=tool:libavformat LIBAVFORMAT_VERSION\n"
    b"m=audio 5004 RTP/AVP 97\nb=AS:64\na=rtpmap:97 vorbis/48000/1\n"
    b"a=fmtp:97 configuration=AAAAAf7NugyTAh4AAXZvcmJpcwAAAAABgLsAAAAAAACAOAEAAAAAALgBBXZvcmJpcyJCQ1YBAEAAACRzGA==\n"
)

#: ffmpeg 5.1: ``-c:v mjpeg -f rtp -sdp_file``: payload type 26 has no rtpmap.
FFMPEG_MJPEG = (
    b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=No Name\nc=IN IP4 127.0.0.1\nt=0 0\na=tool:libavformat LIBAVFORMAT_VERSION\n"
    b"m=video 5004 RTP/AVP 26\nb=AS:200\n"
)

#: GStreamer 1.22, rtspclientsink: sound first though it was named last, and LATM.
GSTREAMER_H264_LATM = (
    b"v=0\r\no=- 351650522 1 IN IP4 127.0.0.1\r\ns=Session streamed with GStreamer\r\ni=rtspclientsink\r\nt=0 0\r\n"
    b"a=tool:GStreamer\r\nm=audio 0 RTP/AVP 96\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:96 MP4A-LATM/48000\r\n"
    b"a=fmtp:96 cpresent=0;config=40002320adca00\r\na=control:stream=1\r\na=ts-refclk:local\r\na=mediaclk:sender\r\n"
    b"a=ssrc:3346963382 cname:user3035471377@host-aef6aec7\r\nm=video 0 RTP/AVP 99\r\nc=IN IP4 0.0.0.0\r\n"
    b"b=AS:2097\r\na=rtpmap:99 H264/90000\r\na=framerate:25\r\na=fmtp:99 packetization-mode=1;"
    b"sprop-parameter-sets=Z0LAFdoFB+wFqDAwNSgAAAMACAAAAwGUeLF1,aM48gA==\r\na=control:stream=0\r\n"
    b"a=ts-refclk:local\r\na=mediaclk:sender\r\na=ssrc:1582705599 cname:user3035471377@host-aef6aec7\r\n"
)

#: GStreamer 1.22, rtspclientsink with vp8enc and opusenc.
GSTREAMER_VP8_OPUS = (
    b"v=0\r\no=- 450293426 1 IN IP4 127.0.0.1\r\ns=Session streamed with GStreamer\r\ni=rtspclientsink\r\nt=0 0\r\n"
    b"a=tool:GStreamer\r\nm=audio 0 RTP/AVP 96\r\nc=IN IP4 0.0.0.0\r\nb=AS:64\r\na=rtpmap:96 OPUS/48000/2\r\n"
    b"a=fmtp:96 sprop-stereo=1;sprop-maxcapturerate=48000\r\na=control:stream=1\r\na=ts-refclk:local\r\n"
    b"a=mediaclk:sender\r\na=ssrc:3625655114 cname:user1253171745@host-6a470801\r\nm=video 0 RTP/AVP 99\r\n"
    b"c=IN IP4 0.0.0.0\r\na=rtpmap:99 VP8/90000\r\na=framerate:25\r\na=control:stream=0\r\na=ts-refclk:local\r\n"
    b"a=mediaclk:sender\r\na=ssrc:1927027427 cname:user1253171745@host-6a470801\r\n"
)


def one(lines: bytes) -> Media:
    """The only medium of a description with these lines behind its head."""
    [media] = parseSDP(b"v=0\r\ns=-\r\n" + lines).medias
    return media


class RealPublisherTests(SynchronousTestCase):
    def test_ffmpegWithH264AndAAC(self) -> None:
        description = parseSDP(FFMPEG_H264_AAC)
        self.assertEqual((description.name, description.control), ("No Name", ""))
        self.assertEqual(description.attribute("tool"), "libavformat LIBAVFORMAT_VERSION")
        video, audio = description.medias
        self.assertEqual(
            video,
            Media(
                "video",
                0,
                "RTP/AVP",
                (96,),
                "streamid=0",
                96,
                "H264",
                90000,
                0,
                {
                    "packetization-mode": "1",
                    "sprop-parameter-sets": "Z0LADdoFB+wEQAAAAwBAAAAMo8UKqA==,aM4PyA==",
                    "profile-level-id": "42C00D",
                },
            ),
        )
        self.assertEqual((audio.kind, audio.payloadType, audio.encodingName), ("audio", 97, "MPEG4-GENERIC"))
        self.assertEqual((audio.clockRate, audio.channels, audio.control), (48000, 1, "streamid=1"))
        self.assertEqual(audio.fmtp["config"], "118856E500")
        self.assertEqual(audio.fmtp["sizelength"], "13")

    def test_ffmpegWithHEVC(self) -> None:
        [video] = parseSDP(FFMPEG_HEVC).medias
        self.assertEqual((video.encodingName, video.clockRate), ("H265", 90000))
        self.assertEqual(video.fmtp["sprop-pps"], "RAHAcYMS")
        self.assertEqual(video.fmtp["sprop-sps"], "QgEBAWAAAAMAkAAAAwAAAwA8oAoIDxZbpKTC8BaAgAAAAwCAAAAMhA==")

    def test_ffmpegWithVorbisInLowerCase(self) -> None:
        [audio] = parseSDP(FFMPEG_VORBIS).medias
        self.assertEqual((audio.encodingName, audio.clockRate, audio.channels), ("VORBIS", 48000, 1))
        self.assertTrue(audio.fmtp["configuration"].endswith("ACRzGA=="))
        self.assertEqual((audio.port, audio.control), (5004, ""))

    def test_ffmpegWithJPEGAndNoRtpmap(self) -> None:
        [video] = parseSDP(FFMPEG_MJPEG).medias
        self.assertEqual((video.payloadType, video.encodingName, video.clockRate), (26, "JPEG", 90000))

    def test_gstreamerWithSoundFirst(self) -> None:
        audio, video = parseSDP(GSTREAMER_H264_LATM).medias
        self.assertEqual((audio.kind, audio.encodingName, audio.channels), ("audio", "MP4A-LATM", 1))
        self.assertEqual(audio.fmtp, {"cpresent": "0", "config": "40002320adca00"})
        self.assertEqual((video.control, video.payloadType, video.attribute("framerate")), ("stream=0", 99, "25"))
        self.assertEqual(video.attributes[0], ("framerate", "25"))

    def test_gstreamerWithVP8AndOpus(self) -> None:
        audio, video = parseSDP(GSTREAMER_VP8_OPUS).medias
        self.assertEqual((audio.encodingName, audio.clockRate, audio.channels), ("OPUS", 48000, 2))
        self.assertEqual(audio.fmtp["sprop-stereo"], "1")
        self.assertEqual((video.encodingName, video.fmtp), ("VP8", {}))

    def test_allOfThemSurviveSerializing(self) -> None:
        for data in (
            FFMPEG_H264_AAC,
            FFMPEG_HEVC,
            FFMPEG_VORBIS,
            FFMPEG_MJPEG,
            GSTREAMER_H264_LATM,
            GSTREAMER_VP8_OPUS,
        ):
            description = parseSDP(data)
            self.assertEqual(parseSDP(encodeSDP(description)), description)


class QuirkTests(SynchronousTestCase):
    def test_staticPayloadTypes(self) -> None:
        for number, expected in (
            (0, ("PCMU", 8000, 1)),
            (8, ("PCMA", 8000, 1)),
            (9, ("G722", 8000, 1)),
            (10, ("L16", 44100, 2)),
            (11, ("L16", 44100, 1)),
            (14, ("MPA", 90000, 0)),
            (26, ("JPEG", 90000, 0)),
            (32, ("MPV", 90000, 0)),
            (33, ("MP2T", 90000, 0)),
        ):
            kind = b"video" if number > 25 else b"audio"
            media = one(b"m=%b 0 RTP/AVP %d\r\n" % (kind, number))
            self.assertEqual((media.encodingName, media.clockRate, media.channels), expected)

    def test_anRtpmapOverridesAStaticType(self) -> None:
        media = one(b"m=audio 0 RTP/AVP 0\r\na=rtpmap:0 pcmu/16000/2\r\n")
        self.assertEqual((media.encodingName, media.clockRate, media.channels), ("PCMU", 16000, 2))

    def test_theLastLineNeedsNoEnd(self) -> None:
        self.assertEqual(one(b"m=video 0 RTP/AVP 26\r\na=control:track1").control, "track1")

    def test_lineEnds(self) -> None:
        expected = parseSDP(FFMPEG_H264_AAC)
        self.assertEqual(parseSDP(FFMPEG_H264_AAC.replace(b"\r\n", b"\n")), expected)
        self.assertEqual(parseSDP(FFMPEG_H264_AAC.replace(b"\r\n", b"\r")), expected)
        self.assertEqual(parseSDP(FFMPEG_H264_AAC.replace(b"\r\n", b"\r\n\r\n")), expected)
        self.assertEqual(parseSDP(b"\xef\xbb\xbf\r\n" + FFMPEG_H264_AAC), expected)

    def test_anEmptySpropElementIsKept(self) -> None:
        media = one(b"m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 sprop-parameter-sets=Z0I=,aM4=,;\n")
        self.assertEqual(media.fmtp, {"sprop-parameter-sets": "Z0I=,aM4=,"})

    def test_namesOfParametersInAnyCase(self) -> None:
        media = one(b"m=audio 0 RTP/AVP 96\na=rtpmap:96 mpeg4-generic/8000\na=fmtp:96 SizeLength=13;Mode=AAC-hbr ; x\n")
        self.assertEqual(media.fmtp, {"sizelength": "13", "mode": "AAC-hbr", "x": ""})
        self.assertEqual(media.channels, 1)

    def test_twiceWrittenCountsOnce(self) -> None:
        media = one(
            b"m=video 0 RTP/AVP 96\na=control:a\na=control:b\na=rtpmap:96 VP8/90000\na=rtpmap:96 VP9/1\n"
            b"a=fmtp:96 p=1;p=2\na=fmtp:96 p=3;q=4\n"
        )
        self.assertEqual((media.control, media.encodingName, media.clockRate), ("a", "VP8", 90000))
        self.assertEqual(media.fmtp, {"p": "1", "q": "4"})

    def test_spacesAfterTheColon(self) -> None:
        media = one(b"m=video 0 RTP/AVP 96\na=rtpmap: 96  H264/90000\na=fmtp: 96 a=b\na=Control: x \n")
        self.assertEqual((media.encodingName, media.fmtp, media.control), ("H264", {"a": "b"}, "x"))

    def test_textThatIsNotUTF8(self) -> None:
        description = parseSDP(b"v=0\r\ns=Stra\xdfe\r\ni=\xff\xfe\r\nm=video 0 RTP/AVP 26\r\n")
        self.assertEqual(description.name, "Stra\xdfe")
        self.assertEqual(len(description.medias), 1)

    def test_bytesThatLookLikeBlanksOfUnicode(self) -> None:
        # NBSP and NEL, once they are taken for Latin-1; found by fuzzing.
        description = parseSDP(
            b"v=0\nm=audi\xa0o 5005 RTP/\x85AVP 97\na=rtpmap:97 L\xa016/8000\na=fmtp:97 a=\xa0b\x85\n"
        )
        (media,) = description.medias
        self.assertEqual((media.kind, media.protocol), ("audi\xa0o", "RTP/\x85AVP"))
        self.assertEqual((media.encodingName, media.fmtp), ("L\xa016", {"a": "\xa0b\x85"}))
        self.assertEqual(parseSDP(encodeSDP(description)), description)

    def test_aStaticTypeInAMediumOfAnotherKind(self) -> None:
        # Found by fuzzing: came back from a description of ours with another number of channels.
        for text in (b"v=0\nm=audio 0 RTP/AVP 33\n", b"v=0\nm=video 0 RTP/AVP 0\n", b"v=0\nm=audio 0 RTP/AVP 14\n"):
            description = parseSDP(text)
            self.assertEqual(parseSDP(encodeSDP(description)), description)

    def test_unknownLinesMeanNothing(self) -> None:
        media = one(b"m=video 0 RTP/AVP 26\r\nz=1\r\nfoo\r\n=\r\nX=a\r\nb=\r\na=control:c\r\n")
        self.assertEqual((media.control, media.attributes), ("c", ()))

    def test_sessionControl(self) -> None:
        description = parseSDP(b"v=0\ns=x\na=control:*\na=range:npt=0-\nm=video 0 RTP/AVP 26\na=recvonly\n")
        self.assertEqual((description.control, description.attribute("range")), ("*", "npt=0-"))
        self.assertEqual(description.medias[0].control, "")
        self.assertEqual(description.medias[0].attribute("recvonly"), "")
        self.assertIsNone(description.medias[0].attribute("range"))

    def test_theFirstFormatThatIsMapped(self) -> None:
        media = one(b"m=audio 4/2 rtp/savp 101 97 0\na=rtpmap:97 opus/48000/2\na=fmtp:97 a=1\na=fmtp:0 b=2\n")
        self.assertEqual((media.payloadType, media.encodingName, media.port), (97, "OPUS", 4))
        self.assertEqual(media.fmtp, {"a": "1"})
        self.assertEqual(media.attributes, (("fmtp", "0 b=2"),))
        self.assertEqual(one(b"m=audio 0 RTP/AVP 101 8\n").encodingName, "PCMA")

    def test_aFormatWithoutEncoding(self) -> None:
        media = one(b"m=application 0 RTP/AVP 107\n")
        self.assertEqual((media.payloadType, media.encodingName, media.clockRate), (107, "", 0))
        media = one(b"m=application 9 DTLS/SCTP webrtc-datachannel 5000\n")
        self.assertEqual((media.formats, media.payloadType), (("webrtc-datachannel", "5000"), -1))


class NonsenseTests(SynchronousTestCase):
    def test_whatIsNoDescription(self) -> None:
        for bad in (
            b"",
            b"\r\n\r\n",
            b"hello",
            b"m=video 0 RTP/AVP 96",
            b"v=1\r\n",
            b"v=0\r\nm=video\r\n",
            b"v=0\r\nm=video 0 RTP/AVP\r\n",
            b"v=0\r\nm=video x RTP/AVP 96\r\n",
            b"v=0\r\nm=video -1 RTP/AVP 96\r\n",
            b"v=0\r\nm=video 65536 RTP/AVP 96\r\n",
            b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264\r\n",
            b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/0\r\n",
            b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/9999999999\r\n",
            b"v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96\r\n",
            b"v=0\r\nm=audio 0 RTP/AVP 96\r\na=rtpmap:96 L16/44100/0\r\n",
            b"v=0\r\nm=audio 0 RTP/AVP 96\r\na=rtpmap:96 L16/44100/999\r\n",
        ):
            with self.assertRaises(ProtocolError, msg=bad) as caught:
                parseSDP(bad)
            self.assertFalse(isinstance(caught.exception, LimitExceeded), bad)

    def test_limits(self) -> None:
        head = b"v=0\nm=video 0 RTP/AVP 96\n"
        for good, bad in (
            (b"v=0\n".ljust(MAX_SDP), b"v=0\n".ljust(MAX_SDP + 1)),
            (
                b"v=0\n" + b"m=video 0 RTP/AVP 96\n" * MAX_MEDIAS,
                b"v=0\n" + b"m=video 0 RTP/AVP 96\n" * (MAX_MEDIAS + 1),
            ),
            (head + b"a=x\n" * MAX_ATTRIBUTES, head + b"a=x\n" * (MAX_ATTRIBUTES + 1)),
            (b"v=0\n" + b"a=x\n" * MAX_ATTRIBUTES, b"v=0\n" + b"a=x\n" * (MAX_ATTRIBUTES + 1)),
            (b"v=0\nm=video 0 RTP/AVP" + b" 96" * MAX_FORMATS, b"v=0\nm=video 0 RTP/AVP" + b" 96" * (MAX_FORMATS + 1)),
            (
                head + b"a=fmtp:96 " + b";".join(b"k%d=" % n for n in range(MAX_ATTRIBUTES)),
                head + b"a=fmtp:96 " + b";".join(b"k%d=" % n for n in range(MAX_ATTRIBUTES + 1)),
            ),
        ):
            parseSDP(good)
            with self.assertRaises(LimitExceeded):
                parseSDP(bad)

    @given(
        st.lists(
            st.one_of(
                st.binary(max_size=20),
                st.sampled_from([b"m=video 0 RTP/AVP 96", b"a=rtpmap:", b"96 H264/90000", b"a=fmtp:96 ", b";", b"="]),
                st.sampled_from([b"\n", b"\r\n", b"a=control:*", b"m=", b"a=", b"a=rtpmap:96 ", b"/1"]),
            )
        )
    )
    def test_onlyOurOwnErrors(self, pieces: list[bytes]) -> None:
        try:
            description = parseSDP(b"v=0\r\n" + b"".join(pieces))
        except ProtocolError:
            return
        # Media carry every line that was understood: what is written again is read as the same.
        self.assertEqual(parseSDP(encodeSDP(description)).medias, description.medias)


TOKEN = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)
VALUE = st.text(st.characters(min_codepoint=33, exclude_characters="\x85\xa0; =", categories=("L", "N", "P", "S")))
NAMES = TOKEN.map(str.lower).filter(lambda name: name not in ("control", "rtpmap", "fmtp"))
ATTRIBUTES = st.lists(st.tuples(NAMES, VALUE), max_size=4).map(tuple)


@st.composite
def medias(draw: st.DrawFn) -> Media:
    payloadType = draw(st.integers(0, 127))
    kind = draw(st.sampled_from(["video", "audio", "application"]))
    return Media(
        kind,
        draw(st.integers(0, 65535)),
        draw(st.sampled_from(["RTP/AVP", "RTP/AVP/TCP", "RTP/SAVPF"])),
        (payloadType, *draw(st.lists(st.integers(96, 127), max_size=2))),
        draw(VALUE),
        payloadType,
        draw(TOKEN.map(str.upper)),
        draw(st.integers(1, 10**9)),
        draw(st.integers(1, 255)) if kind == "audio" else 0,
        draw(st.dictionaries(TOKEN.map(str.lower), VALUE, max_size=4)),
        draw(ATTRIBUTES),
    )


class SerializerTests(SynchronousTestCase):
    def test_exactBytes(self) -> None:
        media = Media(
            "audio",
            0,
            "RTP/AVP",
            (97,),
            "track1",
            97,
            "OPUS",
            48000,
            2,
            {"sprop-stereo": "1", "x": ""},
            (("sendonly", ""),),
        )
        self.assertEqual(
            encodeSDP(SessionDescription("cam", "*", (media,), (("tool", "x"),)), "- 1 2 IN IP4 10.0.0.1", "::"),
            b"v=0\r\no=- 1 2 IN IP4 10.0.0.1\r\ns=cam\r\nc=IN IP6 ::\r\nt=0 0\r\na=control:*\r\na=tool:x\r\n"
            b"m=audio 0 RTP/AVP 97\r\na=rtpmap:97 OPUS/48000/2\r\na=fmtp:97 sprop-stereo=1; x\r\na=control:track1\r\n"
            b"a=sendonly\r\n",
        )
        self.assertIn(b"\r\ns=-\r\n", encodeSDP(SessionDescription()))

    def test_noValueIsMoreThanOneLine(self) -> None:
        for bad in ("a\nm=video 0 RTP/AVP 96", "a\r"):
            with self.assertRaises(ProtocolError):
                encodeSDP(SessionDescription(bad))
            with self.assertRaises(ProtocolError):
                encodeSDP(SessionDescription(medias=(Media("video", fmtp={"a": bad}, payloadType=96),)))

    @settings(max_examples=40)
    @given(VALUE, VALUE, st.lists(medias(), max_size=3).map(tuple), ATTRIBUTES)
    def test_roundTrip(
        self, name: str, control: str, some: tuple[Media, ...], attributes: tuple[tuple[str, str], ...]
    ) -> None:
        description = SessionDescription("" if name == "-" else name, control, some, attributes)
        self.assertEqual(parseSDP(encodeSDP(description)), description)


def controls(*values: str) -> list[Media]:
    return [Media("video", control=value) for value in values]


class ControlTests(SynchronousTestCase):
    def test_resolve(self) -> None:
        for base, control, expected in (
            ("rtsp://h/cam", "streamid=0", "rtsp://h/cam/streamid=0"),
            ("rtsp://h/cam/", "streamid=0", "rtsp://h/cam/streamid=0"),
            ("rtsp://h:554/cam", "rtsp://other/x", "rtsp://other/x"),
            ("rtsp://h:554/cam", "RTSPS://other/x", "RTSPS://other/x"),
            ("rtsp://h:554/cam/a", "/track1", "rtsp://h:554/track1"),
            ("rtsp://h/cam", "*", "rtsp://h/cam"),
            ("rtsp://h/cam", "", "rtsp://h/cam"),
            ("rtsp://h/cam?a=b", "track1", "rtsp://h/cam?a=b/track1"),
            ("rtsp://h", "track1", "rtsp://h/track1"),
        ):
            self.assertEqual(resolveControl(base, control), expected)

    def test_whatPublishersAskFor(self) -> None:
        two = controls("streamid=0", "streamid=1")
        for setup, base in (
            ("rtsp://h/cam/streamid=1", "rtsp://h/cam"),
            ("rtsp://h/cam/streamid=1", "rtsp://h/cam/"),
            ("rtsp://h/cam//streamid=1", "rtsp://h/cam/"),
            ("rtsp://h/cam/streamid=1/", "rtsp://h/cam"),
            ("rtsp://10.0.0.1:8554/cam/streamid=1", "rtsp://h/cam"),
            ("rtsp://h/cam?key=1/streamid=1", "rtsp://h/cam?key=1"),
            ("rtsp://h/cam/streamid=1?key=1", "rtsp://h/cam?key=1"),
            ("rtsp://h/cam/streamid=1", "rtsp://h/cam?key=1"),
            ("rtsp://h/cam/streamid=1?key=1", "rtsp://h/cam"),
            ("rtsp://h/cam/streamid%3D1", "rtsp://h/cam"),
            ("rtsp://h/my%20cam/streamid=1", "rtsp://h/my cam"),
            ("/cam/streamid=1", "rtsp://h/cam"),
            ("streamid=1", "rtsp://h/cam"),
            ("rtsp://h/streamid=1", "rtsp://h/cam"),
            ("rtsp://h/elsewhere/streamid=1", "rtsp://h/cam"),
            ("rtsp://h/streamid=1", "rtsp://h"),
        ):
            self.assertEqual(matchControl(setup, base, two), 1, (setup, base))
            self.assertEqual(matchControl(setup.replace("1", "0").replace("key=0", "key=1"), base, two), 0, setup)

    def test_absoluteControls(self) -> None:
        two = controls("rtsp://cam/a/track1", "/b/track2")
        self.assertEqual(matchControl("rtsp://cam/a/track1", "rtsp://h/x", two), 0)
        self.assertEqual(matchControl("rtsp://h/a/track1", "rtsp://h/x", two), 0)
        self.assertEqual(matchControl("rtsp://h/b/track2", "rtsp://h/x", two), 1)
        self.assertEqual(matchControl("rtsp://h/x/b/track2", "rtsp://h/x", two), 1)

    def test_whatIsForNoMedium(self) -> None:
        two = controls("streamid=0", "streamid=1")
        for setup in (
            "rtsp://h/cam",
            "rtsp://h/cam/streamid=2",
            "rtsp://h/cam/xstreamid=1",
            "",
            "*",
            "rtsp://h/cam/streamid",
        ):
            self.assertIsNone(matchControl(setup, "rtsp://h/cam", two), setup)
        self.assertIsNone(matchControl("rtsp://h/cam/x", "rtsp://h/cam", []))

    def test_theOnlyMediumNeedsNoControl(self) -> None:
        for control in ("", "*", "streamid=0"):
            for setup in ("rtsp://h/cam", "rtsp://h/cam/", "rtsp://h/cam?a=b"):
                self.assertEqual(matchControl(setup, "rtsp://h/cam", controls(control)), 0, (setup, control))
        self.assertIsNone(matchControl("rtsp://h/other", "rtsp://h/cam", controls("")))
        self.assertIsNone(matchControl("rtsp://h/cam", "rtsp://h/cam", controls("", "")))

    def test_anEndThatFitsTwoIsForNone(self) -> None:
        self.assertIsNone(matchControl("rtsp://h/y/a/1", "rtsp://h/cam", controls("1", "a/1")))
        for setup in ("rtsp://h/cam/a/1", "rtsp://h/cam/a/1?b=c"):
            self.assertEqual(matchControl(setup, "rtsp://h/cam", controls("1", "a/1")), 1)

    @given(st.text(max_size=30), st.text(max_size=30), st.lists(st.text(max_size=10), max_size=4))
    def test_neverRaises(self, setup: str, base: str, values: list[str]) -> None:
        index = matchControl(setup, base, controls(*values))
        self.assertTrue(index is None or 0 <= index < len(values))

    @given(VALUE.filter(bool), VALUE)
    def test_whatWasResolvedMatches(self, control: str, path: str) -> None:
        base = "rtsp://h/" + path
        self.assertEqual(matchControl(resolveControl(base, control), base, controls(control)), 0)
