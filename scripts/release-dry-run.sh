#!/usr/bin/env bash
# Releases what is committed to a proxy of this machine, and uses it as others would:
#
#	scripts/release-dry-run.sh [version]
#
# In a clone it sets the tags of a release, one for each module that users import. From
# the tags it makes a module proxy of files, and builds a consumer of each module
# against that: outside of the repository, hence without go.work and without the
# replace lines. What only these hold together fails here and not at a user. Without a
# version it takes the one that the nested modules require. Nothing is pushed, tagged or
# left behind. It needs go and git; modules of others come from the module cache, or from
# the proxy that go is set to use.
set -Eeuo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

root=github.com/taskvisor/taskvisor-go
private='examples examples/* benchmarks benchmarks/* dashboards dashboards/* lease/kubernetes/internal/*' # that nobody imports

dir=$(mktemp -d "${TMPDIR:-/tmp}/taskvisor-release-XXXXXX")
trap 'code=$?; chmod -R u+w "$dir"; rm -rf "$dir"; exit $code' EXIT

die() { echo "release: $*" >&2; exit 1; }

# is_private DIR reports whether the module in DIR is none of a release.
is_private() {
	local pattern
	for pattern in $private; do
		# shellcheck disable=SC2053 # a pattern is meant
		[[ $1 == $pattern ]] && return 0
	done
	return 1
}

git clone --quiet --shared . "$dir/src"
cd "$dir/src"
mapfile -t everywhere < <(git ls-files -- go.mod '*/go.mod' | xargs -n1 dirname)
modules=()
for module in "${everywhere[@]}"; do
	is_private "$module" || modules+=("$module")
done

# required DIR prints the versions of our own modules that the module in DIR requires.
required() { (cd "$1" && GOWORK=off go list -m -f '{{if not .Main}}{{.Path}} {{.Version}}{{end}}' all) | awk -v root="$root" 'index($1, root) == 1'; }

version=${1:-}
for module in "${modules[@]}"; do
	while read -r path has; do
		version=${version:-$has}
		test "$has" = "$version" || die "$module/go.mod requires $path $has, not $version"
	done < <(required "$module")
done
[[ $version == v[0-9]*.[0-9]*.[0-9]* ]] || die "no version: give one, such as v0.1.0"
while IFS=: read -r file line says; do
	test "v$says" = "$version" || die "$file:$line: Version is $says, not ${version#v}"
done < <(git grep -n -E '^\s+Version = "' -- '*.go' | sed -E 's/^([^:]+):([0-9]+):.*"(.*)".*/\1:\2:\3/')

# escaped PATH is PATH as proxies have it: an upper-case letter is ! and the lower one.
escaped() { sed 's/[A-Z]/!\L&/g' <<<"$1"; }

# publish DIR tags the module in DIR and puts the tag's files into the proxy, those of
# the modules below it left out, as a proxy does.
publish() {
	local module=$1 path=$root tag=$version below='' at other exclude=()
	if test "$module" != .; then
		path=$root/$module
		tag=$module/$version
		below=$module/
	fi
	git tag "$tag"
	for other in "${everywhere[@]}"; do
		if test "$other" != "$module" && { test "$module" = . || [[ $other == "$module"/* ]]; }; then
			exclude+=(":(exclude)${other#"$module"/}")
		fi
	done
	at=$dir/proxy/$(escaped "$path")/@v
	mkdir -p "$at"
	git archive --format=zip --prefix="$path@$version/" -o "$at/$version.zip" "$tag:${module#.}" -- . "${exclude[@]}"
	git show "$tag:${below}go.mod" >"$at/$version.mod"
	printf '{"Version":"%s","Time":"%s"}\n' "$version" "$(git log -1 --format=%cd --date=format:%Y-%m-%dT%H:%M:%SZ "$tag")" >"$at/$version.info"
	echo "$version" >"$at/list"
	echo "tagged   $tag"
}

for module in "${modules[@]}"; do
	publish "$module"
done

cache=$(go env GOMODCACHE)
export GOPROXY="file://$dir/proxy,file://$cache/cache/download,$(go env GOPROXY)"
export GOMODCACHE=$dir/modcache GONOSUMDB="$root,$root/*" GOFLAGS=-mod=mod GOWORK=off GONOSUMCHECK=1

# consume DIR builds every package of the module in DIR from a module of somebody else,
# and vets what it comes with.
consume() {
	local module=$1 path=$root
	test "$module" = . || path=$root/$module
	mkdir -p "$dir/consumer/$module"
	cd "$dir/consumer/$module"
	go mod init example.com/consumer 2>/dev/null
	go get "$path@$version" 2>/dev/null || go get "$path@$version"
	go list -f '{{if ne .Name "main"}}{{.ImportPath}}{{end}}' "$path/..." | grep -v -e '^$' -e '/internal/' | awk 'BEGIN { print "package consumer\n\nimport (" } { print "\t_ \"" $1 "\"" } END { print ")" }' >imports.go
	go mod tidy 2>/dev/null || go mod tidy
	go build ./...
	go list -m -f '{{if .Replace}}{{.Path}}{{end}}' all | grep . && die "$path is replaced"
	go list -m -f '{{.Path}} {{.Version}}' all | awk -v root="$root" -v version="$version" 'index($1, root) == 1 && $2 != version { print "release: " $1 " comes as " $2 > "/dev/stderr"; exit 1 }'
	echo "consumed $path@$version: $(go list -m all | wc -l) modules in the build list"
}

for module in "${modules[@]}"; do
	(consume "$module")
done

# The promise: who takes the core has one more module than before.
test "$(cd "$dir/consumer" && go list -m all | wc -l)" -eq 2 || die "the core brings other modules along"

# And it runs, as a program of somebody else.
cd "$dir/consumer"
mkdir -p run
cat >run/main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func main() {
	sup, err := taskvisor.New(taskvisor.WithSubscriber(taskvisor.Discard))
	if err != nil {
		panic(err)
	}
	tries := 0
	err = sup.Run(context.Background(), taskvisor.Restartable("job", func(context.Context) error {
		if tries++; tries < 3 {
			return errors.New("not yet")
		}
		return nil
	}, taskvisor.ConstantBackoff(time.Millisecond)))
	fmt.Println(tries, err)
}
GO
test "$(go run ./run)" = '3 <nil>' || die "the program does not do what it should"

# So do programs that use what the drop-ins stand in for, by one line of go.mod each.
mkdir "$dir/consumer/dropin"
cd "$dir/consumer/dropin"
go mod init example.com/dropin 2>/dev/null
go mod edit -require=github.com/thejerf/suture/v4@v4.0.6 -require=github.com/oklog/run@v1.2.0 \
	-replace="github.com/thejerf/suture/v4=$root/compat/suture@$version" -replace="github.com/oklog/run=$root/compat/run@$version"
cat >main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/oklog/run"
	"github.com/thejerf/suture/v4"
)

type service struct{ calls int }

func (s *service) Serve(context.Context) error {
	if s.calls++; s.calls < 3 {
		return errors.New("not yet")
	}
	return suture.ErrTerminateSupervisorTree
}

func main() {
	sup, s := suture.New("app", suture.Spec{EventHook: func(suture.Event) {}}), &service{}
	sup.Add(s)
	var g run.Group
	g.Add(func() error { return sup.Serve(context.Background()) }, func(error) {})
	err := g.Run()
	fmt.Println(s.calls, errors.Is(err, suture.ErrTerminateSupervisorTree))
}
GO
go mod tidy 2>/dev/null || go mod tidy
test "$(go run .)" = '3 true' || die "a drop-in does not do what it should"
echo "release: $version of ${#modules[@]} modules can be used from outside"
