"""
The embedded broker: channels within one process, nothing to install.

Messages published during one reactor turn are handed over together at its end, as one read from a real broker would
bring them.
"""

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from realtime_tw.interfaces import IBroker, IReceiver
from realtime_tw.model import Message, Prefix


@implementer(IBroker)
class MemoryBroker:
    """
    :param clock: gives the reactor turn (``callLater(0)``).
    """

    connected = True

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._receivers: dict[bytes | Prefix, list[IReceiver]] = {}
        self._prefixes: list[Prefix] = []
        self._retained: dict[bytes, bytes] = {}
        self._queue: list[Message] = []
        self.pendingBytes = 0

    def start(self) -> None:
        """Nothing to connect."""

    def stop(self) -> Deferred[None]:
        self._turn()
        return succeed(None)

    def publish(self, channel: bytes, payload: bytes, retain: bool = False) -> Deferred[int]:
        if retain:
            self._retained[channel] = payload
        receivers = self._receiversOf(channel)
        if not receivers:
            return succeed(0)
        if not self._queue:
            self._clock.callLater(0, self._turn)
        self._queue.append(Message(channel, payload))
        self.pendingBytes += len(payload)
        return succeed(len(receivers))

    def unretain(self, channel: bytes) -> Deferred[None]:
        self._retained.pop(channel, None)
        return succeed(None)

    def retained(self, channel: bytes) -> Deferred[bytes | None]:
        return succeed(self._retained.get(channel))

    def subscribe(self, channel: bytes | Prefix, receiver: IReceiver) -> Deferred[None]:
        if isinstance(channel, Prefix) and channel not in self._receivers:
            self._prefixes.append(channel)
        receivers = self._receivers.setdefault(channel, [])
        if receiver not in receivers:
            receivers.append(receiver)
        return succeed(None)

    def unsubscribe(self, channel: bytes | Prefix, receiver: IReceiver) -> None:
        receivers = self._receivers.get(channel, [])
        if receiver in receivers:
            receivers.remove(receiver)
        if not receivers and self._receivers.pop(channel, None) is not None and isinstance(channel, Prefix):
            self._prefixes.remove(channel)

    def _receiversOf(self, channel: bytes) -> tuple[IReceiver, ...]:
        receivers = tuple(self._receivers.get(channel, ()))
        for prefix in self._prefixes:
            if channel.startswith(prefix.text):
                receivers += tuple(self._receivers[prefix])
        return receivers

    def _turn(self) -> None:
        # What receivers publish while they are called belongs to the next turn.
        queue, self._queue = self._queue, []
        self.pendingBytes = 0
        touched: dict[int, IReceiver] = {}
        for message in queue:
            for receiver in self._receiversOf(message.channel):
                receiver.messageReceived(message)
                touched[id(receiver)] = receiver
        for receiver in touched.values():
            receiver.batchEnded()
