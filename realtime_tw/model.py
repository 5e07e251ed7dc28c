"""The values that flow: plain, frozen, slotted."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """
    One published message.

    :ivar channel: the channel's name as the broker spells it.
    :ivar payload: the bytes exactly as they were published.
    """

    channel: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class Prefix:
    """All channels whose names begin so: what a broker can be subscribed to in place of one channel."""

    text: bytes
