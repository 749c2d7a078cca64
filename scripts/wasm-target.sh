#!/usr/bin/env bash
# Makes cargo able to build for wasm32-unknown-unknown, which is what Rust transforms are compiled to.
#
#   scripts/wasm-target.sh            what it does goes to stderr, the environment that cargo needs to stdout:
#   eval "$(scripts/wasm-target.sh)"  builds by hand; `pelton build` finds the same toolchain by itself
#   scripts/wasm-target.sh --force    makes the fallback anew (a newer one, say)
#
# 1. The toolchain has the target, or `rustup target add` fetches it: nothing else is needed.
# 2. Otherwise (no way to static.rust-lang.org, or a Rust without rustup) Debian's or Ubuntu's own Rust packages are
#    unpacked into a cache folder; where the archive has no wasm32 standard library for them, it is built once from
#    their sources. Nothing is installed and root is not needed; the system's package lists are not touched either.
#
# Cache: ${XDG_CACHE_HOME:-~/.cache}/pelton/wasm-target
set -euo pipefail

target=wasm32-unknown-unknown
oldest=1.85 # edition 2024
cache="${XDG_CACHE_HOME:-$HOME/.cache}/pelton/wasm-target"
force=${PELTON_WASM_FORCE_FALLBACK:+fallback}

say() { echo "wasm-target: $*" >&2; }
die() { say "$*"; exit 1; }

case "${1:-}" in
  '') ;;
  --force) force=all ;;
  *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac

# --- 1. The toolchain's own target ------------------------------------------------------------------------------

if [ -z "$force" ] && command -v rustc >/dev/null; then
  if [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
    say "$(rustc --version) has $target"
    exit 0
  fi
fi
if [ -z "$force" ] && command -v rustup >/dev/null && [ ! -x "$cache/rustc" ]; then
  say "rustup target add $target"
  if timeout 120 rustup target add "$target" >&2; then exit 0; fi
  say "rustup could not fetch the target; falling back to the packages of this system"
fi

# --- 2. The packages of the system ------------------------------------------------------------------------------

print_environment() {
  printf "export RUSTC='%s'\n" "$cache/rustc"
  printf "export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER='%s'\n" "$cache/rust-lld"
}
ready() {
  [ -x "$cache/rustc" ] && [ -x "$cache/rust-lld" ] && "$cache/rustc" --version >/dev/null 2>&1 \
    && [ -d "$("$cache/rustc" --print sysroot)/lib/rustlib/$target/lib" ]
}

command -v cargo >/dev/null || die "cargo is not on PATH; install Rust from https://rustup.rs"
mkdir -p "$(dirname "$cache")"
exec 9>"$cache.lock"
flock 9 # two builds at once: the second waits, and finds the work done
if [ "$force" != all ] && ready; then
  say "using $("$cache/rustc" --version) in $cache"
  print_environment
  exit 0
fi
for tool in apt-get apt-cache dpkg dpkg-deb; do
  command -v $tool >/dev/null || die "no rustup target and no $tool: run \`rustup target add $target\` with access to \
static.rust-lang.org, or on Debian or Ubuntu, and run this again"
done

work="$cache.making.$$"
trap 'rm -rf "$work"' EXIT
rm -rf "$work"
mkdir -p "$work/root" "$work/deb" "$work/apt/lists/partial" "$work/apt/cache/archives/partial"

# Package lists of our own: the system's may be absent (as in container images) or old, and only root may renew them.
apt=(-o "Dir::State::lists=$work/apt/lists" -o "Dir::Cache=$work/apt/cache" -o Debug::NoLocking=1
     -o "APT::Sandbox::User=$(id -un)" -o Acquire::Languages=none)
say "reading the package lists"
apt-get "${apt[@]}" -qq update >&2 || say "some package lists could not be read; going on with the others"

candidate() { apt-cache "${apt[@]}" policy "$1" 2>/dev/null | awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'; }

# The newest Rust of the archive: Debian has `rustc` and, for browsers in a stable release, the newer `rustc-web`;
# Ubuntu has `rustc-1.NN`.
compiler= version=
for package in $(apt-cache "${apt[@]}" pkgnames rustc | grep -E '^rustc(-web|-1\.[0-9]+)?$'); do
  v=$(candidate "$package")
  if [ -n "$v" ] && dpkg --compare-versions "$v" ge "$oldest" && dpkg --compare-versions "$v" gt "${version:-0}"; then
    compiler=$package version=$v
  fi
done
[ -n "$compiler" ] || die "the package archive has no Rust $oldest or newer; run \`rustup target add $target\`"
suffix=${compiler#rustc} # "", "-web" or "-1.NN"
say "$compiler $version from the package archive"

# What must be unpacked: the compiler, its standard library, LLVM, and shared libraries that this system lacks.
# The C toolchain is the system's own.
wanted=()
declare -A seen
need() {
  local package=$1 dependency
  [ -z "${seen[$package]:-}" ] || return 0
  seen[$package]=1
  case "$package" in
    '<'* | gcc | gcc-* | cpp* | binutils* | libc6* | libc-* | libgcc* | gcc-*-base | cargo*) return 0 ;;
    rustc* | rust-* | libstd-rust* | libllvm* | libLLVM* | lld*) ;;
    *) if dpkg -s "$package" 2>/dev/null | grep -q '^Status: .* installed'; then return 0; fi ;;
  esac
  [ -n "$(candidate "$package")" ] || return 0
  wanted+=("$package")
  for dependency in $(apt-cache "${apt[@]}" depends --no-recommends --no-suggests --no-conflicts --no-breaks \
      --no-replaces --no-enhances "$package" | awk '/Depends:/ { print $NF }'); do
    need "$dependency"
  done
}
need "$compiler"

# Its wasm32 standard library, or the sources to build it from.
std_package=
for package in "libstd-rust$suffix-dev-wasm32" "libstd-rust-dev-wasm32"; do
  [ "$(candidate "$package")" = "$version" ] && std_package=$package && break
done
if [ -n "$std_package" ]; then
  wanted+=("$std_package")
else
  case "$suffix" in
    -web) wanted+=(rust-web-src) ;;
    -*) wanted+=("rust${suffix}-src") ;;
    *) wanted+=(rust-src) ;;
  esac
fi

# The linker: rustup brings rust-lld along, otherwise LLVM's own. Any cargo needs one of them for this target.
lld=
if command -v rustc >/dev/null; then lld=$(find "$(rustc --print sysroot)" -name rust-lld -type f 2>/dev/null | head -1); fi
if [ -z "$lld" ]; then
  lld_package=$(apt-cache "${apt[@]}" pkgnames lld- | grep -E '^lld-[0-9]+$' | sort -t- -k2 -n | tail -1)
  [ -n "$lld_package" ] || die "no rust-lld in the toolchain and no lld in the package archive"
  need "$lld_package"
fi

say "downloading ${wanted[*]}"
(cd "$work/deb" && apt-get "${apt[@]}" -qq download "${wanted[@]}" >&2) || die "a package could not be downloaded"
for file in "$work"/deb/*.deb; do dpkg-deb -x "$file" "$work/root"; done
rm -rf "$work/deb" "$work/apt"

rustc=$(find "$work/root/usr/bin" "$work/root"/usr/lib/rust-*/bin -name 'rustc*' \( -type f -o -type l \) 2>/dev/null \
  | grep -E '/rustc(-1\.[0-9]+)?$' | head -1) || true # a folder that is not there
[ -n "$rustc" ] || die "$compiler holds no rustc"
cat > "$work/rustc" <<WRAPPER
#!/bin/sh
# The unpacked rustc with its own LLVM.
here=\$(cd "\$(dirname "\$0")" && pwd)
for d in "\$here"/root/usr/lib/*-linux-gnu "\$here"/root/usr/lib/llvm-*/lib; do
  [ -d "\$d" ] && LD_LIBRARY_PATH="\$d\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
done
export LD_LIBRARY_PATH
exec "\$here/${rustc#"$work"/}" "\$@"
WRAPPER
chmod +x "$work/rustc"
if [ -n "$lld" ]; then
  ln -s "$lld" "$work/rust-lld"
else
  printf '#!/bin/sh\nhere=$(cd "$(dirname "$0")" && pwd)\nfor d in "$here"/root/usr/lib/*-linux-gnu "$here"/root/usr/lib/llvm-*/lib; do\n  [ -d "$d" ] && LD_LIBRARY_PATH="$d${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"\ndone\nexport LD_LIBRARY_PATH\nexec "$here"/root/usr/lib/%s/bin/lld "$@"\n' \
    "llvm-${lld_package#lld-}" > "$work/rust-lld"
  chmod +x "$work/rust-lld"
fi
"$work/rustc" --version >&2 || die "the unpacked rustc does not run here"

library="$("$work/rustc" --print sysroot)/lib/rustlib/$target/lib"
if [ ! -d "$library" ]; then
  say "building the standard library for $target (half a minute)"
  mkdir -p "$work/std/src" "$library"
  cat > "$work/std/Cargo.toml" <<'MANIFEST'
[package]
name = "nothing"
version = "0.0.0"
edition = "2021"
[lib]
crate-type = ["rlib"]
[workspace]
MANIFEST
  : > "$work/std/src/lib.rs"
  # Building std is a nightly feature of cargo; the compiler that it is built with here is the one it belongs to.
  (cd "$work/std" && env -u CARGO_BUILD_TARGET RUSTC="$work/rustc" RUSTC_BOOTSTRAP=1 CARGO_PROFILE_RELEASE_PANIC=abort \
    CARGO_PROFILE_RELEASE_LTO=off RUSTFLAGS=-Cembed-bitcode=yes CARGO_TARGET_DIR="$work/std/target" \
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$work/rust-lld" \
    cargo build -q --release --target "$target" -Zbuild-std=std,panic_abort >&2) \
    || die "the standard library did not build; its sources need crates.io"
  cp "$work/std/target/$target/release/deps/"*.rlib "$library/"
  rm -rf "$library"/libnothing-*.rlib "$work/std"
fi
rm -rf "$work"/root/usr/share "$work"/root/usr/src "$work"/root/usr/lib/rustlib/src

rm -rf "$cache"
mv "$work" "$cache"
ready || die "the toolchain in $cache does not work; please report what is printed above"
say "ready: $("$cache/rustc" --version), $(du -sh "$cache" | cut -f1) in $cache"
print_environment
