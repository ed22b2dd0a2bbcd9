#!/bin/sh
# Installs the Debian packages that are missing, and starts none of their services.
#   setup-packages.sh NEED...   NEED is PROGRAM=PACKAGE, or `python3-venv`
# Touches nothing when all is there. Uses sudo when not root; where there is neither, prints the line to run and exits 1.
set -eu
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
policy=/usr/sbin/policy-rc.d
mark='# Made by setup-packages.sh of the collector: no service starts while packages are installed.'

present() {
    case $1 in
        python3-venv) "${PYTHON:-python3}" -c 'import ensurepip' 2>/dev/null ;;
        *) command -v "${1%%=*}" >/dev/null ;;
    esac
}

missing() {
    for need; do
        present "$need" || echo "${need##*=}"
    done | sort -u | paste -s -d ' '
}

install() {
    deny_services
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || echo 'apt-get update failed; going on with what is known' >&2
    apt-get install -qq -y --no-install-recommends --no-remove -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
    disable_services "$@"
}

# Debian asks policy-rc.d before it starts a service (invoke-rc.d(8)). One that lets services start is put aside meanwhile.
deny_services() {
    if [ -e $policy ] && ! grep -qF "$mark" $policy; then
        ! denied || return 0
        mv $policy $policy.saved-by-collector
    fi
    trap restore_policy EXIT
    trap 'exit 130' HUP INT TERM
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >$policy
    chmod 755 $policy
}

denied() {
    code=0
    $policy any-service start >/dev/null 2>&1 || code=$?
    [ $code = 101 ]
}

restore_policy() {
    rm -f $policy
    [ ! -e $policy.saved-by-collector ] || mv $policy.saved-by-collector $policy
}

# What a package enables would start with the next boot.
disable_services() {
    command -v systemctl >/dev/null || return 0
    units=$(dpkg -L "$@" | sed -nE 's,^(/usr)?/lib/systemd/system/([^/@]+\.(service|socket|timer|path))$,\2,p')
    [ -z "$units" ] || systemctl --quiet disable $units 2>/dev/null || :
}

if [ "${1:-}" = --install ]; then
    shift
    install "$@"
    exit
fi

packages=$(missing "$@")
[ -n "$packages" ] || exit 0
echo "Missing Debian packages: $packages" >&2
if ! command -v apt-get >/dev/null; then
    echo 'There is no apt-get here: install what gives the same programs.' >&2
    exit 1
elif [ "$(id -u)" = 0 ]; then
    sh "$0" --install $packages
elif ! { command -v sudo >/dev/null && sudo sh "$0" --install $packages; }; then
    echo 'Run this as root, then try again:' >&2
    echo "    apt-get update && apt-get install -y --no-install-recommends $packages" >&2
    exit 1
fi
still=$(missing "$@")
[ -z "$still" ] || { echo "Still missing what these packages give: $still" >&2; exit 1; }
