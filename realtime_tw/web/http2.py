"""
Twisted's HTTP/2 connection, without the busy loop.

Twisted's sending loop comes back every reactor turn while a stream has something to send, also when the peer's
flow-control window (RFC 9113, section 5.2) is closed: one client that stops reading costs a whole processor. Here such
a stream is blocked, and goes on when the window opens.
"""

from typing import Any

from twisted.web._http2 import _END_STREAM_SENTINEL, H2Connection


class RealtimeH2Connection(H2Connection):
    """HTTP/2 that sleeps while its peer reads nothing."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self._wake()

    def _sendPrioritisedData(self, *args: Any) -> None:
        for stream, queue in self._outboundStreamQueues.items():
            if queue and not self._canSend(stream, queue):
                self.priority.block(stream)
        super()._sendPrioritisedData(*args)

    def _canSend(self, stream: int, queue: Any) -> bool:
        # The end of a stream needs no window.
        return queue[0] is _END_STREAM_SENTINEL or self.conn.local_flow_control_window(stream) > 0

    def _wake(self) -> None:
        """The peer may have opened a window, by an update of one or by new settings."""
        ready = False
        for stream, queue in self._outboundStreamQueues.items():
            if queue and self._canSend(stream, queue):
                self.priority.unblock(stream)
                ready = True
        if ready and self._sendingDeferred is not None:
            waiting, self._sendingDeferred = self._sendingDeferred, None
            waiting.callback(None)
