#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds under the sanitizers with clang, into build-asan and build-tsan; then
# run:  meson test -C build-asan
set -eu
cd "$(dirname "$0")/../.."

# build DIRECTORY SANITIZERS
build() {
  [ -f "$1/build.ninja" ] ||
    CC=clang meson setup "$1" -Db_sanitize="$2" -Db_lundef=false
  meson compile -C "$1"
}

build build-asan address,undefined
build build-tsan thread
