"""
Fuzzes the SDP parser: no error but our own, bounded results, and what is written again is read as the same.

Run ``python fuzz/fuzz_sdp.py -max_total_time=600``; the arguments are libFuzzer's. Needs atheris.
"""

from harness import fuzz

from realtime_tw.errors import ProtocolError
from realtime_tw.rtsp import sdp
from realtime_tw.rtsp.sdp import MAX_ATTRIBUTES, MAX_MEDIAS, encodeSDP, matchControl, parseSDP, resolveControl

#: What the fuzzer would not find by itself.
TOKENS = (
    b"v=0\r\n",
    b"m=video 0 RTP/AVP 96\r\n",
    b"m=audio 5004/2 RTP/AVP 97 0 8\n",
    b"m=application 9 UDP x\n",
    b"a=rtpmap:96 H264/90000\r\n",
    b"a=rtpmap:97 MPEG4-GENERIC/48000/2\r\n",
    b"a=rtpmap:0 ",
    b"a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0I=,aM4=,;\r\n",
    b"a=fmtp:97 SizeLength=13;config=1188\n",
    b"a=control:streamid=0\r\n",
    b"a=control:*\r\n",
    b"a=control:rtsp://h/x\n",
    b"a=control:/x?y=z\n",
    b"a=sendonly\r\n",
    b"s=-\n",
    b"s=\xff\xfe\n",
    b"\x85",
    b"\xa0",
    b"\0",
)


def check(data: bytes) -> None:
    """One input: a description; what is behind a zero byte is the URL of a SETUP."""
    text, _, setup = data.partition(b"\0")
    try:
        description = parseSDP(text)
    except ProtocolError:
        return
    assert len(description.medias) <= MAX_MEDIAS
    for media in description.medias:
        assert len(media.attributes) <= MAX_ATTRIBUTES
        assert len(media.fmtp) <= MAX_ATTRIBUTES
        assert bool(media.encodingName) == bool(media.clockRate)
        assert -1 <= media.payloadType <= 127
        assert 0 <= media.port <= 65535
        assert media.fmtp.keys() == {key.lower() for key in media.fmtp}
        assert resolveControl("rtsp://h/cam", media.control)
    index = matchControl(setup.decode("latin-1"), "rtsp://h/cam", description.medias)
    assert index is None or 0 <= index < len(description.medias)
    try:
        again = parseSDP(encodeSDP(description))
    except ProtocolError:
        # The defaults that the serializer adds may be too much for a description at its limits.
        assert len(text) > 1000
        return
    assert again == description, (again, description)


def main() -> None:
    fuzz(check, [sdp], TOKENS)


if __name__ == "__main__":
    main()
