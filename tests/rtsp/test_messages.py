"""RTSP on a connection: any split, limits, what senders really write, nothing but our own errors."""

import time
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import LimitExceeded, ProtocolError
from realtime_tw.rtsp.messages import (
    REASONS,
    Event,
    HeaderLines,
    Headers,
    Interleaved,
    Request,
    Response,
    encodeInterleaved,
    encodeRequest,
    encodeResponse,
    parseCSeq,
)
from realtime_tw.rtsp.parser import MAX_BODY, MAX_HEAD, MAX_HEADERS, MAX_LINE, RTSPParser

OPTIONS = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"
OPTIONS_EVENT = Request("OPTIONS", "*", "RTSP/1.0", Headers((("CSeq", "1"),)), b"")

#: A receiver report without a report block: 8 bytes.
SHORT_REPORT = bytes.fromhex("80c90001deadbeef")


def parse(data: bytes, *limits: int) -> list[Event]:
    """The events of the data, all of which must be good and complete."""
    parser = RTSPParser(*limits)
    events = parser.receive(data)
    parser.receive(b"")
    assert parser.bufferedBytes == 0
    return events


def one(data: bytes) -> Request:
    [event] = parse(data)
    assert isinstance(event, Request)
    return event


def outcome(pieces: list[bytes], *limits: int) -> tuple[list[Event], str, int, int | None]:
    """Everything that can be seen of a parser: events, the error with its status, its CSeq."""
    parser = RTSPParser(*limits)
    events: list[Event] = []
    try:
        for piece in pieces:
            events += parser.receive(piece)
        events += parser.receive(b"")
    except ProtocolError as error:
        return events, str(error), error.status, parser.errorCSeq
    return events, "", 0, None


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data, cut at these places."""
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(places)]


class ParserTests(SynchronousTestCase):
    def test_exampleOfTheStandard(self) -> None:
        # RFC 2326, section 10.3, shortened.
        body = b"v=0\r\no=mhandley 2890844526 2890845468 IN IP4 126.16.64.4\r\n"
        wire = (
            b"ANNOUNCE rtsp://server.example.com/fizzle/foo RTSP/1.0\r\nCSeq: 312\r\n"
            b"Date: 23 Jan 1997 15:35:06 GMT\r\nSession: 47112344\r\nContent-Type: application/sdp\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        request = one(wire)
        self.assertEqual((request.method, request.url), ("ANNOUNCE", "rtsp://server.example.com/fizzle/foo"))
        self.assertEqual((request.version, request.body), ("RTSP/1.0", body))
        self.assertEqual(request.headers.get("session"), "47112344")
        self.assertEqual(parseCSeq(request.headers), 312)

    def test_whatFfmpegWrites(self) -> None:
        request = one(
            b"SETUP rtsp://127.0.0.1:9090/live/streamid=0 RTSP/1.0\r\n"
            b"Transport: RTP/AVP/TCP;unicast;interleaved=0-1;mode=record\r\n"
            b"CSeq: 4\r\nUser-Agent: Lavf59.27.100\r\n\r\n"
        )
        self.assertEqual(
            request.headers.pairs,
            (
                ("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record"),
                ("CSeq", "4"),
                ("User-Agent", "Lavf59.27.100"),
            ),
        )

    def test_responses(self) -> None:
        self.assertEqual(parse(b"RTSP/1.0 200 OK\r\n\r\n"), [Response(200, "OK", Headers(), b"")])
        self.assertEqual(parse(b"RTSP/1.0 551\r\n\r\n"), [Response(551, "", Headers(), b"")])
        self.assertEqual(
            parse(b"RTSP/1.0 455 Method Not Valid in This State\r\nCSeq: 2\r\nContent-Length: 2\r\n\r\nhi"),
            [Response(455, "Method Not Valid in This State", Headers((("CSeq", "2"), ("Content-Length", "2"))), b"hi")],
        )

    def test_framesOfAnySize(self) -> None:
        for size in (0, 1, 8, 11, 12, 1400, 65535):
            payload = bytes(size)
            wire = b"$\x07" + size.to_bytes(2) + payload
            self.assertEqual(parse(wire + OPTIONS + wire), [(7, payload), OPTIONS_EVENT, (7, payload)])

    def test_aReportOfEightBytesIsAFrame(self) -> None:
        self.assertEqual(parse(b"$\x01\x00\x08" + SHORT_REPORT), [Interleaved(1, SHORT_REPORT)])

    def test_framesBetweenRequestAndResponse(self) -> None:
        kinds = [type(event) for event in parse(OPTIONS + b"$\0\0\1x" + b"RTSP/1.0 200 OK\r\n\r\n$\1\0\0" + OPTIONS)]
        self.assertEqual(kinds, [Request, Interleaved, Response, Interleaved, Request])

    def test_aDollarInABodyIsNoFrame(self) -> None:
        body = b"$\0\0\4abcd"
        wire = b"SET_PARAMETER * RTSP/1.0\r\nContent-Length: 8\r\n\r\n" + body
        self.assertEqual(outcome(split(wire, list(range(len(wire)))))[0], parse(wire))
        self.assertEqual(one(wire).body, body)

    def test_aFrameThatHoldsAMessageIsOne(self) -> None:
        self.assertEqual(parse(encodeInterleaved(0, OPTIONS)), [Interleaved(0, OPTIONS)])

    def test_emptyLinesBetweenMessages(self) -> None:
        noise = b"\r\n\r\n\n\r\n"
        self.assertEqual(parse(noise + OPTIONS + noise + b"$\0\0\0" + noise), [OPTIONS_EVENT, Interleaved(0, b"")])

    def test_aBareLineFeedEndsALine(self) -> None:
        self.assertEqual(parse(b"OPTIONS * RTSP/1.0\nCSeq: 1\n\n"), [OPTIONS_EVENT])
        self.assertEqual(parse(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\n\r\n"), [OPTIONS_EVENT])

    def test_spacesInTheFirstLine(self) -> None:
        self.assertEqual(parse(b"OPTIONS  *   RTSP/1.0 \r\nCSeq:1 \r\n\r\n"), [OPTIONS_EVENT])

    def test_foldedLinesAreOneValue(self) -> None:
        request = one(b"OPTIONS * RTSP/1.0\r\nA:\r\n one\r\n\t two \r\n  \r\nB: x\r\n\r\n")
        self.assertEqual(request.headers.pairs, (("A", "one two"), ("B", "x")))

    def test_headersInAnyCaseAndMoreThanOnce(self) -> None:
        headers = one(b"OPTIONS * RTSP/1.0\r\ncseq : \t7\t \r\nRequire: a\r\nREQUIRE: b,c\r\nE:\r\n\r\n").headers
        self.assertEqual(parseCSeq(headers), 7)
        self.assertEqual(headers.get("require"), "a")
        self.assertEqual(headers.getAll("Require"), ["a", "b,c"])
        self.assertEqual((headers.get("e"), headers.get("f"), headers.getAll("f")), ("", None, []))
        self.assertIn("CSEQ", headers)
        self.assertNotIn("Session", headers)

    def test_bytesThatAreNoTextSurvive(self) -> None:
        request = one(b"OPTIONS rtsp://h/\xff\xc3\xa9 RTSP/1.0\r\nX: \xfe\r\n\r\n")
        self.assertEqual(request.url, "rtsp://h/\udcffé")
        wire = encodeRequest("OPTIONS", request.url, request.headers)
        self.assertEqual(wire, b"OPTIONS rtsp://h/\xff\xc3\xa9 RTSP/1.0\r\nX: \xfe\r\n\r\n")

    def test_refused(self) -> None:
        head = b"OPTIONS * RTSP/1.0\r\n"
        for bad in (
            b"\0",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\n",
            b"OPTIONS\n",
            b"OPTIONS *\n",
            b"OPTIONS RTSP/1.0\n",
            b"OPTIONS * RTSP\n",
            b"OPTIONS * RTSP/1\n",
            b"OPTIONS * RTSP/1.0 x\n",
            b"OPTIONS rtsp://h/my cam RTSP/1.0\n",
            b"OPTIONS\t*\tRTSP/1.0\n",
            b"OPTIONS /my\tcam RTSP/1.0\n",
            b"OPTIONS /\0 RTSP/1.0\n",
            b"OPTIONS /\r RTSP/1.0\n",
            b"OPT(IONS * RTSP/1.0\n",
            "OPTIÖNS * RTSP/1.0\n".encode(),
            b" OPTIONS * RTSP/1.0\n",
            b" $OPTIONS * RTSP/1.0\n",
            b"RTSP/1.0\n",
            b"RTSP/1.0 OK\n",
            b"RTSP/1.0 20 OK\n",
            b"RTSP/1.0 2000 OK\n",
            b"RTSP/1.0 +20 OK\n",
            "RTSP/1.0 ٢٠٠ OK\n".encode(),
            head + b"no colon\n",
            head + b": x\n",
            head + b"a b: x\n",
            head + b" x: y\n",
            head + b"a: \0\n",
            head + b"a: x\ry\n",
            head + b"a: x\r\r\n",
            head + b"$\0\0\0",
            head + b"$\0\0\0\n",
            head + b"Content-Length: -1\n\n",
            head + b"Content-Length: +1\n\n",
            head + b"Content-Length: 1 1\n\n",
            head + b"Content-Length: 1_0\n\n",
            head + b"Content-Length: 0x1\n\n",
            head + b"Content-Length:\n\n",
            head + "Content-Length: ٣\n\n".encode(),
            head + b"Content-Length: 1, 1\n\n",
            head + b"Content-Length: 1\ncontent-length: 2\n\n",
        ):
            _, message, status, _ = outcome([bad + b"\n"])
            self.assertEqual(status, 400, (bad, message))

    def test_theSameLengthTwiceIsALength(self) -> None:
        request = one(b"OPTIONS * RTSP/1.0\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab")
        self.assertEqual(request.body, b"ab")

    def test_otherVersions(self) -> None:
        for line in (b"OPTIONS * RTSP/2.0", b"OPTIONS * RTSP/1.1", b"GET / HTTP/1.1", b"RTSP/2.0 200 OK"):
            self.assertEqual(outcome([line + b"\r\n\r\n"])[2], 505, line)

    def test_theRefusalOfAVersionKnowsItsNumber(self) -> None:
        parser = RTSPParser()
        self.assertEqual(parser.receive(b"OPTIONS * RTSP/2.0\r\nCSeq: 9\r\n"), [])
        with self.assertRaises(ProtocolError) as caught:
            parser.receive(b"\r\n")
        self.assertEqual((caught.exception.status, parser.errorCSeq), (505, 9))

    def test_theNumberOfAnEarlierMessageIsNotTheErrors(self) -> None:
        self.assertEqual(outcome([OPTIONS + b"nonsense\r\n"])[3], None)
        self.assertEqual(outcome([OPTIONS + b"PLAY * RTSP/1.0\r\nCSeq: 2\r\n?\r\n"])[3], 2)
        self.assertEqual(outcome([OPTIONS + b"PLAY * RTSP/1.0\r\nCSeq: two\r\n?\r\n"])[3], None)


class ErrorTests(SynchronousTestCase):
    def test_whatIsCompleteComesBeforeTheError(self) -> None:
        parser = RTSPParser()
        self.assertEqual(parser.receive(OPTIONS + b"$\0\0\1x" + b"bad\r\n"), [OPTIONS_EVENT, Interleaved(0, b"x")])
        self.assertIsNotNone(parser.error)
        for data in (b"", OPTIONS):
            with self.assertRaises(ProtocolError) as caught:
                parser.receive(data)
            self.assertIs(caught.exception, parser.error)

    def test_withNothingBeforeItTheErrorIsRaisedAtOnce(self) -> None:
        parser = RTSPParser()
        with self.assertRaises(ProtocolError):
            parser.receive(b"bad\r\n")
        with self.assertRaises(ProtocolError):
            parser.receive(OPTIONS)

    def test_afterAnErrorNothingIsHeld(self) -> None:
        parser = RTSPParser()
        parser.receive(b"OPTIONS * RTSP/1.0\r\nA")
        with self.assertRaises(ProtocolError):
            parser.receive(b"\r\n" + bytes(10**6))
        self.assertEqual(parser.bufferedBytes, 0)


class LimitTests(SynchronousTestCase):
    def test_theFirstLine(self) -> None:
        line = b"OPTIONS /%b RTSP/1.0\r\n" % (b"a" * (MAX_LINE - 20))
        self.assertEqual(len(line), MAX_LINE)
        self.assertEqual(len(parse(line + b"\r\n")), 1)
        for bad in (line[:9] + b"b" + line[9:], b"a" * (MAX_LINE + 1)):
            for pieces in ([bad], split(bad, list(range(len(bad))))):
                self.assertEqual(outcome(pieces)[2], 414)
        self.assertEqual(outcome([b"a" * MAX_LINE])[2], 0)

    def test_theHeaders(self) -> None:
        first = b"OPTIONS * RTSP/1.0\r\n"
        half = b"a: %b\r\n" % (b"b" * (MAX_HEAD // 2 - 6))
        self.assertEqual(len(half + half + b"\r\n"), MAX_HEAD)
        self.assertEqual(len(parse(first + half + half + b"\r\n")), 1)
        for bad in (
            first + half + b"a" + half + b"\r\n",
            first + half + half + b"x\r\n",
            first + half + half + b"x: y\r\n",
            first + b"a" * (MAX_HEAD + 1),
            first + half + b" " * MAX_HEAD,
        ):
            for pieces in ([bad], split(bad, list(range(len(bad))))):
                self.assertEqual(outcome(pieces)[2], 413)

    def test_theNumberOfHeaders(self) -> None:
        wire = b"OPTIONS * RTSP/1.0\r\n" + b"a: b\r\n" * MAX_HEADERS
        self.assertEqual(len(parse(wire + b"\r\n")), 1)
        self.assertEqual(outcome([wire + b"a: b\r\n"])[2], 413)
        self.assertEqual(outcome([wire + b" folded\r\n"])[2], 413)

    def test_theBody(self) -> None:
        head = b"ANNOUNCE * RTSP/1.0\r\nCSeq: 3\r\nContent-Length: %d\r\n\r\n"
        self.assertEqual(one(head % MAX_BODY + bytes(MAX_BODY)).body, bytes(MAX_BODY))
        for length in (str(MAX_BODY + 1), "9" * 17, "9" * 18, "9" * 19, "9" * 5000):
            _, _, status, number = outcome([head.replace(b"%d", length.encode())])
            self.assertEqual((status, number), (413, 3))

    def test_ownLimits(self) -> None:
        wire = b"OPTIONS * RTSP/1.0\r\nA: b\r\nContent-Length: 2\r\n\r\nab"
        self.assertEqual(len(parse(wire, 20, 27, 2, 2)), 1)
        for limits, status in (
            ((19, 27, 2, 2), 414),
            ((20, 26, 2, 2), 413),
            ((20, 27, 1, 2), 413),
            ((20, 27, 2, 1), 413),
        ):
            self.assertEqual(outcome([wire], *limits)[2], status)

    def test_limitsAreLimits(self) -> None:
        with self.assertRaises(LimitExceeded):
            RTSPParser(maxLine=4).receive(b"OPTIONS")

    def test_smallMemory(self) -> None:
        parser = RTSPParser()
        most = 0
        for piece in (b"$\0\xff\xff", *[bytes(4096)] * 15, bytes(4095), b"a" * MAX_LINE):
            parser.receive(piece)
            most = max(most, parser.bufferedBytes)
        self.assertEqual(most, 4 + 15 * 4096)
        self.assertEqual(parser.bufferedBytes, MAX_LINE)


class SplitTests(SynchronousTestCase):
    """Any split of the same bytes gives the same events, and the same error behind them."""

    pieces = st.one_of(
        st.binary(max_size=8),
        st.builds(encodeInterleaved, st.integers(0, 255), st.binary(max_size=40)),
        st.builds(encodeResponse, st.sampled_from([200, 461]), st.just({"CSeq": "5"}), st.binary(max_size=20)),
        st.builds(encodeRequest, st.just("SETUP"), st.just("/a"), st.just({"CSeq": "5"}), st.binary(max_size=20)),
        st.sampled_from(
            [
                b"\r\n",
                b"\n",
                b"\r",
                b"$",
                b"$\0\0",
                OPTIONS,
                b"OPTIONS * RTSP/1.0\r\n",
                b"OPTIONS * RTSP/2.0\r\n",
                b"CSeq: 8\r\n",
                b" folded\r\n",
                b"Content-Length: 3\r\n",
                b"Content-Length: 99\r\n",
                b"RTSP/1.0 200 OK\r\n",
            ]
        ),
    )

    @given(st.lists(pieces, max_size=12).map(b"".join), st.lists(st.integers(0, 10**4), max_size=20))
    @example(OPTIONS * 2 + b"$\0\0\0", [3, 33, 65])
    @example(b"a" * 41, [20])
    @example(b"OPTIONS * RTSP/1.0\r\n" + b"a: b\r\n" * 9, [70])
    def test_anySplit(self, wire: bytes, cuts: list[int]) -> None:
        limits = (40, 50, 6, 30)
        whole = outcome([wire], *limits)
        self.assertEqual(outcome(split(wire, cuts), *limits), whole)
        self.assertEqual(outcome([wire[at : at + 1] for at in range(len(wire))], *limits), whole)

    @given(
        st.lists(
            st.one_of(
                st.tuples(st.integers(0, 255), st.binary(max_size=200)).map(lambda pair: Interleaved(*pair)),
                st.builds(
                    Request,
                    st.sampled_from(["OPTIONS", "X-y.z"]),
                    st.sampled_from(["*", "rtsp://h:1/ü?x=$1", "/"]),
                    st.just("RTSP/1.0"),
                    st.just(Headers((("CSeq", "1"), ("a", "b: c"), ("A", "")))),
                    st.binary(max_size=200),
                ),
                st.builds(
                    Response,
                    st.integers(100, 999),
                    st.sampled_from(["", "OK", "Not  so good"]),
                    st.just(Headers()),
                    st.binary(max_size=200),
                ),
            ),
            max_size=10,
        ),
        st.lists(st.integers(0, 10**4), max_size=20),
    )
    def test_roundTrip(self, events: list[Event], cuts: list[int]) -> None:
        wire = b""
        expected: list[Event] = []
        for event in events:
            if isinstance(event, Interleaved):
                wire += encodeInterleaved(event.channel, event.payload)
                expected.append(event)
                continue
            if isinstance(event, Request):
                wire += encodeRequest(event.method, event.url, event.headers, event.body)
            else:
                wire += encodeResponse(event.status, event.headers, event.body, event.reason)
            length = (("Content-Length", str(len(event.body))),) if event.body else ()
            expected.append(event._replace(headers=Headers(event.headers.pairs + length)))
        self.assertEqual(outcome(split(wire, cuts)), (expected, "", 0, None))

    def test_timeIsProportionalToTheBytes(self) -> None:
        # Quadratic, any of these takes minutes.
        begin = time.perf_counter()
        many = encodeInterleaved(0, SHORT_REPORT) * 20000
        large = encodeInterleaved(0, bytes(65535))
        request = encodeRequest("ANNOUNCE", "*", [("A", "b" * 200)] * 60, bytes(MAX_BODY))
        for wire, size, count in (
            (many, len(many), 20000),
            (many, 1, 20000),
            (large, 1, 1),
            (request, 1, 1),
            (large * 64, 100, 64),
            (request * 40, 100, 40),
            (b"\r\n" * 100000 + OPTIONS, 10**6, 1),
        ):
            parser = RTSPParser()
            found = sum(len(parser.receive(wire[at : at + size])) for at in range(0, len(wire), size))
            self.assertEqual(found, count)
        self.assertTrue(time.perf_counter() - begin < 20)


class EncodeTests(SynchronousTestCase):
    def test_responses(self) -> None:
        self.assertEqual(
            encodeResponse(200, [("CSeq", "2"), ("Session", "1")]), b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nSession: 1\r\n\r\n"
        )
        self.assertEqual(
            encodeResponse(401, [("WWW-Authenticate", "Basic"), ("WWW-Authenticate", "Digest")]),
            b"RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nWWW-Authenticate: Digest\r\n\r\n",
        )
        self.assertEqual(encodeResponse(200, {}, b"v=0", "Fine"), b"RTSP/1.0 200 Fine\r\nContent-Length: 3\r\n\r\nv=0")

    def test_reasons(self) -> None:
        self.assertEqual(encodeResponse(461, {}), b"RTSP/1.0 461 Unsupported Transport\r\n\r\n")
        for status in REASONS:
            [event] = parse(encodeResponse(status, {}))
            assert isinstance(event, Response)
            self.assertEqual((event.status, event.reason), (status, REASONS[status]))
        self.assertEqual(parse(encodeResponse(299, {})), [Response(299, "Unknown", Headers(), b"")])

    def test_requests(self) -> None:
        self.assertEqual(
            encodeRequest("TEARDOWN", "rtsp://h/a", {"CSeq": "1"}), b"TEARDOWN rtsp://h/a RTSP/1.0\r\nCSeq: 1\r\n\r\n"
        )

    def test_theLengthIsTheBodys(self) -> None:
        for body, length in ((b"", b""), (b"ab", b"Content-Length: 2\r\n")):
            wire = encodeResponse(200, {"content-length": "99"}, body)
            self.assertEqual(wire, b"RTSP/1.0 200 OK\r\n" + length + b"\r\n" + body)

    def test_frames(self) -> None:
        self.assertEqual(encodeInterleaved(1, b""), b"$\1\0\0")
        self.assertEqual(encodeInterleaved(255, bytes(65535)), b"$\xff\xff\xff" + bytes(65535))
        with self.assertRaises(LimitExceeded):
            encodeInterleaved(0, bytes(65536))
        for channel in (-1, 256):
            with self.assertRaises(ProtocolError):
                encodeInterleaved(channel, b"")

    def test_headersCannotBeInjected(self) -> None:
        bad: list[HeaderLines] = [
            {"A": f"x{char}y"} for char in ("\r\nB: c", "\r", "\n", "\0", "\x7f", "\x0b", "\ud800")
        ]
        bad += [{name: "x"} for name in ("", "A:", "A B", "A\r\n", "Ä")]
        for headers in bad:
            with self.assertRaises(ProtocolError, msg=repr(headers)):
                encodeResponse(200, headers)
            with self.assertRaises(ProtocolError):
                encodeRequest("OPTIONS", "*", headers)
        for reason in ("a\r\nB: c", "a\n"):
            with self.assertRaises(ProtocolError):
                encodeResponse(200, {}, b"", reason)
        for method, url in (
            ("A B", "*"),
            ("", "*"),
            ("A", ""),
            ("A", "/ b"),
            ("A", "/\r\n"),
            ("A\r\n", "/"),
            ("$A", "/"),
        ):
            with self.assertRaises(ProtocolError):
                encodeRequest(method, url, {})
        for status in (-1, 99, 1000):
            with self.assertRaises(ProtocolError):
                encodeResponse(status, {})


class CSeqTests(SynchronousTestCase):
    def test_numbers(self) -> None:
        self.assertEqual(parseCSeq(Headers((("cseq", "0"),))), 0)
        self.assertEqual(parseCSeq(Headers((("CSeq", "4294967296"),))), 4294967296)

    def test_refused(self) -> None:
        for pairs in ((), *((("CSeq", value),) for value in ("", "-1", "+1", "1 ", "x", "٣", "9" * 5000))):
            with self.assertRaises(ProtocolError) as caught:
                parseCSeq(Headers(pairs))
            self.assertEqual(caught.exception.status, 400)
