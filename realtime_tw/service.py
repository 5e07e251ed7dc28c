"""
The service: listeners, site, hubs and supervised programs, started and stopped in order.

Stopping: ports close, clients get their protocol's goodbye, what is being published is waited for, brokers and programs
end; all under one deadline, after which connections are cut.
"""

import gc
import os
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.application import strports
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.runner.procmon import ProcessMonitor
from twisted.web.resource import IResource

from realtime_tw.brokerurl import parseBrokerURL
from realtime_tw.demo import DemoResource
from realtime_tw.errors import ConfigError
from realtime_tw.hubs import Hubs
from realtime_tw.routing.options import Configuration, Listener
from realtime_tw.routing.resource import RoutingResource, serverURL
from realtime_tw.routing.rules import RealtimeAction
from realtime_tw.web.connections import Connections
from realtime_tw.web.port import PortFactory
from realtime_tw.web.request import MAX_BODY
from realtime_tw.web.site import HEADER_TIMEOUT, IDLE_TIMEOUT, RealtimeSite

DEFAULT_LISTEN = "tcp:9090:interface=127.0.0.1"

#: Seconds for everything to end: what systemd and container runtimes allow, and sometimes less.
STOP_TIMEOUT = 10.0

#: Connections that the kernel keeps ready for us. After a restart all browsers come back within seconds, and one that
#: finds Twisted's 50 places taken tries again a second later, then two, then four. The kernel's own limit still holds.
BACKLOG = 4096


class CannotStart(Exception, SystemExit):
    """
    Ends the process with status 1, and without a traceback since everything has been said.

    twistd removes its pid file only after an ``Exception``, and a daemon passes on only that to the waiting parent,
    which would wait for ever otherwise.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What a service is made from.

    :ivar configuration: the routing file; None for the demo alone.
    :ivar listen: endpoint descriptions of the command line.
    :ivar broker: broker URL of the command line, which wins over the file's.
    :ivar demo: serve the demo, where the routing file leaves the request alone.
    """

    configuration: Configuration | None = None
    listen: Sequence[str] = field(default=())
    broker: str | None = None
    demo: bool = False

    @property
    def brokerURL(self) -> str:
        """The broker of routes that name none."""
        fromFile = self.configuration.broker if self.configuration is not None else None
        return self.broker or fromFile or "memory:"

    @property
    def endpoints(self) -> list[str]:
        """Everything to listen on."""
        fromFile = self.configuration.listeners if self.configuration is not None else ()
        return [*map(endpointOf, fromFile), *self.listen] or [DEFAULT_LISTEN]


def endpointOf(listener: Listener) -> str:
    """A file's listener as a Twisted endpoint description."""
    address = listener.address
    if address.path:
        return f"unix:{_escaped(address.path)}"
    interface = f":interface={_escaped(address.host)}" if address.host not in ("", "*") else ""
    if listener.isSecure:
        keys = f":privateKey={_escaped(listener.privateKey)}:certKey={_escaped(listener.certificate)}"
        return f"ssl:{address.port}{keys}{interface}"
    return f"{'tcp6' if ':' in address.host else 'tcp'}:{address.port}{interface}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:").replace("=", "\\=")


class RealtimeService(MultiService):
    """
    :param plan: what to serve.
    :param reactor: for timers and brokers.
    :raises ConfigError: for a broker or an endpoint that cannot be used.
    """

    _log = Logger()

    def __init__(self, plan: Plan, reactor: Any) -> None:
        super().__init__()
        self._reactor = reactor
        self.hubs = Hubs(parseBrokerURL(plan.brokerURL), reactor)
        configuration = plan.configuration
        settings = configuration.settings if configuration is not None else None
        self._stopTimeout = _setting(settings, "stopTimeout", STOP_TIMEOUT)
        self.connections = Connections(
            _setting(settings, "maxConnections", None), _setting(settings, "maxConnectionsPerIp", None)
        )
        self.demo = DemoResource(self.hubs.default) if plan.demo else None
        root: IResource | None = self.demo
        self._routing: RoutingResource | None = None
        if configuration is not None:
            root = self._routing = RoutingResource(configuration, self.hubs, self.demo)
            for rule in configuration.table.rules:
                # Brokers of single routes connect at the start, not at the first request.
                if isinstance(rule.action, RealtimeAction):
                    server = rule.action.arguments.constants.get("server")
                    if server is not None:
                        self.hubs.hub(serverURL(server))
        if root is None:
            raise ConfigError("nothing to serve: give --routes FILE, or --demo")
        self.site = RealtimeSite(
            root,
            maxBody=_setting(settings, "maxBody", MAX_BODY),
            headerTimeout=_setting(settings, "headerTimeout", HEADER_TIMEOUT),
            timeout=_setting(settings, "idleTimeout", IDLE_TIMEOUT),
            reactor=reactor,
            parsePOSTFormSubmission=False,
            accessLog=_setting(settings, "accessLog", True),
        )
        self._notices = configuration.notices if configuration is not None else ()
        factory = PortFactory(self.site, self.connections, self._routing.rtsp if self._routing is not None else None)
        self._ports: list[tuple[str, Service]] = []
        for description in plan.endpoints:
            self._ports.append((description, _listener(description, factory, reactor)))
        self._programs = ProcessMonitor(reactor)
        # Half of the time for a program to end by itself, the other half to see it killed.
        self._programs.killTime = min(self._programs.killTime, self._stopTimeout / 2)
        if configuration is not None:
            for number, command in enumerate(configuration.daemons, 1):
                self._programs.addProcess(f"daemon {number}", ["/bin/sh", "-c", command], env=dict(os.environ))
            for number, script in enumerate(configuration.mules, 1):
                self._programs.addProcess(f"mule {number}", [sys.executable, "-u", script], env=dict(os.environ))

    def privilegedStartService(self) -> None:
        """Bind the ports: before privileges are given up."""
        for description, port in self._ports:
            try:
                port.privilegedStartService()
            except (CannotListenError, OSError) as error:
                message = f"cannot listen on {description}: {getattr(error, 'socketError', error)}"
                self._log.critical("{message}", message=message)
                # twistd has put the log in the place of sys.stderr.
                print(message, file=sys.__stderr__)
                raise CannotStart(message) from error
        super().privilegedStartService()

    def startService(self) -> None:
        for notice in self._notices:
            place = ":".join(str(part) for part in (notice.file, notice.line) if part is not None)
            self._log.info("{place}: {message}", place=place, message=notice.message)
        raiseDescriptorLimit(self._log)
        super().startService()
        self.hubs.start()
        for _, port in self._ports:
            port.startService()
        self._programs.startService()
        if self.demo is not None:
            self.demo.start()
        # What exists now exists for ever: the collector need not look at it again.
        gc.collect()
        gc.freeze()

    @inlineCallbacks
    def stopService(self) -> "Any":
        deadline = self._reactor.seconds() + self._stopTimeout

        def within(waiting: Deferred[Any]) -> Deferred[Any]:
            return waiting.addTimeout(max(deadline - self._reactor.seconds(), 0.1), self._reactor).addErrback(
                lambda _: None
            )

        for _, port in self._ports:
            yield within(maybeDeferred(port.stopService))
        for owner in (self._routing, self.demo):
            if owner is not None:
                owner.closeAll("the server is stopping")
        self.hubs.closeAll("the server is stopping")
        yield within(self.connections.drain())
        left = self.connections.abort()
        if left:
            self._log.warn("cut {left} connections that did not end in time", left=left)
        yield within(self.hubs.stop())
        self._programs.stopService()
        yield within(self._programsEnded())
        yield within(maybeDeferred(super().stopService))

    def _programsEnded(self) -> Deferred[None]:
        """Fires when no supervised program is left; otherwise they would outlive us when they ignore SIGTERM."""
        ended: Deferred[None] = Deferred(lambda _: look.stop())

        def check() -> None:
            if not self._programs.protocols:
                look.stop()
                ended.callback(None)

        look = LoopingCall(check)
        look.clock = self._reactor
        look.start(0.05)
        return ended


def _listener(description: str, factory: PortFactory, reactor: Any) -> Service:
    endpoint = description
    if description.partition(":")[0] in ("tcp", "tcp6", "ssl", "unix") and ":backlog=" not in description:
        endpoint += f":backlog={BACKLOG}"
    try:
        listener: Service = strports.service(endpoint, factory, reactor)
    except Exception as error:
        # Endpoint parsers raise whatever they like: ValueError, TypeError for a missing argument, OSError for a key.
        raise ConfigError(f'cannot listen on "{description}": {error}') from error
    return listener


def _setting(settings: Any, name: str, default: Any) -> Any:
    value = getattr(settings, name) if settings is not None else None
    return default if value is None else value


def raiseDescriptorLimit(log: Logger) -> None:
    """Allow this process as many open files as its administrator does: each client is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:
        log.warn("the limit of open files stays at {soft}: {error}", soft=soft, error=error)
    else:
        log.info("the limit of open files is now {hard} (was {soft})", hard=hard, soft=soft)
