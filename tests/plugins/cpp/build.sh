#!/usr/bin/env bash
# Builds the plugin in C++ with the headers of the libtorch in LIBTORCH: ./build.sh FOLDER [TARGET]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
include=$here/../../../include
version=$(sed 's/+.*//' "${LIBTORCH:?names the folder of libtorch}/build-version")
"${CXX:-c++}" -std=c++17 -O1 -Wall -Wextra -Werror -shared -fPIC -fvisibility=hidden \
    -DZOO_TARGET="\"${2:-x86_64-unknown-linux-gnu}\"" -DZOO_LIBTORCH="\"$version\"" \
    -I "$include" -isystem "$LIBTORCH/include" -o "$1/libzoo_cpp.so" "$here/zoo_cpp.cpp" \
    -L "$LIBTORCH/lib" -Wl,--as-needed -ltorch_cpu -lc10 -Wl,--version-script="$include/zoo_plugin.map"
