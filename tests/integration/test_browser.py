"""A real headless Chromium: the examples of ``examples/uwsgi`` and the demo, as people will see them."""

import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright
from websockets.sync.client import connect

from tests.integration.support import PATIENCE, Redis, Server, ServerFactory, freePort

EXAMPLES = Path(__file__).parent.parent.parent / "examples" / "uwsgi"

#: Tests run as root in containers, on machines without a graphics card or a network.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

#: Stays text wherever it is shown, or runs a script that everybody would notice.
ATTACK = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield started
        started.close()


class Tab:
    """
    A page, and what it complained about.

    :ivar complaints: errors and warnings on its console, uncaught exceptions, and failed requests.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE * 1000)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location})")


@contextmanager
def opened(browser: Browser) -> Iterator[Tab]:
    """A tab of somebody's own: it shares nothing with others."""
    expect.set_options(timeout=PATIENCE * 1000)
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    try:
        yield Tab(context.new_page())
    finally:
        context.close()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    with opened(browser) as started:
        yield started


@pytest.fixture
def otherTab(browser: Browser) -> Iterator[Tab]:
    with opened(browser) as started:
        yield started


# The examples of uwsgi-realtime


def example(twistd: ServerFactory, redis: Redis, name: str) -> str:
    """Start an example as it is, but on a free port and with the test's Redis. Returns the page's address."""
    text = (EXAMPLES / f"{name}.ini").read_text()
    assert "http-socket = :9090\n" in text
    port = freePort()
    text = text.replace("http-socket = :9090\n", f"http-socket = 127.0.0.1:{port}\n")
    server = twistd.start(text, "--broker", redis.url, cwd=EXAMPLES)
    server.waitUntilConnected()
    return f"http://127.0.0.1:{port}/"


def publish(redis: Redis, channel: str, *payloads: str) -> None:
    """As redis-cli does it, once the page's stream is subscribed."""
    for payload in payloads:
        assert redis.publish(channel, payload) == 1


def test_theEventsExample(twistd: ServerFactory, redis: Redis, tab: Tab) -> None:
    tab.page.goto(example(twistd, redis, "sse"))
    expect(tab.page.locator("#state")).to_have_text("connected")
    publish(redis, "news", "hello, browser", ATTACK, "äöü ☃ 🎉")
    expect(tab.page.locator("#messages > li")).to_have_text(["äöü ☃ 🎉", ATTACK, "hello, browser"])
    assert tab.page.title() == "Server-Sent Events"
    # The favicon is the page, too: whatever no route takes is.
    assert tab.complaints == []


def test_theMultilineExample(twistd: ServerFactory, redis: Redis, tab: Tab) -> None:
    tab.page.goto(example(twistd, redis, "multiline"))
    expect(tab.page.locator("#state")).to_have_text("connected")
    poem = "first line\nsecond line\n\n    indented after an empty one\n"
    publish(redis, "poems", poem, "CR\rCRLF\r\nLF\n.", ATTACK)
    expect(tab.page.locator("#messages > pre")).to_have_count(3)
    # EventSource joins the lines with LF; the text must be the same to the last blank.
    texts = tab.page.locator("#messages > pre").evaluate_all("elements => elements.map(one => one.textContent)")
    assert texts == [ATTACK, "CR\nCRLF\nLF\n.", poem]
    expect(tab.page.locator("#messages > pre").last).to_have_attribute("title", "5 lines")
    assert tab.page.title() == "Messages of several lines"
    assert tab.complaints == []


def test_theMultichannelExample(twistd: ServerFactory, redis: Redis, tab: Tab) -> None:
    tab.page.goto(example(twistd, redis, "multichannels"))
    expect(tab.page.locator("section .state")).to_have_text(["connected"] * 5)
    for round_ in (1, 2):
        for number in range(1, 6):
            publish(redis, f"channel_{number}", f"{round_} for {number}")
    for number in range(1, 6):
        items = tab.page.locator(f"#channel_{number} li")
        expect(items).to_have_text([f"2 for {number}", f"1 for {number}"])
    publish(redis, "channel_3", ATTACK)
    expect(tab.page.locator("#channel_3 li").first).to_have_text(ATTACK)
    assert tab.page.title() == "Five channels"
    assert tab.complaints == []


# The demo


def demo(twistd: ServerFactory) -> Server:
    return twistd.start(None, "--demo")


def openDemo(server: Server, tab: Tab) -> Page:
    """The demo's page, once it is live."""
    tab.page.goto(f"http://127.0.0.1:{server.port}/")
    live(tab.page)
    return tab.page


def live(page: Page) -> None:
    expect(page.locator("#connection[data-state=live]")).to_be_visible()


def send(page: Page, name: str, text: str) -> None:
    """Publish through the form."""
    page.locator("#sse-name").fill(name)
    page.locator("#sse-text").fill(text)
    page.locator("#sse-send").click()


def test_theDemoPublishesAndReceives(twistd: ServerFactory, tab: Tab) -> None:
    server = demo(twistd)
    page = openDemo(server, tab)
    messages = page.locator("#sse-messages > li.message")
    expect(messages).to_have_count(0)
    send(page, "Ann", "Hello, everyone")
    expect(messages).to_have_count(1)
    expect(messages.first).to_contain_text("Ann")
    expect(messages.first.locator(".text")).to_have_text("Hello, everyone")
    expect(page.locator("#sse-status")).to_contain_text("Published")
    expect(page.locator("#sse-status")).to_contain_text("Back here in")
    # What another program publishes, of several lines.
    assert server.request("POST", "/publish", b"from curl\nsecond line").status == 200
    expect(messages).to_have_count(2)
    assert messages.first.locator(".text").text_content() == "from curl\nsecond line"
    # The keyboard: Shift+Enter makes a line, Enter sends.
    page.locator("#sse-text").press_sequentially("one")
    page.locator("#sse-text").press("Shift+Enter")
    page.locator("#sse-text").press_sequentially("two")
    page.locator("#sse-text").press("Enter")
    expect(messages).to_have_count(3)
    assert messages.first.locator(".text").text_content() == "one\ntwo"
    # Nothing is sent without text.
    send(page, "Ann", "  ")
    expect(page.locator("#sse-error")).to_contain_text("Write a message first")
    expect(messages).to_have_count(3)
    assert tab.complaints == []


def test_theDemoShowsWhatItReceivesAsText(twistd: ServerFactory, tab: Tab) -> None:
    server = demo(twistd)
    page = openDemo(server, tab)
    title = page.title()
    send(page, ATTACK[:40], ATTACK)
    server.request("POST", "/publish", ATTACK.encode())
    texts = page.locator("#sse-messages > li.message .text")
    expect(texts).to_have_text([ATTACK, ATTACK])
    assert page.locator("#sse-messages img, #sse-messages script").count() == 0
    assert page.title() == title
    # Messages that are JSON, but not what the form sends.
    for body in (b"null", b"[]", b"{}", b'{"text": 7}', b'{"text": "x", "name": 1, "at": 1e300}', b"{", b""):
        assert server.request("POST", "/publish", body).status == 200
    expect(texts).to_have_count(9)
    assert tab.complaints == []


def test_everyPageOfTheDemoGetsEveryMessage(twistd: ServerFactory, tab: Tab, browser: Browser) -> None:
    server = demo(twistd)
    page = openDemo(server, tab)
    with opened(browser) as otherTab:
        other = openDemo(server, otherTab)
        send(page, "Ann", "Who is there?")
        expect(other.locator("#sse-messages .text")).to_have_text(["Who is there?"])
        send(other, "Ben", "Me")
        expect(page.locator("#sse-messages .text")).to_have_text(["Me", "Who is there?"])
        # Two pages, each with a stream of messages, one of counters, and two chats.
        expect(page.locator("#stat-subscribers")).to_have_text("8")
    expect(page.locator("#stat-subscribers")).to_have_text("4")


def test_theCountersOfTheDemoAreLive(twistd: ServerFactory, tab: Tab) -> None:
    server = demo(twistd)
    page = openDemo(server, tab)
    expect(page.locator("#stat-subscribers")).to_have_text("4")
    expect(page.locator("#stat-message-rate")).to_have_text(re.compile(r"^\d"))
    page.locator("#sse-burst").click()
    expect(page.locator("#sse-status")).to_contain_text("all came back")
    expect(page.locator("#sse-messages > li.message")).to_have_count(100)
    expect(page.locator("#stat-peak")).to_have_text(re.compile(r"^[1-9]\d"))
    assert tab.complaints == []


def test_theDemoReconnectsToARestartedServer(twistd: ServerFactory, tab: Tab) -> None:
    port = freePort()
    listen = ["--demo", "--listen", f"tcp:{port}:interface=127.0.0.1"]
    first = twistd.start(None, *listen)
    tab.page.goto(f"http://127.0.0.1:{port}/")
    live(tab.page)
    send(tab.page, "Ann", "before")
    expect(tab.page.locator("#sse-messages .text")).to_have_text(["before"])
    first.process.kill()
    first.process.wait()
    expect(tab.page.locator("#connection[data-state=reconnecting]")).to_be_visible()
    send(tab.page, "Ann", "while it is away")
    expect(tab.page.locator("#sse-error")).to_contain_text("cannot be reached")
    # What could not be sent is not lost.
    expect(tab.page.locator("#sse-text")).to_have_value("while it is away")
    twistd.start(None, *listen)
    live(tab.page)
    tab.page.locator("#sse-send").click()
    expect(tab.page.locator("#sse-messages .text")).to_have_text(["while it is away", "before"])
    expect(tab.page.locator("#stat-subscribers")).to_have_text("4")


def test_theDemoIsUsableOnAPhone(twistd: ServerFactory, browser: Browser) -> None:
    server = demo(twistd)
    context = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    try:
        tab = Tab(context.new_page())
        page = openDemo(server, tab)
        server.request("POST", "/publish", b"x" * 500)
        expect(page.locator("#sse-messages > li.message")).to_have_count(1)
        # Nothing is wider than the screen.
        assert page.locator("html").evaluate("html => html.scrollWidth") <= 360
        assert tab.complaints == []
    finally:
        context.close()


def test_theDemoLoadsNothingFromElsewhere(twistd: ServerFactory, tab: Tab) -> None:
    server = demo(twistd)
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    page = openDemo(server, tab)
    # Playwright tells of requests while it is called, so that it is what waits here: until every panel is at work.
    expect(page.locator("#stat-subscribers")).to_have_text("4")
    assert any(url.endswith("/stats") for url in asked)
    assert {re.sub(r"^(\w+://[^/]+/).*", r"\1", url) for url in asked} == {f"http://127.0.0.1:{server.port}/"}
    for name in ("/", "/demo.js", "/demo.css"):
        assert server.get(name).headers["Content-Security-Policy"] == "default-src 'self'"


# The demo's chats: one conversation, over WebSocket and over Socket.IO


class Chat:
    """
    One of the two panels on a page.

    :param id: ``ws`` or ``sio``.
    :ivar texts: what was said, the latest last; ``names`` who said it.
    """

    def __init__(self, page: Page, id: str) -> None:
        self._page = page
        self._id = id
        self.connection = self.part("connection")
        self.text = self.part("text")
        self.texts = page.locator(f"#{id}-messages > li .text")
        self.names = page.locator(f"#{id}-messages > li .who")

    def part(self, name: str) -> Locator:
        return self._page.locator(f"#{self._id}-{name}")

    def expectState(self, state: str) -> None:
        expect(self.connection).to_have_attribute("data-state", state)
        expect(self.connection).to_have_text(state.capitalize())

    def say(self, text: str, name: str = "") -> None:
        self.part("name").fill(name)
        self.text.fill(text)
        self.text.press("Enter")


def chatsOf(tab: Tab) -> list[Chat]:
    """The panels of a page, once both are live: from then on they get every message."""
    chats = [Chat(tab.page, id) for id in ("ws", "sio")]
    for chat in chats:
        chat.expectState("live")
    return chats


def expectTexts(chats: list[Chat], texts: list[str]) -> None:
    for chat in chats:
        expect(chat.texts).to_have_text(texts)


@pytest.mark.parametrize(("panel", "status"), [(0, "Sent"), (1, "Acknowledged in")], ids=["ws", "sio"])
def test_twoPagesOfTheDemoTalk(twistd: ServerFactory, tab: Tab, otherTab: Tab, panel: int, status: str) -> None:
    server = demo(twistd)
    for each in (tab, otherTab):
        openDemo(server, each)
    everybody = [*chatsOf(tab), *chatsOf(otherTab)]
    ann, ben = everybody[panel], everybody[2 + panel]
    said: list[str] = []
    for chat, name, text in ((ann, "Änn", "Who is there?"), (ben, "Ben & Co", "Me: ä€🎉"), (ann, "Änn", '"1", \\2')):
        chat.say(text, name)
        said.append(text)
        # Waited for before anybody answers: two publishers have no order between them.
        expectTexts(everybody, said)
        expect(chat.text).to_have_value("")
        expect(chat.part("status")).to_contain_text(status)
    for chat in everybody:
        expect(chat.names).to_have_text(["Änn", "Ben & Co", "Änn"])
    ben.say("  ")
    expect(ben.part("error")).to_have_text("Write a message first.")
    expectTexts(everybody, said)
    assert tab.complaints == otherTab.complaints == []


def test_theChatsOfTheDemoShowWhatTheyReceiveAsText(twistd: ServerFactory, tab: Tab, otherTab: Tab) -> None:
    server = demo(twistd)
    for each in (tab, otherTab):
        openDemo(server, each)
    mine = chatsOf(tab)
    everybody = [*mine, *chatsOf(otherTab)]
    title = tab.page.title()
    image = "<img src=x onerror=\"document.title='hacked'\">"
    said: list[str] = []
    for chat in mine:
        for text in (ATTACK, image):
            chat.say(text, image[:40])
            said.append(text)
            expectTexts(everybody, said)
    # Past the forms: longer names, messages that are no JSON, and bytes that are no text.
    with connect(f"ws://127.0.0.1:{server.port}/chat", proxy=None, open_timeout=PATIENCE) as stranger:
        for message, text in (
            (json.dumps({"name": ATTACK, "text": image}), image),
            (image, image),
            (json.dumps([image]), json.dumps([image])),
            (b"\xff<b>", "4 bytes"),
        ):
            stranger.send(message)
            said.append(text)
            expectTexts(everybody, said)
    for each in (tab, otherTab):
        for tag in ("img", "script", "b"):
            expect(each.page.locator(f"#ws {tag}, #sio {tag}")).to_have_count(0)
        assert each.page.title() == title
    assert tab.complaints == otherTab.complaints == []


@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_theChatsOfTheDemoComeBackToARestartedServer(
    twistd: ServerFactory, tab: Tab, otherTab: Tab, way: signal.Signals
) -> None:
    port = freePort()
    listen = ["--demo", "--listen", f"tcp:{port}:interface=127.0.0.1"]
    first = twistd.start(None, *listen)
    for each in (tab, otherTab):
        each.page.goto(f"http://127.0.0.1:{port}/")
    mine, theirs = chatsOf(tab), chatsOf(otherTab)
    everybody = [*mine, *theirs]
    mine[0].say("before")
    expectTexts(everybody, ["before"])
    first.process.send_signal(way)
    first.process.wait(PATIENCE)
    for chat in everybody:
        chat.expectState("reconnecting")
    for chat, text in zip(mine, ("one", "two"), strict=True):
        chat.say(text)
        expect(chat.part("error")).to_contain_text("Not connected")
        # What could not be sent is not lost.
        expect(chat.text).to_have_value(text)
    twistd.start(None, *listen)
    for chat in everybody:
        chat.expectState("live")
        expect(chat.part("error")).to_have_text("")
    said = ["before"]
    for chat, text in zip(mine, ("one", "two"), strict=True):
        chat.text.press("Enter")
        said.append(text)
        expectTexts(everybody, said)
    for chat in theirs:
        chat.say("and back")
        said.append("and back")
        expectTexts(everybody, said)
