#!/usr/bin/env bash
# Runs every command of the runbooks, as somebody does who was woken by an alert.
#
#	LIVE=http://127.0.0.1:8484 PROMETHEUS=http://127.0.0.1:9090 TASK=failing scripts/runbooks.sh
#
# It needs curl, promtool, and a stack that runs: the demo must have the task, which
# fails. Each command must end well and, where it asks the live page or for something that
# is there, say something.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."
: "${LIVE:?}" "${PROMETHEUS:?}" "${TASK:?}"
export LIVE PROMETHEUS TASK

# commands prints what stands in a page's blocks of sh.
commands() { awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on' "$1"; }

failed=0 run=0 spoke=0
for page in dashboards/runbooks/Taskvisor*.md; do
	own=0
	while IFS= read -r command; do
		own=$((own + 1))
		if ! said=$(timeout 30 bash -euo pipefail -c "$command" 2>&1); then
			printf 'FAIL  %s: %s\n%s\n' "$page" "$command" "$said" >&2
			failed=$((failed + 1))
		elif test -z "$said" && [[ $command == curl* ]]; then
			printf 'FAIL  %s: %s\nsays nothing\n' "$page" "$command" >&2
			failed=$((failed + 1))
		elif test -n "$said"; then
			spoke=$((spoke + 1))
		fi
		run=$((run + 1))
	done < <(commands "$page")
	test "$own" -gt 0 || { echo "FAIL  $page has no command" >&2; failed=$((failed + 1)); }
done
# Some ask for what is not wrong with the demo; most find something.
test "$spoke" -ge 25 || { echo "FAIL  only $spoke of $run commands found something" >&2; failed=$((failed + 1)); }
test "$failed" -eq 0
echo "ok    the $run commands of the runbooks, of which $spoke found something"
