"""
One Engine.IO session: a client's messages, over long-polling, over a WebSocket, or from the one to the other.

Heartbeats come from the server in revision 4 (and the client must answer), from the client in revision 3.
"""

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from realtime_tw.codec.engineio import CLOSE, NOOP, PING, Packet, PacketType, decodePayload, encodePacketText
from realtime_tw.errors import ProtocolError
from realtime_tw.heartbeat import Heart
from realtime_tw.socketio.wire import Wire
from realtime_tw.subscriber import Subscriber
from realtime_tw.web.wsconnection import NORMAL


class Application(Protocol):
    """What is spoken over a session. All methods are synchronous."""

    def opened(self) -> None:
        """The handshake is complete."""

    def messageReceived(self, data: str | bytes) -> None:
        """
        One message.

        :raises ProtocolError: to close the session.
        """

    def wireChanged(self) -> None:
        """The session has another transport: what is sent from now on must be encoded anew."""

    def closed(self, reason: str) -> None:
        """The session is over."""


class Carrier(Protocol):
    """The WebSocket under a session."""

    @property
    def out(self) -> Subscriber: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def end(self, code: int) -> None: ...


class Settings(Protocol):
    """The part of a server that sessions look at."""

    clock: IReactorTime
    heart: Heart
    pingInterval: float
    pingTimeout: float
    buffer: int

    def forget(self, session: "Session") -> None:
        """The session is over."""


class Session:
    """
    :ivar sid: unguessable, and the client's only credential.
    :ivar wire: how to encode what is sent; changes with the transport.
    :ivar isSecure: the first request came over TLS.
    :ivar application: see :class:`Application`.
    """

    __slots__ = (
        "_answers",
        "_deadline",
        "_poll",
        "_queue",
        "_queued",
        "_server",
        "application",
        "carrier",
        "isClosed",
        "isFinishing",
        "isPaused",
        "isSecure",
        "isUpgrading",
        "sid",
        "wire",
    )

    _log = Logger()

    def __init__(self, server: Settings, sid: str, wire: Wire, isSecure: bool = False) -> None:
        self._server = server
        self.sid = sid
        self.wire = wire
        self.application: Application
        #: The WebSocket; None while polling.
        self.carrier: Carrier | None = None
        self.isClosed = False
        #: Between a probe over a WebSocket and the client's decision to use it.
        self.isUpgrading = False
        #: Ends once the client has fetched what waits.
        self.isFinishing = False
        #: The client has sent more than is taken from it for now.
        self.isPaused = False
        self.isSecure = isSecure
        self._answers: list[Callable[[], object]] = []
        self._poll: Callable[[bytes], None] | None = None
        self._queue: list[bytes] = []
        self._queued = 0
        self._deadline: Any = None

    def start(self) -> None:
        """The handshake was sent."""
        server = self._server
        server.heart.add(self)
        if self.wire.version == 3:
            self._expect(self._patience)

    # Sending

    def deliver(self, data: bytes) -> bool:
        """
        Send pieces made by :attr:`wire`.

        :return: False when the client reads too slowly, or is gone.
        """
        carrier = self.carrier
        if carrier is not None:
            return carrier.out.deliver(data)
        if self.isClosed or self.isFinishing:
            return False
        if self._queued and self._queued + len(data) > self._server.buffer:
            self.close("reading too slowly")
            return False
        self._queue.append(data)
        self._queued += len(data)
        self._answerPoll()
        return True

    def translated(self, data: bytes) -> bytes:
        """Bytes made for polling, as the WebSocket that has taken its place wants them."""
        packets = decodePayload(data, self.wire.version, maxPackets=len(data) + 1, maxBytes=len(data))
        return self.wire.join(
            [
                self.wire.binary(packet.data)
                if isinstance(packet.data, bytes)
                else self.wire.packet(encodePacketText(packet, self.wire.version))
                for packet in packets
            ]
        )

    def send(self, text: bytes, attachments: tuple[bytes, ...] = ()) -> bool:
        """Send one text message, UTF-8, and the binary ones that belong to it."""
        return self.deliver(self.wire.message(text, attachments))

    def sendBinary(self, data: bytes) -> bool:
        """Send one binary message."""
        return self.deliver(self.wire.binary(data))

    def sendPacket(self, packet: bytes) -> bool:
        """Send an encoded text packet."""
        return self.deliver(self.wire.packet(packet))

    # Polling

    def poll(self, respond: Callable[[bytes], None]) -> None:
        """
        The client asks for what there is. ``respond`` is called with a payload, now or later.

        :raises ProtocolError: when another request is waiting already.
        """
        if self._poll is not None:
            self.close("two polls at once")
            raise ProtocolError("another poll is waiting")
        self._poll = respond
        if self.isUpgrading and not self._queue:
            self._queue.append(self.wire.packet(NOOP))
        self._answerPoll()
        if self.isFinishing:
            self.close("finished", say=False)

    def pollLost(self) -> None:
        """The waiting request was cancelled by the client."""
        self._poll = None
        self.close("the client gave up")

    def _answerPoll(self) -> None:
        if self._poll is not None and self._queue:
            respond, self._poll = self._poll, None
            queue, self._queue = self._queue, []
            self._queued = 0
            respond(self.wire.join(queue))

    # Upgrading

    def probed(self) -> None:
        """The client tries a WebSocket: a poll that waits is answered, so that it can change over."""
        self.isUpgrading = True
        if self._poll is not None and not self._queue:
            self._queue.append(self.wire.packet(NOOP))
            self._answerPoll()

    def probeLost(self) -> None:
        """The WebSocket that was tried is gone."""
        self.isUpgrading = False

    def upgraded(self, carrier: Carrier, wire: Wire) -> None:
        """The client changes over: what waits goes out over the WebSocket."""
        old = self.wire
        waiting = old.join(self._queue)
        self._queue = []
        self._queued = 0
        self.isUpgrading = False
        self.carrier = carrier
        self.wire = wire
        if self.isPaused:
            carrier.pause()
        if self._poll is not None:
            respond, self._poll = self._poll, None
            respond(old.packet(NOOP))
        if waiting:
            carrier.out.deliver(self.translated(waiting))
        if self.isFinishing:
            self.close("finished", say=False)
        elif not self.isClosed:
            self.application.wireChanged()

    # Receiving

    def received(self, packet: Packet) -> None:
        """One packet from the client, over whatever transport."""
        if self.isClosed:
            return
        kind = packet.type
        if kind is PacketType.MESSAGE:
            try:
                self.application.messageReceived(packet.data)
            except ProtocolError as error:
                self.close(str(error))
        elif kind is PacketType.PONG and self.wire.version != 3:
            self._expect(None)
        elif kind is PacketType.PING and self.wire.version == 3:
            self._expect(self._patience)
            self.sendPacket(b"3" + (packet.data.encode() if isinstance(packet.data, str) else b""))
        elif kind is PacketType.CLOSE:
            if self._poll is not None:
                self._queue.append(self.wire.packet(NOOP))
                self._answerPoll()
            self.close("the client closed", say=False)
        elif kind not in (PacketType.UPGRADE, PacketType.NOOP):
            self.close("unexpected packet")

    def pause(self) -> None:
        """Have the client wait: its WebSocket is not read from, its requests are not answered."""
        self.isPaused = True
        if self.carrier is not None:
            self.carrier.pause()

    def resume(self) -> None:
        """Undo :meth:`pause`."""
        self.isPaused = False
        if self._deadline is not None:
            # What it has said meanwhile is only read now.
            self._expect(self._patience)
        if self.carrier is not None:
            self.carrier.resume()
        answers, self._answers = self._answers, []
        for answer in answers:
            answer()

    def whenResumed(self, answer: Callable[[], object]) -> None:
        """Call back once the client, which is paused, may send more, or the session is over."""
        self._answers.append(answer)

    # Heartbeats

    @property
    def _patience(self) -> float:
        server = self._server
        return server.pingTimeout + (server.pingInterval if self.wire.version == 3 else 0)

    def beat(self) -> None:
        if self.wire.version != 3 and not self.isClosed and not self.isPaused:
            self.sendPacket(PING)
            if self._deadline is None:
                self._expect(self._patience)

    def _expect(self, seconds: float | None) -> None:
        """Close unless something is heard within this time; None to stop waiting."""
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()
        if seconds is not None:
            self._deadline = self._server.clock.callLater(seconds, self._missed)

    def _missed(self) -> None:
        self._deadline = None
        if self.isPaused:
            # It may have said something that we have not read.
            self._expect(self._patience)
        else:
            self.close("ping timeout")

    # The end

    def finish(self, reason: str) -> None:
        """End the session once the client has all that was sent; over polling it may have to come for it."""
        if self.carrier is None and self._queue and not self.isClosed:
            self._queue.append(self.wire.packet(CLOSE))
            self.isFinishing = True
        else:
            self.close(reason)

    def close(self, reason: str, say: bool = True, code: int = NORMAL) -> None:
        """
        End the session.

        :param say: tell the client, if it is waiting to hear.
        :param code: for a WebSocket.
        """
        if self.isClosed:
            return
        if say and self.carrier is None:
            self._queue.append(self.wire.packet(CLOSE))
            self._answerPoll()
        self.isClosed = True
        self._expect(None)
        self._server.heart.remove(self)
        self._server.forget(self)
        if self._poll is not None:
            respond, self._poll = self._poll, None
            respond(self.wire.packet(CLOSE))
        self._queue = []
        answers, self._answers = self._answers, []
        for answer in answers:
            answer()
        carrier, self.carrier = self.carrier, None
        if carrier is not None:
            if self.isPaused:
                # For the client's half of the goodbye.
                carrier.resume()
            carrier.end(code)
        self.application.closed(reason)
