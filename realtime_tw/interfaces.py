"""
The contracts between the layers. Implementations are checked with ``verifyObject`` in the tests.

A *broker* carries messages between processes; the *hub* is its receiver; *subscribers* hang on the hub and write
encoded bytes into *sinks*.
"""

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import Attribute, Interface

from realtime_tw.model import Message, Prefix


class IReceiver(Interface):
    """Receives what a broker brings for the channels it was subscribed to. All methods are synchronous."""

    def messageReceived(message: Message) -> None:
        """One message, in the order of publication within its channel."""

    def batchEnded() -> None:
        """
        All messages that one read from the broker brought have been handed over.

        What a receiver collected since the last call goes out now: this is what makes twenty pipelined messages cost
        one write per subscriber.
        """

    def brokerLost(reason: str) -> None:
        """The broker is away: messages published elsewhere from now on are not received until it is back."""

    def brokerRestored() -> None:
        """The broker is back, and every subscription is in force again."""


class IBroker(Interface):
    """A publish/subscribe transport. Channel names and payloads are bytes and are carried untouched."""

    connected = Attribute("whether subscriptions are in force and messages can be published now")
    pendingBytes = Attribute("bytes accepted by publish() and not yet acknowledged")

    def start() -> None:
        """Connect, and stay connected with back-off. Does nothing when already started."""

    def stop() -> Deferred[None]:
        """Send what is pending, close, and never reconnect. Fires when everything is closed."""

    def publish(channel: bytes, payload: bytes, retain: bool = False) -> Deferred[int]:
        """
        Publish one message.

        :param retain: also keep the payload as the channel's retained value, until it is replaced or given up.
        :return: fires with the number of receivers the broker knows of (Redis: connections, so processes), or fails
            with :class:`realtime_tw.errors.BrokerUnavailable`, at once when the broker is known to be away.
        """

    def unretain(channel: bytes) -> Deferred[None]:
        """Give up the retained value that this broker published, if it is still the current one."""

    def retained(channel: bytes) -> Deferred[bytes | None]:
        """Fires with the channel's retained value. Fails with ``BrokerUnavailable``."""

    def subscribe(channel: bytes | Prefix, receiver: IReceiver) -> Deferred[None]:
        """
        Hand the messages of a channel, or of all channels with a prefix, to a receiver from now on, over any number of
        reconnections.

        :return: fires when the broker has confirmed it, which takes as long as the broker is away; fails with
            ``BrokerUnavailable`` when the broker refuses the channel.
        """

    def unsubscribe(channel: bytes | Prefix, receiver: IReceiver) -> None:
        """Undo :meth:`subscribe`. Unknown pairs are ignored."""


class IEncoding(Interface):
    """
    How messages become the bytes of one kind of client. Hashable: subscribers whose encodings are equal share bytes.
    """

    heartbeat = Attribute("bytes that keep an idle client's connection alive, or b'' when the format has none")

    def encode(messages: Sequence[Message]) -> bytes:
        """All messages, ready for the wire, as one bytes object."""

    def frame(data: bytes) -> bytes:
        """Bytes that are already in the client's format, framed for the wire (HTTP chunked or not at all)."""

    def farewell() -> bytes:
        """The orderly end of the stream, ready for the wire."""


class ISink(Interface):
    """Where the bytes of one client go. Never blocks, never raises."""

    send = Attribute(
        """
        ``socket.send`` of the client's own socket, or None when there is more between us and it.

        It may be called while nothing is buffered; what it does not take, or an OSError of it, goes to ``buffer``.
        """
    )

    def write(data: bytes) -> bool:
        """
        Send, or buffer what the peer cannot take yet.

        :return: True when everything has left and nothing is buffered.
        """

    def buffer(data: bytes, offset: int) -> None:
        """Have the rest of ``data``, from ``offset`` on, sent when the peer can take it. Only while nothing is."""

    def bufferedBytes() -> int:
        """How many bytes have not left yet."""

    def finish(data: bytes) -> None:
        """Send the last bytes and close once they have left."""

    def abort() -> None:
        """Close now; what is buffered is lost."""


class ISubscriber(Interface):
    """One client of the hub."""

    encoding = Attribute("the IEncoding of this client")
    feed = Attribute("the hub's own; None while not subscribed")
    lane = Attribute(
        """
        ``socket.send`` of the client's own socket while nothing waits for the client and nothing is held back, or None.

        Feeds remember it: whoever changes it calls ``feed[0].laneChanged()``.
        """
    )

    def deliver(data: bytes) -> bool:
        """
        Take encoded messages.

        :return: False when the client missed them, because it reads too slowly or is gone.
        """

    def stuffed(data: bytes, sent: int) -> None:
        """The lane took only this many bytes (none, after an error) of messages: send the rest later. Calls nobody."""

    def hold() -> None:
        """Keep what is delivered from now on back until :meth:`release`."""

    def release(data: bytes) -> None:
        """Send ``data`` (may be empty), then what was held back, then go on as usual."""

    def beat() -> None:
        """A heartbeat interval has passed: send a sign of life, or look whether the client still reads."""

    def close(reason: str) -> None:
        """End the client's stream in the way its protocol has for that."""


class IBodyReceiver(Interface):
    """Receives a request's body while it arrives. All methods are synchronous."""

    def dataReceived(data: bytes) -> None:
        """Some of the body."""

    def chunkEnded() -> None:
        """The sender ended a chunk here (chunked bodies only)."""

    def bodyEnded() -> None:
        """The body is complete."""

    def serverStopping() -> None:
        """The server stops and will not wait for the rest: answer now."""

    def connectionLost(reason: Failure) -> None:
        """
        The connection is gone before the response was finished.

        For a body that lasts until the connection closes this is its regular end.
        """


class IStreamingResource(Interface):
    """A resource that can take a request's body while it arrives, when the site's requests can deliver it so."""

    def openBody(request: object) -> IBodyReceiver | None:
        """
        The head of a request with a body has arrived.

        :param request: a :class:`realtime_tw.web.request.StreamingRequest`. It may be answered at once.
        :return: the receiver; or None to be rendered as usual, once the whole body is there.
        """
