"""
A program of its own in the middle of a chat: takes each message from the channel ``chat``, turns its text round, and
publishes it to ``inverted``. See ``chat_inverse.ini``.

    python inverter.py

``REDIS_HOST`` and ``REDIS_PORT`` in the environment say where Redis is, unless it is on 127.0.0.1, port 6379.
"""

import os
import socket
import time
from collections.abc import Iterator

import hiredis


class Connection:
    """A blocking connection to Redis."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), 10)
        # From here on there may be silence for hours.
        self._socket.settimeout(None)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._reader = hiredis.Reader()

    def send(self, *words: bytes) -> None:
        parts = [b"*%d\r\n" % len(words), *(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)]
        self._socket.sendall(b"".join(parts))

    def replies(self) -> Iterator[object]:
        """What Redis says, for as long as it does."""
        while True:
            reply = self._reader.gets()
            if reply is not False:
                if isinstance(reply, Exception):
                    raise ConnectionError(f"Redis refused: {reply}")
                yield reply
                continue
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionError("Redis closed the connection")
            self._reader.feed(data)

    def close(self) -> None:
        self._socket.close()


def inverted(message: bytes) -> bytes:
    """
    ``name:text`` with its text backwards. The text may hold colons, and nothing says that a message has a name, a text,
    or is text at all: anybody can publish.
    """
    name, colon, text = message.partition(b":")
    if not colon:
        name, text = b"", message
    try:
        backwards = text.decode()[::-1].encode()
    except UnicodeDecodeError:
        backwards = text[::-1]
    return name + colon + backwards


def run(host: str, port: int) -> None:
    """Until Redis goes away."""
    listening = Connection(host, port)
    try:
        publishing = Connection(host, port)
        try:
            answers = publishing.replies()
            listening.send(b"SUBSCRIBE", b"chat")
            for reply in listening.replies():
                if isinstance(reply, list) and reply[0] == b"message":
                    publishing.send(b"PUBLISH", b"inverted", inverted(reply[2]))
                    next(answers)
        finally:
            publishing.close()
    finally:
        listening.close()


def main() -> None:
    host, port = os.environ.get("REDIS_HOST", "127.0.0.1"), int(os.environ.get("REDIS_PORT", "6379"))
    while True:
        try:
            run(host, port)
        except OSError as error:
            print(f"{error}; trying again", flush=True)
            time.sleep(1)


if __name__ == "__main__":
    main()
