"""
Sinks: where the bytes of one client go.

* :class:`DirectSink` calls ``send()`` at once when the transport has nothing buffered. ``transport.write`` costs a
  reactor turn and two ``epoll_ctl`` calls for every client and message, two to three times the price of the send.
* :class:`ConsumerSink` serves everything else (TLS, HTTP/2, a request that must stay a request) through the public
  consumer interface.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer, ITransport
from twisted.internet.tcp import Server as TCPServer
from twisted.internet.unix import Server as UNIXServer
from zope.interface import implementer

from realtime_tw.interfaces import ISink


def isDirect(transport: object) -> bool:
    """
    Whether :class:`DirectSink` may drive this transport.

    Exact types only: a wrapper (TLS, HAProxy, a policy) forwards unknown attributes to the socket below it, and a
    direct send through it would put plain text on an encrypted connection.
    """
    return type(transport) in (TCPServer, UNIXServer) and not getattr(transport, "TLS", False)


@implementer(ISink)
class DirectSink:
    """
    Sends straight into the socket of a plain TCP or UNIX server transport.

    The transport must have no producer. What the kernel does not take becomes the transport's own write buffer, so
    that the reactor sends the rest; it is put there without a copy, and a thousand slow readers of one message share
    its bytes.
    """

    __slots__ = ("_transport", "send")

    def __init__(self, transport: TCPServer) -> None:
        self._transport = transport
        self.send: Callable[[bytes], int] | None = transport.socket.send

    def write(self, data: bytes) -> bool:
        transport = self._transport
        if transport.dataBuffer or transport._tempDataLen:
            transport.write(data)
            return False
        assert self.send is not None
        try:
            sent = self.send(data)
        except OSError:
            sent = 0
        if sent == len(data):
            return True
        self.buffer(data, sent)
        return False

    def buffer(self, data: bytes, offset: int) -> None:
        transport = self._transport
        # After an error of send() the reactor meets the same one, and closes as for any other lost connection.
        if transport.connected:
            transport.dataBuffer = data
            transport.offset = offset
            transport.startWriting()

    def bufferedBytes(self) -> int:
        transport = self._transport
        return len(transport.dataBuffer) - transport.offset + transport._tempDataLen

    def finish(self, data: bytes) -> None:
        self._transport.write(data)
        self._transport.loseConnection()

    def abort(self) -> None:
        self._transport.abortConnection()


@implementer(ISink, IPushProducer)
class ConsumerSink:
    """
    Writes into any push consumer: a TLS transport, or a request on HTTP/1 or HTTP/2.

    The consumer says when it is full and when it is empty again; in between, what is written counts as buffered. What
    it holds below its own high-water mark (64 KiB on TCP, the flow-control window on HTTP/2) is not counted.

    :param write: takes bytes.
    :param close: ends the stream after what was written.
    :param abort: ends the connection at once.
    """

    __slots__ = ("_abort", "_buffered", "_close", "_consumer", "_paused", "_stopped", "_write")

    def __init__(
        self,
        consumer: Any,
        write: Callable[[bytes], object],
        close: Callable[[], object],
        abort: Callable[[], object],
    ) -> None:
        self._consumer = consumer
        self._write = write
        self._close = close
        self._abort = abort
        self._paused = False
        self._buffered = 0
        self._stopped = False
        consumer.registerProducer(self, True)

    @classmethod
    def forTransport(cls, transport: ITransport) -> "ConsumerSink":
        """A sink for a transport that has no producer."""
        abort = getattr(transport, "abortConnection", transport.loseConnection)
        return cls(transport, transport.write, transport.loseConnection, abort)

    send = None

    def write(self, data: bytes) -> bool:
        if self._paused:
            self._buffered += len(data)
        self._write(data)
        return not self._paused

    def buffer(self, data: bytes, offset: int) -> None:
        self.write(data[offset:])

    def bufferedBytes(self) -> int:
        return self._buffered

    def finish(self, data: bytes) -> None:
        if data:
            self._write(data)
        if not self._stopped:
            self._consumer.unregisterProducer()
        self._close()

    def abort(self) -> None:
        self._abort()

    def pauseProducing(self) -> None:
        self._paused = True
        # At least one byte is waiting, whatever was written before the pause.
        self._buffered = max(self._buffered, 1)

    def resumeProducing(self) -> None:
        self._paused = False
        self._buffered = 0

    def stopProducing(self) -> None:
        """The connection is gone; its owner hears of that by itself."""
        self._stopped = True
