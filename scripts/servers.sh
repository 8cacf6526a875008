# Sourced by e2e.sh and stack.sh: a Prometheus and a Jaeger on 127.0.0.1, with
# the configuration files that the compose file uses too. Everything started
# through start is stopped when the script ends, however it ends.

root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The addresses are those of dashboards/prometheus.yml and dashboards/jaeger.yml.
app_address=127.0.0.1:8484
prometheus_address=127.0.0.1:9090
jaeger_ui=127.0.0.1:16686
jaeger_otlp=127.0.0.1:4318
jaeger_health=127.0.0.1:13133

# With job control each background command leads a process group of its own: a
# Ctrl-C reaches this script alone, which then ends the groups in order.
set -m

groups=()

# start NAME COMMAND... runs a command in the background, its output in
# $dir/NAME.log, and sets $started to its process id.
start() {
	local name=$1
	shift
	: >"$dir/$name.log"
	"$@" >"$dir/$name.log" 2>&1 </dev/null &
	started=$!
	groups=("$started" "${groups[@]}")
}

# stop_all ends what was started, the last first: a polite signal, twenty seconds,
# then a hard one.
stop_all() {
	local pid i
	for pid in "${groups[@]}"; do
		kill -TERM -- "-$pid" 2>/dev/null || continue
		for i in $(seq 200); do
			kill -0 -- "-$pid" 2>/dev/null || break
			sleep 0.1
		done
		kill -KILL -- "-$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	groups=()
}

# await NAME PID URL waits until URL answers, at most 60 s, or PID is gone.
await() {
	local name=$1 pid=$2 url=$3 i
	for i in $(seq 300); do
		kill -0 "$pid" 2>/dev/null || { echo "$name ended at once:" >&2; tail -n 20 "$dir/$name.log" >&2; return 1; }
		if curl -fsS -o /dev/null --max-time 2 "$url" 2>/dev/null; then
			return 0
		fi
		sleep 0.2
	done
	echo "$name did not answer at $url:" >&2
	tail -n 20 "$dir/$name.log" >&2
	return 1
}

# free ADDRESS... fails if something listens there already: the checks would
# talk to a stranger.
free() {
	local address
	for address; do
		if (exec 3<>"/dev/tcp/${address%:*}/${address##*:}") 2>/dev/null; then
			echo "something else listens on $address" >&2
			return 1
		fi
	done
}

# start_servers brings both up, building them if that was never done.
start_servers() {
	local tools
	free "$prometheus_address" "$jaeger_ui" "$jaeger_otlp" "$jaeger_health"
	tools=$("$root/scripts/tools.sh" prometheus jaeger)
	prometheus_tools=$(sed -n 1p <<<"$tools")
	jaeger_tools=$(sed -n 2p <<<"$tools")
	start jaeger "$jaeger_tools/jaeger" --config "$root/dashboards/jaeger.yml"
	jaeger_pid=$started
	start prometheus "$prometheus_tools/prometheus" \
		--config.file="$root/dashboards/prometheus.yml" \
		--storage.tsdb.path="$dir/tsdb" \
		--web.listen-address="$prometheus_address" \
		--enable-feature=exemplar-storage,created-timestamp-zero-ingestion
	prometheus_pid=$started
	await jaeger "$jaeger_pid" "http://$jaeger_ui/"
	await prometheus "$prometheus_pid" "http://$prometheus_address/-/ready"
}
