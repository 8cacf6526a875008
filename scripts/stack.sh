#!/usr/bin/env bash
# The demo with its Prometheus and Jaeger, without containers, until Ctrl-C:
#
#	scripts/stack.sh [uptime's arguments]
#
# Everything listens on 127.0.0.1. Prometheus and Jaeger are built on first use;
# see tools.sh. There is no Grafana: the compose file has one.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/servers.sh"

dir=$(mktemp -d "${TMPDIR:-/tmp}/taskvisor-stack-XXXXXX")

finish() {
	local code=$?
	trap - EXIT
	stop_all
	rm -rf "$dir"
	exit "$code"
}
trap finish EXIT
trap 'exit 0' INT TERM

free "$app_address"
(cd "$root/examples" && go build -o "$dir/" ./uptime)
start_servers
cat <<URLS
status page  http://$app_address/
metrics      http://$app_address/metrics
Prometheus   http://$prometheus_address/
alerts       http://$prometheus_address/alerts
traces       http://$jaeger_ui/search?service=uptime
Ctrl-C ends all of it.
URLS
OTEL_EXPORTER_OTLP_ENDPOINT=http://$jaeger_otlp start uptime "$dir/uptime" "$@"
tail -f "$dir/uptime.log" &
groups+=("$!") # last: it shows how the program ends
wait "$started"
