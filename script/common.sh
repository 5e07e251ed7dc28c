# Sourced by script/server and script/test: a virtual environment with a new enough Python.

say() { printf '%s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# May packages be installed here?
can_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; }

apt_install() {
    if can_apt; then
        say "installing with apt-get: $*"
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >&2
    else
        return 1
    fi
}

find_python() {
    for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "Python 3.11 or newer is needed: install it (Debian: apt-get install python3 python3-venv), or name it: PYTHON=/path/to/python3 $0"
}

# make_venv DIRECTORY
make_venv() {
    [ -x "$1/bin/python" ] && "$1/bin/python" -c 'import pip' 2>/dev/null && return
    python=$(find_python) || exit 1
    rm -rf "$1"
    if ! "$python" -m venv "$1" 2>/dev/null; then
        # Debian keeps this part of Python in a package of its own.
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        apt_install "python$version-venv" || die "cannot make a virtual environment: apt-get install python$version-venv"
        rm -rf "$1"
        "$python" -m venv "$1" || exit 1
    fi
}

# install_once DIRECTORY ARGUMENTS...: pip install, unless the same was installed from the same pyproject.toml.
install_once() {
    directory=$1
    shift
    stamp="$directory/installed"
    wanted="$* $(cksum <pyproject.toml)"
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
    "$directory/bin/python" -m pip install --disable-pip-version-check -q "$@" >&2 || exit 1
    printf '%s\n' "$wanted" >"$stamp"
}
