# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Real mounts for the tests: one scratch directory, one DATA and one mount a
# test, all gone afterwards.  $POINTFS is the program under test.
#
# Nothing here may hang: every program that touches a mount runs under t, the
# shell's own redirections are covered by a watchdog, which kills the daemons
# of a test that takes too long (so that the kernel fails what is waiting).

: "${POINTFS:=pointfs}"
TEST_SECONDS=${TEST_SECONDS:-90}
HERE=$BATS_TEST_DIRNAME

# t COMMAND...: at most 30 s.
t() { timeout -k 2 30 "$@"; }

# --- scratch ------------------------------------------------------------------

# Other users must be able to reach the mount, so not below a private TMPDIR.
scratch_make() {
  S=$(mktemp -d /tmp/pointfs-mount.XXXXXX)
  chmod 711 "$S"
  M=$S/mnt C=$S/mnt/collections DATA=$S/data
  mkdir "$M"
  ( # its descriptors would keep bats waiting
    exec >/dev/null 2>&1 3>&-
    trap 'kill "$nap"; exit' TERM
    sleep "$TEST_SECONDS" &
    nap=$!
    wait "$nap"
    daemons_kill
  ) &
  WATCHDOG=$!
}

scratch_remove() {
  local m
  exec 7>&- 8>&- 9>&-
  cd /
  while read -r m; do
    fusermount3 -uz "$m" 2>/dev/null || umount -l "$m" 2>/dev/null
  done < <(awk -v s="$S/" 'index($2, s) == 1 { print $2 }' /proc/mounts | tac)
  wait_until no_daemon || daemons_kill
  kill "$WATCHDOG" 2>/dev/null
  wait "$WATCHDOG" 2>/dev/null
  rm -rf "$S"
}

# --- daemons -------------------------------------------------------------------

# Those that serve something in this test's scratch directory, by their
# command lines; nobody else's name contains it.
daemon_pids() {
  local p
  for p in $(pgrep -x pointfs); do
    { tr '\0' ' ' <"/proc/$p/cmdline" | grep -qE " (mount )?.*$S/.*$S/"; } 2>/dev/null &&
      echo "$p"
  done
  return 0
}
no_daemon() { [ -z "$(daemon_pids)" ]; }
daemon_gone() { ! kill -0 "$1" 2>/dev/null; }

daemons_kill() {
  local p
  for p in $(daemon_pids); do kill -9 "$p"; done
  wait_until no_daemon
}

# serve [OPTIONS...]: mounts $DATA at $M in the background.
serve() {
  t "$POINTFS" mount "$DATA" "$M" "$@" 3>&- || return
  PID=$(daemon_pids)
}

serve_end() { t "$POINTFS" umount "$M"; }

# Ends without a chance to write anything.
serve_kill() {
  kill -9 "$PID"
  wait_until daemon_gone "$PID"
}

# --- waiting and looking ---------------------------------------------------------

# wait_until CONDITION...: polls, at most 15 s.
wait_until() {
  local end=$((SECONDS + 15))
  until "$@"; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.02
  done
}

# equal WANTED GOT
equal() {
  [ "$1" = "$2" ] && return 0
  printf 'wanted: %s\ngot:    %s\n' "$1" "$2"
  return 1
}

# refused CODE COMMAND...: the command fails, and says why as a tool would.
refused() {
  local code=$1 rc=0 text
  shift
  case $code in
  # What mv makes of it.
  EINVAL) text='Invalid argument\|subdirectory of itself' ;;
  EPERM) text='Operation not permitted' ;;
  EACCES) text='Permission denied' ;;
  EROFS) text='Read-only file system' ;;
  EFBIG) text='File too large' ;;
  EEXIST) text='File exists' ;;
  ENOENT) text='No such file' ;;
  ENOTEMPTY) text='Directory not empty' ;;
  ENAMETOOLONG) text='File name too long' ;;
  ENOSPC) text='No space left' ;;
  EOPNOTSUPP) text='not supported' ;;
  EBUSY) text='busy' ;;
  *) return 2 ;;
  esac
  LC_ALL=C t "$@" >"$S/said" 2>&1 || rc=$?
  if [ $rc = 0 ] || [ $rc -ge 124 ] || ! grep -qi "$text" "$S/said"; then
    printf 'wanted %s, got exit %s: %s\n' "$code" $rc "$(cat "$S/said")"
    return 1
  fi
}

# sh_refused CODE SCRIPT: the same for a redirection.
sh_refused() { refused "$1" bash -c "$2"; }

# The files that ls shows, without the daemon's own.
names() { (cd "$1" && t ls); }

errors_lines() { t cat "$M/errors.jsonl" | wc -l; }

# The last line of errors.jsonl has these: last_error .errno EINVAL
last_error() {
  equal "$2" "$(t tail -n 1 "$M/errors.jsonl" | jq -r "$1")"
}

# --- points and questions -----------------------------------------------------------

# Four points in collection $1 with a payload to filter by.
four_points() {
  mkdir "$C/$1"
  echo '{"vector": [1, 0, 0], "payload": {"city": "London", "n": 1}}' >"$C/$1/1.json"
  echo '{"vector": [0, 1, 0], "payload": {"city": "Pune", "n": 2}}' >"$C/$1/2.json"
  echo '{"vector": [0.9, 0.1, 0], "payload": {"city": "London", "n": 3}}' >"$C/$1/3.json"
  echo '{"vector": [0, 0.6, 0.8], "payload": {"city": "Oslo", "n": 4}}' >"$C/$1/four.json"
}

# ask FILE BODY: writes and reads the answer on one open file.
ask() {
  t bash -c 'exec 9<>"$1" && printf "%s\n" "$2" >&9 && cat <&9' - "$1" "$2"
}

# answered FILE BODY FILTER WANTED: jq's FILTER of the answer.
answered() {
  local got
  got=$(ask "$1" "$2") || return
  equal "$4" "$(jq -c "$3" <<<"$got")" || { echo "answer: $got"; return 1; }
}

# How many points a collection says it has.
count_is() { answered "$1/.count" '{}' .result.count "$2"; }

# The daemon is built with a sanitizer: memory cannot be measured.
sanitized() { grep -q -E 'lib(asan|tsan)' "/proc/$PID/maps"; }

# As nobody, who has to reach the program too.
as_nobody() { t runuser -u nobody -- "$@"; }

need_root() { [ "$(id -u)" = 0 ] || skip 'needs root'; }
