#!/usr/bin/env bash
# Runs dist/muster-*-x86_64-unknown-linux-gnu.tar.gz as somebody would on an old machine: in the oldest Debian that the mirror
# still has, with nothing in it but git. Needs root, debootstrap and the mirror; says so and checks what it can without.
set -euo pipefail
trap 'echo "failed: line $LINENO: $BASH_COMMAND" >&2' ERR
cd "$(dirname "$0")/.."

# std of Rust 1.95 asks for 2.17. Debian 10, RHEL 8 and Ubuntu 18.04 are 2.28, 2.28 and 2.27.
GLIBC_MOST=2.17
SUITES=(stretch buster bullseye bookworm)
MIRROR=${MIRROR:-$(sed -nE 's/^URIs: *([^ ]+debian) *$/\1/p; s/^deb (\[.*\] )?([^ ]+debian\/?) .*/\2/p' \
	/etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null | head -1 || true)}
MIRROR=${MIRROR:-http://deb.debian.org/debian}

archive=$(ls -t dist/muster-*-x86_64-unknown-linux-gnu.tar.gz 2>/dev/null | head -1 || true)
[[ -n $archive ]] || { echo "no dist/muster-*-x86_64-unknown-linux-gnu.tar.gz: \`make dist\` first" >&2; exit 1; }
name=$(basename "$archive" .tar.gz)
(cd dist && sha256sum --quiet -c "$name.tar.gz.sha256")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
tar -xzf "$archive" -C "$scratch"

# 1. What the programs ask of the system.
for program in muster muster-agent; do
	file=$scratch/$name/$program
	needed=$(objdump -T "$file" | grep -o 'GLIBC_[0-9.]*[0-9]' | sed 's/GLIBC_//' | sort -Vu | tail -1)
	highest=$(printf '%s\n' "$needed" "$GLIBC_MOST" | sort -V | tail -1)
	[[ $highest == "$GLIBC_MOST" ]] || { echo "$program needs glibc $needed, more than $GLIBC_MOST" >&2; exit 1; }
	libraries=$(objdump -p "$file" | awk '$1 == "NEEDED" { print $2 }' | sort | tr '\n' ' ')
	others=$(tr ' ' '\n' <<<"$libraries" | grep -vE '^(lib(c|m|dl|rt|pthread|util)\.so\.[0-9]|ld-linux-x86-64\.so\.2|)$' || true)
	[[ -z $others ]] || { echo "$program needs more than glibc: $others" >&2; exit 1; }
	if readelf -dW "$file" | grep -q '(RELR)'; then echo "$program has packed relocations: glibc before 2.36 does not load it" >&2; exit 1; fi
	echo "$program: glibc $needed, $libraries$(du -h "$file" | cut -f1)"
done

# 2. That they run.
if [[ $(id -u) != 0 ]] || ! command -v debootstrap >/dev/null; then
	echo "skipped: running it in an old Debian needs root and debootstrap (apt-get install debootstrap)"
	exit 0
fi
root=""
for suite in "${SUITES[@]}"; do
	if [[ -x .dev/debian/$suite/usr/bin/git ]]; then root=.dev/debian/$suite; break; fi
	curl -sfI -o /dev/null --max-time 20 "$MIRROR/dists/$suite/Release" || continue
	rm -rf ".dev/debian/$suite" && mkdir -p .dev/debian
	echo "making a Debian $suite from $MIRROR; this takes minutes, once"
	if debootstrap --variant=minbase --include=git,ca-certificates "$suite" ".dev/debian/$suite" "$MIRROR" >".dev/debian/$suite.log" 2>&1; then
		root=.dev/debian/$suite
		break
	fi
	tail -3 ".dev/debian/$suite.log" >&2
	rm -rf ".dev/debian/$suite"
done
[[ -n $root ]] || { echo "skipped: $MIRROR has none of ${SUITES[*]}"; exit 0; }

# Nothing of this machine but its kernel: no PATH of ours, no HOME, and neither Rust nor Node is in there.
inside() { chroot "$root" /usr/bin/env -i PATH=/usr/bin:/bin HOME=/root MUSTER_DIR=/srv/fleet "$@"; }
muster() { inside "/srv/$name/muster" "$@"; }

here=$root/srv/$name
rm -rf "$here" && cp -a "$scratch/$name" "$root/srv/"
mounted=()
finish() {
	muster down >/dev/null 2>&1 || true
	for ((i = ${#mounted[@]} - 1; i >= 0; i--)); do umount "${mounted[i]}" || true; done
	rm -rf "$scratch" "$here"
}
trap finish EXIT
mount -t proc proc "$root/proc" && mounted+=("$root/proc")
mount --bind /dev "$root/dev" && mounted+=("$root/dev")

echo "--- Debian $(cat "$root/etc/debian_version"), $(inside ldd --version | head -1)"
port=${PORT:-28443}
muster down
muster version --client
inside "/srv/$name/muster-agent" --version
begun=$SECONDS
muster up --port "$port" --stores 5 --detach
muster status --wait --timeout 180s -o name
echo "all is well after $((SECONDS - begun)) s"
muster version
muster apps
inside git ls-remote "http://127.0.0.1:$((port + 1))/edge.git" dev prod
# The console, as a browser comes to it: by a link, for its page, for a script of it, for what the hub knows.
console=http://127.0.0.1:$((port + 2))
curl -sfm 10 -o /dev/null -c "$scratch/jar" "$(muster console | grep -o 'http://[^ ]*')"
script=$(curl -sfm 10 "$console/" | grep -o '/assets/index-[^"]*\.js')
curl -sfm 10 -o /dev/null "$console$script"
curl -sfm 10 -b "$scratch/jar" "$console/api/muster/v1/fleet" | grep -q store-0005
echo "the console serves its page, and the fleet to who has a link"
muster problems --check
muster down
echo "works: $archive on Debian $(cat "$root/etc/debian_version")"
