"""
Bad days of a network, simulated over recorded packets of every codec: loss, reordering, duplicates, wraps, truncation,
noise, another source. Only whole frames come out, all those that can be expected do, and memory is bounded.

What is damaged is random, from seeds that failures name. What may come out is computed from which packets arrived, not
from what the depacketizers know: a frame of which every packet arrived in order, and, where frames refer to others,
which follows a keyframe without a gap.

A payload that was cut off or changed on its way is out of reach: RTP has no checksum, and half a slice looks like a
slice. TCP and UDP have one, so that does not happen to packets that arrive. Of such simulations it is required that
nothing raises, that the frames of packets that were left alone are right, and that all is well again soon after.
"""

import gc
import sys
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from realtime_tw.codec.aac import MAX_UNIT
from realtime_tw.media import Codec, Frame
from realtime_tw.rtsp.depacketizers import jpeg, nal, png, vp8, vp9
from realtime_tw.rtsp.depacketizers.base import MAX_FRAME
from realtime_tw.rtsp.depacketizers.latm import MAX_ELEMENT
from realtime_tw.rtsp.depacketizers.vorbis import MAX_PACKET
from realtime_tw.rtsp.rtp import MAX_MISORDER, MAX_REORDER
from realtime_tw.rtsp.stream import Stream
from tests.integration.recordings import (
    PREDICTED,
    RECIPES,
    Recipe,
    Recording,
    record,
    sequenceOf,
    signed,
    timeOf,
)

#: Simulations of each kind over each recording, of which most codecs have two or more.
ROUNDS = 100

#: A packet, and the seconds at which it arrives.
Arrival = tuple[bytes, float]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> "Recordings":
    return Recordings(tmp_path_factory.mktemp("recordings"))


class Recordings:
    """Each is made when a test first wants it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: dict[Recipe, Recording] = {}

    def __getitem__(self, recipe: Recipe) -> Recording:
        if recipe not in self._made:
            self._made[recipe] = record(recipe, self._directory)
        return self._made[recipe]


@pytest.fixture(params=RECIPES, ids=str)
def recording(request: pytest.FixtureRequest, recordings: Recordings) -> Recording:
    return recordings[request.param]


# What a simulation is made of


def rounds(recording: Recording, kind: str, count: int = ROUNDS) -> Iterator[tuple[str, Random]]:
    """Seeds with their names."""
    for number in range(count):
        seed = f"{recording.recipe} {kind} {number}"
        yield seed, Random(seed)


def arrivals(recording: Recording, order: Iterable[int]) -> list[Arrival]:
    """The recorded packets by their indices. Each comes when its sender sent it, or right after the one before."""
    now = 0.0
    found = []
    for index in order:
        now = max(now, recording.seconds(index))
        found.append((recording.packets[index], now))
    return found


def renumbered(arrival: Arrival, sequence: int = 0, time: int = 0, source: int | None = None) -> Arrival:
    """With something added to sequence number and time, and from another source."""
    packet, now = arrival
    numbers = (sequenceOf(packet) + sequence & 0xFFFF).to_bytes(2) + (timeOf(packet) + time & 0xFFFFFFFF).to_bytes(4)
    return packet[:2] + numbers + (packet[8:12] if source is None else source.to_bytes(4)) + packet[12:], now


def play(stream: Stream, arriving: Iterable[Arrival]) -> list[Frame]:
    """All that comes out, which is in the order of decoding."""
    frames = [frame for packet, now in arriving for frame in stream.receive(packet, now)]
    frames += stream.flush()
    assert all(frame.dts <= frame.pts for frame in frames)
    assert all(one.dts < later.dts for one, later in pairwise(frames))
    return frames


def lose(recording: Recording, random: Random) -> set[int]:
    """Indices of packets that are lost: some here and there, or bursts. Not at the beginning, where nothing tells."""
    total = len(recording.packets)
    lost: set[int] = set()
    if random.random() < 0.5:
        share = random.choice((0.005, 0.02, 0.1, 0.3))
        lost.update(index for index in range(total) if random.random() < share)
    else:
        for _ in range(random.randint(1, 4)):
            first = random.randrange(total)
            lost.update(range(first, min(first + random.randint(1, 30), total)))
    return lost.difference(range(recording.groups[0].end))


def shuffled(recording: Recording, random: Random, window: int) -> list[int]:
    """Indices, each at most so many places late. The first is on time: what overtakes it makes it too late."""
    keys = [index + random.random() * window * (random.random() < 0.3) for index in range(len(recording.packets))]
    return sorted(range(len(keys)), key=lambda index: (index > 0, keys[index], index))


# What may come out


def expected(
    recording: Recording, lost: Collection[int], tears: Collection[int] = (), strict: bool = False
) -> list[Frame]:
    """
    :param lost: indices of packets that did not arrive.
    :param tears: indices of packets that could as well follow a loss: nothing tells that they follow the one before.
    :param strict: frames that must come out, instead of those that may. They are the same, but where a receiver cannot
        know that the beginning of a frame is not missing.
    """
    recipe = recording.recipe
    frames: list[Frame] = []
    # Nothing came before, or not all of it; and the keyframe that came then was such a one.
    broken = joined = True
    for group in recording.groups:
        missing = [index for index in range(group.first, group.end) if index in lost]
        missing += [index for index in range(group.first + 1, group.end) if index in tears]
        follows = group.first in tears or group.first - 1 in lost
        broken = broken or follows or bool(missing)
        if missing and (strict or max(missing) >= group.first + group.leading):
            continue
        if recipe.predicted and broken and not group.keyframe:
            continue
        if strict and follows and (not recipe.delimited or recipe.name == "latm"):
            continue
        if group.keyframe:
            joined = broken
        broken = False
        if not (joined and recipe.codec is Codec.HEVC and isLeading(group.frames[0].data)):
            frames += group.frames
    return frames


def isLeading(frame: bytes) -> bool:
    """Whether this picture of HEVC refers to what is before its keyframe (RASL; H.265, table 7-1)."""
    kinds = []
    while frame:
        size = int.from_bytes(frame[:4])
        kinds.append(frame[4] >> 1 & 63)
        frame = frame[4 + size :]
    return 8 in kinds or 9 in kinds


def contents(frames: Iterable[Frame]) -> list[tuple[bool, bytes]]:
    return [(frame.keyframe, frame.data) for frame in frames]


def shiftOf(recording: Recording, first: int) -> int:
    """By how many ticks all frames are earlier when the first packet that arrives is this one."""
    return signed(timeOf(recording.packets[first]) - timeOf(recording.packets[0]))


def check(recording: Recording, frames: Sequence[Frame], lost: Collection[int], first: int, seed: str) -> None:
    """What came out is what was expected, at the same times."""
    allowed = [frame._replace(pts=frame.pts - shiftOf(recording, first)) for frame in expected(recording, lost)]
    position = 0
    found = []
    for frame in frames:
        while position < len(allowed) and not same(recording, frame, allowed[position]):
            position += 1
        assert position < len(allowed), f"{seed}: a frame that is none, at {frame.pts}, of {len(frame.data)} bytes"
        found.append(frame)
        position += 1
    assert recording.reordered or all(frame.dts == frame.pts for frame in frames), seed
    required = contents(expected(recording, lost, strict=True))
    arrived = iter(contents(found))
    missing = [len(data) for key, data in required if (key, data) not in arrived]
    assert not missing, f"{seed}: {len(missing)} of {len(required)} frames are missing"


def same(recording: Recording, frame: Frame, other: Frame) -> bool:
    if frame.data != other.data or frame.keyframe != other.keyframe:
        return False
    # Only the first of several Vorbis packets has a time; how long a block is depends on the one before.
    tolerance = 2048 if recording.recipe.codec is Codec.VORBIS else 0
    return abs(frame.pts - other.pts) <= tolerance


# The simulations


def test_theRecordingIsWorthIt(recording: Recording) -> None:
    """Whole, timely, and in more packets than frames where the codec can divide them."""
    recipe, frames = recording.recipe, recording.frames
    if recipe.count:
        assert len(frames) == recipe.count
    else:
        assert len(frames) > 80
    assert max(map(len, recording.packets)) <= 400
    rate = recording.media.clockRate
    for group in recording.groups:
        sent = signed(timeOf(recording.packets[group.first]) - timeOf(recording.packets[0]))
        assert abs(group.frames[0].pts - rate - sent) <= (0 if recipe.codec is not Codec.VORBIS else 2048)
    divided = sum(group.end - group.first > 1 for group in recording.groups)
    if recipe.codec in PREDICTED | {Codec.JPEG, Codec.PNG} or recipe.name in ("aac", "latm", "vorbis", "mp3"):
        assert divided >= 5
    if recipe.predicted:
        assert sum(group.keyframe for group in recording.groups) >= 4


def test_loss(recording: Recording) -> None:
    for seed, random in rounds(recording, "loss"):
        lost = lose(recording, random)
        there = [index for index in range(len(recording.packets)) if index not in lost]
        if there:
            check(recording, play(recording.stream(), arrivals(recording, there)), lost, there[0], seed)


def test_beginningAnywhere(request: pytest.FixtureRequest, recording: Recording) -> None:
    """The first packet that arrives is in the middle of something, and nothing tells that others came before."""
    recipe, groups = recording.recipe, recording.groups
    if recipe.name in ("h264-slices", "hevc-slices"):
        reason = "the slices of a keyframe, but for the first, are taken for a whole one"
        request.applymarker(pytest.mark.xfail(strict=True, reason=reason))
    if recipe.name == "latm":
        reason = "no packet of LATM says whether it begins something; its bytes may look like it"
        request.applymarker(pytest.mark.xfail(strict=False, reason=reason))
    # Not in the first picture: encoders put a message about themselves before it, without which it is as whole.
    starts = [group for group in groups[1:-6] if group.keyframe][:12]
    for group in starts:
        for first in range(group.first, group.end + 1):
            frames = play(recording.stream(), arrivals(recording, range(first, len(recording.packets))))
            check(recording, frames, range(first), first, f"{recipe} from {first}")


def test_reorderingWithinTheWindow(recording: Recording) -> None:
    """Everything comes out as if nothing had been."""
    for seed, random in rounds(recording, "reordering"):
        window = random.choice((1, 3, 16, 60))
        order = shuffled(recording, random, window)
        frames = play(recording.stream(window), arrivals(recording, order))
        assert contents(frames) == contents(recording.frames), seed
        check(recording, frames, (), 0, seed)


def test_reorderingWithoutAWindow(recording: Recording) -> None:
    """What comes late is lost."""
    for seed, random in rounds(recording, "late"):
        order = shuffled(recording, random, random.choice((1, 3, 16, 60)))
        highest = -1
        lost = set(order)
        for index in order:
            if index > highest:
                highest = index
                lost.discard(index)
        check(recording, play(recording.stream(), arrivals(recording, order)), lost, order[0], seed)


def test_lossAndReorderingAndDuplicates(recording: Recording) -> None:
    for seed, random in rounds(recording, "all"):
        window = random.choice((3, 16))
        lost = lose(recording, random)
        order = [index for index in shuffled(recording, random, window) if index not in lost]
        twice = repeated(order, random)
        # A second copy does not fill the window, whatever it overtakes.
        check(recording, play(recording.stream(window), arrivals(recording, twice)), lost, 0, seed)


def repeated(order: Sequence[int], random: Random) -> list[int]:
    """Some of them come again, at once or later."""
    copies = [(place + random.choice((0.5, random.uniform(1, 30))), index) for place, index in enumerate(order)]
    chosen = [copy for copy in copies if random.random() < 0.2]
    return [index for _, index in sorted([*enumerate(order), *chosen])]


def test_duplicates(recording: Recording) -> None:
    for seed, random in rounds(recording, "duplicates"):
        order = repeated(range(len(recording.packets)), random)
        frames = play(recording.stream(random.choice((0, 8))), arrivals(recording, order))
        assert frames == recording.frames, seed


def test_wraps(recording: Recording) -> None:
    """Of sequence numbers and of times, anywhere, also in the middle of a frame."""
    plain = arrivals(recording, range(len(recording.packets)))
    for seed, random in rounds(recording, "wraps"):
        sequence = 0x10000 - sequenceOf(random.choice(recording.packets))
        time = 0x100000000 - timeOf(random.choice(recording.packets))
        if random.random() < 0.3:
            time = 0x80000000 - timeOf(random.choice(recording.packets))
        packets = [renumbered(arrival, sequence, time) for arrival in plain]
        assert play(recording.stream(), packets) == recording.frames, seed


def test_wrapWhileWaiting(recording: Recording) -> None:
    for seed, random in rounds(recording, "waiting wraps", 20):
        order = shuffled(recording, random, 16)
        sequence = 0x10000 - sequenceOf(random.choice(recording.packets))
        packets = [renumbered(arrival, sequence) for arrival in arrivals(recording, order)]
        frames = play(recording.stream(16), packets)
        check(recording, frames, (), 0, seed)
        assert len(frames) == len(recording.frames)


def test_anotherSource(recording: Recording) -> None:
    """The sender begins anew, with another SSRC and other numbers and times, or with other sequence numbers only."""
    plain = arrivals(recording, range(len(recording.packets)))
    # Frames that are shown later than others that come after them do not tell when they were sent.
    tolerance = recording.media.clockRate // 5 if recording.reordered else 2
    for seed, random in rounds(recording, "source"):
        change = random.randrange(recording.groups[0].end, len(recording.packets) - 1)
        if random.random() < 0.5:
            sequence, time, source = random.randrange(0x10000), random.randrange(1 << 32), random.randrange(1 << 32)
        else:
            sequence, time, source = random.randrange(0x1000, 0xF000), 0, None
        packets = plain[:change] + [renumbered(arrival, sequence, time, source) for arrival in plain[change:]]
        lost = set()
        if random.random() < 0.3 and change > 1:
            # What waits for it does so in vain.
            lost = {random.randrange(max(change - 20, 1), change)}
            del packets[min(lost)]
        frames = play(recording.stream(32), packets)
        found = contents(frames)
        may, must = expected(recording, lost, [change]), expected(recording, lost, [change], strict=True)
        assert isSubsequence(contents(must), found), seed
        assert isSubsequence(found, contents(may)), seed
        times = {frame.data: frame.pts for frame in may}
        if len(times) == len(may) and recording.recipe.codec is not Codec.VORBIS:
            assert all(abs(frame.pts - times[frame.data]) <= tolerance for frame in frames), seed


def isSubsequence(part: Sequence[object], whole: Sequence[object]) -> bool:
    rest = iter(whole)
    return all(item in rest for item in part)


def test_truncation(recording: Recording) -> None:
    """Packets that end too early: what was in others is whole."""
    groups = recording.groups
    starts = [group.frames[0].pts for group in groups]
    inOrder = starts == sorted(starts)
    byTime = {group.frames[0].pts: group for group in groups}
    for seed, random in rounds(recording, "truncation"):
        cut = {index for index in range(1, len(recording.packets)) if random.random() < 0.05}
        packets = [
            (packet[: random.randrange(len(packet))] if index in cut else packet, now)
            for index, (packet, now) in enumerate(arrivals(recording, range(len(recording.packets))))
        ]
        touched = {recording.groupOf(index) for index in cut}
        if recording.recipe.codec is Codec.VORBIS:
            # Times inside of a packet depend on the one before.
            touched |= {index + 1 for index in touched} | {index - 1 for index in touched}
        frames = play(recording.stream(), packets)
        for frame in frames:
            group = byTime.get(frame.pts)
            if group is None:
                assert inOrder, seed
                group = groups[max(bisect_right(starts, frame.pts) - 1, 0)]
            if groups.index(group) in touched:
                continue
            assert any(same(recording, frame, other) for other in group.frames), f"{seed}: damage at {frame.pts}"


def test_noise(recording: Recording) -> None:
    """
    Changed bits, also in RTP headers, packets of noise, RTCP and strangers: nothing raises, decode times keep their
    order, and soon after the last of it everything is right again.
    """
    total = len(recording.packets)
    for seed, random in rounds(recording, "noise"):
        end = random.randrange(1, total)
        packets: list[Arrival] = []
        for index, (packet, now) in enumerate(arrivals(recording, range(total))):
            if 0 < index < end and random.random() < 0.1:
                packets += disturbed(packet, now, random)
            else:
                packets.append((packet, now))
        window = random.choice((0, 0, 16))
        found = contents(play(recording.stream(window), packets))
        if not window:
            # In a window, what has another's number may wait for its turn for long.
            healthy = afterwards(recording, end)
            assert found[len(found) - len(healthy) :] == contents(healthy), seed


def disturbed(packet: bytes, now: float, random: Random) -> list[Arrival]:
    """What comes in the place of a packet."""
    kind = random.randrange(5)
    if kind == 0:
        return [(random.randbytes(random.randrange(60)), now), (packet, now)]
    if kind == 1:
        return [(b"\x80\xc9\x00\x01" + packet[8:12], now), (packet, now)]
    if kind == 2:
        return [renumbered((packet, now), random.randrange(1 << 16), source=random.randrange(1 << 32)), (packet, now)]
    # A bit anywhere, or in the head.
    place = random.randrange(len(packet) if kind == 3 else 16) % len(packet)
    return [(packet[:place] + bytes((packet[place] ^ 1 << random.randrange(8),)) + packet[place + 1 :], now)]


def afterwards(recording: Recording, end: int) -> list[Frame]:
    """The frames that must come out, when all packets from this one on are good."""
    # A sequence number that was changed may make packets seem late, and access units seem interleaved.
    settled = end + MAX_MISORDER + 2 + (130 if recording.recipe.codec is Codec.AAC else 0)
    rest = [group for group in recording.groups if group.first >= settled]
    if recording.recipe.predicted:
        # Pictures that are shown before the first keyframe may have something to refer to, or not.
        needed = 2 if recording.recipe.codec is Codec.HEVC else 1
        keyframes = [number for number, group in enumerate(rest) if group.keyframe]
        rest = rest[keyframes[needed - 1] :] if len(keyframes) >= needed else []
    return [frame for group in rest for frame in group.frames]


# Memory

_BY_NAME = {recipe.name: recipe for recipe in RECIPES}

#: A recording of each codec that can divide frames, and the bytes of the largest frame.
LARGEST = {
    **dict.fromkeys(("h264-bare", "hevc-bare", "vp8", "vp9", "jpeg", "png"), MAX_FRAME),
    "aac": MAX_UNIT,
    "latm": MAX_ELEMENT,
    "vorbis": MAX_PACKET,
    "mp3": 4096,
}

#: In the place of the largest frame of pictures, so that it takes not too many tiny packets.
SMALLER = 1 << 20


@pytest.mark.parametrize("name", LARGEST)
def test_aFrameWithoutEndIsBounded(recordings: Recordings, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The middle of a frame again and again, in large packets and in ever smaller ones."""
    recording = recordings[_BY_NAME[name]]
    limit = LARGEST[name]
    for size in (50000, 30, 9, 4):
        if limit == MAX_FRAME and size < 50000:
            limit = SMALLER
            for module in (nal, vp8, vp9, jpeg, png):
                monkeypatch.setattr(module, "MAX_FRAME", limit)
        count = limit * 5 // 4 // size + 1000
        held = peakOf(recording.stream(), endless(recording, size, count), count)
        assert held < 1.15 * limit + 8192, size
        # It has come that far at all. The headers of many formats are as long as the smallest packets.
        assert limit < SMALLER or size < 10 or held > 0.4 * limit, size


def endless(recording: Recording, size: int, count: int) -> Iterator[bytes]:
    """
    :param size: of the payloads; no less than a header and one byte.
    """
    group = max(recording.groups, key=lambda group: (group.keyframe, group.end - group.first))
    middle = group.first + (group.end - group.first) // 2
    yield from recording.packets[group.first : middle]
    packet = recording.packets[middle]
    # Without marker.
    header, payload = packet[:1] + bytes((packet[1] & 0x7F,)) + packet[2:12], packet[12:]
    codec = recording.recipe.codec
    # Of JPEG, whose packets say where in the picture they belong (RFC 2435, section 3.1).
    head = 12 if payload[4] >= 64 else 8
    offset = int.from_bytes(payload[1:4])
    if codec is Codec.JPEG:
        size = max(size, head + 1)
    elif codec is Codec.VORBIS:
        # What is in them has its length (RFC 5215, section 2.2).
        size = max(size, 7)
        payload = payload[:4] + (size - 6).to_bytes(2) + payload[6:]
    payload = (payload * (size // len(payload) + 1))[:size]
    for number in range(sequenceOf(packet), sequenceOf(packet) + count):
        if codec is Codec.JPEG:
            payload = payload[:1] + (offset & 0xFFFFFF).to_bytes(3) + payload[4:]
            offset += size - head
        yield b"".join((header[:2], (number & 0xFFFF).to_bytes(2), header[4:], payload))


@pytest.mark.parametrize("step", [1, 2])
def test_theWindowIsBounded(recordings: Recordings, step: int) -> None:
    """A packet that all others wait for never comes, or every second one."""
    recording = recordings[_BY_NAME["pcmu"]]
    first = recording.packets[0]
    large = (first[:12] + bytes(60000), 0.0)
    packets = [first, *(renumbered(large, number)[0] for number in range(2, 3 * MAX_REORDER, step))]
    peak = peakOf(recording.stream(MAX_REORDER), packets, len(packets))
    assert 0.9 < peak / (MAX_REORDER * 60000) < 1.1


def peakOf(stream: Stream, packets: Iterable[bytes], count: int) -> int:
    """
    Bytes that were held at most, looked at now and then.

    :param count: of the packets.
    """
    before = peak = sizeOf(stream)
    for index, packet in enumerate(packets):
        stream.receive(packet, 0.0)
        if index % (count // 16) == 0:
            peak = max(peak, sizeOf(stream))
    return peak - before


def sizeOf(stream: Stream) -> int:
    """Bytes of all that belongs to it."""
    seen: dict[int, object] = {}
    todo: list[object] = [stream]
    while todo:
        found = todo.pop()
        isOwn = type(found).__module__.startswith("realtime_tw.rtsp")
        if id(found) not in seen and (isOwn or isinstance(found, bytes | list | dict | set | tuple)):
            seen[id(found)] = found
            todo += gc.get_referents(found)
    return sum(map(sys.getsizeof, seen.values()))
