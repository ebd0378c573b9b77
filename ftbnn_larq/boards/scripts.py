"""Shell scripts that run on a board: POSIX, and what toybox and old busybox have."""

# The guard: a script that runs on the board as long as the session. Its standard input ends when this process or the
# connection ends, even by kill -9. It then kills what the session runs and removes its folder.
GUARD = r"""
trap '' INT HUP TERM
umask 077
work=
for base in "$TMPDIR" /data/local/tmp "$HOME" /tmp; do
  [ -n "$base" ] && [ -d "$base" ] && [ -w "$base" ] || continue
  store=$base/.ftbnn-larq
  # In a folder that users share it may be another's.
  [ -d "$store" ] && ! [ -w "$store" ] && continue
  mkdir -p "$store" && work=$(mktemp -d "$store/run.XXXXXX")
  break
done
[ "$work" ] || exit 1
printf '\nguard: %s\n' "$work"
# KILL, because children inherit the signals that are ignored here. Old busybox takes the seconds as -t.
for within in 'timeout -s KILL' 'timeout -s KILL -t' ''; do
  [ "$within" ] && $within 9 true 2>/dev/null && break
done
if [ "$within" ]; then
  while [ -n "$($within "$1" head -n 1)" ]; do :; done
else
  cat >/dev/null
fi
for pid in "$work"/*.pid; do
  [ -f "$pid" ] && for each in "-$(cat "$pid")" "$(cat "$pid")"; do kill -9 "$each" 2>/dev/null; done
done
# A folder elsewhere that is not complete, named by who makes it.
if [ -f "$work/aside" ]; then
  aside=$(cat "$work/aside")
  # On a full disk the name may be cut off, and would be that of another folder.
  case $aside in
    */.version.*) rm -rf "$aside"; rmdir "${aside%/*}" 2>/dev/null ;;
  esac
fi
rm -rf "$work"
rmdir "$store" 2>/dev/null
exit 0
"""
# Run in a process group of its own, so that the guard can kill the children too. A shell gives what it runs in the
# background no standard input, unless it has another number.
RUN = r"""
cd "$1" && shift || exit 126
own=; command -v setsid >/dev/null && own=setsid
exec 3<&0
$own "$@" <&3 3<&- &
pid=$!
echo $pid >"$pid.pid"
wait $pid
status=$?
rm -f "$pid.pid"
exit $status
"""
# A login shell may print lines, or a part of one, before the script does. What stands behind this is the script's.
BEGIN = b"\nguard: begin\n"
# A client may exit with 0 although its connection broke, so the script itself reports its exit status.
REPORTING_STATUS = """printf '\\nguard: begin\\n'
(
{}
)
status=$?
printf '\\nguard: %s\\n' "$status" >&2
exit $status
"""
SEND = r"""
cd "$1" && cat >part || exit 1
[ "$(sha256sum <part | cut -c 1-64)" = "$2" ] || { echo "it arrived damaged" >&2; exit 1; }
chmod 700 part && mv -f part "$3"
"""
HAS = r"""cd "$1" && [ -f "$3" ] && [ "$(sha256sum <"$3" | cut -c 1-64)" = "$2" ]"""
