"""Brokers: what carries messages between processes. Each implements :class:`realtime_tw.interfaces.IBroker`."""

from typing import Any

from realtime_tw.brokerurl import BrokerURL, parseBrokerURL
from realtime_tw.interfaces import IBroker

__all__ = ["brokerFromURL"]


def brokerFromURL(url: BrokerURL | str, reactor: Any) -> IBroker:
    """
    The broker that a URL names, not started yet.

    :raises ConfigError: for a URL that cannot be used.
    """
    parsed = parseBrokerURL(url) if isinstance(url, str) else url
    if parsed.scheme == "memory":
        from realtime_tw.brokers.memory import MemoryBroker

        return MemoryBroker(reactor)
    # txredisapi installs a reactor when it is imported: not before one is chosen.
    from realtime_tw.brokers.redis import RedisBroker

    return RedisBroker(parsed, reactor)
