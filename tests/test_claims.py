"""One publisher for each channel: refused, taken over, gone."""

import contextlib

from twisted.trial.unittest import SynchronousTestCase

from realtime_tw.claims import Claims
from realtime_tw.errors import ProtocolError


class Publisher:
    """Gives its channel back when it is taken over, as real ones do, and wants it again at once."""

    def __init__(self, claims: Claims, channel: bytes = b"cam") -> None:
        self.claims = claims
        self.channel = channel
        self.takenOverCount = 0

    def claim(self, takeover: bool = False) -> None:
        self.claims.claim(self.channel, self, takeover)

    def release(self) -> None:
        self.claims.release(self.channel, self)

    def takenOver(self) -> None:
        self.takenOverCount += 1
        self.release()
        with contextlib.suppress(ProtocolError):
            self.claim()
            raise AssertionError("the channel was free")


class ClaimsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.claims = Claims()
        self.first, self.second = Publisher(self.claims), Publisher(self.claims)

    def test_aSecondPublisherIsRefused(self) -> None:
        self.first.claim()
        error = self.assertRaises(ProtocolError, self.second.claim)
        self.assertEqual((error.status, str(error)), (409, "the channel has a publisher already"))
        self.assertEqual(self.first.takenOverCount, 0)
        # Nothing that the refused one does changes that.
        self.second.release()
        self.assertRaises(ProtocolError, self.second.claim)

    def test_takeover(self) -> None:
        self.first.claim()
        self.second.claim(takeover=True)
        self.assertEqual((self.first.takenOverCount, self.second.takenOverCount), (1, 0))
        # The first one's end is not the second one's.
        self.first.release()
        self.assertRaises(ProtocolError, self.first.claim)

    def test_nobodyIsTakenOver(self) -> None:
        self.first.claim(takeover=True)
        self.assertEqual(self.first.takenOverCount, 0)
        self.assertRaises(ProtocolError, self.second.claim)

    def test_afterTheEndItIsFree(self) -> None:
        self.first.claim()
        self.first.release()
        self.first.release()
        self.second.claim()
        self.assertEqual((self.first.takenOverCount, self.second.takenOverCount), (0, 0))

    def test_channelsHaveNothingToDoWithEachOther(self) -> None:
        other = Publisher(self.claims, b"cam2")
        self.first.claim()
        other.claim()
        other.release()
        self.assertRaises(ProtocolError, self.second.claim)

    def test_nothingIsKept(self) -> None:
        for number in range(10):
            publisher = Publisher(self.claims, b"%d" % number)
            publisher.claim()
            publisher.release()
        self.assertEqual(self.claims._claims, {})
