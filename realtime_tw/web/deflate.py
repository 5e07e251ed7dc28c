"""Negotiating permessage-deflate (RFC 7692) for connections that share what they are sent."""

from collections.abc import Mapping, Sequence

#: LZ77 window of compressed frames, unless the client asks for a smaller one: 4 KiB is more than most messages.
WINDOW_BITS = 12

#: What a window may be (RFC 7692, section 7.1.2): decimal, without leading zeroes.
_WINDOWS = frozenset(map(str, range(8, 16)))


def agreement(params: Mapping[str, Sequence[str | bool]]) -> tuple[str, int] | None:
    """
    Answer an offer of permessage-deflate (RFC 7692, section 7.1).

    Without context takeover on both sides: one compressed frame serves everybody, and nobody keeps a window.

    :param params: of the offer; True stands for a parameter without a value.
    :return: the answering header's value and our window; None to decline what is not understood.
    """
    answer = "permessage-deflate; client_no_context_takeover"
    window = WINDOW_BITS
    for name, values in params.items():
        value = values[0]
        if len(values) != 1:
            return None
        if name in ("client_no_context_takeover", "server_no_context_takeover"):
            if value is not True:
                return None
            if name.startswith("server"):
                answer += "; server_no_context_takeover"
        elif name == "server_max_window_bits":
            if value not in _WINDOWS:
                return None
            answer += f"; server_max_window_bits={value}"
            window = min(window, int(value))
        elif name != "client_max_window_bits" or not (value is True or value in _WINDOWS):
            return None
    return answer, window
