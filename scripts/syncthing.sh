#!/bin/sh
# Runs the tests of a large program that uses suture, syncthing, twice: as it is, and with
# compat/suture in suture's place. Prints how many passed each time, and ends with an error
# if any test's result differs. Needs the module proxy, and some five minutes of two cores.
#
#	scripts/syncthing.sh [VERSION]
#
# Both run with our go line and the same flags: without vet's checks, which a newer go line
# makes stricter than the program is, without its generated web assets, which the module
# has not, and without QUIC, whose library panics with Go 1.26 and whose one test fails
# therefore.
set -eu
version=${1:-v1.30.0}
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
export GOWORK=off GOFLAGS=-mod=mod

source=$(cd "$work" && go mod download -json "github.com/syncthing/syncthing@$version" | sed -n 's/^.*"Dir": "\(.*\)".*$/\1/p')
for which in suture taskvisor; do
	cp -r "$source" "$work/$which"
	chmod -R u+w "$work/$which"
	cd "$work/$which"
	go mod edit -go=1.25.0
	if [ $which = taskvisor ]; then
		go mod edit -replace "github.com/thejerf/suture/v4=$root/compat/suture" -replace "github.com/taskvisor/taskvisor-go=$root"
	fi
	grep -rl --include='*.go' thejerf/suture . | xargs -n1 dirname | sort -u | while read -r dir; do
		go test -v -count=1 -p 1 -vet=off -tags noassets,noquic "$dir" 2>&1 |
			sed -n "s~^ *--- \(PASS\|FAIL\|SKIP\): \([^ ]*\) .*~$dir \2 \1~p; s~^FAIL	.*~$dir FAIL~p"
	done | sort >"$work/$which.txt"
	echo "$which: $(grep -c PASS "$work/$which.txt") passed, $(grep -c SKIP "$work/$which.txt" || true) skipped, $(grep -c FAIL "$work/$which.txt" || true) failed, with $(go list -m github.com/thejerf/suture/v4)"
done
diff "$work/suture.txt" "$work/taskvisor.txt"
