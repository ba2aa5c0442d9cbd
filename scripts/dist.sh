#!/usr/bin/env bash
# Builds dist/muster-<version>-<target>.tar.gz for every target that the toolchain has. Zig is compiler of C and linker: it
# links against any glibc, so that what is built here runs on what is much older than this machine.
set -euo pipefail
cd "$(dirname "$0")/.."

ZIG=0.17.1
CARGO_ZIGBUILD=0.24.0
# What Rust's own library asks for; nothing of ours asks for more.
GLIBC=2.17
TARGETS=(x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu x86_64-unknown-linux-musl aarch64-unknown-linux-musl)

tools=$PWD/.dev/zig
if ! "$tools/bin/cargo-zigbuild" --version 2>/dev/null | grep -qF " $CARGO_ZIGBUILD"; then
	echo "getting zig $ZIG and cargo-zigbuild $CARGO_ZIGBUILD from PyPI"
	python3 -m venv "$tools"
	"$tools/bin/pip" install --quiet --disable-pip-version-check "ziglang==$ZIG" "cargo-zigbuild==$CARGO_ZIGBUILD"
fi
export PATH="$tools/bin:$PATH"
export CARGO_ZIGBUILD_CACHE_DIR="$tools/cache" ZIG_GLOBAL_CACHE_DIR="$tools/cache/zig" ZIG_LOCAL_CACHE_DIR="$tools/cache/zig"
export MUSTER_LINK=portable

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
installed=$(rustup target list --installed 2>/dev/null || rustc -vV | sed -n 's/^host: //p')
# The same files give the same archive.
time=$(git log -1 --format=%ct 2>/dev/null || echo 0)
mkdir -p dist
built=() missing=()

for target in "${TARGETS[@]}"; do
	if ! grep -qx "$target" <<<"$installed"; then
		missing+=("$target")
		continue
	fi
	suffix=""
	[[ $target == *-gnu ]] && suffix=".$GLIBC"
	cargo-zigbuild zigbuild --release --locked --target "$target$suffix" --target-dir target/dist -p muster -p muster-agent
	name=muster-$version-$target
	tree=target/dist/$name
	rm -rf "$tree" && mkdir -p "$tree/docs"
	cp "target/dist/$target/release/muster" "target/dist/$target/release/muster-agent" "$tree"
	cp README.md CHANGELOG.md SPECIFICATION.md LICENSE "$tree"
	cp docs/*.png "$tree/docs"
	tar --sort=name --mtime="@$time" --owner=0 --group=0 --numeric-owner -C target/dist -cf - "$name" | gzip -9n >"dist/$name.tar.gz"
	(cd dist && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
	built+=("$name")
done

for name in "${built[@]}"; do
	note="not run by anybody: untested"
	[[ $name == *-x86_64-unknown-linux-gnu ]] && note="needs glibc $GLIBC; \`make dist-check\` runs it on an old system"
	[[ $name == *-aarch64-unknown-linux-gnu ]] && note="needs glibc $GLIBC; not run by anybody: untested"
	echo "built      dist/$name.tar.gz ($(du -h "dist/$name.tar.gz" | cut -f1)): $note"
done
for target in "${missing[@]}"; do
	echo "not built  $target: the toolchain does not have it; \`rustup target add $target\`"
done
