"""The Redis broker's own interface, in this process, against a real server."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from zope.interface.verify import verifyObject

from realtime_tw.brokers import brokerFromURL
from realtime_tw.brokers.redis import RETAINED_TTL, RedisBroker
from realtime_tw.errors import BrokerUnavailable, ConfigError
from realtime_tw.interfaces import IBroker
from tests.doubles import Recorder
from tests.integration.support import PATIENCE, Redis


async def eventually(condition: Callable[[], object], what: str) -> object:
    """Let the reactor run until a condition holds."""
    from twisted.internet import reactor

    clock: Any = reactor
    deadline = clock.seconds() + PATIENCE
    while not (result := condition()):
        assert clock.seconds() < deadline, f"waited in vain for {what}"
        await deferLater(clock, 0.01)
    return result


def make(url: str, **options: Any) -> RedisBroker:
    from twisted.internet import reactor

    broker = brokerFromURL(url, reactor)
    assert isinstance(broker, RedisBroker)
    for name, value in options.items():
        setattr(broker, name, value)
    return broker


@pytest_twisted.async_yield_fixture
async def broker(redis: Redis) -> AsyncIterator[RedisBroker]:
    broker = make(redis.url)
    broker.start()
    broker.start()
    await eventually(lambda: broker.connected, "the connection")
    yield broker
    await broker.stop()


def test_interface() -> None:
    verifyObject(IBroker, make("redis://127.0.0.1:1"))


@pytest_twisted.ensureDeferred
async def test_messagesOfOneReadComeTogether(broker: RedisBroker, redis: Redis) -> None:
    receiver = Recorder()
    for channel in (b"a", b"b"):
        await broker.subscribe(channel, receiver)
    redis.commands([("PUBLISH", channel, payload) for channel, payload in (("a", "1"), ("b", "2"), ("a", "3"))])
    await eventually(lambda: len(receiver.events) >= 4, "the messages")
    assert [event for event in receiver.events if event != "batch"] == [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]
    assert receiver.events[-1] == "batch"


@pytest_twisted.ensureDeferred
async def test_publishTellsTheReceivers(broker: RedisBroker) -> None:
    receiver = Recorder()
    assert await broker.publish(b"a", b"x") == 0
    await broker.subscribe(b"a", receiver)
    assert await broker.publish(b"a", bytes(range(256))) == 1
    await eventually(lambda: receiver.events, "the message")
    assert receiver.events[0] == (b"a", bytes(range(256)))
    assert broker.pendingBytes == 0


@pytest_twisted.ensureDeferred
async def test_unsubscribedAndSubscribedAgain(broker: RedisBroker, redis: Redis) -> None:
    first, second = Recorder(), Recorder()
    await broker.subscribe(b"a", first)
    broker.unsubscribe(b"a", first)
    broker.unsubscribe(b"a", first)
    await broker.subscribe(b"a", second)
    await broker.publish(b"a", b"x")
    await eventually(lambda: second.events, "the message")
    assert first.events == []
    broker.unsubscribe(b"a", second)
    await eventually(lambda: redis.command("PUBSUB", "NUMSUB", "a") == [b"a", 0], "the unsubscription")


@pytest_twisted.ensureDeferred
async def test_retainedValuesLiveAsLongAsTheirOwner(broker: RedisBroker, redis: Redis) -> None:
    assert await broker.retained(b"a") is None
    assert await broker.publish(b"a", b"1", retain=True) == 0
    assert await broker.publish(b"a", b"live") == 0
    assert await broker.retained(b"a") == b"1"
    assert 0 < int(str(redis.command("TTL", "a:retained"))) <= RETAINED_TTL
    redis.command("EXPIRE", "a:retained", 1)
    broker._refreshRetained()
    await eventually(lambda: int(str(redis.command("TTL", "a:retained"))) > 1, "the refreshed time to live")
    redis.command("DEL", "a:retained")
    broker._refreshRetained()
    await eventually(lambda: redis.command("GET", "a:retained") == b"1", "the value that Redis had lost")
    await broker.unretain(b"a")
    assert await broker.retained(b"a") is None
    await broker.unretain(b"a")


@pytest_twisted.ensureDeferred
async def test_somebodyElsesRetainedValueIsLeftAlone(broker: RedisBroker, redis: Redis) -> None:
    await broker.publish(b"a", b"mine", retain=True)
    redis.command("SET", "a:retained", "theirs")
    broker._refreshRetained()
    await broker.unretain(b"a")
    assert redis.command("GET", "a:retained") == b"theirs"


@pytest_twisted.ensureDeferred
async def test_aCrowdAsksOnce(broker: RedisBroker, redis: Redis) -> None:
    redis.command("SET", "a:retained", "v")
    redis.command("CONFIG", "RESETSTAT")
    values = [broker.retained(b"a") for _ in range(50)]
    assert [await value for value in values] == [b"v"] * 50
    assert b"cmdstat_mget:calls=1," in bytes(redis.command("INFO", "commandstats"))  # type: ignore[call-overload]


@pytest_twisted.ensureDeferred
async def test_stopGivesUpRetainedValuesAndSendsWhatIsPending(redis: Redis) -> None:
    broker = make(redis.url)
    broker.start()
    await eventually(lambda: broker.connected, "the connection")
    done = [broker.publish(b"a", b"%d" % number, retain=True) for number in range(100)]
    await broker.stop()
    assert [await one for one in done] == [0] * 100
    assert redis.command("EXISTS", "a:retained") == 0
    clients = bytes(redis.command("CLIENT", "LIST"))  # type: ignore[call-overload]
    assert clients.count(b"\n") == 1


@pytest_twisted.ensureDeferred
async def test_awayMeansAtOnce() -> None:
    broker = make("redis://127.0.0.1:1")
    for refused in (broker.publish(b"a", b"x"), broker.retained(b"a")):
        assert refused.called
        with pytest.raises(BrokerUnavailable):
            await refused
    waiting = broker.subscribe(b"a", Recorder())
    assert not waiting.called
    broker.publish(b"a", b"x", retain=True).addErrback(lambda _: None)
    with pytest.raises(BrokerUnavailable):
        await broker.unretain(b"a")
    await broker.stop()


@pytest_twisted.ensureDeferred
async def test_lostAndRestored(broker: RedisBroker, redis: Redis) -> None:
    receiver = Recorder()
    for channel in (b"a", b"b"):
        await broker.subscribe(channel, receiver)
    await broker.publish(b"r", b"kept", retain=True)
    redis.kill()
    await eventually(lambda: "lost" in receiver.events, "the loss")
    late = broker.subscribe(b"c", receiver)
    with pytest.raises(BrokerUnavailable):
        await broker.publish(b"a", b"x")
    redis.start()
    await late
    await eventually(lambda: "restored" in receiver.events, "the return")
    await eventually(lambda: broker.connected, "the publisher's return")
    assert receiver.events == ["lost", "restored"]
    await broker.publish(b"b", b"back")
    await eventually(lambda: (b"b", b"back") in receiver.events, "a message")
    assert await broker.retained(b"r") == b"kept"


@pytest_twisted.ensureDeferred
async def test_moreThanFitsIsRefused(redis: Redis) -> None:
    broker = make(redis.url, _maxPending=1000)
    broker.start()
    await eventually(lambda: broker.connected, "the connection")
    redis.suspend()
    accepted = broker.publish(b"a", b"x" * 5000)
    refused = broker.publish(b"a", b"y")
    assert not accepted.called
    with pytest.raises(BrokerUnavailable, match="keep up"):
        await refused
    redis.resume()
    assert await accepted == 0
    assert await broker.publish(b"a", b"y") == 0
    await broker.stop()


@pytest_twisted.ensureDeferred
async def test_aDeniedChannelDoesNotHarmTheOthers(redis: Redis) -> None:
    redis.command("ACL", "SETUSER", "joe", "on", ">pw", "+@all", "~*", "resetchannels", "&open*")
    broker = make(f"redis://joe:pw@127.0.0.1:{redis.port}")
    broker.start()
    receiver = Recorder()
    denied: Deferred[None] = broker.subscribe(b"secret", receiver)
    await broker.subscribe(b"open1", receiver)
    with pytest.raises(BrokerUnavailable, match="refused the channel"):
        await denied
    with pytest.raises(BrokerUnavailable, match="Redis refused"):
        await broker.publish(b"secret", b"x")
    with pytest.raises(BrokerUnavailable, match="Redis refused"):
        await broker.publish(b"secret", b"x", retain=True)
    assert await broker.publish(b"open1", b"x") == 1
    await eventually(lambda: receiver.events, "the message")
    await broker.stop()


def test_unusableAuthorities(tmp_path: Any) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("not a certificate")
    for path in (file, tmp_path / "gone.pem"):
        with pytest.raises(ConfigError, match="cannot use the authorities"):
            make(f"rediss://localhost?cafile={path}")
