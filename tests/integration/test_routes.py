"""The routing language through the real server: a rich file, and every hole of uWSGI's shown closed on a socket."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.integration.support import Answer, Client, Redis, Server, ServerFactory, Subscription, until

# A representative file, rule by rule

RICH = r"""
[realtime]
broker = BROKER

; Health checks keep out of everything else, the log included.
route = ^/health$ donotlog:
route = ^/health$ return:200

; A private part: a goto over it for everybody else.
route-if-not = startswith:${PATH_INFO};/private/ goto:public
route = ^/private/file/ basicauth:by file,PASSWORDS
route = ^/private/ basicauth:the realm,joe:s3cret:with:colons
route-remote-user = ^(.+)$ addheader:X-User: $1
route = ^/private/(file/)?events$ sse:user_${REMOTE_USER}
route-run = return:404

route-label = public
route = ^/log/(.*)$ log:${REQUEST_METHOD} wanted $1 from ${REMOTE_ADDR}
route = ^/log/ logvar:who=${qs[who]}
route = ^/log/ last:
route = ^/forbidden break:403
route = ^/silent break:
route = ^/gone return:410
route = ^/old/(.*)$ redirect:/new/$1?was=old
route = ^/moved redirect-permanent:https://www.example.com/
route = ^/(?:headers|bare) addheader:X-One: 1
route = ^/headers addheader:X-Agent: ${HTTP_USER_AGENT}
route = ^/headers addheader:Cache-Control: max-age=5
route = ^/headers remheader:Server
route = ^/var/(\w+) addvar:ROOM=$1
route = ^/var/ sse:room_${ROOM}
route = ^/rewritten/(\d+)$ rewrite:/target/$1?n=$1
route = ^/target/(\d+)$ addheader:X-Query: ${QUERY_STRING}
route = ^/target/(\d+)$ send:target $1 of ${REQUEST_URI}
route = ^/preamble$ clearheaders:202 Here it comes
route = ^/preamble$ addheader:Content-Type: text/x-custom
route = ^/preamble$ send-crnl:first line
route = ^/preamble$ stream:news
route = ^/bare$ disableheaders:
route = ^/bare$ stream:news
route = ^/as-get$ setmethod:GET
route = ^/as-get$ stream:news
route = ^/cookie$ sse:session_${cookie[sid]}
route = ^/key$ sse:k_${qs[room]}_${lower[HTTP_X_ROOM]}
route = ^/encoded$ send:${base64[HTTP_X_TEXT]} ${hex[HTTP_X_TEXT]} ${upper[HTTP_X_TEXT]}
route = ^/idle$ signal:17
route = ^/unknown/method$ publish:news
route-host = ^admin\.example(:\d+)?$ return:418
route-user-agent = BadBot break:403 No bots here
route-referer = ^http://bad\.example/ return:403
route-qs = (^|&)debug=1(&|$) addheader:X-Debug: yes
route-uri = ^/raw%%2Fpath send:raw
route-remote-addr = ^127\. addheader:X-Local: yes
route-if = ipv4in:${REMOTE_ADDR};127.0.0.0/8 addheader:X-Loopback: yes
route-if = re:${HTTP_X_VERSION};^v(\d+)\.(\d+)$ addheader:X-Major: $1
route-if = ishigher:${qs[n]};41 addheader:X-High: yes
route-if = empty:${HTTP_ACCEPT} addheader:X-Accepts: nothing
route-if = isfile:DIRECTORY/there addheader:X-File: there
route-if = exists:DIRECTORY/nothere addheader:X-Nothing: there
route = ^/conditions$ send:conditions
route = ^/time$ send:${time[unix]} ${httptime[60]}
"""


class Rich(NamedTuple):
    """A server with the rich file, and its Redis."""

    server: Server
    redis: Redis


@pytest.fixture(scope="module")
def rich(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rich]:
    """One server for all tests of the rich file: none of them changes it."""
    directory = tmp_path_factory.mktemp("rich")
    redis = Redis(directory / "redis")
    redis.start()
    (directory / "passwords").write_text("ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")  # "password"
    (directory / "there").write_text("")
    text = RICH.replace("BROKER", redis.url).replace("PASSWORDS", str(directory / "passwords"))
    factory = ServerFactory(logs, directory)
    server = factory.start(text.replace("DIRECTORY", str(directory)))
    server.waitUntilConnected()
    yield Rich(server, redis)
    factory.stop()
    redis.kill()


def basic(user: str, password: str) -> dict[str, str]:
    """Credentials as a header."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def subscribed(server: Server, redis: Redis, path: str, headers: dict[str, str] | None = None) -> list[bytes]:
    """The channels that a request for an event stream is subscribed to."""
    before = channels(redis)
    with server.stream(path, headers=headers) as stream:
        assert stream.response.status == 200
        stream.readUntil(b": ok\n\n")
        found = channels(redis) - before
    until(lambda: not found & channels(redis), "the subscription to end")
    return sorted(found)


def untilNobodyListens(rich: Rich) -> None:
    """The clients of earlier tests have left, but the server may not have noticed yet."""
    until(lambda: rich.redis.command("PUBSUB", "NUMSUB", "news") == [b"news", 0], "the end of earlier subscriptions")


def channels(redis: Redis) -> set[bytes]:
    """Every channel that anybody is subscribed to."""
    answer = redis.command("PUBSUB", "CHANNELS")
    assert isinstance(answer, list)
    return {*answer}


def test_whatNoRuleTakesIsNotFound(rich: Rich) -> None:
    answer = rich.server.get("/nowhere")
    assert answer.status == 404
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.body


def test_gotoPassesOverAPartAndBasicauthGuardsIt(rich: Rich) -> None:
    for credentials in ({}, basic("joe", "wrong"), basic("ann", "s3cret:with:colons"), {"Authorization": "Bearer x"}):
        refused = rich.server.get("/private/events", credentials)
        assert refused.status == 401, credentials
        assert refused.headers["WWW-Authenticate"] == 'Basic realm="the realm"'
    assert subscribed(rich.server, rich.redis, "/private/events", basic("joe", "s3cret:with:colons")) == [b"user_joe"]
    with rich.server.stream("/private/events", headers=basic("joe", "s3cret:with:colons")) as stream:
        assert stream.response.getheader("X-User") == "joe"
    assert rich.server.get("/private/other", basic("joe", "s3cret:with:colons")).status == 404


def test_basicauthReadsAPasswordFile(rich: Rich) -> None:
    for credentials in ({}, basic("ann", "wrong"), basic("joe", "password")):
        refused = rich.server.get("/private/file/events", credentials)
        assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, 'Basic realm="by file"')
    found = subscribed(rich.server, rich.redis, "/private/file/events", basic("ann", "password"))
    assert found == [b"user_ann"]


def test_logAndLogvarAreInTheLogAndDonotlogIsNot(rich: Rich) -> None:
    server = rich.server
    assert server.get("/health").status == 200
    assert server.get("/log/this?who=me").status == 404
    log = server.logged('who="me"')
    assert "GET wanted this from 127.0.0.1" in log
    assert '"GET /log/this?who=me HTTP/1.1" 404' in log
    assert "/health" not in log


def test_aClientCannotForgeLinesOfTheLog(rich: Rich) -> None:
    server = rich.server
    server.get("/log/x%0d%0aFORGED-A%1b%5b2J?who=%22x%0aFORGED-B")
    server.get('/log/y?who="FORGED-C"')
    log = server.logged("wanted y")
    server.logged("/log/y?who")
    log = server.log.read_text(errors="replace")
    assert not re.search(r"^FORGED", log, re.MULTILINE)
    assert "FORGED-A" in log
    assert "\x1b" not in log


def test_breakReturnAndRedirect(rich: Rich) -> None:
    server = rich.server
    forbidden = server.get("/forbidden/x")
    assert (forbidden.status, forbidden.body, forbidden.headers["Connection"]) == (403, b"", "close")
    gone = server.get("/gone")
    assert (gone.status, gone.body) == (410, b"Gone")
    old = server.get("/old/a/b?x=1")
    assert (old.status, old.headers["Location"]) == (302, "/new/a/b?was=old")
    moved = server.get("/moved")
    assert (moved.status, moved.headers["Location"]) == (301, "https://www.example.com/")
    with server.client(b"GET /silent HTTP/1.1\r\nHost: x\r\n\r\n") as client:
        assert client.readToEnd() == b""


def test_headersAreAddedAndRemoved(rich: Rich) -> None:
    answer = rich.server.get("/headers", {"User-Agent": "Test/1"})
    assert answer.status == 404
    assert (answer.headers["X-One"], answer.headers["X-Agent"]) == ("1", "Test/1")
    assert answer.headers["Cache-Control"] == "max-age=5"
    assert "Server" not in answer.headers
    assert "Server" in rich.server.get("/nowhere").headers


def test_variablesAreInTheNamesOfChannels(rich: Rich) -> None:
    server, redis = rich
    assert subscribed(server, redis, "/var/lobby") == [b"room_lobby"]
    assert subscribed(server, redis, "/cookie", {"Cookie": "a=b; sid=abc; c=d"}) == [b"session_abc"]
    assert subscribed(server, redis, "/key?x=1&room=7", {"X-Room": "UPPER"}) == [b"k_7_upper"]


def test_rewriteChangesWhatLaterRulesSee(rich: Rich) -> None:
    answer = rich.server.get("/rewritten/42?m=1")
    assert (answer.status, answer.body) == (200, b"target 42 of /rewritten/42?m=1")
    assert answer.headers["X-Query"] == "n=42&m=1"


def test_aPayloadBeforeTheStream(rich: Rich) -> None:
    untilNobodyListens(rich)
    with rich.server.stream("/preamble") as stream:
        assert (stream.response.status, stream.response.reason) == (202, "Here it comes")
        assert stream.response.getheader("Content-Type") == "text/x-custom"
        stream.readUntil(b"first line\r\n")
        # The payload does not wait for the subscription.
        until(lambda: rich.redis.publish("news", "then the stream"), "the subscription")
        assert stream.readUntil(b"stream") == b"first line\r\nthen the stream"


def test_withoutHeadersOnlyTheBodyIsSent(rich: Rich) -> None:
    for version in (b"HTTP/1.0", b"HTTP/1.1"):
        untilNobodyListens(rich)
        with rich.server.client(b"GET /bare " + version + b"\r\nHost: x\r\n\r\n") as client:
            until(lambda: rich.redis.publish("news", "just this"), "the subscription")
            assert client.readUntil(b"just this") == b"just this"


def test_setmethodDecidesWhatTheActionSees(rich: Rich) -> None:
    with rich.server.client(b"DELETE /as-get HTTP/1.0\r\n\r\n") as client:
        assert client.readUntil(b"\r\n\r\n").startswith(b"HTTP/1.0 200 OK")


def test_functionsOfVariables(rich: Rich) -> None:
    assert rich.server.get("/encoded", {"X-Text": "aZ"}).body == b"YVo= 615a AZ"
    assert re.fullmatch(rb"\d{10} \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", rich.server.get("/time").body)


def test_conditionsAndSubjects(rich: Rich) -> None:
    def names(answer: Answer) -> set[str]:
        assert answer.status == 200
        return {name for name in answer.headers if name.startswith("X-")}

    always = {"X-Local", "X-Loopback", "X-File"}
    get = rich.server.get
    assert names(get("/conditions")) == always | {"X-Accepts"}
    assert names(get("/conditions", {"Accept": "x"})) == always
    assert names(get("/conditions?a=b&debug=1&n=42", {"Accept": "x"})) == always | {"X-Debug", "X-High"}
    answer = get("/conditions?n=41", {"Accept": "x", "X-Version": "v12.3"})
    assert names(answer) == always | {"X-Major"}
    assert answer.headers["X-Major"] == "12"
    assert get("/x", {"Host": "admin.example:80"}).status == 418
    assert get("/x", {"Host": "notadmin.example"}).status == 404
    assert get("/x", {"Referer": "http://bad.example/x"}).status == 403
    assert get("/x", {"User-Agent": "a BadBot"}).status == 403
    assert get("/raw%2Fpath").body == b"raw"


def test_anActionThatDoesNotTakeTheMethodSaysWhichItTakes(rich: Rich) -> None:
    refused = rich.server.get("/unknown/method")
    assert (refused.status, refused.headers["Allow"]) == (405, "POST, PUT, OPTIONS")
    refused = rich.server.request("POST", "/var/x", b"")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


def test_oneConnectionServesManyRequests(rich: Rich) -> None:
    request = b"GET /target/%d HTTP/1.1\r\nHost: x\r\n\r\n"
    with rich.server.client(b"".join(request % number for number in range(20))) as client:
        client.readUntil(b"target 19 of /target/19")
        assert client.received.count(b"HTTP/1.1 200 OK\r\n") == 20


# The holes of uWSGI's routing: reference/routing.md, section 8


def raw(server: Server, target: bytes, headers: bytes = b"", method: bytes = b"GET") -> Client:
    """A request whose target is sent as it is."""
    return server.client(method + b" " + target + b" HTTP/1.0\r\nHost: x\r\n" + headers + b"\r\n")


def answerTo(server: Server, target: bytes, headers: bytes = b"", method: bytes = b"GET") -> bytes:
    """Everything that a raw request is answered with."""
    with raw(server, target, headers, method) as client:
        return client.readToEnd()


def test_hole1AClientCannotAddKeysToAnArgument(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(
        redis,
        "^/events$ sse:subscribe=room_${qs[room]}",
        "^/publish$ publish:channel=room_${qs[room]}",
        "^/in$ istream:publish=room,prefix=${qs[name]}:",
        "^/cookie$ sse:subscribe=room_${cookie[room]}",
        "^/header$ sse:subscribe=room_${HTTP_X_ROOM}",
    )
    attack = "x,subscribe=admin,publish=admin,server=127.0.0.1:1"
    expected = [f"room_{attack}".encode()]
    assert subscribed(server, redis, f"/events?room={attack}") == expected
    assert subscribed(server, redis, "/cookie", {"Cookie": f"room={attack}"}) == expected
    assert subscribed(server, redis, "/header", {"X-Room": attack}) == expected
    # Nor a second channel.
    assert subscribed(server, redis, "/events?room=x;admin") == [b"room_x;admin"]
    with Subscription(redis, "admin", "room", expected[0].decode()) as subscription:
        assert server.request("POST", f"/publish?room={attack}", b"one").status == 200
        assert subscription.message() == (expected[0], b"one")
        assert server.request("POST", f"/in?name={attack}", b"two").status == 200
        assert subscription.message() == (b"room", attack.encode() + b":two")


def test_hole2AClientCannotTurnAChannelIntoAList(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/events/(.+)$ sse:channel_$1", "^/(.+)$ sse:$1")
    attack = "x,subscribe=admin,server=127.0.0.1:1"
    assert subscribed(server, redis, f"/events/{attack}") == [f"channel_{attack}".encode()]
    assert subscribed(server, redis, "/subscribe=admin") == [b"subscribe=admin"]
    assert subscribed(server, redis, "/events/a;admin") == [b"channel_a;admin"]
    assert subscribed(server, redis, "/events/a%5C;b%2Cc%3Dd") == [b"channel_a\\;b,c=d"]


def test_hole3WhatAClientSendsIsNeverATemplate(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(
        redis,
        "^/events/(.+)$ sse:channel_$1",
        "^/echo/(.*)$ addheader:X-Echo: $1|${qs[x]}",
        "^/set/(.*)$ addvar:NAME=$1",
        "^/set/ addheader:X-Echo: ${NAME}",
        "^/log/(.*)$ log:seen $1 end",
    )
    headers = {"Authorization": "Basic c2VjcmV0OnNlY3JldA=="}
    for spelt in ("${HTTP_AUTHORIZATION}", "%24%7BHTTP_AUTHORIZATION%7D", "$%7Bhex%5BHTTP_AUTHORIZATION%5D}", "$1$0"):
        plain = {"$1$0": "$1$0"}.get(spelt, "${hex[HTTP_AUTHORIZATION]}" if "hex" in spelt else "${HTTP_AUTHORIZATION}")
        assert subscribed(server, redis, f"/events/{spelt}", headers) == [f"channel_{plain}".encode()]
        assert server.get(f"/echo/{spelt}?x=${{HTTP_HOST}}", headers).headers["X-Echo"] == f"{plain}|${{HTTP_HOST}}"
        assert server.get(f"/set/{spelt}", headers).headers["X-Echo"] == plain
        server.get(f"/log/{spelt}", headers)
        server.logged(f"seen {plain} end")
    assert "c2VjcmV0" not in server.log.read_text()


@pytest.mark.parametrize("ending", ["%0d%0a", "%0a", "%0d", "%00"])
def test_hole4AClientCannotAddHeaders(twistd: ServerFactory, ending: str) -> None:
    server = twistd.start(
        "[realtime]\n"
        "route = ^/add/(?s:(.*))$ addheader:X-Path: $1\n"
        "route = ^/redirect/(?s:(.*))$ redirect:http://www.example.com/$1\n"
        "route = ^/host redirect:http://${HTTP_HOST}/\n"
        "route = ^/type/(?s:(.*))$ stream:subscribe=news,content_type=text/$1\n"
        "route = ^/realm/(?s:(.*))$ setuser:$1\n"
        "route = ^/realm addheader:X-User: ${REMOTE_USER}\n"
    )
    for path in ("add", "redirect", "type", "realm"):
        target = f"/{path}/x{ending}Set-Cookie:%20admin=1{ending}{ending}<script>".encode()
        answer = answerTo(server, target)
        assert answer.startswith(b"HTTP/1.0 400 "), (path, answer)
        assert b"\nset-cookie" not in answer.lower()
        assert b"\rset-cookie" not in answer.lower()
        assert b"<script>" not in answer
    # And the server is still there.
    assert server.get("/add/fine").headers["X-Path"] == "fine"


def test_hole5PathTricksDoNotAvoidARule(twistd: ServerFactory) -> None:
    server = twistd.start("[realtime]\nroute = ^/private/ break:403\nroute = ^/ send:public ${PATH_INFO}\n")
    for target in (
        b"/private/x",
        b"/./private/x",
        b"/a/../private/x",
        b"/%2e/private/x",
        b"/a/%2e%2e/private/x",
        b"/a/..%2fprivate/x",
        b"/a%2f..%2fprivate%2fx",
        b"/%70rivate/x",
        b"http://x/private/x",
        b"http://x/./private/x",
        b"http://user@x:80/a/%2e%2e/private/x",
        b"/private/x#/public",
        b"/private/?/public",
    ):
        assert answerTo(server, target).startswith(b"HTTP/1.0 403 "), target
    # Decoded once, not twice.
    assert answerTo(server, b"/%252e%252e/private/x").endswith(b"public /%2e%2e/private/x")
    assert answerTo(server, b"/a/%2570rivate").endswith(b"public /a/%70rivate")
    for target in (b"/x%00private/", b"private/x", b"*x"):
        assert answerTo(server, target).startswith(b"HTTP/1.0 400 "), target


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory to be served, with a secret beside it and links to the secret in it."""
    top = tmp_path / "x"
    (top / "www" / "sub").mkdir(parents=True)
    (top / "www-secret").mkdir()
    (top / "www" / "f.txt").write_text("public")
    (top / "www" / "sub" / "g.txt").write_text("public too")
    (top / "www-secret" / "f.txt").write_text("SECRET")
    (top / "secret.txt").write_text("SECRET")
    (top / "www" / "link.txt").symlink_to(top / "secret.txt")
    (top / "www" / "linked").symlink_to(top / "www-secret")
    (top / "www" / "inside.txt").symlink_to(top / "www" / "f.txt")
    return top


@pytest.mark.parametrize(
    "options",
    [
        "static-map = /=TOP/www",
        "static-map = /=TOP/www/",
        "check-static = TOP/www",
        "static-map2 = /=TOP/www",
        "route = ^/(.*)$ static:TOP/www/$1",
        "route = ^/(.*)$ file:TOP/www/$1",
        "route = ^/(.*)$ sendfile:filename=TOP/www/$1",
        "route-run = setdocroot:TOP/www\nroute = ^/(.*)$ static:${DOCUMENT_ROOT}/$1",
    ],
)
def test_hole6FilesOutsideOfTheDirectoryAreNotServed(twistd: ServerFactory, site: Path, options: str) -> None:
    server = twistd.start(f"[realtime]\n{options.replace('TOP', str(site))}\n")
    assert server.get("/f.txt").body == b"public"
    assert server.get("/sub/g.txt").body == b"public too"
    assert server.get("/sub/../f.txt").body == b"public"
    assert server.get("/inside.txt").body == b"public"
    for target in (
        b"/../www-secret/f.txt",
        b"/%2e%2e/www-secret/f.txt",
        b"/..%2fwww-secret/f.txt",
        b"/sub/%2e%2e/%2e%2e/www-secret/f.txt",
        b"/sub/..%2f..%2fwww-secret%2ff.txt",
        b"/-secret/f.txt",
        b"-secret/f.txt",
        b"/link.txt",
        b"/linked/f.txt",
        b"/%2e%2e/secret.txt",
        b"//" + str(site).encode() + b"/secret.txt",
        b"/" + str(site).encode() + b"/secret.txt",
        b"/%252e%252e/www-secret/f.txt",
        b"/..\\www-secret\\f.txt",
        b"/f.txt%00.html",
        b"/f.txt%00",
        b"/f.txt/",
        b"/f.txt/.",
        b"/",
        b"/sub",
        b"/sub/",
    ):
        answer = answerTo(server, target)
        assert b"SECRET" not in answer, target
        assert re.match(rb"HTTP/1\.0 40[04] ", answer), (target, answer)


def test_hole8NamesWithUnderscoresDoNotPassForOthers(twistd: ServerFactory) -> None:
    server = twistd.start(
        "[realtime]\n"
        "route-if = equal:${HTTP_X_REAL_USER};admin return:202\n"
        "route-if = empty:${HTTP_X_REAL_USER} return:403\n"
        "route-run = send:${HTTP_X_REAL_USER}|${CONTENT_TYPE}|${HTTP_CONTENT_TYPE}\n"
    )
    assert server.get("/", {"X-Real-User": "admin"}).status == 202
    for name in ("X_Real_User", "X-Real_User", "X_Real-User"):
        assert server.get("/", {name: "admin"}).status == 403
        # Nor are they merged with the real one.
        assert server.get("/", {"X-Real-User": "joe", name: "admin"}).body == b"joe||"


def test_hole9AChannelNameIsOnlyEverAName(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(redis, "^/(?s:(.+))$ publish:$1")
    redis.command("SET", "kept", "safe")
    name = b"x\r\n*2\r\n$3\r\nDEL\r\n$4\r\nkept\r\n"
    with Subscription(redis, name.decode()) as subscription:
        quoted = "".join(f"%{byte:02x}" for byte in name)
        assert server.request("POST", f"/{quoted}", b"payload").status == 200
        assert subscription.message() == (name, b"payload")
    assert redis.command("GET", "kept") == b"safe"


def test_anEmptyChannelIsRefused(twistd: ServerFactory, redis: Redis) -> None:
    server = twistd.withRedis(
        redis, "^/events$ sse:${qs[room]}", "^/publish$ publish:${qs[room]}", "^/in$ istream:${qs[room]}"
    )
    assert server.get("/events").status == 400
    assert server.request("POST", "/publish", b"x").status == 400
    assert server.request("POST", "/in", b"x").status == 400


def test_theHostOfAnAbsoluteTargetIsTheHost(twistd: ServerFactory) -> None:
    server = twistd.start("[realtime]\nroute-host = ^admin\\. break:403\nroute = ^/ send:public\n")
    assert answerTo(server, b"http://admin.example/").startswith(b"HTTP/1.0 403 ")
    assert answerTo(server, b"http://www.example/").endswith(b"public")


def test_redirectsStayOnTheirSite(twistd: ServerFactory) -> None:
    server = twistd.start("[realtime]\nroute = ^/go/(.*)$ redirect:https://www.example.com/$1\n")
    for target in ("//evil.example/", "https://evil.example/", "@evil.example/", "%5c%5cevil.example"):
        location = server.get(f"/go/{target}").headers["Location"]
        assert urlsplit(location).netloc == "www.example.com", location


def test_loopsEnd(twistd: ServerFactory) -> None:
    server = twistd.start(
        "[realtime]\nroute-label = top\nroute = ^/(\\w+)$ goto:$1\nroute-label = end\nroute-run = send:end\n"
    )
    assert server.get("/end").body == b"end"
    for target in ("/top", "/0", "/1", "/nowhere"):
        assert server.get(target).status == 500
    server.logged("leads nowhere, or not forward")
