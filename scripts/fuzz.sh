#!/bin/sh
# Searches for inputs that break a fuzz target of detect/fuzz, guided by coverage, with the compiler that builds
# everything else. New inputs are kept in detect/fuzz/target/corpus, what breaks the target in the folder
# detect/fuzz/artifacts.
set -eu

target=$1
seconds=$2
cd "$(dirname "$0")/../detect/fuzz"
found=${CARGO_TARGET_DIR:-$PWD/target}/corpus/$target
mkdir -p "$found" "artifacts/$target"
# As cargo-fuzz does it without sanitizer. The target is given, so that build scripts are not instrumented.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
 -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks" \
  cargo run --release --locked -q --target "$host" --bin "$target" -- \
  "$found" "corpus/$target" -max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=1024 \
  -artifact_prefix="artifacts/$target/"
