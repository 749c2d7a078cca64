# The keeper of one process and of the folder it lives in: see keeper.rs.
# Arguments: the folder to remove at the end, or nothing; the file that takes the process's output; the signal that ends it.
folder=$1 log=$2 last=$3
# Caught, not ignored: what is ignored here would be ignored by the process too.
trap : HUP INT TERM
pid= status=

# Says whether the process has ended, and keeps its status: the shell gives it once only.
gone() {
  [ -n "$pid" ] || return 0
  (:) # Waiting for any child makes the shell notice those that ended; until then they are still there for kill.
  if kill -0 "$pid" 2>/dev/null; then return 1; fi
  wait "$pid" 2>/dev/null
  status=$? pid=
}

finish() {
  tries=0
  until gone; do
    tries=$((tries + 1))
    if [ "$tries" -gt 160 ]; then last=KILL; fi
    if [ "$tries" -gt 260 ]; then break; fi
    # Again and again: a process that is just starting doesn't listen yet.
    kill -s "$last" "$pid" 2>/dev/null
    sleep 0.05
  done
  if [ -n "$folder" ]; then cd / && rm -rf "$folder"; fi
  exit 0
}

lives() { [ -d "/proc/$1" ] || kill -0 "$1" 2>/dev/null; }

while read -r verb argument; do
  case $verb in
    start)
      eval "set -- $argument"
      "$@" </dev/null >>"$log" 2>&1 &
      pid=$!
      echo "started $pid"
      ;;
    signal) if gone; then echo gone; else kill -s "$argument" "$pid"; echo sent; fi ;;
    check) if gone; then echo "ended $status"; else echo running; fi ;;
    follow)
      echo following
      while lives "$argument"; do sleep 0.3; done
      break
      ;;
    leave) echo left; exit 0 ;;
  esac
done
finish
