#!/usr/bin/env bash
# zoo, from a fresh clone:
#
#   ./zoo.sh run recipes/electra.mlm    any command of zoo; the first call sets it up
#   ./zoo.sh test                       the test suites; with --all also the slow ones
#   ./zoo.sh setup                      only sets up: libtorch into .zoo/, and a build;
#                                       with --cuda also what a GPU needs
#
# LIBTORCH or LIBTORCH_USE_PYTORCH names a libtorch of your own. CARGO_TARGET_DIR is honoured.
set -euo pipefail

here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$here/target}
case $CARGO_TARGET_DIR in /*) ;; *) CARGO_TARGET_DIR=$PWD/$CARGO_TARGET_DIR ;; esac
program=$CARGO_TARGET_DIR/release/zoo
stamp=$CARGO_TARGET_DIR/release/.zoo-built
oldest_rust=1.95

say() { echo "zoo set-up: $*" >&2; }
fail() {
    say "error: $1"
    shift
    for line in "$@"; do echo "$line" >&2; done
    exit 1
}

# Everything that a build needs, each with one message.
set_up() {
    command -v cargo >/dev/null || fail "no cargo is here." "Install Rust's stable toolchain from https://rustup.rs and call again."
    local rust
    rust=$(rustc --version 2>&1) || fail "rustc does not start: $rust"
    rust=${rust#rustc }
    if [ "$(printf '%s\n' "$oldest_rust" "${rust%% *}" | sort -V | head -n 1)" != "$oldest_rust" ]; then
        fail "rustc is ${rust%% *}, and zoo needs $oldest_rust or later." "Call \`rustup update stable\` and try again."
    fi
    for compiler in "${CXX:-c++}" "${CC:-cc}"; do
        command -v "${compiler%% *}" >/dev/null ||
            fail "no C++ compiler (\`$compiler\`) is here." "On Debian and Ubuntu: sudo apt install g++"
    done
    command -v python3 >/dev/null ||
        fail "no python3 is here; its pip fetches libtorch." "On Debian and Ubuntu: sudo apt install python3 python3-pip python3-venv"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 8))' ||
        fail "python3 is $(python3 --version 2>&1), and the set-up needs Python 3.8 or later."
    python3 "$here/zoo/setup/libtorch.py" "$@" "$here/.zoo/libtorch"
}

# What a build depends on besides the files: a change of it builds again.
circumstances() {
    echo "$here ${LIBTORCH-} ${LIBTORCH_USE_PYTORCH-} ${RUSTFLAGS-}"
}

# No source is newer than the last build. Cargo would find out as well, but takes longer.
is_built() {
    [ -x "$program" ] && [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$(circumstances)" ] || return 1
    [ -n "${LIBTORCH-}${LIBTORCH_USE_PYTORCH-}" ] || [ -e "$here/.zoo/libtorch/build-version" ] || return 1
    [ -z "$(find "$here"/Cargo.toml "$here"/Cargo.lock "$here"/.cargo "$here"/core "$here"/dsl "$here"/plugins \
        "$here"/zoo -newer "$stamp" -print -quit)" ]
}

build() {
    set_up "$@"
    mkdir -p "$CARGO_TARGET_DIR/release"
    circumstances >"$stamp.new"
    say "building zoo and its plugins (the first time takes some minutes)"
    # The program and every plugin of zoo's own; those that tests are made of stay out of reach.
    local packages=(-p zoo -p zoo-runner) manifest
    for manifest in "$here"/plugins/*/Cargo.toml; do
        packages+=(-p "$(sed -n 's/^name = "\(.*\)"/\1/p' "$manifest" | head -n 1)")
    done
    # In the folder, where cargo finds .cargo/config.toml.
    (cd "$here" && cargo build --release "${packages[@]}") ||
        fail "the build failed; cargo's words are above."
    mv "$stamp.new" "$stamp"
}

failed=()

# One suite: its name, its command; the time that it took.
suite() {
    local name=$1 started=$SECONDS
    shift
    echo "=== $name" >&2
    if (cd "$here" && "$@"); then
        echo "=== $name: passed in $((SECONDS - started)) s" >&2
    else
        echo "=== $name: FAILED after $((SECONDS - started)) s" >&2
        failed+=("$name")
    fi
}

run_tests() {
    local which=()
    case ${1-} in
    "") ;;
    --all) which=(-- --include-ignored) ;;
    *) fail "\`./zoo.sh test\` knows only --all, and got \`$1\`." "For one crate: cargo test -p zoo-check" ;;
    esac
    set_up --no-build
    local started=$SECONDS
    # The plugins first: whole-program tests load them as a user's zoo does.
    suite "build of the workspace" cargo build --workspace
    [ ${#failed[@]} -eq 0 ] || fail "the build failed; cargo's words are above."
    suite "set-up" python3 -B -m unittest discover -s tests/setup
    suite "unit, property, golden and whole-program tests" cargo test --workspace --tests --no-fail-fast "${which[@]}"
    suite "examples of the documentation" cargo test --workspace --doc --no-fail-fast
    if [ ${#failed[@]} -gt 0 ]; then
        echo "=== failed: $(printf '%s; ' "${failed[@]}" | sed 's/; $//')" >&2
        exit 1
    fi
    echo "=== all suites passed in $((SECONDS - started)) s" >&2
}

case ${1-} in
setup)
    case ${2-} in
    "") build ;;
    --cuda) build --cuda ;;
    *) fail "\`./zoo.sh setup\` knows only --cuda, and got \`$2\`." ;;
    esac
    say "ready: ./zoo.sh run recipes/electra.mlm"
    ;;
test)
    shift
    run_tests "$@"
    ;;
*)
    is_built || build
    exec "$program" "$@"
    ;;
esac
