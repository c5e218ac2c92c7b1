# The service in the background, for demo.sh and stop.sh: sourced, in the project's directory.
# Its state, process id and log lie in AMUN_STATE_DIR.
# shellcheck shell=sh

: "${AMUN_STATE_DIR:=$PWD/.amun}" "${AMUN_HOST:=127.0.0.1}" "${AMUN_PORT:=8080}"
export AMUN_STATE_DIR AMUN_HOST AMUN_PORT
case $AMUN_HOST in
    0.0.0.0 | ::) url="http://127.0.0.1:$AMUN_PORT" ;;
    *:*) url="http://[$AMUN_HOST]:$AMUN_PORT" ;;
    *) url="http://$AMUN_HOST:$AMUN_PORT" ;;
esac
log="$AMUN_STATE_DIR/service.log"
pid_file="$AMUN_STATE_DIR/service.pid"

# Prints the process id of the service of this state directory, if it runs. A number that another process got since
# is told by its command line.
service_pid() {
    pid=$(cat "$pid_file" 2>/dev/null) || return 1
    { tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q 'amun serve'; } 2>/dev/null || return 1
    echo "$pid"
}

# Succeeds if the service can work; prints what it answers, or why it does not.
ready() {
    .venv/bin/python - "$url/readiness" <<'EOF'
import sys, urllib.error, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    print(opener.open(sys.argv[1], timeout=10).read().decode())
except urllib.error.HTTPError as error:
    sys.exit(print(error.read().decode()) or 1)
except OSError as error:
    sys.exit(print(error) or 1)
EOF
}

start_service() {
    if service_pid >/dev/null; then return; fi
    mkdir -p "$AMUN_STATE_DIR"
    echo "Starting the service on $url …"
    setsid nohup .venv/bin/amun serve >"$log" 2>&1 </dev/null &
    echo $! >"$pid_file"
}

wait_until_ready() {
    deadline=$(($(date +%s) + 90))
    sleep 0.5
    until answer=$(ready); do
        if ! service_pid >/dev/null || [ "$(date +%s)" -gt $deadline ]; then
            echo "The service is not ready: $answer" >&2
            echo "The end of $log:" >&2
            tail -n 20 "$log" >&2
            exit 1
        fi
        sleep 0.3
    done
    # Somebody else's service may answer on the same port.
    service_pid >/dev/null || { echo "Port $AMUN_PORT is taken by another program; set AMUN_PORT." >&2; exit 1; }
}

stop_service() {
    pid=$(service_pid) || { rm -f "$pid_file"; return 0; }
    kill -TERM "$pid" 2>/dev/null || true
    tries=0
    while service_pid >/dev/null; do
        tries=$((tries + 1))
        if [ $tries -gt 60 ]; then kill -KILL "-$pid" 2>/dev/null || true; fi
        sleep 0.5
    done
    rm -f "$pid_file"
}
