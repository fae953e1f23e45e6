#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A daemon killed under writers; see ledger.py.

setup() {
  dir=$(mktemp -d)
}

teardown() {
  timeout 20 fusermount3 -uzq "$dir/mnt" || true
  rm -rf "$dir"
}

@test "what was acknowledged through the mount survives kill -9" {
  run timeout 250 python3 "$BATS_TEST_DIRNAME/ledger.py" \
    "${POINTFS:-pointfs}" "$dir" "${POINTFS_ROUNDS:-200}" "${POINTFS_SEED:-1}"
  echo "$output"
  [ "$status" = 0 ]
}
