"""The chat examples of ``examples/uwsgi`` in a real headless Chromium: two pages that talk."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.integration.support import PATIENCE, Redis, Server, ServerFactory, Subscription, freePort, until
from tests.integration.test_browser import ARGUMENTS, ATTACK, EXAMPLES, Tab


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield started
        started.close()


class Chat:
    """One of the examples, as it is, but on a free port and with the test's Redis."""

    def __init__(self, twistd: ServerFactory, redis: Redis, browser: Browser, name: str) -> None:
        self._stack = ExitStack()
        self._browser = browser
        self.redis = redis
        self._twistd = twistd
        text = (EXAMPLES / name).read_text()
        self.port = freePort()
        assert "http-socket = :9090\n" in text
        self._text = text.replace("http-socket = :9090\n", f"http-socket = 127.0.0.1:{self.port}\n")
        self.tabs: list[Tab] = []
        self.start()

    def start(self) -> None:
        self.server: Server = self._twistd.start(
            self._text, "--broker", self.redis.url, cwd=EXAMPLES, env={"REDIS_PORT": str(self.redis.port)}
        )
        self.server.waitUntilConnected()

    def join(self, name: str) -> Page:
        """A page of somebody's own."""
        expect.set_options(timeout=PATIENCE * 1000)
        context = self._browser.new_context()
        self._stack.callback(context.close)
        tab = Tab(context.new_page())
        self.tabs.append(tab)
        tab.page.goto(f"http://127.0.0.1:{self.port}/")
        assert tab.page.title() == "Chat"
        tab.page.locator("#name").fill(name)
        tab.page.locator("#join button").click()
        expect(tab.page.locator("#state")).to_have_text("connected")
        return tab.page

    def close(self) -> None:
        self._stack.close()


def say(page: Page, text: str) -> None:
    page.locator("#text").fill(text)
    page.locator("#text").press("Enter")


def shown(page: Page) -> list[str]:
    found: list[str] = page.locator("#messages > li").evaluate_all("all => all.map(one => one.textContent)")
    return found


@pytest.fixture
def chat(twistd: ServerFactory, redis: Redis, browser: Browser) -> Iterator[Chat]:
    started = Chat(twistd, redis, browser, "chat.ini")
    yield started
    started.close()


@pytest.fixture
def inverse(twistd: ServerFactory, redis: Redis, browser: Browser) -> Iterator[Chat]:
    started = Chat(twistd, redis, browser, "chat_inverse.ini")

    def mule() -> bool:
        return redis.command("PUBSUB", "NUMSUB", "chat") == [b"chat", 1]

    until(mule, "the mule's subscription")
    yield started
    started.close()


def test_twoPagesTalk(chat: Chat) -> None:
    ann, ben = chat.join("Änn"), chat.join("Ben & Co: 50%+")
    said = [(ann, "Who is there?"), (ben, "Me: ä€🎉"), (ann, "50% of a:b:c"), (ben, " ")]
    expected: list[str] = []
    for page, text in said:
        say(page, text)
        expected.insert(0, f"{'Änn' if page is ann else 'Ben & Co: 50%+'}: {text}")
        for each in (ann, ben):
            expect(each.locator("#messages > li")).to_have_count(len(expected))
            assert shown(each) == expected
        expect(page.locator("#text")).to_have_value("")
    # Another program's.
    assert chat.redis.publish("chat", "redis-cli:hello") == 1
    expect(ben.locator("#messages > li").first).to_have_text("redis-cli: hello")
    assert [tab.complaints for tab in chat.tabs] == [[], []]


def test_namesAndMessagesStayText(chat: Chat) -> None:
    attack = "<img src=x onerror=\"document.title='hacked'\">"
    eve, ann = chat.join(attack), chat.join("Ann")
    say(eve, attack)
    say(eve, ATTACK)
    # Two publishers have no order between them: what follows may come only when this has arrived.
    expect(ann.locator("#messages > li")).to_have_count(2)
    # Past the page, straight through Redis: nothing encodes it on this way.
    for message in (attack, f"{attack}:{attack}", f":{ATTACK}", "%:bad name", "%3Cimg src=x onerror=alert(1)%3E:x", ""):
        chat.redis.publish("chat", message)
    chat.redis.publish("chat", b"\xff<b>:\xfe<b>")
    for page in (eve, ann):
        expect(page.locator("#messages > li")).to_have_count(9)
        assert shown(page) == [
            "\ufffd<b>: \ufffd<b>",
            "",
            "<img src=x onerror=alert(1)>: x",
            "%: bad name",
            ATTACK,
            f"{attack}: {attack}",
            attack,
            f"{attack}: {ATTACK}",
            f"{attack}: {attack}",
        ]
        assert page.locator("#messages img, #messages script, #messages b").count() == 0
        assert page.title() == "Chat"
    assert [tab.complaints for tab in chat.tabs] == [[], []]


def test_pagesComeBackToARestartedServer(chat: Chat) -> None:
    ann = chat.join("Ann")
    say(ann, "before")
    expect(ann.locator("#messages > li").first).to_have_text("Ann: before")
    chat.server.terminate()
    expect(ann.locator("#state")).to_contain_text("connection lost")
    # Nothing typed is lost.
    say(ann, "meanwhile")
    expect(ann.locator("#text")).to_have_value("meanwhile")
    chat.start()
    expect(ann.locator("#state")).to_have_text("connected")
    ann.locator("#text").press("Enter")
    expect(ann.locator("#messages > li").first).to_have_text("Ann: meanwhile")


def test_theInverterTurnsMessagesRound(inverse: Chat) -> None:
    ann, ben = inverse.join("Ann"), inverse.join("Ben")
    say(ann, "hello: 1:2")
    for page in (ann, ben):
        expect(page.locator("#messages > li").first).to_have_text("Ann: 2:1 :olleh")
    say(ben, "ä€🎉")
    for page in (ann, ben):
        expect(page.locator("#messages > li").first).to_have_text("Ben: 🎉€ä")
    say(ann, ATTACK)
    expect(ben.locator("#messages > li").first).to_have_text(f"Ann: {ATTACK[::-1]}")
    assert [tab.complaints for tab in inverse.tabs] == [[], []]


def test_theInverterTakesAnyMessage(inverse: Chat) -> None:
    redis = inverse.redis
    messages: list[tuple[bytes, bytes]] = [
        (b"", b""),
        (b"no name", b"eman on"),
        (b":", b":"),
        (b"a:b:c:d", b"a:d:c:b"),
        (b"a:\xff\xfeb", b"a:b\xfe\xff"),
        (b"\xff:ab", b"\xff:ba"),
        (b"a:" + bytes(range(128)) * 1000, b"a:" + (bytes(range(128)) * 1000)[::-1]),
        (b"a:\r\n*1\r\n$4\r\nQUIT\r\n", b"a:\n\rTIUQ\n\r4$\n\r1*\n\r"),
        ("a:\ud7ff\U0010ffff".encode(), "a:\U0010ffff\ud7ff".encode()),
    ]
    with Subscription(redis, "inverted") as inverted:
        for message, expected in messages:
            assert redis.publish("chat", message) == 1
            assert inverted.payload() == expected
        # It comes back when Redis does.
    redis.kill()
    inverse.server.logged("trying again")
    redis.start()
    until(lambda: redis.command("PUBSUB", "NUMSUB", "chat") == [b"chat", 1], "the mule's subscription")
    with Subscription(redis, "inverted") as inverted:
        redis.publish("chat", "x:abc")
        assert inverted.payload() == b"x:cba"
