"""What a client has sent and the broker has not taken yet. Beyond a limit the client has to wait."""

from collections.abc import Callable

#: Bytes on their way to the broker at which a client is no longer read from, and at which it is again. Between the two
#: lies what keeps a fast line busy while the broker answers.
PAUSE_AT, RESUME_AT = 1 << 18, 1 << 16

#: What a message counts for, besides its bytes.
MESSAGE_COST = 1024


class Backlog:
    """
    :param pause: called when the client must wait; ``resume``: when it need not any more.
    :ivar isPaused: whether it waits.
    """

    __slots__ = ("_pause", "_resume", "_waiting", "isPaused")

    def __init__(self, pause: Callable[[], object], resume: Callable[[], object]) -> None:
        self._pause = pause
        self._resume = resume
        self._waiting = 0
        self.isPaused = False

    def add(self, size: int) -> None:
        """A message of this many bytes is on its way."""
        self._waiting += size + MESSAGE_COST
        if self._waiting > PAUSE_AT and not self.isPaused:
            self.isPaused = True
            self._pause()

    def done(self, size: int) -> None:
        """The broker has taken or refused a message of this many bytes."""
        self._waiting -= size + MESSAGE_COST
        if self._waiting < RESUME_AT:
            self.end()

    def end(self) -> None:
        """Let the client go on, whatever is on its way."""
        if self.isPaused:
            self.isPaused = False
            self._resume()
