"""The Transport header as clients write it, and what is chosen."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import LimitExceeded, ProtocolError
from realtime_tw.rtsp.transport import (
    ChosenTransport,
    TransportSpec,
    chooseTransport,
    formatSession,
    formatTransport,
    parseSession,
    parseTransports,
)

FFMPEG = "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record"
FFMPEG_UDP = "RTP/AVP/UDP;unicast;client_port=25778-25779;mode=record"
GSTREAMER = "RTP/AVP/TCP;unicast;interleaved=0-1;mode=RECORD"


def choose(value: str, *taken: int) -> ChosenTransport:
    return chooseTransport(parseTransports(value), set(taken))


def one(value: str) -> TransportSpec:
    [spec] = parseTransports(value)
    return spec


class ParseTests(SynchronousTestCase):
    def test_whatFfmpegWrites(self) -> None:
        self.assertEqual(
            one(FFMPEG),
            TransportSpec(
                "RTP",
                "AVP",
                "TCP",
                True,
                (0, 1),
                ("record",),
                (("unicast", ""), ("interleaved", "0-1"), ("mode", "record")),
            ),
        )
        self.assertTrue(one(FFMPEG).supported)
        udp = one(FFMPEG_UDP)
        self.assertEqual((udp.lower, udp.channels, udp.supported), ("UDP", None, False))
        self.assertIn(("client_port", "25778-25779"), udp.parameters)

    def test_exampleOfTheStandard(self) -> None:
        # RFC 2326, section 12.39.
        specs = parseTransports(
            'RTP/AVP;multicast;ttl=127;mode="PLAY",\r\n   RTP/AVP;unicast;client_port=3456-3457;mode="PLAY"'.replace(
                "\r\n  ", ""
            )
        )
        self.assertEqual([spec.unicast for spec in specs], [False, True])
        self.assertEqual([spec.modes for spec in specs], [("play",), ("play",)])
        self.assertEqual([spec.lower for spec in specs], ["UDP", "UDP"])

    def test_modes(self) -> None:
        for text, modes in (
            ("", ("play",)),
            (";mode=", ("play",)),
            (";mode=RECORD", ("record",)),
            (';mode="RECORD"', ("record",)),
            (';Mode = "record"', ("record",)),
            (";mode=receive", ("record",)),
            (";MODE=Receive", ("record",)),
            (';mode="PLAY,RECORD"', ("play", "record")),
            (';mode="PLAY, RECORD";append', ("play", "record")),
            (";mode=other", ("other",)),
        ):
            self.assertEqual(one("RTP/AVP/TCP;unicast" + text).modes, modes, text)

    def test_protocols(self) -> None:
        for name, parts, supported in (
            ("RTP/AVP/TCP", ("RTP", "AVP", "TCP"), True),
            ("rtp/avp/tcp", ("RTP", "AVP", "TCP"), True),
            ("RTP/AVPF/TCP", ("RTP", "AVPF", "TCP"), True),
            ("RTP/AVP", ("RTP", "AVP", "UDP"), False),
            ("RTP/AVP/UDP", ("RTP", "AVP", "UDP"), False),
            ("RTP/SAVP/TCP", ("RTP", "SAVP", "TCP"), False),
            ("RTP/SAVPF", ("RTP", "SAVPF", "UDP"), False),
            ("MP2T/H2221/UDP", ("MP2T", "H2221", "UDP"), False),
            ("RAW/RAW/UDP", ("RAW", "RAW", "UDP"), False),
            ("x-real-rdt/tcp", ("X-REAL-RDT", "TCP", "UDP"), False),
            ("RTP", ("RTP", "", "UDP"), False),
            ("RTP/AVP/TCP/x", ("RTP", "AVP", "TCP/X"), False),
        ):
            for ending in ("", ";unicast", " ; unicast;", ";;"):
                spec = one(name + ending)
                self.assertEqual((spec.protocol, spec.profile, spec.lower), parts, name)
                self.assertEqual(spec.supported, supported, name)

    def test_channelsMeanTheConnection(self) -> None:
        self.assertTrue(one("RTP/AVP;unicast;interleaved=2-3").supported)
        self.assertFalse(one("RTP/AVP/UDP;unicast;interleaved=2-3").supported)

    def test_multicastIsNotSupported(self) -> None:
        self.assertFalse(one("RTP/AVP/TCP;multicast").supported)

    def test_channels(self) -> None:
        for text, channels in (("0-1", (0, 1)), ("6", (6, 7)), ("4 - 5", (4, 5)), ('"2-3"', (2, 3)), ("5-2", (5, 2))):
            self.assertEqual(one(f"RTP/AVP/TCP;interleaved={text}").channels, channels)
        for text in ("", "a", "-1", "0-", "0-1-2", "0x1", "1000-1001", "٣-٤", "+1-2", "0/1", "0~1"):
            with self.assertRaises(ProtocolError) as caught:
                parseTransports(f"RTP/AVP/TCP;interleaved={text}")
            self.assertEqual(caught.exception.status, 400)

    def test_theFirstOfAnEqualNameCounts(self) -> None:
        self.assertEqual(one("RTP/AVP/TCP;interleaved=0-1;interleaved=2-3").channels, (0, 1))

    def test_aQuoteThatNothingCloses(self) -> None:
        self.assertEqual(len(parseTransports('RTP/AVP/TCP;mode="PLAY,RTP/AVP/UDP;unicast')), 2)

    def test_empty(self) -> None:
        for value in ("", " ", ",", " , ,\t"):
            with self.assertRaises(ProtocolError) as caught:
                parseTransports(value)
            self.assertEqual(caught.exception.status, 400)

    @given(st.text(alphabet='RTP/AVTCUD;,="- \tunicastmode0123456789interleaved\\\x00é'))
    def test_onlyOurOwnErrors(self, value: str) -> None:
        try:
            choose(value)
        except ProtocolError as error:
            self.assertIn(error.status, (400, 461))

    def test_manyQuotesAreNoWork(self) -> None:
        self.assertEqual(len(parseTransports('"' * 100001)), 1)
        self.assertEqual(len(parseTransports("x;" * 100000)), 1)


class ChooseTests(SynchronousTestCase):
    def test_asAsked(self) -> None:
        self.assertEqual(choose(FFMPEG), ChosenTransport(0, 1))
        self.assertEqual(choose(GSTREAMER, 2, 3), ChosenTransport(0, 1))
        self.assertEqual(choose("RTP/AVP/TCP;interleaved=7-8"), ChosenTransport(7, 8))
        self.assertEqual(choose("RTP/AVP/TCP;interleaved=254-255"), ChosenTransport(254, 255))

    def test_theFirstThatIsSupported(self) -> None:
        value = f"{FFMPEG_UDP}, RTP/SAVP/TCP;interleaved=0-1,RTP/AVP/TCP;interleaved=2-3,{FFMPEG}"
        self.assertEqual(choose(value), ChosenTransport(2, 3))

    def test_theNextFreePair(self) -> None:
        self.assertEqual(choose("RTP/AVP/TCP"), ChosenTransport(0, 1))
        self.assertEqual(choose("RTP/AVP/TCP;unicast;mode=record", 0, 1), ChosenTransport(2, 3))
        self.assertEqual(choose("RTP/AVP/TCP", 0, 1, 4, 5), ChosenTransport(2, 3))
        self.assertEqual(choose("RTP/AVPF/TCP"), ChosenTransport(0, 1, "AVPF"))
        self.assertEqual(choose("RTP/AVP/TCP", 1, 2), ChosenTransport(4, 5))
        self.assertEqual(choose("RTP/AVP/TCP", *range(254)), ChosenTransport(254, 255))
        with self.assertRaises(LimitExceeded) as caught:
            choose("RTP/AVP/TCP", *range(0, 256, 2))
        self.assertEqual(caught.exception.status, 453)

    def test_nothingSupported(self) -> None:
        for value in (FFMPEG_UDP, "RTP/AVP", "RTP/AVP/UDP;unicast,RTP/AVP;multicast", "RTP/SAVP/TCP;interleaved=0-1"):
            with self.assertRaises(ProtocolError) as caught:
                choose(value)
            self.assertEqual(caught.exception.status, 461)

    def test_badPairs(self) -> None:
        for pair, taken in (
            ("0-2", ()),
            ("1-0", ()),
            ("0-0", ()),
            ("255-256", ()),
            ("255", ()),
            ("300-301", ()),
            ("0-1", (0, 1)),
            ("0-1", (1,)),
            ("2-3", (2,)),
        ):
            with self.assertRaises(ProtocolError) as caught:
                choose(f"RTP/AVP/TCP;interleaved={pair}", *taken)
            self.assertEqual(caught.exception.status, 400)


class FormatTests(SynchronousTestCase):
    def test_transport(self) -> None:
        self.assertEqual(formatTransport(choose(GSTREAMER)), FFMPEG)
        self.assertEqual(formatTransport(ChosenTransport(2, 3), ""), "RTP/AVP/TCP;unicast;interleaved=2-3")
        self.assertEqual(
            formatTransport(choose("rtp/avpf/tcp;interleaved=4-5"), "play"),
            "RTP/AVPF/TCP;unicast;interleaved=4-5;mode=play",
        )

    def test_session(self) -> None:
        self.assertEqual(formatSession("abc"), "abc")
        self.assertEqual(formatSession("abc", 60), "abc;timeout=60")
        for value in ("abc", "abc;timeout=60", " abc ; timeout=60"):
            self.assertEqual(parseSession(value), "abc")
        self.assertEqual(parseSession(";timeout=60"), "")
