# The node of ci/kvm-guest: the host image's root and systemd in namespaces of their own. Sourced.

# make_node IMAGE FLEET: makes all that survives a reboot, below $work.
make_node() {
    local image=$1 fleet=$2 place lba
    mkdir "$work"/{root,node,config,var,cgroup}
    attach "$image" 0
    medium=$loop
    place=$(xorriso -indev "$image" -find /appliance/root.squashfs -exec report_lba -- 2>/dev/null)
    lba=$(sed -n 's/^File data lba: *[0-9]* *, *\([0-9]*\) *,.*/\1/p' <<<"$place")
    [ -n "$lba" ] || fail "$image holds no /appliance/root.squashfs, expected an image of a host"
    attach "$image" $((lba * 2048))
    mount -t squashfs -o ro "$loop" "$work/root"
    "$applbuild" config image --fleet "$fleet" --node kvm -o "$work/config.img" >/dev/null
    # The config partition begins at 1 MiB.
    attach "$work/config.img" $((1 << 20))
    mount -t ext4 -o ro,noload "$loop" "$work/config"
    sed "s|@medium@|$medium|" ci/kvm-guest.d/boot.json >"$work/boot.json"
    mount -t cgroup2 cgroup2 "$work/cgroup"
    mkdir "$work/cgroup/kvm-guest-$$"
}

# attach FILE OFFSET: attaches a loop device and stores its name in $loop.
attach() {
    loop=$(losetup --find --show --read-only --offset "$2" "$1")
    loops+=("$loop")
}

# boot: starts the node and waits until its systemd has started all units.
boot() {
    (
        echo 0 >"$work/cgroup/kvm-guest-$$/cgroup.procs"
        exec unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child ci/kvm-guest.d/init "$work"
    ) >"$work/console" 2>&1 &
    keeper=$!
    for _ in $(seq 600); do
        kill -0 "$keeper" 2>/dev/null || fail "the node ended at its start: $(tail -n 5 "$work/console")"
        # unshare's only child is PID 1 of the node.
        pid=$(cat "/proc/$keeper/task/$keeper/children" 2>/dev/null || true)
        pid=${pid// /}
        if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = systemd ]; then
            case $(on_node systemctl is-system-running 2>/dev/null || true) in
            running | degraded) return ;;
            esac
        fi
        sleep 0.2
    done
    fail "the node's systemd has not started all units within 120 s"
}

# on_node COMMAND...: runs a command on the node, as root.
on_node() (
    # This machine's working directory does not exist there.
    cd / && nsenter --target "$pid" --mount --pid --net --uts --ipc --cgroup -- env -i PATH=/usr/sbin:/usr/bin LC_ALL=C "$@"
)

# power_off: shuts the node down like a server, its guests first.
power_off() {
    on_node systemctl --no-block poweroff
    for _ in $(seq 600); do
        if ! kill -0 "$keeper" 2>/dev/null; then
            # If its init powers off, the kernel ends a PID namespace by a signal (pid_namespaces(7)).
            wait "$keeper" || true
            keeper=
            return
        fi
        sleep 0.2
    done
    fail "the node did not power off within 120 s"
}

# reboot_node: /run and /etc are new, /var persists.
reboot_node() {
    power_off
    boot
}

# end: kills all processes of the node and removes it.
end() {
    if [ -d "$work/cgroup/kvm-guest-$$" ]; then
        echo 1 >"$work/cgroup/kvm-guest-$$/cgroup.kill"
        wait || true
        # A killed process leaves its control group a moment later.
        for _ in $(seq 50); do
            find "$work/cgroup/kvm-guest-$$" -depth -type d -exec rmdir {} + 2>/dev/null && break
            sleep 0.1
        done
    fi
    umount --recursive --lazy "$work" || true
    for loop in "${loops[@]}"; do losetup --detach "$loop" || true; done
    rmdir "$work"
}
