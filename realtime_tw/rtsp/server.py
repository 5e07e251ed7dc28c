"""
The RTSP server (RFC 2326): publishers announce, set up and record over one TCP connection, which carries RTP as well.

    def route(request):
        if request.path != "/cam":
            raise ProtocolError("nothing is here", 404)
        return Publication(FramesOutput(hub, "cam", takeover=True))

    reactor.listenTCP(8554, RTSPFactory(route))
"""

import random
import re
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from realtime_tw.errors import ProtocolError
from realtime_tw.rtsp.digest import Nonces
from realtime_tw.rtsp.messages import (
    Headers,
    Interleaved,
    Request,
    encodeInterleaved,
    encodeResponse,
    parseCSeq,
)
from realtime_tw.rtsp.outputs import Output
from realtime_tw.rtsp.parser import RTSPParser
from realtime_tw.rtsp.session import Session
from realtime_tw.sinks import ConsumerSink, DirectSink, isDirect
from realtime_tw.web.connections import Lease

#: Seconds without a word, a keepalive or media after which a publisher is gone: the default of RFC 2326, section 12.37.
TIMEOUT = 60.0

#: Seconds between two receiver reports, on average (RFC 3550, section 6.2).
REPORT_INTERVAL = 5.0

#: Seconds for a client to take our last words.
CLOSE_TIMEOUT = 5.0

#: Seconds between two looks at the time.
TICK = 1.0

PUBLIC = "OPTIONS, DESCRIBE, ANNOUNCE, SETUP, RECORD, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER"
METHODS = frozenset(PUBLIC.split(", "))

#: Linux has it.
QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)

Pairs = list[tuple[str, str]]

#: Known, and served by nobody here.
_NOT_HERE = frozenset({"PLAY", "REDIRECT"})


class RTSPRefusal(ProtocolError):
    """
    An answer that is an error.

    :ivar headers: besides CSeq.
    """

    def __init__(self, status: int, message: str = "", headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message, status)
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Announcement:
    """
    What a route decides about.

    :ivar method: ``ANNOUNCE``, or ``DESCRIBE``, which is refused in any case but may be answered 401 first.
    :ivar url: as the client wrote it.
    :ivar path: its path, still percent-encoded, without query.
    :ivar headers: of the request.
    :ivar peer: the client's address; None on a UNIX socket.
    :ivar host: the address it connected to.
    :ivar nonces: for digest authentication.
    """

    method: str
    url: str
    path: str
    headers: Headers
    peer: Any = None
    host: Any = None
    secure: bool = False
    nonces: Nonces = field(default_factory=Nonces)

    def headerBytes(self) -> list[tuple[bytes, bytes]]:
        """The headers as they came."""
        return [
            (name.encode("utf-8", "surrogateescape"), value.encode("utf-8", "surrogateescape"))
            for name, value in self.headers.pairs
        ]


@dataclass(frozen=True, slots=True)
class Publication:
    """
    What a route decided.

    :ivar timeout: seconds without a word from the publisher after which its connection is closed.
    :ivar reorder: packets that may wait for one that is late. TCP delivers in order, but some senders relay what came
        over UDP.
    """

    output: Output
    timeout: float = TIMEOUT
    reorder: int = 0


#: Decides what becomes of a publisher, or raises ProtocolError (or :class:`RTSPRefusal`) with a status.
Route = Callable[[Announcement], Publication]


class RTSPFactory(ServerFactory[Protocol]):
    """
    :param route: see :data:`Route`.
    :param clock: the reactor when not given.
    """

    noisy = False

    def __init__(self, route: Route, clock: Any = None) -> None:
        if clock is None:
            from twisted.internet import reactor as clock
        self.route = route
        self.clock = IReactorTime(clock)

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        connection = RTSPConnection()
        connection.factory = self
        return connection


class RTSPConnection(Protocol):
    """One client."""

    _log = Logger()

    factory: Any
    transport: Any
    lease: Lease | None = None
    _session: Session | None = None
    _closing = False
    _paused = False
    _timeout = TIMEOUT
    _deadline: Any = None

    def takeLease(self, lease: Lease) -> None:
        """From the port: this connection's account."""
        self.lease = lease
        lease.owner = self

    def connectionMade(self) -> None:
        transport = self.transport
        self.sink = DirectSink(transport) if isDirect(transport) else ConsumerSink.forTransport(transport)
        self.nonces = Nonces()
        self._parser = RTSPParser()
        self._heard = self.factory.clock.seconds()
        self._timer = LoopingCall(self._tick)
        self._timer.clock = self.factory.clock
        self._timer.start(TICK, now=False)
        self._nextReport = self._heard + _interval()

    # What comes in

    def dataReceived(self, data: bytes) -> None:
        if self._closing:
            return
        now = self._heard = self.factory.clock.seconds()
        try:
            for event in self._parser.receive(data):
                if type(event) is Interleaved:
                    if self._session is not None:
                        self._session.received(event.channel, event.payload, now)
                elif isinstance(event, Request):
                    self._answer(event)
                if self._closing:
                    return
            if self._parser.error is not None:
                raise self._parser.error
        except ProtocolError as error:
            # Nothing that follows can be made sense of.
            cseq = self._parser.errorCSeq
            headers = [("Connection", "close"), *([("CSeq", str(cseq))] if cseq is not None else ())]
            self.sink.write(encodeResponse(error.status, headers))
            self._end(str(error))

    def _answer(self, request: Request) -> None:
        headers: list[tuple[str, str]] = []
        status, body = 200, b""
        try:
            headers.append(("CSeq", str(parseCSeq(request.headers))))
            headers += self._respond(request)
        except ProtocolError as refusal:
            status = _STATUS.get(refusal.status, refusal.status)
            headers += [pair for pair in getattr(refusal, "headers", ()) if pair[0].lower() != "content-type"]
            if str(refusal):
                body = f"{refusal}\n".encode("utf-8", "replace")
                headers.append(("Content-Type", "text/plain; charset=utf-8"))
            self._log.debug("{method} {url}: {error}", method=request.method, url=request.url, error=refusal)
        self.sink.write(encodeResponse(status, headers, body))
        if request.method == "RECORD" and status == 200:
            self._acknowledgeAtOnce()

    def _acknowledgeAtOnce(self) -> None:
        # Once: GStreamer holds its second packet back until the first is acknowledged, which kernels put off for 40 ms,
        # and by so much its tracks would seem to begin apart.
        if isDirect(self.transport) and QUICKACK is not None:
            with suppress(OSError):
                self.transport.getHandle().setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)

    def _respond(self, request: Request) -> Pairs:
        """Do what is asked. Returns the answer's headers."""
        method = request.method
        if method == "OPTIONS":
            return [("Public", PUBLIC)]
        if method == "DESCRIBE":
            self._route(request)
            raise RTSPRefusal(404, "nothing is played here")
        if method == "ANNOUNCE":
            return self._announce(request)
        if method in _NOT_HERE:
            raise RTSPRefusal(405, "publishers only", [("Allow", PUBLIC)])
        if method not in METHODS:
            raise RTSPRefusal(501)
        if self._session is None:
            if method in ("GET_PARAMETER", "SET_PARAMETER") and "session" not in request.headers:
                return self._parameters(request)
            raise RTSPRefusal(
                454 if "session" in request.headers else 455, "nothing was announced", [("Allow", PUBLIC)]
            )
        self._session.check(request)
        if method in ("GET_PARAMETER", "SET_PARAMETER"):
            return [*self._session.header(), *self._parameters(request)]
        if method == "TEARDOWN":
            headers = self._session.teardown(request)
            if self._session.isOver:
                self._forget()
            return headers
        handle: Callable[[Request], Pairs] = getattr(self._session, method.lower())
        return handle(request)

    def _parameters(self, request: Request) -> Pairs:
        if request.body.strip():
            raise RTSPRefusal(451, "there are no parameters")
        return []

    def _route(self, request: Request) -> Publication:
        try:
            path = urlsplit(request.url).path
        except ValueError as error:
            raise RTSPRefusal(400, "the URL cannot be read") from error
        transport = self.transport
        publication: Publication = self.factory.route(
            Announcement(
                request.method,
                request.url,
                path or "/",
                request.headers,
                transport.getPeer(),
                transport.getHost(),
                getattr(transport, "TLS", False) or hasattr(transport, "getPeerCertificate"),
                self.nonces,
            )
        )
        return publication

    def _announce(self, request: Request) -> Pairs:
        if self._session is not None:
            raise RTSPRefusal(455, "announced already", [("Allow", "SETUP, RECORD, PAUSE, TEARDOWN")])
        kind = (request.headers.get("content-type") or "application/sdp").partition(";")[0].strip().lower()
        if kind != "application/sdp":
            raise RTSPRefusal(415, "a description must be application/sdp")
        publication = self._route(request)
        session = Session(publication.output, publication.timeout, publication.reorder)
        try:
            session.announce(request, self, self.factory.clock.seconds())
        except ProtocolError:
            session.close()
            raise
        self._session = session
        self._timeout = publication.timeout
        self._log.info("{peer} publishes {url}", peer=self._peer(), url=_shown(request.url))
        return []

    def _peer(self) -> str:
        return str(getattr(self.transport.getPeer(), "host", "somebody"))

    # From the session

    def pause(self) -> None:
        """Read no more for now; the client is slowed down by TCP."""
        self._paused = True
        self.transport.pauseProducing()

    def resume(self) -> None:
        """Undo :meth:`pause`."""
        # What it has said meanwhile is only read now.
        self._heard = self.factory.clock.seconds()
        self._paused = False
        self.transport.resumeProducing()

    def takenOver(self) -> None:
        """Another publisher has the channel now."""
        self._goodbye("taken over by another publisher")

    def failed(self, reason: str) -> None:
        """The output cannot go on."""
        self._goodbye(reason)

    # Time

    def _tick(self) -> None:
        now = self.factory.clock.seconds()
        if self._paused:
            return
        if now - self._heard > self._timeout:
            self._end("nothing was heard from it")
        elif now >= self._nextReport:
            self._report(now)

    def _report(self, now: float) -> None:
        self._nextReport = now + _interval()
        # A client that does not read our reports need not get more of them.
        if self._session is not None and not self.sink.bufferedBytes():
            for channel, packet in self._session.reports(now):
                self.sink.write(encodeInterleaved(channel, packet))

    # The end

    def _forget(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _end(self, reason: str) -> None:
        if self._closing:
            return
        self._log.info("closing the RTSP connection of {peer}: {reason}", peer=self._peer(), reason=reason)
        self._closing = True
        self._timer.stop()
        self._forget()
        self._deadline = self.factory.clock.callLater(CLOSE_TIMEOUT, self.abort)
        self.sink.finish(b"")

    def _goodbye(self, reason: str) -> None:
        session = self._session
        if session is not None and session.isRecording:
            for channel, packet in session.farewell(self.factory.clock.seconds()):
                self.sink.write(encodeInterleaved(channel, packet))
        self._end(reason)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._closing = True
        if self._timer.running:
            self._timer.stop()
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._forget()
        if self.lease is not None:
            self.lease.release()

    def drain(self) -> None:
        """The server stops."""
        self._goodbye("the server is stopping")

    def abort(self) -> None:
        """The server cannot wait any longer."""
        self.transport.abortConnection()


def _interval() -> float:
    """Until the next report: publishers that came together must not be reported to together (section 6.3.1)."""
    return REPORT_INTERVAL * random.uniform(0.5, 1.5)


def _shown(url: str) -> str:
    """A URL for the log: without a password."""
    return _PASSWORD.sub("//", url)


_PASSWORD = re.compile("//[^/@]*@")

#: Statuses that RTSP says otherwise than HTTP.
_STATUS = {409: 455, 429: 503}
