#!/usr/bin/env bash
# Builds the plugin with an older compiler: RUSTC=/usr/bin/rustc ./build.sh FOLDER
# (Debian 12 has Rust 1.63 as the package `rustc`.)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
options=(--edition 2021 -C opt-level=2)
"${RUSTC:?names the compiler}" "${options[@]}" --crate-name zoo_abi --crate-type rlib --out-dir "$work" \
    "$here/../../../core/abi/src/lib.rs"
"$RUSTC" "${options[@]}" --crate-name zoo_older --crate-type cdylib -C strip=symbols -L "$work" \
    -o "$out/libzoo_older.so" "$here/zoo_older.rs"
