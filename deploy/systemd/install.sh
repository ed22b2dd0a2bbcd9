#!/usr/bin/env bash
# install.sh            installs the collector from this tree, or upgrades it: /opt/collector, the unit, the example of a configuration
# install.sh --remove   takes all that away again but the configuration, /etc/collector
# With DESTDIR, for whoever makes a package: everything goes below that folder, and no service is told.
set -euo pipefail
umask 022

python=${PYTHON:-/usr/bin/python3}
root=${DESTDIR:-}
root=${root%/}
opt=/opt/collector
etc=/etc/collector
units=/etc/systemd/system

main() {
    if [ -n "$root" ]; then
        mkdir -p "$root"
        root=$(cd "$root" && pwd)
    elif [ "$(id -u)" != 0 ]; then
        refuse 'This needs root: sudo make install (or uninstall). With DESTDIR=FOLDER it goes there instead.'
    fi
    cd "$(dirname "$0")/../.."
    case ${1:-} in
        '') install_all ;;
        --remove) remove_all ;;
        *) refuse 'install.sh [--remove]' ;;
    esac
}

install_all() {
    check_interpreter
    build "$root$opt.new"
    # The service sees the old programs until here, and the new ones from here on.
    rm -rf "$root$opt.old"
    [ ! -e "$root$opt" ] || mv "$root$opt" "$root$opt.old"
    mv "$root$opt.new" "$root$opt"
    rm -rf "$root$opt.old"
    install -D -m 644 deploy/systemd/collector.service "$root$units/collector.service"
    install -d "$root$etc/conf.d"
    local fresh=no
    if [ ! -e "$root$etc/collector.ini" ]; then
        fresh=yes
        install -m 644 deploy/systemd/collector.ini "$root$etc/collector.ini"
    fi
    if tells_systemd; then
        systemctl daemon-reload
        systemctl try-restart collector
    fi
    tell_next "$fresh"
}

# The service sees no home folder and has a /tmp of its own (ProtectHome=, PrivateTmp=): such an interpreter fails with 203/EXEC.
check_interpreter() {
    local place
    place=$("$python" - <<'PY'
import os, pathlib, sys
if sys.version_info < (3, 11):
    sys.exit(f"The collector needs Python 3.11 or later; {sys.executable} is {sys.version.split()[0]}.")
hidden = [os.path.realpath(folder) for folder in (pathlib.Path.home(), "/home", "/root", "/run/user", "/tmp", "/var/tmp")]
for place in (getattr(sys, "_base_executable", sys.executable), sys.base_prefix, sys.base_exec_prefix):
    real = os.path.realpath(place)
    if any(folder != "/" and (real + "/").startswith(folder + "/") for folder in hidden):
        print(real)
        break
PY
    ) || refuse "$python cannot be used."
    [ -z "$place" ] || refuse "The service cannot see $place, which is in a home or temporary folder. Take the system's: make install PYTHON=/usr/bin/python3"
}

# A virtual environment that is meant for $opt, in another place until it is whole.
build() {
    new=$1
    source=$(mktemp -d)
    trap 'rm -rf "$source" "$new"' EXIT
    rm -rf "$new"
    # setuptools writes into the tree that it builds from; this one may be somebody else's.
    cp -r setup.cfg pyproject.toml LICENSE collector "$source"
    [ ! -e README.md ] || cp README.md "$source"
    echo "Building $root$opt with $("$python" -V)" >&2
    "$python" -m venv "$new"
    "$new/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile "$source"
    "$new/bin/python" -m pip uninstall --quiet --yes setuptools pip
    rm -f "$new"/bin/activate* "$new"/bin/Activate*
    # Programs, and what tracebacks say, name the place where they will be.
    find "$new/bin" -type f -exec sed -i "1,3s|$new/bin/|$opt/bin/|" {} +
    sed -i '/^command = /d' "$new/pyvenv.cfg"
    "$new/bin/python" -m compileall -q -s "$new" -p "$opt" "$new/lib"
}

remove_all() {
    if tells_systemd && [ -e "$units/collector.service" ]; then
        systemctl disable --now --quiet collector
    fi
    rm -rf "$root$opt" "$root$opt.new" "$root$opt.old"
    rm -f "$root$units/collector.service" "$root$units/multi-user.target.wants/collector.service"
    if tells_systemd; then
        systemctl daemon-reload
        systemctl reset-failed collector 2>/dev/null || :
    fi
    [ ! -e "$root$etc" ] || echo "Left: $root$etc, the configuration."
}

# Whether there is a service manager, and this system is the one that changes.
tells_systemd() {
    [ -z "$root" ] && [ -d /run/systemd/system ]
}

tell_next() {
    if [ "$1" = no ]; then
        echo "Installed $root$opt. $root$etc/collector.ini stays as it was."
        return
    fi
    cat <<END
Installed $root$opt, $root$units/collector.service and an example, $root$etc/collector.ini. What is next, as root:
    cd $etc
    ssh-keygen -t ed25519 -N '' -C collector -f ssh_key
    (append ssh_key.pub to ~monitor/.ssh/authorized_keys of each machine)
    editor collector.ini
    CREDENTIALS_DIRECTORY=$etc $opt/bin/collector trust      and compare the fingerprints with the machines' own
    CREDENTIALS_DIRECTORY=$etc $opt/bin/collector check --connect
    systemctl enable --now collector
END
}

refuse() {
    echo "$1" >&2
    exit 1
}

main "$@"
