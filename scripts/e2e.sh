#!/usr/bin/env bash
# The end-to-end run: a real Prometheus and a real Jaeger watch examples/uptime
# probe its own bad endpoints, and are then asked what they saw.
#
#	scripts/e2e.sh [seconds]
#
# The run takes the given time (75 s by default) and half a minute of checks. It
# needs go and curl, and the ports named in servers.sh; it listens on 127.0.0.1
# only. Logs are kept when it fails. E2E_AFTER, a command, is run before the
# servers are stopped, for checks that need their data.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/servers.sh"

seconds=${1:-75}
dir=$(mktemp -d "${TMPDIR:-/tmp}/taskvisor-e2e-XXXXXX")

finish() {
	local code=$?
	trap - EXIT
	stop_all
	if test "$code" -eq 0; then
		rm -rf "$dir"
	else
		echo "e2e: FAILED (exit $code); the logs are in $dir" >&2
	fi
	exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

free "$app_address"
(cd "$root/examples" && go build -o "$dir/" ./uptime ./internal/e2e)
start_servers

began=$SECONDS

# -linger: the program serves its final values until they are scraped and this
# script ends it.
OTEL_EXPORTER_OTLP_ENDPOINT=http://$jaeger_otlp start uptime "$dir/uptime" \
	-for "${seconds}s" -linger 10m -concurrent 32 -log json -summary "$dir/summary.json"
uptime_pid=$started
await uptime "$uptime_pid" "http://$app_address/healthz"

"$dir/e2e" \
	-app "http://$app_address" -prometheus "http://$prometheus_address" -jaeger "http://$jaeger_ui" \
	-log "$dir/uptime.log" -summary "$dir/summary.json" \
	-promtool "$prometheus_tools/promtool" -run "$((seconds + 60))s"

# Every question of the boards, the rules and the alerts must have an answer.
(cd "$root/dashboards" && go run ./cmd/boardcheck \
	-prometheus "http://$prometheus_address" -range "$((SECONDS - began + 15))s") >"$dir/boardcheck.log" || {
	cat "$dir/boardcheck.log" >&2
	exit 1
}
echo "ok    the boards' $(tail -n 1 "$dir/boardcheck.log")"

if test -n "${E2E_AFTER:-}"; then
	(cd "$root" && bash -c "$E2E_AFTER")
fi

# A signal ends the lingering; the exit status says that the shutdown was clean
# and the last spans were sent.
kill -TERM "$uptime_pid"
code=0
wait "$uptime_pid" || code=$?
test "$code" -eq 0 || { echo "e2e: uptime exited with $code" >&2; exit 1; }
echo "ok    uptime exits with 0"
