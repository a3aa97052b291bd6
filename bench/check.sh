#!/usr/bin/env bash
# How long `zoo check` takes, process start included: the median of 40 calls for each recipe, as it stands
# with all of its profiles; and how many plugins and components are in reach. It needs a release build
# (./zoo.sh setup).
#
#   bench/check.sh [RECIPE…]        all of recipes/ without
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
zoo=${CARGO_TARGET_DIR:-target}/release/zoo
[ -x "$zoo" ] || { echo "there is no $zoo; ./zoo.sh setup builds it" >&2; exit 1; }
[ $# -gt 0 ] || set -- recipes/*.mlm

"$zoo" plugin list --json | python3 -c '
import json, sys
plugins = json.load(sys.stdin)["plugins"]
print(len(plugins), "plugins with", sum(len(p["components"]) for p in plugins), "components in reach")'
for recipe in "$@"; do
    for _ in $(seq 40); do
        begin=${EPOCHREALTIME/./}
        "$zoo" check "$recipe" >/dev/null
        echo $((${EPOCHREALTIME/./} - begin))
    done | sort -n | awk -v recipe="$recipe" '
        { times[NR] = $1 / 1000 }
        END { printf "%-40s median %5.1f ms, least %5.1f ms\n", recipe, times[int((NR + 1) / 2)], times[1] }'
done
