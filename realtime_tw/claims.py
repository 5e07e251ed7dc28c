"""Who publishes live media on a channel: one at a time in a process, because two would make a mess of each other."""

from typing import Protocol

from realtime_tw.errors import ProtocolError


class Claimant(Protocol):
    """A publisher."""

    def takenOver(self) -> None:
        """Another one publishes from now on: stop at once."""


class Claims:
    """The channels of one hub that have a publisher."""

    def __init__(self) -> None:
        self._claims: dict[bytes, Claimant] = {}

    def claim(self, channel: bytes, claimant: Claimant, takeover: bool) -> None:
        """
        :param takeover: send the present publisher away instead of being refused.
        :raises ProtocolError: when the channel has a publisher that stays.
        """
        present = self._claims.get(channel)
        if present is not None and not takeover:
            raise ProtocolError("the channel has a publisher already", 409)
        self._claims[channel] = claimant
        if present is not None:
            present.takenOver()

    def release(self, channel: bytes, claimant: Claimant) -> None:
        """Undo :meth:`claim`. Does nothing for one that was taken over."""
        if self._claims.get(channel) is claimant:
            del self._claims[channel]
