#!/usr/bin/env bash
# Builds the plugin in C: ./build.sh FOLDER [TARGET]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"${CC:-cc}" -std=c11 -O2 -Wall -Wextra -Werror -shared -fPIC -fvisibility=hidden \
    -DZOO_TARGET="\"${2:-x86_64-unknown-linux-gnu}\"" -I "$here/../../../include" \
    -o "$1/libzoo_c.so" "$here/zoo_c.c"
