"""The routing table as the root of a site: every request is decided about once, when its head is complete."""

import os
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.logger import Logger
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from realtime_tw.brokerurl import BrokerURL
from realtime_tw.errors import ProtocolError
from realtime_tw.hubs import Hubs
from realtime_tw.routing.actions import ACTIONS, RuleContext, Values
from realtime_tw.routing.arguments import ActionSpec
from realtime_tw.routing.exchange import Exchange
from realtime_tw.routing.options import Configuration
from realtime_tw.routing.rules import RealtimeAction, Rule
from realtime_tw.routing.static import StaticFile, StaticFiles, contained
from realtime_tw.routing.values import Address
from realtime_tw.routing.variables import Surroundings, Variables, requestVariables
from realtime_tw.routing.verdicts import Close, Continue, Handle, Reply, ServeFile, Verdict
from realtime_tw.rtsp.server import Announcement, Publication, RTSPFactory, RTSPRefusal
from realtime_tw.rtsp.tunnel import RTSPTunnelResource
from realtime_tw.web.base import answer
from realtime_tw.web.edits import ResponseEdits


class RoutingResource(Resource):
    """
    :param configuration: a checked routing file.
    :param hubs: the brokers of the service.
    :param fallback: answers what neither the rules nor the static files do; 404 without it.
    """

    _log = Logger()

    def __init__(self, configuration: Configuration, hubs: Hubs, fallback: IResource | None = None) -> None:
        super().__init__()
        self._table = configuration.table
        self._static = StaticFiles(configuration)
        self._hubs = hubs
        self._fallback = fallback
        self._surroundings = Surroundings.ofProcess()
        self._section = configuration.section
        self._contexts: dict[int, RuleContext] = {}
        #: Serves RTSP by the same rules; None when no rule takes RTSP.
        self.rtsp: RTSPFactory | None = None
        self._tunnels: RTSPTunnelResource | None = None
        actions = [
            ACTIONS[rule.action.spec.name] for rule in self._table.rules if isinstance(rule.action, RealtimeAction)
        ]
        if any(action.publication is not None for action in actions):
            self.rtsp = RTSPFactory(self._publication, hubs.default.clock)
            self._tunnels = RTSPTunnelResource(self.rtsp)
        for rule in self._table.rules:
            if isinstance(rule.action, RealtimeAction) and ACTIONS[rule.action.spec.name].isStanding:
                # Nothing in it depends on a request.
                self._build(rule, rule.action.spec, rule.action.arguments.bind(Exchange(Variables())))

    def getChildWithDefault(self, path: bytes, request: Request) -> IResource:
        try:
            exchange = self._exchange(request)
        except ProtocolError as error:
            return Message(error.status, str(error))
        verdict = self._table.run(exchange)
        for line in exchange.logLines:
            self._log.info("{line}", line=line)
        return self._resource(verdict, exchange, path, request)

    def _exchange(self, request: Any) -> Exchange:
        headers = [(name, value) for name, values in request.requestHeaders.getAllRawHeaders() for value in values]
        variables = requestVariables(
            request.method,
            request.uri,
            request.clientproto,
            headers,
            peer=hostAndPort(request.client),
            host=hostAndPort(request.host),
            secure=request.isSecure(),
            surroundings=self._surroundings,
        )
        return Exchange(variables)

    def _publication(self, announcement: Announcement) -> Publication:
        """What becomes of an RTSP publisher."""
        exchange = Exchange(
            requestVariables(
                announcement.method.encode(),
                announcement.url.encode("utf-8", "surrogateescape"),
                b"RTSP/1.0",
                announcement.headerBytes(),
                peer=hostAndPort(announcement.peer),
                host=hostAndPort(announcement.host),
                secure=announcement.secure,
                surroundings=self._surroundings,
            ),
            nonces=announcement.nonces,
        )
        exchange.variables["REQUEST_SCHEME"] = b"rtsps" if announcement.secure else b"rtsp"
        verdict = self._table.run(exchange)
        for line in exchange.logLines:
            self._log.info("{line}", line=line)
        if isinstance(verdict, Handle):
            publication = ACTIONS[verdict.action.name].publication
            if publication is None:
                raise RTSPRefusal(405, f"{verdict.action.name} takes no RTSP")
            return publication(self._context(verdict.rule, verdict.values), verdict.values)
        if isinstance(verdict, Reply):
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in verdict.headers]
            raise RTSPRefusal(verdict.status, verdict.body.decode("utf-8", "replace").strip(), headers)
        raise RTSPRefusal(404, "nothing is here")

    def _resource(self, verdict: Verdict, exchange: Exchange, path: bytes, request: Any) -> IResource:
        if isinstance(verdict, Continue):
            found = self._static.find(exchange.variables["PATH_INFO"])
            if found is not None:
                resource: IResource = StaticFile(found)
            elif exchange.sent:
                resource = Message(200, "", bare=True)
            elif self._fallback is not None:
                resource = self._fallback.getChildWithDefault(path, request)
            else:
                resource = Message(404, "nothing is here")
        elif isinstance(verdict, Handle):
            try:
                resource = self._build(verdict.rule, verdict.action, verdict.values)
            except ProtocolError as error:
                resource = Message(error.status, str(error))
        elif isinstance(verdict, ServeFile):
            real = contained(os.fsdecode(verdict.root), os.fsdecode(verdict.path))
            if real is not None and os.path.isfile(real):
                resource = StaticFile(real, verdict.contentType, verdict.status)
            else:
                resource = Message(404, "nothing is here")
        elif isinstance(verdict, Reply):
            resource = ReplyResource(verdict)
        else:
            assert isinstance(verdict, Close)
            resource = CloseResource()
        applyEffects(exchange, request, withBody=not isinstance(verdict, Reply))
        return resource

    def _build(self, rule: Rule, action: ActionSpec, values: Values) -> IResource:
        return ACTIONS[action.name].build(self._context(rule, values), values)

    def _context(self, rule: Rule, values: Values) -> RuleContext:
        context = self._contexts.get(rule.number)
        if context is None:
            server: Address | None = values.get("server")
            hub = self._hubs.default if server is None else self._hubs.hub(serverURL(server))
            context = self._contexts[rule.number] = RuleContext(hub, self._section, self._tunnels)
        return context

    def closeAll(self, reason: str) -> None:
        """End what the rules keep between requests."""
        for context in self._contexts.values():
            for kept in context.kept.values():
                kept.closeAll(reason)


def serverURL(server: Address) -> BrokerURL:
    """The broker that an action's ``server=`` names: a Redis, as in uwsgi-realtime."""
    if server.path:
        return BrokerURL("redis+unix", path=server.path)
    return BrokerURL("redis", server.host, server.port)


def hostAndPort(address: Any) -> tuple[str, int] | None:
    """Of a transport's address; None for one that has no port."""
    if isinstance(address, UNIXAddress) or not hasattr(address, "port"):
        return None
    return address.host, address.port


def applyEffects(exchange: Exchange, request: Any, withBody: bool) -> None:
    """Put what the rules changed into the request, for whoever answers it."""
    request.method = exchange.variables["REQUEST_METHOD"]
    request.unlogged = not exchange.isLogged
    request.logFields = exchange.logVariables
    preamble = b"".join(exchange.sent) if withBody else b""
    if (
        exchange.addedHeaders
        or exchange.removedHeaders
        or exchange.clearedStatus
        or preamble
        or exchange.headersDisabled
    ):
        request.edits = ResponseEdits(
            list(exchange.addedHeaders),
            frozenset(exchange.removedHeaders),
            exchange.clearedStatus if withBody else None,
            preamble,
            exchange.headersDisabled,
        )


class ReplyResource(Resource):
    """A response that a rule made."""

    isLeaf = True
    ignoresBody = True

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self._reply = reply

    def render(self, request: Any) -> bytes:
        reply = self._reply
        request.setResponseCode(reply.status, reply.reason)
        request.defaultContentType = None
        for name, value in reply.headers:
            request.responseHeaders.addRawHeader(name, value)
        if reply.close and hasattr(request.channel, "persistent"):
            request.channel.persistent = False
            request.setHeader(b"Connection", b"close")
        return reply.body


class CloseResource(Resource):
    """Ends the connection without a word, as ``break:`` without a status asks for."""

    isLeaf = True
    ignoresBody = True

    def render(self, request: Any) -> int:
        request.loseConnection() if hasattr(request.channel, "persistent") else request.channel.abortConnection()
        return NOT_DONE_YET


class Message(Resource):
    """A short text with a status."""

    isLeaf = True
    ignoresBody = True

    def __init__(self, status: int, text: str, bare: bool = False) -> None:
        super().__init__()
        self._status = status
        self._text = text
        self._bare = bare

    def render(self, request: Request) -> bytes:
        if self._bare:
            request.setResponseCode(self._status)
            # What send: wrote may come from the client; addheader: can say that it is HTML.
            request.setHeader(b"Content-Type", b"text/plain")
            return b""
        return answer(request, self._status, self._text)
