"""The official JavaScript clients, in Node and in Chromium, against a server that is killed and started again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.integration.iosupport import Example, Script
from tests.integration.support import PATIENCE, Redis, ServerFactory, Subscription

HERE = Path(__file__).parent


@pytest.fixture
def application(logs: Path, tmp_path: Path) -> Iterator[Example]:
    server = Example("socketio_app", logs / f"{tmp_path.name}.log", directory=HERE)
    yield server
    server.kill()


@pytest.mark.parametrize("transports", ["polling", "websocket", "polling,websocket"])
@pytest.mark.parametrize("library", ["socket.io-client", "sio3", "sio2"])
def test_client(application: Example, node: Path, library: str, transports: str) -> None:
    url = f"http://127.0.0.1:{application.port}"
    with Script(node, "socketio_client.js", library, url, transports) as client:
        client.expect("ready")
        application.kill()
        client.expect("lost")
        application.start()
        client.expect("again")
    assert "Traceback" not in application.log.read_text()


PAGE = """\
<!doctype html>
<title>chat</title>
<ul id="said"></ul>
<script src="/client/socket.io.js"></script>
<script>
const transports = new URLSearchParams(location.search).get("transports").split(",");
const socket = io({ transports });
const say = (text) => document.getElementById("said").append(Object.assign(document.createElement("li"),
  { textContent: text }));
socket.on("connect", () => say("connected"));
socket.on("message", (value) =>
  say(value instanceof ArrayBuffer ? "binary " + new Uint8Array(value).join() : "text " + value));
async function send(...args) {
  await socket.timeout(20000).emitWithAck(...args);
  say("acknowledged by " + socket.io.engine.transport.name);
}
</script>
"""


@pytest.mark.parametrize("transports", ["polling", "websocket", "polling,websocket"])
def test_chromium(twistd: ServerFactory, redis: Redis, node: Path, chromium: str, transports: str) -> None:
    files = twistd.directory / "files"
    files.mkdir()
    (files / "page.html").write_text(PAGE)
    dist = node / "node_modules" / "socket.io-client" / "dist"
    server = twistd.start(
        f"[realtime]\nbroker = {redis.url}\nstatic-map = /client={dist}\nstatic-map = /files={files}\n"
        "route = ^/socket.io/ socket.io:subscribe=news,publish=said\n"
    )
    server.waitUntilConnected()
    with Subscription(redis, "said") as said, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"http://127.0.0.1:{server.port}/files/page.html?transports={transports}")
        page.wait_for_selector("text=connected")
        redis.publish("news", "<b>ü€𝄞</b>")
        page.wait_for_selector("text=text <b>ü€𝄞</b>")
        redis.publish("news", b"\xff\x00\x01")
        page.wait_for_selector("text=binary 255,0,1")
        if "," in transports:
            page.wait_for_function("socket.io.engine.transport.name === 'websocket'")
        page.evaluate("send('hello', { a: 1 }, new Uint8Array([1, 2, 3]))")
        page.wait_for_selector(f"text=acknowledged by {transports.split(',')[-1]}")
        assert b'"args":[{"a":1},{"base64":"AQID"}]' in said.payload()
        assert complaints == []
        browser.close()
