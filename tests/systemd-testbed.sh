#!/usr/bin/env bash
# Boots a real systemd in namespaces of its own, over a copy of this machine's files that is thrown away; needs root.
#   systemd-testbed.sh TREE COMMAND...   runs a command inside and returns its exit code
#   systemd-testbed.sh TREE              prints the process number of the systemd, and goes on until standard input ends
# TREE is a folder that is laid over /: what is in TREE/etc/systemd/system is in /etc/systemd/system inside.
#
# Notify sockets, watchdogs, reloads, restarts, credentials, dynamic users and sandboxes are systemd's own there. Limits of
# memory and tasks hold only where the host has cgroup v2, and a limit of files is never above ours. Inside, the network is
# a loopback interface alone, and of the host's services only what basic.target wants is started.
set -euo pipefail

BOOT_SECONDS=60

main() {
    tree=$(realpath "$1")
    shift
    base=$(mktemp -d /tmp/systemd-testbed.XXXXXX)
    cgroup=$(cgroup_root)/systemd-testbed.$$
    trap tear_down EXIT
    trap 'exit 143' HUP INT TERM
    mkdir "$base/layers" "$base/root" "$cgroup"
    boot &
    unshare=$!
    wait_until_booted
    if [ $# = 0 ]; then
        echo "$systemd"
        cat >/dev/null
    else
        nsenter --target "$systemd" --all -- env -i "${environment[@]}" "$@"
    fi
}

environment=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 SYSTEMD_PAGER= SYSTEMD_COLORS=0)

# Where cgroup v2 is mounted; beside v1 it may be there only for systemd.
cgroup_root() {
    [ -d /sys/fs/cgroup/unified ] && echo /sys/fs/cgroup/unified || echo /sys/fs/cgroup
}

# In a cgroup of its own, because a cgroup namespace begins where its first process is.
boot() {
    echo "$BASHPID" >"$cgroup/cgroup.procs"
    exec setsid setpriv --pdeathsig KILL unshare --mount --uts --ipc --net --pid --cgroup --fork --kill-child \
        bash "$0" --inside "$base" "$tree" >"$base/log" 2>&1 </dev/null
}

wait_until_booted() {
    local deadline=$((SECONDS + BOOT_SECONDS)) state=
    systemd=
    until [ "$state" = running ] || [ "$state" = degraded ]; do
        if [ $SECONDS -ge $deadline ] || ! kill -0 "$unshare" 2>/dev/null; then
            echo "systemd does not come up (${state:-it does not answer}):" >&2
            cat "$base/log" >&2
            exit 1
        fi
        sleep 0.05
        systemd=$(cat "/proc/$unshare/task/$unshare/children" 2>/dev/null || :)
        systemd=${systemd%% *}
        [ -z "$systemd" ] || state=$(nsenter --target "$systemd" --all -- systemctl is-system-running 2>/dev/null || :)
    done
}

# With the first process of a PID namespace all others end, and unshare, which waits for it, ends when they have.
tear_down() {
    trap - EXIT
    [ -z "${unshare:-}" ] || kill -KILL "${systemd:-$unshare}" 2>/dev/null || :
    { wait; } 2>/dev/null
    [ ! -d "$cgroup" ] || find "$cgroup" -depth -type d -exec rmdir {} \;
    rm -rf --one-file-system "$base"
}

# From here on: inside.

become_systemd() {
    base=$1 tree=$2 root=$1/root
    mount --make-rprivate /
    mount_files
    mount_devices
    ip link set lo up
    hostname testbed
    choose_units
    cd "$root"
    mkdir .host
    pivot_root . .host
    umount --lazy .host
    rmdir .host
    # A container manager would have done that; without it LoadCredential= fails.
    mount --make-rshared /
    exec env -i container=testbed "${environment[@]}" \
        /lib/systemd/systemd --system --unit=testbed.target --log-target=journal --show-status=no
}

mount_files() {
    mount -t tmpfs -o mode=755 tmpfs "$base/layers"
    mkdir "$base/layers/upper" "$base/layers/work"
    # Not a layer of its own: TREE is below /, and layers must not be within one another.
    cp -a "$tree/." "$base/layers/upper"
    chmod 755 "$base/layers/upper"
    mount -t overlay -o "lowerdir=/,upperdir=$base/layers/upper,workdir=$base/layers/work" overlay "$root"
    mount -t proc proc "$root/proc"
    mount --bind -o ro "$root/proc/sys" "$root/proc/sys"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
}

mount_devices() {
    local device
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    for device in null zero full random urandom tty; do
        touch "$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    done
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
}

# What the host enables, and what needs hardware or a kernel of its own, stays off.
choose_units() {
    local units=$root/etc/systemd/system unit
    mkdir -p "$units"
    rm -rf "$units"/*.wants
    for unit in systemd-{udevd,udev-trigger,timesyncd,resolved,logind,modules-load,sysctl,hwdb-update,update-utmp}.service \
        sys-kernel-{debug,tracing,config}.mount sys-fs-fuse-connections.mount dev-hugepages.mount getty.target; do
        ln -sf /dev/null "$units/$unit"
    done
    printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n' >"$units/testbed.target"
}

if [ "${1:-}" = --inside ]; then
    shift
    become_systemd "$@"
else
    main "$@"
fi
