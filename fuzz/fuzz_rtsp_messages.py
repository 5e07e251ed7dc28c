"""
Fuzzes the RTSP parser: any bytes in any split give the same events as in one piece, and no error but our own.

Run ``python fuzz/fuzz_rtsp_messages.py -max_total_time=600``; the arguments are libFuzzer's. Needs atheris.
"""

from harness import fuzz

from realtime_tw.errors import ProtocolError
from realtime_tw.rtsp import messages, parser
from realtime_tw.rtsp.messages import (
    Event,
    Headers,
    Interleaved,
    Request,
    encodeInterleaved,
    encodeRequest,
    encodeResponse,
)
from realtime_tw.rtsp.parser import RTSPParser

#: Small, so that inputs of a few hundred bytes meet them; the largest thing that may be held is a ``$`` frame.
LIMITS = {"maxLine": 100, "maxHead": 200, "maxHeaders": 8, "maxBody": 60}
MOST = 4 + 0xFFFF

#: What the fuzzer would not find by itself.
TOKENS = (
    b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
    b"SET_PARAMETER * RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 5\r\n\r\nhello",
    b"RTSP/1.0 200 OK\r\n",
    b"A rtsp://h/a RTSP/1.0\n",
    b" RTSP/2.0\r\n",
    b"Content-Length: ",
    b"CSeq: 12\r\n",
    b"x: y\r\n",
    b"\n folded\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"$\x00\x00\x02ab",
    b"$\x01\x00\x00",
)


def outcome(pieces: list[bytes]) -> tuple[list[Event], int, str]:
    """The events, and the error behind them: its status, 0 for none, and its text."""
    parser = RTSPParser(**LIMITS)
    events: list[Event] = []
    try:
        for piece in [*pieces, b""]:
            events += parser.receive(piece)
            assert parser.bufferedBytes <= MOST
    except ProtocolError as error:
        return events, error.status, str(error)
    return events, 0, ""


def encoded(event: Event) -> bytes:
    if isinstance(event, Interleaved):
        return encodeInterleaved(event.channel, event.payload)
    if isinstance(event, Request):
        return encodeRequest(event.method, event.url, event.headers, event.body)
    return encodeResponse(event.status, event.headers, event.body, event.reason)


def withoutLength(event: Event) -> Event:
    """Content-Length is written anew, and last."""
    if isinstance(event, Interleaved):
        return event
    return event._replace(headers=Headers(tuple(p for p in event.headers.pairs if p[0].lower() != "content-length")))


def check(data: bytes) -> None:
    """One input: its first byte chooses the split, the rest is what the peer sends."""
    step = data[0] % 32 + 1 if data else 1
    wire = data[1:]
    whole = outcome([wire])
    assert whole[1] in (0, 400, 413, 414, 505)
    assert outcome([wire[at : at + step] for at in range(0, len(wire), step)]) == whole
    assert outcome([wire[:step], wire[step:]]) == whole
    for event in whole[0]:
        [again] = RTSPParser().receive(encoded(event))
        assert withoutLength(again) == withoutLength(event)


def main() -> None:
    fuzz(check, [messages, parser], TOKENS)


if __name__ == "__main__":
    main()
