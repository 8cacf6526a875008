#!/usr/bin/env bash
# The end-to-end run: a real Prometheus and a real Jaeger watch two programs and are
# then asked what they saw. What they say of the first, a program of every behaviour
# by a script, is compared with the ledger that its task bodies keep themselves; the
# second is the demo, examples/uptime, which probes bad endpoints of its own. Then three
# replicas of a service are looked at in one Prometheus, scraped and by OTLP.
#
#	scripts/e2e.sh [seconds]
#
# The demo runs for the given time (75 s by default), the first program beside it for
# half a minute; the checks take another half. It needs go and curl, and the ports
# named in servers.sh; it listens on 127.0.0.1 only. mutants.sh shows that the
# comparison notices faults of the product. Logs are kept when it fails. E2E_AFTER, a command, is run before the
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

free "$app_address" "$subject_address" "${replicas_addresses[@]}"
(cd "$root/examples" && go build -o "$dir/" ./uptime ./internal/e2e ./internal/e2e/audit ./internal/e2e/replicas ./internal/e2e/subject)
start_servers
start_subject_prometheus
start_replicas_prometheus

began=$SECONDS

# -linger: the program serves its final values until they are scraped and this
# script ends it.
OTEL_EXPORTER_OTLP_ENDPOINT=http://$jaeger_otlp start uptime "$dir/uptime" \
	-for "${seconds}s" -linger 10m -concurrent 32 -log json -summary "$dir/summary.json"
uptime_pid=$started
await uptime "$uptime_pid" "http://$app_address/readyz"

start_subject subject
audit subject >"$dir/audit.log" 2>&1 &
audit_pid=$!
groups=("$audit_pid" "${groups[@]}")
# Once the audited half minute is over: six processes more would make its times worse.
(
	while kill -0 "$audit_pid" 2>/dev/null; do sleep 0.5; done
	PATH=$prometheus_tools:$PATH LIVE=http://$app_address PROMETHEUS=http://$prometheus_address TASK=failing "$root/scripts/runbooks.sh" || exit 1
	"$dir/replicas" -prometheus "http://$replicas_prometheus" -listen "${replicas_addresses[0]}" -boards "$root/dashboards"
) >"$dir/replicas.log" 2>&1 &
replicas_pid=$!
groups=("$replicas_pid" "${groups[@]}")

failed=0
"$dir/e2e" \
	-app "http://$app_address" -prometheus "http://$prometheus_address" -jaeger "http://$jaeger_ui" \
	-log "$dir/uptime.log" -summary "$dir/summary.json" \
	-promtool "$prometheus_tools/promtool" -run "$((seconds + 60))s" || failed=1
wait "$audit_pid" || failed=1
cat "$dir/audit.log"
wait "$replicas_pid" || failed=1
cat "$dir/replicas.log"
end_subject subject
test "$failed" -eq 0

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
