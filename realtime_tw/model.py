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
