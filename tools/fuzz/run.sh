#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Fuzzes the protocol engine with libFuzzer, without cargo-fuzz and on any Rust: the instrumentation
# that cargo-fuzz asks for is a pass of LLVM that stable compilers accept, too.
#
# usage: run.sh SECONDS [TARGET ...]
set -eu

here=$(cd "$(dirname "$0")" && pwd)
work=$here/../../build/fuzz
seconds=${1:?usage: run.sh SECONDS [TARGET ...]}
shift
[ $# -gt 0 ] || set -- header extensions private_data cong_map frames operations \
    tcp_stream native_packet native_private native_flow native_session

mkdir -p "$work"
export CARGO_TARGET_DIR="$work/target"
# libFuzzer is C++; a machine may have no compiler for it but a clang by its version.
if [ -z "${CXX:-}" ] && ! command -v c++ >/dev/null; then
    for CXX in clang++ clang++-19; do
        ! command -v $CXX >/dev/null || break
    done
    export CXX
fi
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
# A target triple keeps build scripts free of the instrumentation.
triple=$(rustc -vV | sed -n 's/^host: //p')
cargo build --quiet --release --locked --target "$triple" --manifest-path "$here/Cargo.toml"

for target in "$@"; do
    # New inputs go to the work folder; the committed corpus is only read.
    mkdir -p "$work/corpus/$target" "$work/artifacts/$target"
    case $target in
    header) max=64 ;; extensions) max=16 ;; private_data | native_private) max=200 ;; *) max=512 ;;
    esac
    "$CARGO_TARGET_DIR/$triple/release/$target" -max_total_time="$seconds" -max_len="$max" \
        -artifact_prefix="$work/artifacts/$target/" -print_final_stats=1 -verbosity=0 \
        "$work/corpus/$target" "$here/corpus/$target" >"$work/$target.log" 2>&1 || {
        tail -n 40 "$work/$target.log"
        echo "fuzz: $target: FOUND something, see $work/artifacts/$target" >&2
        exit 1
    }
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/$target.log")
    echo "fuzz: $target: $runs runs in $seconds s, no finding"
done
