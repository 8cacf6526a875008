#!/usr/bin/env bash
# Whether the audit of the end-to-end run notices what it is there for: deliberate
# faults of the core and of each subscriber, one at a time, in the program that it
# audits.
#
#	scripts/mutants.sh [NAME ...]
#
# The faults are those of examples/internal/e2e/mutants/table.go, applied to copies of
# the files. Each costs half a minute and the build. It needs what e2e.sh needs. The
# audit must pass without a fault, and with each the check that the table names must
# fail.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/servers.sh"

dir=$(mktemp -d "${TMPDIR:-/tmp}/taskvisor-mutants-XXXXXX")

finish() {
	local code=$?
	trap - EXIT
	stop_all
	if test "$code" -eq 0; then
		rm -rf "$dir"
	else
		echo "mutants: FAILED (exit $code); the logs are in $dir" >&2
	fi
	exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

free "$subject_address"
(cd "$root/examples" && go build -o "$dir/" ./internal/e2e/audit ./internal/e2e/mutants ./internal/e2e/subject)
names=("$@")
test $# -gt 0 || mapfile -t names < <("$dir/mutants" -list)
for name in "${names[@]}"; do
	"$dir/mutants" -root "$root" -build "$name" -out "$dir/$name"
done
start_jaeger
start_subject_prometheus

start_subject subject
audit subject >"$dir/subject.audit" 2>&1 || { cat "$dir/subject.audit"; echo 'mutants: the audit fails without a fault' >&2; exit 1; }
end_subject subject
echo "ok    without a fault: $(tail -n 1 "$dir/subject.audit")"

survived=0
for name in "${names[@]}"; do
	start_subject "$name"
	says=$("$dir/mutants" -says "$name")
	code=0
	audit "$name" >"$dir/$name.audit" 2>&1 || code=$?
	end_subject "$name"
	by=$("$dir/mutants" -by "$name")
	if test "$code" -ne 0 && grep -qF "FAIL  $by (" "$dir/$name.audit"; then
		echo "ok    $name: that $says is noticed by $(grep -c '^FAIL' "$dir/$name.audit"), among them \"$by\""
	else
		echo "FAIL  $name: that $says is not noticed by \"$by\" (the audit's exit status is $code)"
		grep '^FAIL' "$dir/$name.audit" | cut -c 1-240 || true
		survived=$((survived + 1))
	fi
done
test "$survived" -eq 0
