"""An RTSP client that says what it is told to, for what real publishers would not say, or would not show."""

import struct
from collections.abc import Mapping, Sequence

from tests.integration.media import url
from tests.integration.support import Client

#: One stream of sound that needs nothing else to be understood.
SDP = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 0 RTP/AVP 0\r\na=control:streamid=0\r\n"
TWO = SDP + b"m=audio 0 RTP/AVP 8\r\na=control:streamid=1\r\n"

#: SSRC of packets on channel 0.
SOURCE = 7


class Publisher:
    """
    One connection. A context manager that hangs up.

    :ivar session: the id that the server has given.
    :ivar reports: what came on the connection's channels: each with its channel.
    """

    def __init__(self, port: int, path: str) -> None:
        self.client = Client(port)
        self.url = url(port, path)
        self.reports: list[tuple[int, bytes]] = []
        self.session = ""
        self._count = 0
        self._sequence = 0

    def __enter__(self) -> "Publisher":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def ask(
        self,
        method: str,
        path: str = "",
        body: bytes = b"",
        version: str = "RTSP/1.0",
        **headers: str,
    ) -> "Reply":
        """
        One request, and its answer.

        :param path: behind the URL.
        :param headers: with underscores in the place of hyphens.
        """
        self._count += 1
        lines = [f"{method} {self.url}{path} {version}", f"CSeq: {self._count}"]
        if body:
            lines += [f"Content-Length: {len(body)}"]
            headers.setdefault("Content_Type", "application/sdp")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.client.send("\r\n".join([*lines, "", ""]).encode() + body)
        reply = self.reply()
        assert reply.headers.get("cseq") == str(self._count), reply
        return reply

    def reply(self) -> "Reply":
        """The next answer; what comes on channels before it is put aside."""
        client = self.client
        while True:
            while len(client.received) < 4:
                client.readSome()
            if client.received[:1] == b"$":
                end = 4 + int.from_bytes(client.received[2:4])
                while len(client.received) < end:
                    client.readSome()
                self.reports.append((client.received[1], client.received[4:end]))
                client.received = client.received[end:]
                continue
            client.readUntil(b"\r\n\r\n")
            head, _, client.received = client.received.partition(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            pairs = [line.partition(":")[::2] for line in lines]
            headers = {name.lower(): value.strip() for name, value in pairs}
            length = int(headers.get("content-length", 0))
            while len(client.received) < length:
                client.readSome()
            body, client.received = client.received[:length], client.received[length:]
            offered = [value.strip() for name, value in pairs if name.lower() == "www-authenticate"]
            return Reply(int(first.split()[1]), headers, body, offered)

    def record(self, description: bytes = SDP, streams: int = 1) -> None:
        """All that comes before media."""
        assert self.ask("ANNOUNCE", body=description).status == 200
        for number in range(streams):
            transport = f"RTP/AVP/TCP;unicast;interleaved={2 * number}-{2 * number + 1};mode=record"
            reply = self.ask("SETUP", f"/streamid={number}", Transport=transport)
            assert (reply.status, reply.headers["transport"].split(";")[2]) == (200, transport.split(";")[2])
            self.session = reply.headers["session"].partition(";")[0]
        assert self.ask("RECORD", Session=self.session).status == 200

    def send(
        self,
        payload: bytes = b"x" * 160,
        channel: int = 0,
        kind: int = 0,
        marker: bool = False,
        time: int | None = None,
    ) -> bytes:
        """
        One RTP packet.

        :param kind: payload type.
        :param time: 20 ms after the last one at 8 kHz when not given.
        :return: the packet.
        """
        number = self._sequence
        self._sequence += 1
        ticks = number * 160 if time is None else time
        packet = struct.pack(">BBHII", 0x80, marker << 7 | kind, number & 0xFFFF, ticks, SOURCE + channel) + payload
        self.sendOn(channel, packet)
        return packet

    def reportsToEnd(self) -> list[tuple[int, bytes]]:
        """All that comes on channels until the server closes; no answers are expected any more."""
        data = self.client.readToEnd()
        while data:
            assert data[:1] == b"$", data
            end = 4 + int.from_bytes(data[2:4])
            self.reports.append((data[1], data[4:end]))
            data = data[end:]
        return self.reports

    def sendOn(self, channel: int, packet: bytes) -> None:
        """Anything on a channel."""
        self.client.send(b"$" + bytes((channel,)) + len(packet).to_bytes(2) + packet)


class Reply:
    """
    An answer.

    :ivar headers: by lower-case names.
    :ivar offered: every WWW-Authenticate.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, offered: Sequence[str]) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.offered = offered

    def __repr__(self) -> str:
        return f"<{self.status} {self.headers} {self.body!r}>"
