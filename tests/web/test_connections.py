"""The account of connections."""

from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.errors import LimitExceeded
from realtime_tw.web.connections import Connections


class Owner:
    def __init__(self) -> None:
        self.told: list[str] = []

    def drain(self) -> None:
        self.told.append("drain")

    def abort(self) -> None:
        self.told.append("abort")


class ConnectionsTests(SynchronousTestCase):
    def test_limitOfAll(self) -> None:
        connections = Connections(limit=2)
        first = connections.admit("a")
        connections.admit("b")
        with self.assertRaises(LimitExceeded) as caught:
            connections.admit("c")
        self.assertEqual((caught.exception.status, connections.refused, len(connections)), (503, 1, 2))
        first.release()
        connections.admit("c")

    def test_limitPerAddress(self) -> None:
        connections = Connections(limitPerAddress=1)
        first = connections.admit("a")
        connections.admit("b")
        for _ in range(2):
            connections.admit("")
        with self.assertRaises(LimitExceeded) as caught:
            connections.admit("a")
        self.assertEqual(caught.exception.status, 429)
        first.release()
        first.release()
        connections.admit("a")
        with self.assertRaises(LimitExceeded):
            connections.admit("a")

    def test_theAccountsOfAddressesAreGivenUp(self) -> None:
        connections = Connections(limitPerAddress=5)
        for lease in [connections.admit(str(number)) for number in range(100)]:
            lease.release()
        self.assertEqual(connections._perAddress, {})

    def test_drain(self) -> None:
        connections = Connections()
        self.successResultOf(connections.drain())
        owners = [Owner(), Owner()]
        leases = [connections.admit("a") for _ in owners]
        for lease, owner in zip(leases, owners, strict=True):
            lease.owner = owner
        done = connections.drain()
        leases[0].release()
        self.assertNoResult(done)
        self.assertEqual(connections.abort(), 1)
        leases[1].release()
        self.successResultOf(done)
        self.assertEqual([owner.told for owner in owners], [["drain"], ["drain", "abort"]])
