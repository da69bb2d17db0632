#!/bin/sh
# Looks for what pip cannot install: a Python that is new enough, its venv module, and the libraries named below.
# Installs Debian's packages when run by root, and otherwise stops with the command to type.
#
#   system.sh PYTHON [ffmpeg] [libmagic] [chromium] [enfuse] [align_image_stack]
set -eu

python=$1
shift

fail() {
    printf 'focusrail: %s\n' "$1" >&2
    exit 1
}

command -v "$python" >/dev/null 2>&1 ||
    fail "there is no $python here; install Python 3.10 or newer, or name one: make PYTHON=/path/to/python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "Python 3.10 or newer is needed, and $python is $("$python" -V 2>&1); name a newer one: make PYTHON=python3.12"

# The compiler may be named with its arguments or a launcher in front.
if [ -n "${CC-}" ]; then
    command -v "${CC%% *}" >/dev/null 2>&1 || fail "CC names $CC, which is not there: unset it, or name a C compiler"
else
    CC=cc
fi

has_library() {
    "$python" -c "import ctypes; ctypes.CDLL('$1')" 2>/dev/null
}

# One line for each missing thing: the names its Debian package has had, newest first.
missing() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        "$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2], "python3-venv")'
    # OpenCV's wheels bring all they need but these two (libgthread is in glib's package).
    has_library libGL.so.1 || echo libgl1
    has_library libgthread-2.0.so.0 || echo libglib2.0-0t64 libglib2.0-0
    # The inner loops are compiled.
    command -v "${CC%% *}" >/dev/null 2>&1 || echo gcc
    [ -e /usr/include/stdlib.h ] || echo libc6-dev
    for need; do
        case $need in
            ffmpeg | enfuse | chromium) command -v "$need" >/dev/null 2>&1 || echo "$need" ;;
            align_image_stack) command -v align_image_stack >/dev/null 2>&1 || echo hugin-tools ;;
            libmagic) has_library libmagic.so.1 || echo libmagic1t64 libmagic1 ;;
            *) fail "system.sh: unknown need: $need" ;;
        esac
    done
}

# The first name that apt knows. The last is the fallback when apt has no lists yet: newer releases still answer to it.
packages() {
    missing "$@" | while read -r names; do
        chosen=
        for name in $names; do
            chosen=$name
            if apt-cache show "$name" >/dev/null 2>&1; then break; fi
        done
        printf ' %s' "$chosen"
    done
}

[ "$(uname -s)" = Linux ] || exit 0
[ -n "$(missing "$@")" ] || exit 0
command -v apt-get >/dev/null 2>&1 ||
    fail "this system lacks what Debian calls $(missing "$@" | sed 's/.* //' | tr '\n' ' '); install it and try again"

if [ "$(id -u)" -ne 0 ]; then
    fail "system packages are missing. Please type this, then the same make command again:

    sudo apt-get update && sudo apt-get install --yes --no-install-recommends$(packages "$@")
"
fi

export DEBIAN_FRONTEND=noninteractive
# Something else (unattended-upgrades, say) may hold apt's lock for a while.
apt="apt-get --quiet --option DPkg::Lock::Timeout=300"
$apt update
wanted=$(packages "$@")
echo "focusrail: installing$wanted"
# shellcheck disable=SC2086  # a list of package names
$apt install --yes --no-install-recommends $wanted
left=$(missing "$@")
[ -z "$left" ] || fail "apt-get installed$wanted, and still there is no $left"
