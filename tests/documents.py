r"""
The documents as programs: every fence is preceded by a comment that says how it is run.

``<!-- run: KIND [GROUP] [WORDS] -->`` on the line before the fence. Fences of one document with the same group run
together, in their order, in a directory of their own. Pure kinds (``tests/test_docs.py``):

* ``load``: an ini that loads without a notice. Without a section it is taken for a ``[realtime]`` one.
* ``refused``: each line is an error by itself, whose message holds the comment in front of it; later lines see the
  earlier ones that stand together with them.
* ``notices``: the same with notices.
* ``doctest``: a Python session. Sessions of one document share their names.
* ``redis``, ``unit``: configuration of redis-server and systemd.
* ``elsewhere FILE``: run by that file, which must exist.

Kinds with processes (``tests/integration/test_docs.py``):

* ``file GROUP NAME``: written to that file. Ini and Python files are also checked without processes.
* ``acl GROUP``: the rights of Redis' users.
* ``server GROUP PORT...``: a command that goes on until the group ends; the ports it listens on.
* ``nginx GROUP PORT``: a configuration for nginx, which goes on in the same way.
* ``follow GROUP``: a command whose output goes on; complete at the end of the group; ``ends GROUP``: complete when the
  servers have stopped.
* ``shell GROUP``: commands that end, with their output; ``fails GROUP``: with another exit status than 0.

In output ``...`` stands for anything. Ports are replaced by free ones.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))

PURE = frozenset({"load", "refused", "notices", "doctest", "redis", "unit", "elsewhere"})
GROUPED = frozenset({"file", "acl", "server", "nginx", "follow", "ends", "shell", "fails"})

_MARKER = re.compile(r"<!-- run: (\S+)((?: \S+)*) -->")


@dataclass(frozen=True, slots=True)
class Fence:
    """
    :ivar line: of its first line of text, from 1.
    :ivar language: what stands behind the backquotes.
    :ivar words: of the marker, after the kind.
    """

    document: Path
    line: int
    language: str
    kind: str
    words: tuple[str, ...]
    text: str

    @property
    def place(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a console session, and what it prints."""

    command: str
    output: str


def fencesOf(document: Path) -> list[Fence]:
    """
    All fences of a document.

    :raises AssertionError: for a fence that does not say how it is run.
    """
    fences: list[Fence] = []
    lines = document.read_text(encoding="utf-8").split("\n")
    index = 0
    while index < len(lines):
        if not lines[index].lstrip().startswith("```"):
            index += 1
            continue
        place = f"{document.name}:{index + 1}"
        language = lines[index].removeprefix("```")
        marker = _MARKER.fullmatch(lines[index - 1]) if index else None
        assert marker is not None, f"{place}: nothing says how this is run"
        assert lines[index].startswith("```"), f"{place}: a fence is not indented"
        assert language, f"{place}: a fence has a language"
        assert marker[1] in PURE | GROUPED, f"{place}: unknown kind {marker[1]}"
        end = lines.index("```", index + 1)
        words = tuple(marker[2].split())
        text = "\n".join(lines[index + 1 : end]) + "\n"
        fences.append(Fence(document, index + 2, language, marker[1], words, text))
        index = end + 1
    return fences


def allFences() -> list[Fence]:
    """Of all documents, in order."""
    return [fence for document in DOCUMENTS for fence in fencesOf(document)]


def groups() -> dict[str, list[Fence]]:
    """The fences that run together, by ``document:group``."""
    found: dict[str, list[Fence]] = {}
    for fence in allFences():
        if fence.kind in GROUPED:
            found.setdefault(f"{fence.document.stem}:{fence.words[0]}", []).append(fence)
    return found


def commandsOf(text: str) -> list[Command]:
    """The commands of a console session."""
    commands: list[Command] = []
    for line in text.rstrip("\n").split("\n"):
        if line.startswith("$ "):
            commands.append(Command(line[2:], ""))
        else:
            last = commands.pop()
            commands.append(Command(last.command, f"{last.output}{line}\n"))
    return commands


def matches(expected: str, actual: str) -> bool:
    """Whether output is what the document says."""
    pattern = ".*?".join(map(re.escape, expected.rstrip().split("...")))
    return re.fullmatch(pattern, actual.rstrip(), re.DOTALL) is not None


def sectionOf(document: Path, heading: str) -> str:
    """The text below a heading, up to the next one of its level or above."""
    text = document.read_text(encoding="utf-8")
    found = re.search(rf"^(#+) {re.escape(heading)}\n", text, re.MULTILINE)
    assert found is not None, f"{document.name} has no heading {heading!r}"
    end = re.compile(rf"^#{{1,{len(found[1])}}} ", re.MULTILINE).search(text, found.end())
    return text[found.end() : end.start() if end else len(text)]


def rowsOf(text: str) -> list[list[str]]:
    """The rows of all tables in a text, without their headings' lines."""
    rows = [line.strip().strip("|").split("|") for line in text.split("\n") if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows if not set("".join(row)) <= set("-: ")]
