#!/bin/sh
# Installs what a build needs beside Rust, gcc and make: a C++ compiler, OpenSSL and zlib headers for
# the Kafka client. Does nothing when they are there; says what to allow when it may not install.
set -eu

missing=""
command -v g++ >/dev/null 2>&1 || missing="$missing g++"
command -v pkg-config >/dev/null 2>&1 || missing="$missing pkg-config"
pkg-config --exists libssl 2>/dev/null || missing="$missing libssl-dev"
pkg-config --exists zlib 2>/dev/null || missing="$missing zlib1g-dev"
[ -n "$missing" ] || exit 0

if command -v apt-get >/dev/null 2>&1; then
    run=""
    [ "$(id -u)" = 0 ] || run="sudo"
    $run apt-get update -qq && $run apt-get install -y -qq $missing && exit 0
fi
echo "mantissa needs these Debian packages (or your system's equivalents):$missing" >&2
exit 1
