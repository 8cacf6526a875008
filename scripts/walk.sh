#!/usr/bin/env bash
# How much of the core a reader has to walk through: functions run and the files that
# they stand in, by coverage counters, for three ways without a subscriber, and the
# core's size.
#
#	scripts/walk.sh [-v]    -v names the functions
set -Eeuo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
pkgs=$(go list ./taskvisor ./taskvisor/internal/... | grep -v /bubbled | paste -sd,)
go build -cover -covermode=atomic -coverpkg="$pkgs,./scripts/walk" -o "$dir/walk" ./scripts/walk
GOCOVERDIR="$dir" "$dir/walk" "$dir"
for way in "$dir"/[0-9]*/; do
	go tool covdata func -i="$way" | awk -v way="$(basename "$way")" -v verbose="${1:-}" '
		$1 != "total" && $1 !~ /scripts\/walk/ && $NF != "0.0%" { n++; split($1, at, ":"); if (!(at[1] in seen)) { seen[at[1]]; files++ }
			if (verbose != "") { sub(".*/taskvisor/", "", at[1]); print "  " at[1], $2 } }
		END { printf "%-20s %3d functions, %2d files\n", way, n, files }'
done
sources=$(find taskvisor -name '*.go' ! -name '*_test.go' ! -path '*/taskvisortest/*' ! -path '*/bubbled/*')
cat $sources | awk -v files="$(wc -w <<<"$sources")" '
	{ lines++ }
	/^[ \t]*\/\// { comments++; next }
	/\/\/ / { comments += 0.5 } # beside code
	/\.(R?Lock)\(\)/ { locks++ }
	/^[ \t]*go / { starts++ }
	/^[ \t]*background\(/ { starts++ }
	/^$/ { blank++ }
	END { printf "%d lines in %d files, %d Lock sites, %d goroutine starts, comments %.0f %% of what is not blank\n",
		lines, files, locks, starts, 100 * comments / (lines - blank) }'
wc -l $sources | sort -rn | awk '$2 != "total" && $1 > 400 { print "over 400 lines:", $2, $1 }'
