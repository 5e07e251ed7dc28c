"""
The account of open connections: limits for all and per address, and an orderly end.

A connection is handed from protocol to protocol (first line, HTTP, stream), so it is accounted by a lease that goes
with it; whoever is told that the connection is lost gives the lease back.
"""

from typing import Protocol

from twisted.internet.defer import Deferred, succeed

from realtime_tw.errors import LimitExceeded


class Owner(Protocol):
    """The protocol that has a connection at the moment."""

    def drain(self) -> None:
        """The server stops: finish what is going on, start nothing new."""

    def abort(self) -> None:
        """The server cannot wait any longer."""


class Lease:
    """One connection's entry. :ivar owner: who has the connection now."""

    __slots__ = ("_connections", "address", "owner")

    def __init__(self, connections: "Connections", address: str) -> None:
        self._connections = connections
        self.address = address
        self.owner: Owner | None = None

    def release(self) -> None:
        """The connection is gone. Calling it again does nothing."""
        self.owner = None
        self._connections.forget(self)


class Connections:
    """
    :param limit: how many connections there may be; None for any number.
    :param limitPerAddress: the same for each peer address.
    """

    def __init__(self, limit: int | None = None, limitPerAddress: int | None = None) -> None:
        self._limit = limit
        self._limitPerAddress = limitPerAddress
        self._leases: set[Lease] = set()
        self._perAddress: dict[str, int] = {}
        self._emptied: list[Deferred[None]] = []
        self.refused = 0

    def __len__(self) -> int:
        return len(self._leases)

    def admit(self, address: str) -> Lease:
        """
        Account for a new connection.

        :param address: the peer's address; empty when it has none (UNIX sockets), which the limit per address ignores.
        :raises LimitExceeded: with the HTTP status to answer: 503 for the limit of all, 429 for one address.
        """
        if self._limit is not None and len(self._leases) >= self._limit:
            self.refused += 1
            raise LimitExceeded("the server has all the connections it may have", 503)
        if self._limitPerAddress is not None and address:
            count = self._perAddress.get(address, 0)
            if count >= self._limitPerAddress:
                self.refused += 1
                raise LimitExceeded("your address has all the connections it may have", 429)
            self._perAddress[address] = count + 1
        lease = Lease(self, address)
        self._leases.add(lease)
        return lease

    def forget(self, lease: Lease) -> None:
        """For :meth:`Lease.release`."""
        if lease not in self._leases:
            return
        self._leases.remove(lease)
        if self._limitPerAddress is not None and lease.address:
            left = self._perAddress[lease.address] - 1
            if left:
                self._perAddress[lease.address] = left
            else:
                del self._perAddress[lease.address]
        if not self._leases:
            emptied, self._emptied = self._emptied, []
            for waiting in emptied:
                waiting.callback(None)

    def drain(self) -> Deferred[None]:
        """Ask every owner to come to an end. Fires when the last connection is gone."""
        for lease in tuple(self._leases):
            if lease.owner is not None:
                lease.owner.drain()
        if not self._leases:
            return succeed(None)
        emptied: Deferred[None] = Deferred()
        self._emptied.append(emptied)
        return emptied

    def abort(self) -> int:
        """Cut every connection. Returns how many there were."""
        leases = tuple(self._leases)
        for lease in leases:
            if lease.owner is not None:
                lease.owner.abort()
        return len(leases)
