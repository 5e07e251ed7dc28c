"""Static files through the real server: which file, with which head, and in which order with the routes."""

import email.utils
import os
from pathlib import Path

import pytest

from tests.integration.support import Server, ServerFactory

PAGE = b"<!doctype html><title>page</title>"
DATA = bytes(range(256)) * 40
MODIFIED = 1_700_000_000


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory like one that a site has."""
    www = tmp_path / "www"
    (www / "sub" / "deep").mkdir(parents=True)
    (www / "empty").mkdir()
    (www / "index.html").write_bytes(PAGE)
    (www / "sub" / "index.html").write_bytes(b"sub index")
    (www / "sub" / "deep" / "start.htm").write_bytes(b"deep start")
    for name in ("data.bin", "style.css", "code.js", "image.svg", "video.webm", "text.txt", "noext", "odd.qqq"):
        (www / name).write_bytes(DATA)
    (www / "with space & ü.txt").write_bytes(b"named")
    (www / "hidden.bak").write_bytes(b"skipped")
    for file in www.rglob("*"):
        os.utime(file, (MODIFIED, MODIFIED))
    return tmp_path


def start(twistd: ServerFactory, files: Path, *lines: str) -> Server:
    """A server in the directory that holds ``www``."""
    return twistd.start("\n".join(["[realtime]", *lines, ""]), cwd=files)


def test_aMapToAFileIsThatFileForEveryPathBelow(twistd: ServerFactory, files: Path) -> None:
    server = start(twistd, files, "static-map = /page=www/index.html", "static-map = /=www/text.txt")
    for path in ("/page", "/page/", "/page/any/thing"):
        assert server.get(path).body == PAGE
    for path in ("/", "/pages", "/anything"):
        assert server.get(path).body == DATA


def test_aMapToADirectoryIsWhatIsInIt(twistd: ServerFactory, files: Path) -> None:
    server = start(twistd, files, "static-map = /s=www", "static-map = /t/=www/sub/", f"static-map = /abs={files}/www")
    assert server.get("/s/index.html").body == PAGE
    assert server.get("/s/sub/index.html").body == b"sub index"
    assert server.get("/t/index.html").body == b"sub index"
    assert server.get("/abs/index.html").body == PAGE
    assert server.get("/s/with%20space%20&%20%c3%bc.txt?query=1").body == b"named"
    for path in ("/index.html", "/sx/index.html", "/sindex.html", "/s/nothing", "/s", "/s/", "/s/sub", "/s/empty/"):
        assert server.get(path).status == 404, path


def test_theSecondKindOfMapKeepsThePrefix(twistd: ServerFactory, files: Path) -> None:
    server = start(twistd, files, "static-map2 = /sub=www")
    assert server.get("/sub/index.html").body == b"sub index"
    assert server.get("/index.html").status == 404


def test_aCheckedDirectoryIsLookedUpWithTheWholePath(twistd: ServerFactory, files: Path) -> None:
    server = start(twistd, files, "check-static = www/sub", "check-static = www")
    assert server.get("/index.html").body == b"sub index"
    assert server.get("/sub/index.html").body == b"sub index"
    assert server.get("/data.bin").body == DATA


def test_indexFilesAreTriedInTheirOrder(twistd: ServerFactory, files: Path) -> None:
    server = start(
        twistd, files, "static-map = /=www", "static-index = index.html", "static-index = start.htm", "static-index = x"
    )
    assert server.get("/").body == PAGE
    assert server.get("/sub/").body == b"sub index"
    assert server.get("/sub/deep/").body == b"deep start"
    assert server.get("/empty/").status == 404
    assert server.get("/").headers["Content-Type"] == "text/html"


def test_skippedEndingsAreLeftToWhatComesNext(twistd: ServerFactory, files: Path) -> None:
    server = start(twistd, files, "static-map = /=www", "static-skip-ext = .bak")
    assert server.get("/hidden.bak").status == 404
    assert server.get("/text.txt").status == 200


def test_everyFileHasAContentType(twistd: ServerFactory, files: Path) -> None:
    server = start(twistd, files, "static-map = /=www")
    for name, kind in (
        ("index.html", "text/html"),
        ("style.css", "text/css"),
        ("code.js", "text/javascript"),
        ("image.svg", "image/svg+xml"),
        ("video.webm", "video/webm"),
        ("text.txt", "text/plain"),
        ("data.bin", "application/octet-stream"),
        ("noext", "application/octet-stream"),
        ("odd.qqq", "application/octet-stream"),
    ):
        assert server.get(f"/{name}").headers["Content-Type"].partition(";")[0] == kind, name


def test_aBrowserThatHasTheFileIsToldThatItIsTheSame(twistd: ServerFactory, files: Path) -> None:
    server = start(twistd, files, "static-map = /=www", "route-run = addheader:X-Added: yes")
    first = server.get("/data.bin")
    assert (first.status, first.body) == (200, DATA)
    assert first.headers["Content-Length"] == str(len(DATA))
    assert first.headers["Last-Modified"] == email.utils.formatdate(MODIFIED, usegmt=True)
    assert first.headers["X-Added"] == "yes"
    again = server.get("/data.bin", {"If-Modified-Since": first.headers["Last-Modified"]})
    assert (again.status, again.body) == (304, b"")
    before = email.utils.formatdate(MODIFIED - 1, usegmt=True)
    assert server.get("/data.bin", {"If-Modified-Since": before}).status == 200


def test_partsOfAFile(twistd: ServerFactory, files: Path) -> None:
    server = start(twistd, files, "static-map = /=www")
    size = len(DATA)
    for wanted, first, last in (
        ("0-0", 0, 0),
        ("100-299", 100, 299),
        ("10000-", 10_000, size - 1),
        ("-5", size - 5, size - 1),
    ):
        answer = server.get("/data.bin", {"Range": f"bytes={wanted}"})
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
        assert answer.body == DATA[first : last + 1]
    beyond = server.get("/data.bin", {"Range": f"bytes={size}-"})
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")
    several = server.get("/data.bin", {"Range": "bytes=0-1,5-6"})
    assert several.status == 206
    assert several.headers["Content-Type"].startswith("multipart/byteranges")
    # What is not a range is ignored.
    assert server.get("/data.bin", {"Range": "pages=1"}).body == DATA


def test_headHasTheSameHeadAndNoBody(twistd: ServerFactory, files: Path) -> None:
    server = start(twistd, files, "static-map = /=www")
    got, head = server.get("/data.bin"), server.request("HEAD", "/data.bin")
    del got.headers["Date"], head.headers["Date"]
    assert (head.status, head.headers, head.body) == (200, got.headers, b"")


def test_otherMethodsAreRefused(twistd: ServerFactory, files: Path) -> None:
    server = start(twistd, files, "static-map = /=www")
    for method in ("POST", "PUT", "DELETE"):
        refused = server.request(method, "/data.bin", b"x" if method != "DELETE" else None)
        assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD")
    assert server.request("POST", "/nothing", b"x").status == 404


def test_routesComeBeforeFiles(twistd: ServerFactory, files: Path) -> None:
    server = start(
        twistd,
        files,
        "static-map = /=www",
        "static-index = index.html",
        "route = ^/text break:403",
        "route = ^/data addheader:X-Seen: yes",
        "route = ^/events$ sse:news",
        "route = ^/rewritten$ rewrite:/style.css",
    )
    assert server.get("/text.txt").status == 403
    assert server.get("/data.bin").headers["X-Seen"] == "yes"
    with server.stream("/events") as stream:
        stream.readUntil(b": ok\n\n")
    assert server.get("/rewritten").headers["Content-Type"] == "text/css"
    assert server.get("/").body == PAGE


def test_aFileGuardedByARuleHasNoOtherName(twistd: ServerFactory, files: Path) -> None:
    server = start(twistd, files, "static-map = /=www", "route = ^/sub/index\\.html$ break:403")
    for path in ("/sub/index.html", "/sub/./index.html", "/sub/index.html/", "/sub/%69ndex.html", "/sub/index.html/."):
        assert server.get(path).status in (403, 404), path


def test_linksMayLeaveOnlyForSafeDirectories(twistd: ServerFactory, files: Path) -> None:
    (files / "safe").mkdir()
    (files / "safe" / "f").write_bytes(b"safe")
    (files / "safe-not").mkdir()
    (files / "safe-not" / "f").write_bytes(b"SECRET")
    (files / "www" / "good").symlink_to(files / "safe" / "f")
    (files / "www" / "bad").symlink_to(files / "safe-not" / "f")
    (files / "www" / "loop").symlink_to(files / "www" / "loop")
    server = start(twistd, files, "static-map = /=www", "static-safe = safe")
    assert server.get("/good").body == b"safe"
    assert server.get("/bad").status == 404
    assert server.get("/loop").status == 404


def test_whatIsNoFileIsNotServed(twistd: ServerFactory, files: Path) -> None:
    os.mkfifo(files / "www" / "fifo")
    server = start(
        twistd, files, "static-map = /=www", "static-map = /null=/dev/null", f"static-map = /long={'x' * 300}"
    )
    assert server.get("/fifo").status == 404
    assert server.get("/null").status == 404
    assert server.get("/long/x").status == 404
    assert server.get("/" + "y" * 5000).status == 404


def test_aFileThatCannotBeReadIsNoReasonToFail(twistd: ServerFactory, files: Path) -> None:
    server = start(twistd, files, "static-map = /=www", "route = ^/gone$ static:www/gone.txt")
    assert server.get("/gone").status == 404
    (files / "www" / "gone.txt").write_bytes(b"now")
    assert server.get("/gone").body == b"now"
    (files / "www" / "gone.txt").unlink()
    assert server.get("/gone.txt").status == 404


def test_aFileThatGrewOrShrankIsServedAsItIsNow(twistd: ServerFactory, files: Path) -> None:
    server = start(twistd, files, "static-map = /=www")
    for size in (10, 100_000, 0):
        (files / "www" / "text.txt").write_bytes(b"z" * size)
        assert server.get("/text.txt").body == b"z" * size


def test_theStaticActionsOfTheTable(twistd: ServerFactory, files: Path) -> None:
    server = start(
        twistd,
        files,
        "route = ^/s/(.*)$ static:www/$1",
        "route = ^/n/(.*)$ static-next:www/$1",
        "route = ^/n/ return:410",
        "route = ^/f/(.*)$ file:www/$1",
        "route = ^/e$ sendfile:filename=www/text.txt,status=503,content_type=text/x-sorry",
    )
    assert server.get("/s/text.txt").body == DATA
    assert server.get("/s/none").status == 404
    assert server.get("/n/text.txt").body == DATA
    assert server.get("/n/none").status == 410
    assert server.get("/f/noext").headers["Content-Type"] == "text/html"
    sorry = server.get("/e")
    assert (sorry.status, sorry.headers["Content-Type"], sorry.body) == (503, "text/x-sorry", DATA)
