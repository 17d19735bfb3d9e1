# What ci/kvm-guest looks at, a function each. Sourced; the node is up.

# story GUEST: what can be told of a guest where a check fails.
story() {
    on_node appliance guest show "$1" || true
    on_node journalctl --no-pager --lines=40 --output=cat --unit="appliance-guest@$1" || true
}

# fail TEXT [GUEST]
fail() {
    {
        [ -z "${2:-}" ] || story "$2"
        echo "ci/kvm-guest: $1"
    } >&2
    exit 1
}

# value GUEST KEY: the first value of a key in what the node says of the guest.
value() {
    local text
    # It ends with 1 where the guest has failed.
    text=$(on_node appliance guest show "$1" || true)
    sed -n "/^$2  */{s///p;q}" <<<"$text"
}

# said GUEST TEXT: whether the guest's journal of this boot has a line with the text.
said() { on_node journalctl --no-pager --boot --output=cat --unit="appliance-guest@$1" | grep -F -- "$2" >/dev/null; }

# await GUEST STATE SECONDS: until the guest is in that state.
await() {
    local guest=$1 state=$2 seconds=$3 now
    for _ in $(seq "$seconds"); do
        now=$(value "$guest" state)
        [ "$now" = "$state" ] && return
        sleep 1
    done
    fail "guest $guest is $now after $seconds s, expected $state" "$guest"
}

# page PATH: a page of the guest web, over the bridge; bash reads it by itself.
page() {
    on_node bash -c "exec 3<>/dev/tcp/web/80 && printf 'GET $1 HTTP/1.0\r\n\r\n' >&3 && cat <&3" |
        tr -d '\r' | sed '1,/^$/d'
}

# boots LINES...: what the boots of guest web have written on its data disk, from the first to now.
boots() {
    local found expected
    expected=$(printf 'boot %s\n' "$@")
    found=$(page /boots.txt) || fail "guest web serves no page on its port" web
    [ "$found" = "$expected" ] || fail "the data disk of web holds the notes of the boots ($found), expected ($expected)" web
}

# file_system FILE: label and UUID of an ext4 file system in a file of the node's, or nothing.
file_system() { on_node blkid --probe --output value --match-tag LABEL --match-tag UUID --match-types ext4 "$1" | tr '\n' ' '; }

data=/var/lib/appliance/disks/web-data.img

# Before the node's first boot: what lies on its disk.
lay_out() {
    local disks=$work/var/disk/lib/appliance/disks
    mkdir -p "$disks"
    "$applbuild" config image --fleet ci/kvm-guest.d/fleet --guest own -o "$disks/own-config.img" >/dev/null
    # No file system that anything knows, and smaller than the disk that is asked for.
    head -c 1M /dev/zero | tr '\0' 'x' >"$disks/foreign.img"
    cp "$disks/foreign.img" "$work/foreign.before"
}

ready_by_port_with_a_disk_of_its_own() {
    await web ready 300
    [ "$(value web reported)" = port ] || fail "guest web was ready by $(value web reported), expected by its port" web
    said web "disk data: made the file $data, 64 MiB" || fail "the node does not say that it made the disk of web" web
    made=$(file_system "$data")
    case $made in
    "data "?*) ;;
    *) fail "$data holds ($made), expected an ext4 file system with the label data" web ;;
    esac
    boots "$version"
    echo "ok: web: its disk was made and formatted, and its port answered"
}

page_over_the_bridge() {
    local text tap
    text=$(page /)
    for line in "guest: web" "image: guest-web $version" "generation: scenario-7"; do
        grep -q "$line" <<<"$text" || fail "the page of web has no line ($line): $text" web
    done
    tap=$(on_node sh -c 'ls /sys/class/net/br0/brif')
    case $tap in
    g*.0) ;;
    *) fail "the ports of br0 are ($tap), expected one card, of web" web ;;
    esac
    on_node sh -c 'ps -o uid= -C qemu-system-x86_64' | grep -w 0 >/dev/null && fail "a guest's QEMU runs as root" web
    echo "ok: web: its page comes over the bridge, QEMU is no root"
}

refused() {
    local failure
    await "$1" failed 30
    failure=$(value "$1" "last failure")
    grep -qF -- "$2" <<<"$failure" || fail "guest $1 failed with ($failure), expected ($2)" "$1"
    echo "ok: $1: refused: ${failure#*: }"
}

port_that_nobody_opens() {
    local failure
    on_node appliance guest start silent 2>/dev/null && fail "guest silent started, whose port nobody opens" silent
    failure=$(value silent "last failure")
    case $failure in
    *"was not ready within 5 s (port 81: "*) ;;
    *) fail "guest silent failed with ($failure), expected that its port 81 did not answer" silent ;;
    esac
    echo "ok: silent: ${failure#*: }"
}

config_on_a_disk_of_its_own() {
    await own ready 300
    [ "$(value own reported)" = port ] || fail "guest own was ready by $(value own reported), expected by its port" own
    said own "config: node own, generation of-its-own on /dev/vdb1 (ext4" ||
        fail "guest own did not take the config on its own disk" own
    on_node cat /var/lib/appliance/disks/foreign.img | cmp - "$work/foreign.before" ||
        fail "the disk foreign of guest own was changed, which held something before" own
    echo "ok: own: its own disk's config won; what a disk held is as it was"
}

stop_when_asked() {
    on_node appliance guest stop own || fail "guest own could not be stopped" own
    [ "$(value own state)" = ended ] || fail "guest own is $(value own state), expected ended" own
    said own "it is forced" && fail "guest own did not power off when asked" own
    [ "$(on_node sh -c 'ls /sys/class/net/br0/brif | wc -l')" = 1 ] || fail "the card of own is still in br0" own
    echo "ok: own: powered off over QMP, its card is gone"
}

restart_keeps_the_disk() {
    on_node appliance guest restart web
    await web ready 300
    boots "$version" "$version"
    [ "$(file_system "$data")" = "$made" ] || fail "the disk of web was formatted again" web
    said web "it is forced" && fail "guest web did not power off when asked" web
    echo "ok: web: restarted, its disk is as it was"
}

# later VERSION ARGUMENT: that version of guest-web in the node's store, with one more argument for its kernel.
later() {
    local folder=/var/lib/appliance/images/guest-web-$1
    on_node mkdir -p "$folder"
    xorriso -osirrox on -indev "$image" -extract /appliance/guests/guest-web "$work/guest-web" >/dev/null 2>&1
    chmod -R u+w "$work/guest-web"
    sed -i "s|\"version\": *\"$version\"|\"version\": \"$1\"|; s|\"kernel_arguments\": *\"|&$2 |" "$work/guest-web/manifest.json"
    tar -C "$work/guest-web" -c . | on_node tar -C "$folder" -x
    rm -rf "$work/guest-web"
    on_node grep -q "$2" "$folder/manifest.json" || fail "the manifest in $folder has no kernel arguments to add to"
}

# went_back GUEST BAD REASON: after an update from the image's own to the version BAD, which does not get ready.
went_back() {
    local guest=$1 bad=$2 found line text
    for _ in $(seq 900); do
        [ "$(value "$guest" "not ready")" = "$bad" ] && break
        sleep 1
    done
    await "$guest" ready 300
    found=$(value "$guest" image)
    [ "$found" = "guest-web $version" ] || fail "guest $guest runs $found, expected that it went back to $version" "$guest"
    text=$(on_node appliance guest show "$guest")
    for line in "chosen *$version" "not ready *$bad" "story .*version $bad $3.*: went back to version $version"; do
        grep -q "^$line" <<<"$text" || fail "the node does not say ($line) of guest $guest" "$guest"
    done
}

update_goes_back() {
    later 2026.11.2 rdinit=/none
    on_node appliance guest update web || fail "guest web could not be updated" web
    went_back web 2026.11.2 "started anew before it was ready"
    boots "$version" "$version" "$version"
    echo "ok: web: updated to a version that panics, it went back by itself"
}

reboot_keeps_the_choice() {
    reboot_node
    await web ready 300
    [ "$(value web image)" = "guest-web $version" ] ||
        fail "after the node's reboot guest web runs $(value web image), expected the last good version $version" web
    [ "$(value web "not ready")" = 2026.11.2 ] || fail "the reboot forgot that 2026.11.2 was not ready" web
    [ "$(file_system "$data")" = "$made" ] || fail "the disk of web was formatted again" web
    boots "$version" "$version" "$version" "$version"
    echo "ok: web: after the node's reboot the last good version runs, with its disk"
}

# Its console says that it is ready, and its port stays closed.
update_that_never_answers_goes_back() {
    on_node appliance guest update late "$version"
    on_node appliance guest start late
    await late ready 300
    later 2026.11.3 systemd.mask=nginx.service
    on_node appliance guest update late 2026.11.3 || fail "guest late could not be updated" late
    went_back late 2026.11.3 "was not ready within 240 s (port 80: "
    said late "console: appliance: ready " || fail "version 2026.11.3 of guest late never came up" late
    echo "ok: late: updated to a version whose port stays closed, it went back by itself"
}
