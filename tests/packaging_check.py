"""
Install the built wheel, and then the tree itself in editable mode, into clean environments, and see that ``twistd``
finds the plugin, that the demo's files are there and that it starts. Run by ``tox -e packaging``.
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path


def check(arguments: list[str], where: Path) -> None:
    """One installation, used from a directory that is not the project's."""
    venv.create(where, with_pip=True)
    python, twistd = str(where / "bin" / "python"), str(where / "bin" / "twistd")
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, *arguments], check=True)
    shown = subprocess.run([twistd, "--help"], cwd=where, check=True, capture_output=True, text=True).stdout
    assert "realtime " in shown, f"twistd --help does not list realtime:\n{shown}"
    version = subprocess.run([twistd, "realtime", "--version"], cwd=where, check=True, capture_output=True, text=True)
    assert version.stdout.startswith("realtime_tw "), version.stdout
    files = "from realtime_tw.demo import files; print(*(f.name for f in files('realtime_tw.demo').iterdir()))"
    listed = subprocess.run([python, "-c", files], cwd=where, check=True, capture_output=True, text=True).stdout
    assert "index.html" in listed, listed
    assert "demo.js" in listed, listed
    assert subprocess.run([python, "-c", "import realtime_tw; realtime_tw.Hub"], cwd=where, check=False).returncode == 0
    print(f"ok: {' '.join(arguments)}: {version.stdout.strip()}")


def main() -> None:
    wheels = list(Path(sys.argv[1]).glob("*.whl"))
    assert len(wheels) == 1, wheels
    project = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as scratch:
        check([str(wheels[0])], Path(scratch) / "wheel")
        check(["-e", str(project)], Path(scratch) / "editable")


if __name__ == "__main__":
    main()
