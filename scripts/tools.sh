#!/usr/bin/env bash
# Builds the tools that checks need and prints the directory of each:
#
#	scripts/tools.sh golangci-lint|prometheus|jaeger|kube-apiserver ...
#
# They come from the Go module proxy, at fixed versions, and land outside of the
# repository, in ${XDG_CACHE_HOME:-$HOME/.cache}/taskvisor-tools/NAME-VERSION.
# What is there is not built again. On two cores golangci-lint takes about
# 4 minutes, prometheus (with promtool) 5, jaeger 7 to 12, kube-apiserver (with
# etcd, from a module of this repository) 5 to 10.
set -euo pipefail

root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/taskvisor-tools
mkdir -p "$cache"

# Their go.mod files are not ours: neither our workspace nor our flags apply.
export GOWORK=off GOFLAGS=

work=
trap 'test -z "$work" || { chmod -R u+w "$work" && rm -rf "$work"; }' EXIT

# source_of MODULE@VERSION downloads a module and prints its directory.
source_of() {
	go mod download -json "$1" | sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p'
}

# from_module OUT MODULE@VERSION FLAGS... -- PACKAGES... builds commands inside a
# copy of the module: with its own replace lines, which go install refuses.
from_module() {
	local out=$1 module=$2 dir
	shift 2
	local flags=()
	while test "$1" != --; do
		flags+=("$1")
		shift
	done
	shift
	dir=$(cd / && source_of "$module")
	test -d "$dir" || { echo "tools: cannot download $module" >&2; return 1; }
	cp -r "$dir" "$work/src"
	chmod -R u+w "$work/src"
	(cd "$work/src" && go build -trimpath "${flags[@]}" -o "$out/" "$@")
	rm -rf "$work/src"
}

build() { # NAME OUT
	case $1 in
	golangci-lint) (cd / && GOBIN=$2 go install -trimpath github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0) ;;
	prometheus) from_module "$2" github.com/prometheus/prometheus@v0.316.0 -tags netgo,remove_all_sd -- ./cmd/prometheus ./cmd/promtool ;;
	jaeger) from_module "$2" github.com/jaegertracing/jaeger@v1.76.0 -- ./cmd/jaeger ;;
	# With go vet's flags, whose compiled packages are then used again.
	kube-apiserver) (cd "$root/lease/kubernetes/internal/apiserver" && go build -ldflags='-s -w' -o "$2/kube-apiserver" .) ;;
	esac
}

# ensure NAME VERSION COMMANDS... builds what is missing. The lock keeps two
# runs from building the same; the move puts all of it in place or nothing.
ensure() {
	local name=$1 target=$cache/$1-$2 command missing=
	shift 2
	exec 9>"$cache/.$name.lock"
	flock 9
	for command; do
		test -x "$target/$command" || missing=1
	done
	if test -n "$missing"; then
		echo "tools: building $name into $target" >&2
		work=$(mktemp -d "$cache/.build-XXXXXX")
		mkdir "$work/out"
		build "$name" "$work/out" >&2
		rm -rf "$target"
		mv "$work/out" "$target"
		rm -rf "$work"
		work=
	fi
	exec 9>&-
	echo "$target"
}

test $# -gt 0 || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
for tool; do
	case $tool in
	golangci-lint) ensure golangci-lint 2.15.0 golangci-lint ;;
	prometheus) ensure prometheus 0.316.0 prometheus promtool ;;
	jaeger) ensure jaeger 1.76.0 jaeger ;;
	kube-apiserver) ensure kube-apiserver 1.34.1 kube-apiserver ;;
	*) echo "tools: unknown tool $tool" >&2; exit 2 ;;
	esac
done
