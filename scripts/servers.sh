# Sourced by e2e.sh, mutants.sh and stack.sh: a Prometheus and a Jaeger on
# 127.0.0.1, with the configuration files that the compose file uses too, and a
# Prometheus for the audited program alone. Everything started
# through start is stopped when the script ends, however it ends.

root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# The addresses are those of dashboards/prometheus.yml and dashboards/jaeger.yml.
app_address=127.0.0.1:8484
prometheus_address=127.0.0.1:9090
jaeger_ui=127.0.0.1:16686
jaeger_otlp=127.0.0.1:4318
jaeger_health=127.0.0.1:13133
subject_address=127.0.0.1:8485
subject_prometheus=127.0.0.1:9091
replicas_prometheus=127.0.0.1:9092
replicas_addresses=(127.0.0.1:8486 127.0.0.1:8487 127.0.0.1:8488 127.0.0.1:8489 127.0.0.1:8490 127.0.0.1:8491)

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
	start_jaeger
	start_prometheus prometheus "$prometheus_address" "$root/dashboards/prometheus.yml"
	prometheus_pid=$started
}

# tools_of finds what the servers are made of.
tools_of() {
	local tools
	tools=$("$root/scripts/tools.sh" prometheus jaeger)
	prometheus_tools=$(sed -n 1p <<<"$tools")
	jaeger_tools=$(sed -n 2p <<<"$tools")
}

start_jaeger() {
	free "$jaeger_ui" "$jaeger_otlp" "$jaeger_health"
	tools_of
	start jaeger "$jaeger_tools/jaeger" --config "$root/dashboards/jaeger.yml"
	jaeger_pid=$started
	await jaeger "$jaeger_pid" "http://$jaeger_ui/"
}

# start_prometheus NAME ADDRESS CONFIG [FEATURES [FLAG...]]
start_prometheus() {
	free "$2"
	tools_of
	start "$1" "$prometheus_tools/prometheus" \
		--config.file="$3" \
		--storage.tsdb.path="$dir/$1-tsdb" \
		--web.listen-address="$2" \
		--enable-feature="${4:-exemplar-storage,created-timestamp-zero-ingestion}" "${@:5}"
	await "$1" "$started" "http://$2/-/ready"
}

# start_subject_prometheus starts one that scrapes the audited program every second:
# the checks look at what was true at each scrape. Nothing else is in it.
start_subject_prometheus() {
	cat >"$dir/subject.yml" <<-END
		global:
		  scrape_interval: 1s
		  scrape_timeout: 900ms
		storage:
		  exemplars:
		    max_exemplars: 100000
		scrape_configs:
		  - job_name: subject
		    scrape_native_histograms: true
		    always_scrape_classic_histograms: true
		    static_configs:
		      - targets: [$subject_address]
	END
	start_prometheus subject-prometheus "$subject_prometheus" "$dir/subject.yml"
	# It takes up its targets some seconds after it is ready.
	local i
	for i in $(seq 150); do
		if curl -fsS "http://$subject_prometheus/api/v1/targets" | grep -q "$subject_address"; then
			return 0
		fi
		sleep 0.2
	done
	echo "the subject's Prometheus has no target" >&2
	return 1
}

# start_replicas_prometheus starts one for three replicas that are scraped and three that
# push by OTLP. Without created-timestamp-zero-ingestion, which writes a 0 before the first
# value of whatever comes by OTLP, gauges too.
start_replicas_prometheus() {
	cat >"$dir/replicas.yml" <<-END
		global:
		  scrape_interval: 1s
		  scrape_timeout: 900ms
		  evaluation_interval: 1s
		rule_files:
		  - $root/dashboards/rules/*.rules.yml
		scrape_configs:
		  - job_name: shop
		    scrape_native_histograms: true
		    always_scrape_classic_histograms: true
		    static_configs:
		      - targets: [${replicas_addresses[0]}, ${replicas_addresses[1]}, ${replicas_addresses[2]}]
	END
	start_prometheus replicas-prometheus "$replicas_prometheus" "$dir/replicas.yml" exemplar-storage --web.enable-otlp-receiver
}

# start_subject runs the audited program NAME, from $dir, with the files of its run
# in $dir/NAME.run. Its service in Jaeger has that name too.
start_subject() {
	free "$subject_address"
	mkdir -p "$dir/$1.run"
	OTEL_EXPORTER_OTLP_ENDPOINT=http://$jaeger_otlp OTEL_SERVICE_NAME=$1 start "$1" "$dir/$1" -listen "$subject_address" \
		-ledger "$dir/$1.run/ledger.json" -log "$dir/$1.run/all.jsonl" -short "$dir/$1.run/short.jsonl"
	subject_pid=$started
	await "$1" "$subject_pid" "http://$subject_address/healthz"
}

# audit NAME compares everything that was reported of a run with its ledger, once that
# is there.
audit() {
	"$dir/audit" -prometheus "http://$subject_prometheus" -jaeger "http://$jaeger_ui" -service "$1" \
		-ledger "$dir/$1.run/ledger.json" -log "$dir/$1.run/all.jsonl" -short "$dir/$1.run/short.jsonl"
}

# end_subject NAME ends the program, whose exit status says that its last spans were
# sent.
end_subject() {
	local code=0
	kill -TERM "$subject_pid" 2>/dev/null || true
	wait "$subject_pid" || code=$?
	test "$code" -eq 0 || { echo "$1 exited with $code:" >&2; tail -n 20 "$dir/$1.log" >&2; return 1; }
}
