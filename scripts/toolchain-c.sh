#!/usr/bin/env bash
# Makes `pelton build` able to compile transforms in C: clang, LLVM's linker, wasi-libc and compiler-rt for wasm32.
#
#   scripts/toolchain-c.sh            what it does goes to stderr, the path of the compiler to stdout
#   scripts/toolchain-c.sh --force    makes the fallback anew (a newer one, say)
#
# 1. WASI_SDK_PATH names a wasi-sdk, or clang on PATH compiles and links for wasm32-wasi: nothing else is needed.
# 2. Otherwise Debian's or Ubuntu's own packages are unpacked into a cache folder. Nothing is installed and root is not
#    needed; the system's package lists are not touched either.
#
# Cache: ${XDG_CACHE_HOME:-~/.cache}/pelton/toolchains/c, whose `clang` is the compiler with all that it needs.
set -euo pipefail

cache="${XDG_CACHE_HOME:-$HOME/.cache}/pelton/toolchains/c"
force=${PELTON_C_FORCE_FALLBACK:+fallback}

say() { echo "toolchain-c: $*" >&2; }
die() { say "$*"; exit 1; }

case "${1:-}" in
  '') ;;
  --force) force=all ;;
  *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac

# Compiles and links what a transform needs of its compiler: a libc, and arithmetic of 128 bits.
probe_log=$(mktemp)
trap 'rm -f "$probe_log"' EXIT
works() {
  local dir status=0
  dir=$(mktemp -d)
  cat > "$dir/probe.c" <<'C'
#include <stdlib.h>
#include <string.h>
__attribute__((export_name("probe"))) int probe(const char *text, long long by) {
  __int128 wide = strtoll(text, NULL, 10);
  return (int)(wide * by / (by + 1)) + (int)strlen(text);
}
C
  "$@" --target=wasm32-wasi -Wno-deprecated -O1 -nostartfiles -Wl,--no-entry -o "$dir/probe.wasm" "$dir/probe.c" >"$probe_log" 2>&1 || status=1
  rm -rf "$dir"
  return $status
}

# --- 1. What is there already ------------------------------------------------------------------------------------

if [ -z "$force" ] && [ -n "${WASI_SDK_PATH:-}" ]; then
  works "$WASI_SDK_PATH/bin/clang" || die "WASI_SDK_PATH is $WASI_SDK_PATH, whose bin/clang compiles nothing for wasm32-wasi"
  say "using $WASI_SDK_PATH/bin/clang"
  echo "$WASI_SDK_PATH/bin/clang"
  exit 0
fi
if [ -z "$force" ] && command -v clang >/dev/null && works clang; then
  say "using $(command -v clang)"
  command -v clang
  exit 0
fi

# --- 2. The packages of the system -------------------------------------------------------------------------------

mkdir -p "$(dirname "$cache")"
exec 9>"$cache.lock"
! command -v flock >/dev/null || flock 9 # two at once: the second waits, and finds the work done
if [ "$force" != all ] && [ -x "$cache/clang" ] && works "$cache/clang"; then
  say "using $cache/clang"
  echo "$cache/clang"
  exit 0
fi
for tool in apt-get apt-cache dpkg dpkg-deb; do
  command -v $tool >/dev/null || die "no C compiler for wasm32-wasi, and no $tool to fetch one:
  any system  wasi-sdk from https://github.com/WebAssembly/wasi-sdk/releases, and WASI_SDK_PATH set to its folder
  Fedora      sudo dnf install clang lld wasi-libc-static compiler-rt
  macOS       brew install llvm lld wasi-libc wasi-runtimes"
done

work="$cache.making.$$"
trap 'rm -rf "$work" "$probe_log"' EXIT
rm -rf "$work"
mkdir -p "$work/root" "$work/deb" "$work/apt/lists/partial" "$work/apt/cache/archives/partial"

# Package lists of our own: the system's may be absent (as in container images) or old, and only root may renew them.
apt=(-o "Dir::State::lists=$work/apt/lists" -o "Dir::Cache=$work/apt/cache" -o Debug::NoLocking=1
     -o "APT::Sandbox::User=$(id -un)" -o Acquire::Languages=none)
say "reading the package lists"
apt-get "${apt[@]}" -qq update >&2 || say "some package lists could not be read; going on with the others"

exists() { [ -n "$(apt-cache "${apt[@]}" policy "$1" 2>/dev/null | awk '$1 == "Candidate:" && $2 != "(none)"')" ]; }

# The newest clang that has its linker and its runtime for wasm32 beside it.
llvm=
for number in $(apt-cache "${apt[@]}" pkgnames libclang-rt- | sed -n 's/^libclang-rt-\([0-9]*\)-dev-wasm32$/\1/p' | sort -rn); do
  if exists "clang-$number" && exists "lld-$number" && exists "libclang-rt-$number-dev-wasm32"; then llvm=$number; break; fi
done
[ -n "$llvm" ] && exists wasi-libc || die "the package archive has no clang with a runtime for wasm32; install wasi-sdk \
(https://github.com/WebAssembly/wasi-sdk/releases) and set WASI_SDK_PATH to its folder"

# What must be unpacked: clang, its linker and LLVM, and shared libraries that this system lacks. No C library of the
# system's own: nothing is compiled for it.
wanted=(wasi-libc "libclang-rt-$llvm-dev-wasm32")
declare -A seen
need() {
  local package=$1 dependency
  [ -z "${seen[$package]:-}" ] || return 0
  seen[$package]=1
  case "$package" in
    '<'* | gcc* | cpp* | binutils* | libc6* | libc-* | libgcc* | libstdc++* | libobjc* | llvm-*-dev | python* | libjs*) return 0 ;;
    clang-* | lld-* | libclang* | libllvm* | libLLVM* | llvm-*-linker-tools) ;;
    *) if dpkg -s "$package" 2>/dev/null | grep -q '^Status: .* installed'; then return 0; fi ;;
  esac
  exists "$package" || return 0
  wanted+=("$package")
  for dependency in $(apt-cache "${apt[@]}" depends --no-recommends --no-suggests --no-conflicts --no-breaks \
      --no-replaces --no-enhances "$package" | awk '/Depends:/ { print $NF }'); do
    need "$dependency"
  done
}
need "clang-$llvm"
need "lld-$llvm"

say "downloading ${wanted[*]}"
(cd "$work/deb" && apt-get "${apt[@]}" -qq download "${wanted[@]}" >&2) || die "a package could not be downloaded"
for file in "$work"/deb/*.deb; do dpkg-deb -x "$file" "$work/root"; done
rm -rf "$work/deb" "$work/apt" "$work/root/usr/share"

cat > "$work/clang" <<WRAPPER
#!/bin/sh
# The unpacked clang with its own LLVM, linker and libc.
here=\$(cd "\$(dirname "\$0")" && pwd)
for d in "\$here"/root/usr/lib/*-linux-gnu "\$here"/root/usr/lib/llvm-$llvm/lib; do
  [ -d "\$d" ] && LD_LIBRARY_PATH="\$d\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
done
export LD_LIBRARY_PATH PATH="\$here/root/usr/lib/llvm-$llvm/bin:\$here/root/usr/bin:\$PATH"
case "\$(basename "\$0")" in *++) driver=clang++ ;; *) driver=clang ;; esac
exec "\$here/root/usr/lib/llvm-$llvm/bin/\$driver" --sysroot="\$here/root/usr" "\$@"
WRAPPER
chmod +x "$work/clang"
ln -s clang "$work/clang++"
works "$work/clang" || { cat "$probe_log" >&2; die "the clang that was unpacked does not compile for wasm32-wasi here"; }

rm -rf "$cache"
mv "$work" "$cache"
say "ready: $("$cache/clang" --version | head -1), $(du -sh "$cache" | cut -f1) in $cache"
echo "$cache/clang"
