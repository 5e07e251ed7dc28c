"""What a hub counts. Plain integers, read by whoever asks; no history and no clock."""

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class Counters:
    """
    :ivar messages: messages that the broker handed over.
    :ivar deliveries: messages times the subscribers they were written to.
    :ivar bytes: encoded bytes times the subscribers they were written to.
    :ivar dropped: deliveries that a subscriber missed because it reads too slowly.
    :ivar slowClosed: subscribers that were closed because they read too slowly.
    :ivar stalledClosed: subscribers that were closed because they read nothing at all for several heartbeats.
    :ivar published: messages accepted from clients.
    :ivar publishFailed: messages from clients that the broker did not take.
    """

    messages: int = 0
    deliveries: int = 0
    bytes: int = 0
    dropped: int = 0
    slowClosed: int = 0
    stalledClosed: int = 0
    published: int = 0
    publishFailed: int = 0

    def asDict(self) -> dict[str, int]:
        return asdict(self)
