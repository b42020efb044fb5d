#!/usr/bin/env bash
# Compiles every binary that goes into an image, static, stripped, and the same bytes for the same source, into
# target/image/out. Runs in the Dockerfile's stage `compiled`, and outside when there is no image of a compiler.
#
# usage: compile.sh [--help]
set -euo pipefail
cd "$(dirname "$0")/../.."

if [[ ${1:-} == --help ]]; then
  sed -n '2,/^[^#]/{/^#/{s/^# \{0,1\}//;p}}' "$0"
  exit 0
fi

triple=$(rustc -vV | sed -n 's/^host: //p')
target=target/image/build
out=target/image/out

packages=(-p macula-cli)
binaries=(macula)
for bot in simulation homes utilities projections queries dashboard; do
  packages+=(-p "cortexiq-$bot")
  binaries+=("cortex-iq-$bot")
done
# Without it the dashboard would be compiled with a page that says so.
[[ -n ${CORTEXIQ_DASHBOARD_DIST:-} ]] || command -v npm >/dev/null || {
  echo "error: npm is missing: the dashboard's page needs Node.js 20 or later; see https://nodejs.org" >&2
  exit 1
}

# glibc inside the binary, so that the image needs nothing; paths of this machine out of it.
export RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$PWD=/src --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
export CARGO_PROFILE_RELEASE_STRIP=symbols
compile() { cargo build --locked --release --target "$triple" --target-dir "$target" "$@" --bins; }
compile "${packages[@]}"
# The gateway and the macula command are one file in the image of the gateway, which is where size counts most. Compiled by
# itself, or it would have `macula bench` as the others do.
compile -p macula-gateway-image

rm -rf "$out"
mkdir -p "$out"
for binary in "${binaries[@]}"; do
  # Cargo does not strip a binary whose package has a profile of its own.
  install -s -m 0755 "$target/$triple/release/$binary" "$out/$binary"
done
# Two names for one file; it tells by its name what it is.
mkdir "$out/gateway"
install -m 0755 "$target/$triple/release/macula-gateway-image" "$out/gateway/macula-gateway"
ln -s macula-gateway "$out/gateway/macula"
ls -l "$out" "$out/gateway"
