#!/bin/sh
# Installs focusrail as a service of this machine, or brings an installed one up to date, or takes it away again.
# Called by `make install` and `make uninstall`; docs/install.md says what is where.
#
#   install.sh install PYTHON LOCK      install.sh uninstall      with DESTDIR: only the files, below that folder
set -eu
umask 022

repository=$(cd "$(dirname "$0")/.." && pwd)
DESTDIR=${DESTDIR-}
program=$DESTDIR/opt/focusrail
etc=$DESTDIR/etc/focusrail
data=$DESTDIR/var/lib/focusrail
lib=$DESTDIR/usr/local/lib
link=$DESTDIR/usr/local/bin/focusrail
units="focusrail.service focusrail-fpga.service"
placed="sysusers.d/focusrail.conf tmpfiles.d/focusrail.conf udev/rules.d/99-focusrail.rules"

say() { printf 'focusrail: %s\n' "$1"; }
fail() {
    say "$1" >&2
    exit 1
}

# Whether there is a machine to be changed beyond its files, and whether systemd is in charge of it.
here() { [ -z "$DESTDIR" ]; }
systemd() { here && [ -d /run/systemd/system ]; }
has() { command -v "$1" >/dev/null 2>&1; }

may() {
    here || return 0
    [ "$(id -u)" -eq 0 ] || fail "this changes the machine: sudo make $1 (or DESTDIR=/some/folder)"
}

# --- the program ------------------------------------------------------------------------------------------------------

# What is built is named by its content: the same again is there already, and nothing is built in a place that is used.
build() {
    python=$1 lock=$2
    home=$("$python" -c 'import os, sys; print(os.path.realpath(sys.base_prefix))')
    case $home in /home/* | /root/*) here && fail "$python lies in $home, where a service may not look: take the system's" ;; esac
    sources=$(mktemp -d)
    trap 'rm -rf "$sources"' EXIT
    (cd "$repository" && tar --exclude=__pycache__ --exclude='*.so' -cf - \
        daemon drivers config systemd requirements hatch_build.py pyproject.toml README.md LICENSE) | tar -xf - -C "$sources"
    "$python" "$sources/requirements/runtime.py" "$sources/requirements/$(basename "$lock")" gphoto2 raw gpio \
        $(case $lock in *kv260*) echo kv260 ;; esac) >"$sources/lock.txt"
    if [ -e "$etc/packages.txt" ]; then cp "$etc/packages.txt" "$sources"; fi
    number=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' "$sources/daemon/focusrail/__init__.py")
    version=$number-$({
        "$python" -VV
        uname -m
        cd "$sources" && find . -type f | LC_ALL=C sort | xargs sha256sum
    } | sha256sum | cut -c 1-8)
    there=$program/$version
    [ ! -e "$there/.complete" ] || return 0
    say "building $there"
    mkdir -p "$program"
    rm -rf "$there"
    "$python" -m venv "$there"
    pip="$there/bin/python -m pip --quiet --disable-pip-version-check --no-cache-dir install"
    $pip --require-hashes --no-build-isolation --requirement "$sources/lock.txt" ||
        fail "pip could not install what focusrail needs, see above: that takes the network, or PIP_INDEX_URL"
    $pip --no-deps --no-index --no-build-isolation "$sources"
    if [ -e "$etc/packages.txt" ]; then
        sed -n '/^[A-Za-z0-9]/ s/ *\\$//p' "$sources/lock.txt" >"$sources/pinned.txt" # beside hashes none may lack its own
        $pip --constraint "$sources/pinned.txt" --requirement "$etc/packages.txt"
    fi
    mkdir -p "$there/share/focusrail/etc"
    "$there/bin/python" "$sources/systemd/configuration.py" >"$there/share/focusrail/etc/focusrail.yaml"
    if ! here; then # it will run elsewhere than where it was built
        grep -rlIF "$DESTDIR/opt/focusrail" "$there/bin" "$there/pyvenv.cfg" | xargs sed -i "s|$DESTDIR/opt/|/opt/|g"
    fi
    touch "$there/.complete"
}

# From one moment to the next; what runs goes on with what it has loaded.
switch() {
    ln -s "$version" "$program/.current"
    mv -T "$program/.current" "$program/current"
    mkdir -p "${link%/*}"
    ln -sfn /opt/focusrail/current/bin/focusrail "$link"
}

# The one before stays, to go back to: ln -sfn VERSION /opt/focusrail/current, and systemctl restart focusrail.
tidy() {
    for each in "$program"/*/; do
        each=${each%/}
        case ${each##*/} in current | "$version" | "$previous") continue ;; esac
        [ ! -e "$each/pyvenv.cfg" ] || rm -rf "$each" # nothing that is not ours
    done
}

# --- its surroundings -------------------------------------------------------------------------------------------------

# A file that somebody has changed is theirs: what is new is laid beside it, once.
configure() {
    new=$program/$version/share/focusrail/etc/focusrail.yaml
    old=$program/$previous/share/focusrail/etc/focusrail.yaml
    yours=$etc/focusrail.yaml
    mkdir -p "$etc"
    if [ ! -e "$yours" ]; then
        cp "$new" "$yours"
        say "$yours is the simulated rig: change it to yours, see $program/current/share/focusrail/config/rigs"
    elif [ -z "$previous" ]; then
        say "$yours stays as it is"
    elif ! cmp -s "$new" "$yours" && ! cmp -s "$new" "$old"; then
        if cmp -s "$old" "$yours"; then
            cp "$new" "$yours"
        else
            cp "$new" "$yours.new"
            say "$yours stays as it is; what is new in it is in $yours.new"
        fi
    fi
}

place() {
    from=$program/$version/share/focusrail/systemd
    mkdir -p "$lib/systemd/system" "$lib/sysusers.d" "$lib/tmpfiles.d" "$lib/udev/rules.d"
    for unit in $units; do
        install -m 644 "$from/$unit" "$lib/systemd/system/$unit"
    done
    install -m 644 "$from/sysusers.d/focusrail.conf" "$lib/sysusers.d/focusrail.conf"
    install -m 644 "$from/tmpfiles.d/focusrail.conf" "$lib/tmpfiles.d/focusrail.conf"
    install -m 644 "$from/udev/99-focusrail.rules" "$lib/udev/rules.d/99-focusrail.rules"
}

people() {
    if has systemd-sysusers; then
        systemd-sysusers "$lib/sysusers.d/focusrail.conf"
    else
        getent group focusrail >/dev/null || groupadd --system focusrail
        getent passwd focusrail >/dev/null || useradd --system --gid focusrail --home-dir "$data" \
            --no-create-home --shell /usr/sbin/nologin --comment focusrail focusrail
    fi
    if has systemd-tmpfiles; then
        systemd-tmpfiles --create "$lib/tmpfiles.d/focusrail.conf"
    else
        install -d -o focusrail -g focusrail -m 750 "$data"
    fi
}

# What is plugged in already gets its group, too.
devices() {
    [ -S /run/udev/control ] && has udevadm || return 0
    udevadm control --reload
    for kind in usb video4linux tty input gpio; do
        udevadm trigger --action=change --subsystem-match=$kind
    done
}

start() {
    systemctl enable --quiet focusrail.service
    systemctl start --no-block focusrail.service
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        state=$(systemctl show --property=ActiveState --value focusrail.service)
        case $state in active | failed) break ;; esac
        sleep 1
    done
    said=$(systemctl show --property=StatusText --value focusrail.service)
    case $state in
        active) say "the service runs; $said. The address for the browser: sudo focusrail token" ;;
        failed) fail "the service does not run: journalctl -u focusrail -e says why" ;;
        *) say "the service is $state: $said" ;;
    esac
}

# --- orders -----------------------------------------------------------------------------------------------------------

order=$1
may "$order"
previous=$(readlink "$program/current" 2>/dev/null || true)
case $order in
    install)
        build "$2" "$3"
        configure
        place
        if here; then people; devices; fi
        if systemd; then
            systemctl daemon-reload
            if [ "$previous" != "$version" ] && systemctl --quiet is-active focusrail.service; then
                say "stopping the service: an exposure that has begun is stored, and the shoot goes on afterwards"
                systemctl stop focusrail.service
            fi
        fi
        switch
        tidy
        if systemd; then
            [ "$previous" = "$version" ] || systemctl try-restart focusrail-fpga.service
            start
        fi
        say "installed $version. Who is to use it: sudo usermod -aG focusrail NAME, and log in again"
        ;;
    uninstall)
        if systemd; then
            for unit in $units; do
                systemctl disable --now --quiet "$unit" 2>/dev/null || true
            done
        fi
        old=$program/$previous/share/focusrail/etc/focusrail.yaml
        if [ -n "$previous" ] && cmp -s "$old" "$etc/focusrail.yaml"; then rm "$etc/focusrail.yaml"; fi
        rm -f "$etc/focusrail.yaml.new" "$link"
        rmdir "$etc" 2>/dev/null || true
        for unit in $units; do rm -f "$lib/systemd/system/$unit"; done
        for file in $placed; do rm -f "$lib/$file"; done
        version='' previous=''
        tidy
        rm -f "$program/current"
        rmdir "$program" 2>/dev/null || true
        if systemd; then systemctl daemon-reload; fi
        if here; then devices; fi
        for left in "$program" "$etc" "$data" "$DESTDIR/var/lib/focusrail-fpga"; do
            [ ! -e "$left" ] || say "left as it is: $left"
        done
        if here && getent passwd focusrail >/dev/null; then say "left as it is: the user and group focusrail"; fi
        ;;
    *) fail "install.sh: unknown order: $order" ;;
esac
