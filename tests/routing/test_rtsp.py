"""Rules for RTSP publishers: which rule takes them, who may publish, what else is answered, and errors at load."""

import os
import warnings
from base64 import b64encode
from hashlib import md5, sha1
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import DNSLookupError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

with warnings.catch_warnings():
    # Twisted's own module uses at its import what Twisted deprecates.
    warnings.simplefilter("ignore", DeprecationWarning)
    import twisted.web.static  # noqa: F401

from realtime_tw.brokerurl import BrokerURL
from realtime_tw.codec.envelope import isEnvelope
from realtime_tw.errors import ConfigError
from realtime_tw.hubs import Hubs
from realtime_tw.interfaces import IReceiver
from realtime_tw.media import Codec, Kind
from realtime_tw.routing.actions import ACTIONS
from realtime_tw.routing.options import Configuration, loadConfiguration
from realtime_tw.routing.resource import RoutingResource
from realtime_tw.routing.rtspactions import selections
from realtime_tw.routing.verdicts import Handle
from realtime_tw.rtsp.messages import Response, encodeInterleaved, encodeRequest
from realtime_tw.rtsp.outputs import Selection
from realtime_tw.rtsp.parser import RTSPParser
from realtime_tw.rtsp.rtp import MAX_REORDER
from tests.doubles import PausableTransport, Recorder, WebClient
from tests.routing.test_routing_table import exchangeOf
from tests.rtsp.test_server import SDP, TCP, rtp

HOST = "rtsp://127.0.0.1"

KEYFRAME = b"\x10\x10\x00\x00\x9d\x01\x2a\x40\x01\xf0\x00"


def md5Hex(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()


def digest(offer: str, user: str, password: str, method: str = "ANNOUNCE", uri: str = f"{HOST}/cam") -> str:
    """What a client answers to a challenge (RFC 2069)."""
    realm, nonce = (offer.partition(f'{name}="')[2].partition('"')[0] for name in ("realm", "nonce"))
    response = md5Hex(f"{md5Hex(f'{user}:{realm}:{password}')}:{nonce}:{md5Hex(f'{method}:{uri}')}")
    return f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", response="{response}"'


def basic(credentials: str) -> str:
    return "Basic " + b64encode(credentials.encode()).decode()


class SecureTransport(PausableTransport):
    """As after the handshake of TLS."""

    TLS = True


class Client:
    """An RTSP client of some rules."""

    def __init__(self, resource: RoutingResource, secure: bool = False) -> None:
        address = IPv4Address("TCP", "192.0.2.1", 1000)
        kind = SecureTransport if secure else PausableTransport
        self.transport = kind(peerAddress=address, hostAddress=address)
        assert resource.rtsp is not None
        self._protocol: Any = resource.rtsp.buildProtocol(address)
        self._protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        self._protocol.dataReceived(data)

    def ask(self, method: str, path: str = "/cam", body: bytes = b"", **headers: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.send(encodeRequest(method, HOST + path, {"CSeq": "1", **named}, body))
        (response,) = RTSPParser().receive(self.transport.value())
        self.transport.clear()
        assert isinstance(response, Response)
        return response

    def announce(self, path: str = "/cam", authorization: str | None = None, **headers: str) -> Response:
        if authorization is not None:
            headers["Authorization"] = authorization
        return self.ask("ANNOUNCE", path, SDP, Content_Type="application/sdp", **headers)

    def publish(self, path: str) -> None:
        """All that is needed, and a keyframe."""
        for response in (
            self.announce(path),
            self.ask("SETUP", f"{path}/streamid=0", Transport=TCP),
            self.ask("RECORD", path),
        ):
            assert response.status == 200, response
        self.send(encodeInterleaved(0, rtp(1, 0, KEYFRAME)))


class RoutingCase(SynchronousTestCase):
    def setUp(self) -> None:
        temporary = TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = temporary.name
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.hubs = Hubs(BrokerURL("memory"), self.clock)

    def load(self, *lines: str, section: str = "realtime") -> Configuration:
        with open(os.path.join(self.directory, "r.ini"), "w") as file:
            file.write("\n".join([f"[{section}]", *lines]))
        specs = {name: action.spec for name, action in ACTIONS.items()}
        return loadConfiguration("r.ini", {}, specs, cwd=self.directory)

    def resource(self, *lines: str, section: str = "realtime") -> RoutingResource:
        return RoutingResource(self.load(*lines, section=section), self.hubs)

    def client(self, *lines: str, section: str = "realtime") -> Client:
        return Client(self.resource(*lines, section=section))

    def listen(self, channel: bytes) -> Recorder:
        recorder = Recorder()
        self.hubs.default.broker.subscribe(channel, IReceiver(recorder))
        return recorder

    def payloads(self, recorder: Recorder) -> list[bytes]:
        self.clock.advance(0)
        return [event[1] for event in recorder.events if isinstance(event, tuple)]

    def problem(self, line: str, section: str = "realtime") -> str:
        with self.assertRaises(ConfigError, msg=line) as caught:
            self.load(line, section=section)
        return str(caught.exception)


class RuleTests(RoutingCase):
    def test_variablesInTheChannel(self) -> None:
        recorder = self.listen(b"cam-7")
        client = self.client(r"route = ^/cam/(\d+)$ rtsp:publish=cam-$1,demuxer=auto")
        client.publish("/cam/7")
        described, frame = self.payloads(recorder)
        self.assertTrue(isEnvelope(described))
        self.assertTrue(frame.endswith(KEYFRAME[1:]))
        self.assertEqual(client.ask("TEARDOWN", "/cam/7").status, 200)
        self.assertEqual(client.announce("/cam/x").status, 404)

    def test_thePathCountsWithoutItsQuery(self) -> None:
        resource = self.resource("route = ^/cam$ rtsp:cam", "route-qs = ^key=1$ rtsp:other")
        self.assertEqual(Client(resource).announce("/cam?key=2").status, 200)
        self.assertEqual(Client(resource).announce("/x?key=1").status, 200)
        self.assertEqual(Client(resource).announce("/x?key=2").status, 404)
        self.assertEqual(Client(resource).announce("/%63am").status, 455)

    def test_conditions(self) -> None:
        resource = self.resource(
            "route-if-not = equal:${SERVER_PROTOCOL};RTSP/1.0 return:400",
            "route-if = equal:${REQUEST_SCHEME};rtsps rtsp:publish=secret",
            "route-if = equal:${REQUEST_METHOD};DESCRIBE return:403",
            "route-if = startswith:${HTTP_USER_AGENT};Lavf rtsp:publish=lavf",
            "route-remote-addr = ^198 rtsp:publish=near",
        )
        self.assertEqual(Client(resource).announce().status, 404)
        self.assertEqual(Client(resource).ask("DESCRIBE").status, 403)
        self.assertEqual(Client(resource).announce(User_Agent="Lavf59").status, 200)
        secure = Client(resource, secure=True)
        self.assertEqual(secure.announce().status, 200)
        self.assertEqual(secure.ask("DESCRIBE").status, 404)

    def test_nothingMatched(self) -> None:
        client = self.client("route = ^/cam$ rtsp:cam")
        for method in ("ANNOUNCE", "DESCRIBE"):
            self.assertEqual(client.ask(method, "/other", SDP, Content_Type="application/sdp").status, 404)
        self.assertEqual(client.ask("DESCRIBE").status, 404)

    def test_actionsForOthers(self) -> None:
        for action in ("sse:cam", "stream:cam", "istream:cam", "websocket:cam", "publish:cam"):
            response = self.client(f"route = ^/cam$ {action}", "route = ^/x rtsp:x").announce()
            self.assertEqual(response.status, 405, action)
            self.assertIn(action.partition(":")[0], response.body.decode())

    def test_rulesThatAnswer(self) -> None:
        for rule, status, body in (
            ("return:403", 403, b"Forbidden\n"),
            ("return:503 Later", 503, b"Later\n"),
            ("break:403", 403, b""),
            # Nothing is said of them over HTTP; here the client must know.
            ("break:", 404, b"nothing is here\n"),
            ("last:", 404, b"nothing is here\n"),
            ("static:/etc/hostname", 404, b"nothing is here\n"),
        ):
            client = self.client(f"route = ^/cam$ {rule}", "route = ^/ rtsp:publish=x,takeover=1")
            response = client.announce()
            self.assertEqual((response.status, response.body), (status, body), rule)
            self.assertEqual(client.announce("/else").status, 200, rule)

    def test_redirects(self) -> None:
        response = self.client("route = ^/cam$ redirect:rtsp://other/cam", "route = ^/x rtsp:x").announce()
        self.assertEqual((response.status, response.headers.get("Location")), (302, "rtsp://other/cam"))

    def test_aChannelThatComesOutEmpty(self) -> None:
        response = self.client("route = ^/cam(.*)$ rtsp:publish=$1").announce()
        self.assertEqual(response.status, 400)

    def test_oneChannelOnePublisher(self) -> None:
        for number, keys in enumerate(("", ",demuxer=auto")):
            resource = self.resource(
                f"route = ^/a rtsp:publish=cam{number}{keys}", f"route = ^/b rtsp:publish=cam{number},takeover=1{keys}"
            )
            first, second = Client(resource), Client(resource)
            self.assertEqual(first.announce("/a").status, 200)
            response = second.announce("/a")
            self.assertEqual(response.status, 455)
            self.assertIn("publisher already", response.body.decode())
            self.assertEqual(second.announce("/b").status, 200)
            self.assertTrue(first.transport.disconnecting)

    def test_theServerKeyNamesAnotherBroker(self) -> None:
        client = self.client("route = ^/cam$ rtsp:publish=cam,server=/run/redis.sock")
        self.assertEqual(client.announce().status, 200)
        other = self.hubs.hub(BrokerURL("redis+unix", path="/run/redis.sock"))
        self.assertEqual((len(list(self.hubs)), list(other.claims._claims)), (2, [b"cam"]))

    def test_overHTTP(self) -> None:
        for action in ("rtsp:cam", "interleaved:127.0.0.1:5000"):
            web = WebClient(self.resource(f"route = ^/cam$ {action}"))
            said = web.send(b"GET /cam HTTP/1.0\r\n\r\n").value()
            self.assertIn(b" 400 ", said.partition(b"\r\n")[0], action)
            self.assertIn(b"this address speaks RTSP", said)

    def test_onlyWhereARuleTakesIt(self) -> None:
        self.assertIsNone(self.resource("route = ^/x sse:cam").rtsp)
        self.assertIsNotNone(self.resource("route = ^/x interleaved:127.0.0.1:5000").rtsp)

    def test_addresses(self) -> None:
        for rule, status in (("^192", 200), ("^198", 404)):
            client = self.client(f"route-remote-addr = {rule} rtsp:publish=cam,takeover=1")
            self.assertEqual(client.announce().status, status)

    def test_timeout(self) -> None:
        client = self.client("route = ^/cam$ rtsp:publish=cam,timeout=7")
        client.announce()
        response = client.ask("SETUP", "/cam/streamid=0", Transport=TCP)
        self.assertTrue((response.headers.get("Session") or "").endswith(";timeout=7"))
        self.clock.pump([1] * 9)
        self.assertTrue(client.transport.disconnecting)

    def test_reorder(self) -> None:
        for keys, expected in ((",reorder=9", [1, 2, 3]), ("", [1, 3])):
            recorder = self.listen(b"cam")
            client = self.client(f"route = ^/cam$ rtsp:publish=cam,takeover=1{keys}")
            client.publish("/cam")
            for number in (3, 2):
                client.send(encodeInterleaved(0, rtp(number, 0, KEYFRAME)))
            self.assertEqual([payload[3] for payload in self.payloads(recorder)], expected)
            self.hubs.default.broker.unsubscribe(b"cam", recorder)


class CompatibilityTests(RoutingCase):
    """What the keys of uwsgi-realtime make of a publisher."""

    def values(self, argument: str) -> dict[str, Any]:
        table = self.load(f"route-run = rtsp:{argument}", section="uwsgi").table
        verdict = table.run(exchangeOf(b"/"))
        assert isinstance(verdict, Handle)
        return dict(verdict.values)

    def test_selections(self) -> None:
        raw = {Kind.VIDEO: Selection(None, 0), Kind.AUDIO: Selection(None, 2)}
        for argument, expected in {
            "cam": raw,
            "publish=cam": raw,
            "publish=cam,track_prefix=1": raw,
            "publish=cam,video_demuxer=h264": {Kind.VIDEO: Selection(Codec.H264, 0)},
            "publish=cam,audio_demuxer=aac": {Kind.AUDIO: Selection(Codec.AAC, 2)},
            "publish=cam,video_channel=0": {Kind.VIDEO: Selection(None, 0)},
            "publish=cam,audio_channel=255": {Kind.AUDIO: Selection(None, 255)},
            "publish=cam,video_demuxer=vp8,video_channel=7,audio_channel=0": {
                Kind.VIDEO: Selection(Codec.VP8, 7),
                Kind.AUDIO: Selection(None, 0),
            },
        }.items():
            self.assertEqual(selections(self.values(argument)), expected, argument)

    def test_bareChannel(self) -> None:
        recorder = self.listen(b"cam")
        self.client("route = ^/cam rtsp:cam", section="uwsgi").publish("/cam")
        # The whole packet.
        self.assertEqual(self.payloads(recorder), [rtp(1, 0, KEYFRAME)])

    def test_payloads(self) -> None:
        recorder = self.listen(b"cam")
        client = self.client("route = ^/cam rtsp:publish=cam,video_demuxer=vp8,video_channel=3,track_prefix=1")
        client.publish("/cam")
        (payload,) = self.payloads(recorder)
        self.assertEqual(payload, b"\3" + (1000).to_bytes(8) + KEYFRAME[1:])

    def test_anotherCodec(self) -> None:
        for keys in ("video_demuxer=h264", "audio_demuxer=opus"):
            response = self.client(f"route = ^/cam rtsp:publish=cam,{keys}").announce()
            self.assertEqual(response.status, 415)
            self.assertIn(keys.partition("=")[2], response.body.decode())


class AuthenticationTests(RoutingCase):
    RULES = ("route = ^/cam basicauth:Some realm,joe:s3cret", "route = ^/cam rtsp:cam")

    def challenged(self, response: Response, stale: bool = False) -> str:
        """The offer of Digest, which comes first."""
        self.assertEqual(response.status, 401)
        offer, other = response.headers.getAll("WWW-Authenticate")
        self.assertTrue(offer.startswith('Digest realm="Some realm", nonce="'), offer)
        self.assertEqual("stale=true" in offer, stale)
        self.assertEqual(other, 'Basic realm="Some realm"')
        return offer

    def test_basic(self) -> None:
        client = self.client(*self.RULES)
        self.challenged(client.announce())
        for credentials in ("joe:wrong", "ann:s3cret", "joe:", ":s3cret", "joe"):
            self.challenged(client.announce(authorization=basic(credentials)))
        self.assertEqual(client.announce(authorization=basic("joe:s3cret")).status, 200)

    def test_digest(self) -> None:
        client = self.client(*self.RULES)
        offer = self.challenged(client.announce())
        for user, password in (("joe", "wrong"), ("ann", "s3cret"), ("", "s3cret")):
            self.assertEqual(self.challenged(client.announce(authorization=digest(offer, user, password))), offer)
        self.assertEqual(client.announce(authorization=digest(offer, "joe", "s3cret")).status, 200)

    def test_aBorrowedName(self) -> None:
        """The right response of another user's name, as if the name did not matter."""
        client = self.client(*self.RULES)
        right = digest(self.challenged(client.announce()), "joe", "s3cret")
        self.challenged(client.announce(authorization=right.replace('username="joe"', 'username="ann"')))

    def test_anotherRealm(self) -> None:
        client = self.client(*self.RULES)
        offer = self.challenged(client.announce())
        self.challenged(client.announce(authorization=digest(offer.replace("Some", "Any"), "joe", "s3cret")))

    def test_replayForAnotherMethod(self) -> None:
        client = self.client(*self.RULES)
        offer = self.challenged(client.ask("DESCRIBE"))
        describe = digest(offer, "joe", "s3cret", "DESCRIBE")
        self.assertEqual(client.ask("DESCRIBE", Authorization=describe).status, 404)
        self.challenged(client.announce(authorization=describe))

    def test_aNonceOfAnotherConnection(self) -> None:
        resource = self.resource(*self.RULES)
        offer = self.challenged(Client(resource).announce())
        client = Client(resource)
        self.challenged(client.announce(authorization=digest(offer, "joe", "wrong")))
        fresh = self.challenged(client.announce(authorization=digest(offer, "joe", "s3cret")), stale=True)
        self.assertNotEqual(fresh, offer)
        again = fresh.replace("stale=true, ", "")
        self.assertEqual(client.announce(authorization=digest(again, "joe", "s3cret")).status, 200)

    def test_whatIsNoAuthorization(self) -> None:
        client = self.client(*self.RULES)
        for text in ("", "Digest", 'Digest username="joe"', "Bearer x", "Basic !!!", "Digest " + "x" * 9999):
            self.challenged(client.announce(authorization=text))

    def test_aFileOffersBasicOnly(self) -> None:
        path = os.path.join(self.directory, "users")
        with open(path, "w") as file:
            file.write("joe:{SHA}" + b64encode(sha1(b"s3cret", usedforsecurity=False).digest()).decode())
        client = self.client(f"route = ^/cam basicauth:Some realm,{path}", "route = ^/cam rtsp:cam")
        response = client.announce()
        self.assertEqual(response.headers.getAll("WWW-Authenticate"), ['Basic realm="Some realm"'])
        made = f'Digest realm="Some realm", nonce="{"0" * 32}", algorithm=MD5'
        self.assertEqual(client.announce(authorization=digest(made, "joe", "s3cret")).status, 401)
        self.assertEqual(client.announce(authorization=basic("joe:wrong")).status, 401)
        self.assertEqual(client.announce(authorization=basic("joe:s3cret")).status, 200)

    def test_nobody(self) -> None:
        client = self.client("route = ^/cam basicauth:Some realm,", "route = ^/cam rtsp:cam")
        self.assertEqual(client.announce().headers.getAll("WWW-Authenticate"), ['Basic realm="Some realm"'])
        self.assertEqual(client.announce(authorization=basic("joe:s3cret")).status, 401)

    def test_next(self) -> None:
        client = self.client(
            "route = ^/cam basicauth-next:Some realm,joe:s3cret",
            "route = ^/cam basicauth:Some realm,ann:other",
            "route = ^/cam rtsp:${REMOTE_USER}",
        )
        offer = self.challenged(client.announce())
        self.challenged(client.announce(authorization=basic("ann:wrong")))
        self.challenged(client.announce(authorization=digest(offer, "ann", "wrong")))
        for authorization, user in (
            (basic("joe:s3cret"), "joe"),
            (basic("ann:other"), "ann"),
            (digest(offer, "joe", "s3cret"), "joe"),
            (digest(offer, "ann", "other"), "ann"),
        ):
            self.assertEqual(client.announce(authorization=authorization).status, 200, user)
            self.assertIn(user.encode(), self.hubs.default.claims._claims)
            client.ask("SETUP", "/cam/streamid=0", Transport=TCP)
            self.assertEqual(client.ask("TEARDOWN").status, 200)

    def test_laterRequestsBelongToTheSession(self) -> None:
        client = self.client(*self.RULES)
        offer = self.challenged(client.announce())
        self.assertEqual(client.announce(authorization=digest(offer, "joe", "s3cret")).status, 200)
        self.assertEqual(client.ask("SETUP", "/cam/streamid=0", Transport=TCP).status, 200)
        self.assertEqual(client.ask("RECORD").status, 200)

    def test_overHTTPThereIsBasicOnly(self) -> None:
        verdict = self.load(*self.RULES).table.run(exchangeOf(b"/cam"))
        offers = [value for name, value in getattr(verdict, "headers", ()) if name == b"WWW-Authenticate"]
        self.assertEqual(offers, [b'Basic realm="Some realm"'])


class UDP:
    """A UDP port: what it was told to send."""

    def __init__(self, interface: str) -> None:
        self.interface = interface
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.isOpen = True

    def write(self, data: bytes, address: tuple[str, int]) -> None:
        assert self.isOpen
        assert (":" in address[0]) == (":" in self.interface)
        # As a socket has it.
        if address[1] > 65535:
            raise OverflowError
        self.sent.append((data, address))

    def stopListening(self) -> None:
        self.isOpen = False


class Reactor(Clock):
    """With names and UDP."""

    def __init__(self) -> None:
        super().__init__()
        self.ports: list[UDP] = []

    def resolve(self, name: str) -> Deferred[str]:
        return succeed("127.0.0.1") if name == "localhost" else fail(DNSLookupError(name))

    def listenUDP(self, port: int, protocol: object, interface: str = "") -> UDP:
        self.ports.append(UDP(interface))
        return self.ports[-1]


class InterleavedTests(RoutingCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock = self.reactor = Reactor()
        self.hubs = Hubs(BrokerURL("memory"), self.reactor)

    def sent(self) -> list[tuple[bytes, tuple[str, int]]]:
        return [each for port in self.reactor.ports for each in port.sent]

    def test_packets(self) -> None:
        client = self.client("route = ^/cam$ interleaved:localhost:5000;localhost:5002")
        client.publish("/cam")
        client.send(encodeInterleaved(1, b"\x80\xc9\0\1\0\0\0\1"))
        self.assertEqual(self.sent(), [(rtp(1, 0, KEYFRAME), ("127.0.0.1", 5000))])
        client.ask("TEARDOWN")
        self.assertFalse(any(port.isOpen for port in self.reactor.ports))

    def test_reports(self) -> None:
        report = b"\x80\xc9\0\1\0\0\0\1"
        for port, expected in ((5000, [(report, ("127.0.0.1", 5001))]), (65535, [])):
            client = self.client(f"route = ^/cam$ interleaved:targets=localhost:{port},rtcp=1")
            client.publish("/cam")
            client.send(encodeInterleaved(1, report))
            self.assertEqual(self.sent()[1:], expected)
            self.reactor.ports.clear()

    def test_ipv6(self) -> None:
        self.client("route = ^/cam$ interleaved:[::1]:5000").publish("/cam")
        self.assertEqual(self.sent(), [(rtp(1, 0, KEYFRAME), ("::1", 5000))])

    def test_anUnknownName(self) -> None:
        client = self.client("route = ^/cam$ interleaved:nowhere:5000")
        client.send(encodeRequest("ANNOUNCE", HOST + "/cam", {"CSeq": "1", "Content-Type": "application/sdp"}, SDP))
        self.assertTrue(client.transport.disconnecting)


class LoadTests(RoutingCase):
    def test_errors(self) -> None:
        for argument, message in {
            "rtsp:": "action rtsp needs publish",
            "rtsp:demuxer=auto": "action rtsp needs publish",
            "rtsp:publish=": "action rtsp needs publish",
            "rtsp:publish=cam,demuxer=h264": 'demuxer: "h264" is none of auto',
            "rtsp:publish=cam,video_demuxer=h265": 'video_demuxer: "h265" is none of png, vp8, h264, hevc, vp9, jpeg',
            "rtsp:publish=cam,audio_demuxer=vp8": 'audio_demuxer: "vp8" is none of aac, opus',
            "rtsp:publish=cam,video_channel=256": "video_channel: 256 is more than 255",
            "rtsp:publish=cam,audio_channel=-1": 'audio_channel: "-1" is not a whole number',
            f"rtsp:publish=cam,reorder={MAX_REORDER + 1}": f"reorder: {MAX_REORDER + 1} is more than {MAX_REORDER}",
            "rtsp:publish=cam,timeout=soon": 'timeout: "soon" is not a duration',
            "rtsp:publish=cam,takeover=maybe": 'takeover: "maybe" is neither yes nor no',
            "rtsp:publish=cam,timeout=${HTTP_X}": "timeout cannot hold variables",
            "rtsp:publish=cam,publsh=x": 'unknown key "publsh" for action rtsp (did you mean publish?)',
            "rtsp:subscribe=cam": 'unknown key "subscribe" for action rtsp',
            "interleaved:": "action interleaved needs targets",
            "interleaved:rtcp=1": "action interleaved needs targets",
            "interleaved:127.0.0.1": 'targets: "127.0.0.1" is no address',
            "interleaved:127.0.0.1:5000;camera": 'targets: "camera" is no address',
            "interleaved:127.0.0.1:70000": "targets: there is no port 70000",
            "interleaved::5000": 'targets: ":5000" is no address to connect to',
            "interleaved:/tmp/socket": 'targets: "/tmp/socket" is not a host and a port',
            "interleaved:targets=127.0.0.1:5000,rtcp=x": 'rtcp: "x" is neither yes nor no',
            "interleaved:$1": "targets cannot hold variables",
        }.items():
            problem = self.problem(f"route = ^/cam$ {argument}")
            self.assertTrue(problem.startswith("r.ini:2: "), problem)
            self.assertIn(message, problem)

    def test_limits(self) -> None:
        self.load(
            f"route-run = rtsp:publish=a,reorder={MAX_REORDER},video_channel=255,audio_channel=0,timeout=500ms",
            "route-run = interleaved:127.0.0.1:5000;[::1]:5002;localhost:5004",
        )

    def test_everyCodec(self) -> None:
        for codec in ("png", "vp8", "h264", "hevc", "vp9", "jpeg"):
            self.load(f"route-run = rtsp:publish=a,video_demuxer={codec}", section="uwsgi")
        for codec in ("aac", "opus", "vorbis", "mp3", "pcmu", "pcma", "l16"):
            self.load(f"route-run = rtsp:publish=a,audio_demuxer={codec}", section="uwsgi")

    def test_actionsNeedNoKeysInACompatibleFile(self) -> None:
        self.assertEqual(self.client("route-run = rtsp:cam", section="uwsgi").announce().status, 200)
        self.assertIn("needs publish", self.problem("route-run = rtsp:", section="uwsgi"))
        self.assertIn("needs a colon", self.problem("route-run = rtsp", section="uwsgi"))
