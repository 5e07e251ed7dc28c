"""
The one tree of errors::

    RealtimeError
    |- ConfigError           a routing file, option or argument that cannot be used
    |- ProtocolError         something a network peer sent that its protocol does not allow
    |  `- LimitExceeded      ... or that is larger than we are willing to hold
    `- BrokerUnavailable     the message was not published

The pure layer raises nothing else, whatever its input.
"""


class RealtimeError(Exception):
    """Base of all errors raised by realtime_tw."""


class ConfigError(RealtimeError):
    """
    A configuration that cannot be used.

    :ivar message: what is wrong, in one sentence without a full stop.
    :ivar file: the path as the user gave it, or None when the text came from no file.
    :ivar line: the 1-based line in ``file``, or None when the error belongs to no line.
    """

    def __init__(self, message: str, file: str | None = None, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        self.line = line

    def __str__(self) -> str:
        place = [part for part in (self.file, self.line) if part is not None]
        return ": ".join([":".join(map(str, place)), self.message]) if place else self.message

    def located(self, file: str | None, line: int | None) -> "ConfigError":
        """The same error at a place; a place it already has is kept."""
        if self.line is not None or self.file is not None:
            return self
        return ConfigError(self.message, file, line)


class ProtocolError(RealtimeError):
    """
    A peer did what its protocol does not allow.

    :ivar status: the HTTP-style status that answers it best.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class LimitExceeded(ProtocolError):
    """A peer sent more than a configured limit allows."""

    def __init__(self, message: str, status: int = 413) -> None:
        super().__init__(message, status)


class BrokerUnavailable(RealtimeError):
    """The broker is away, or so far behind that nothing more is queued: the message was not published."""
