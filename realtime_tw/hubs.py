"""The hubs of one service: one for each broker that its routes name, made when first asked for."""

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from realtime_tw.brokers import brokerFromURL
from realtime_tw.brokerurl import BrokerURL
from realtime_tw.hub import Hub


class Hubs:
    """
    :param default: the broker of routes that name none.
    """

    def __init__(self, default: BrokerURL, reactor: Any) -> None:
        self._reactor = reactor
        self._hubs: dict[BrokerURL, Hub] = {}
        self._running = False
        self.default = self.hub(default)

    def hub(self, url: BrokerURL) -> Hub:
        """
        The hub of a broker; equal URLs share it.

        :raises ConfigError: for a broker that cannot be used.
        """
        hub = self._hubs.get(url)
        if hub is None:
            hub = self._hubs[url] = Hub(brokerFromURL(url, self._reactor), self._reactor)
            if self._running:
                hub.broker.start()
        return hub

    def __iter__(self) -> Iterator[Hub]:
        return iter(self._hubs.values())

    def start(self) -> None:
        """Connect all brokers, and from now on new ones at once."""
        self._running = True
        for hub in self:
            hub.broker.start()

    def closeAll(self, reason: str) -> None:
        """End the streams of all clients."""
        for hub in self:
            hub.closeAll(reason)

    def stop(self) -> Deferred[None]:
        """Publish what is pending, then disconnect from all brokers."""
        self._running = False
        done = gatherResults([hub.broker.stop() for hub in self], consumeErrors=True)
        return done.addCallback(lambda _: None)
