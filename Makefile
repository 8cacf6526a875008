# Short names for the commands of this repository. Each is one line that can be
# typed as well; .ci/run is what a change has to pass.

.PHONY: help ci format vet test race leaks lint bench bench-peers fuzz soak e2e mutants stack dashboards

help: ## list these targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

ci: ## everything that a change has to pass
	.ci/run

format: ## rewrite all Go files as gofmt wants them
	gofmt -w .

vet: ## go vet in every module
	go vet work

test: ## the tests of every module
	go test work

race: ## the core and the subscribers, twice, under the race detector
	.ci/run race

leaks: ## whether any kind of life leaves a goroutine that nobody can wake
	.ci/run leaks

lint: ## golangci-lint, built on first use
	.ci/run lint

bench: ## the benchmarks of the core, six rounds, for benchstat
	go test -run='^$$' -bench=. -count=6 ./taskvisor

bench-peers: ## us, bare Go and the peers on the same work, 20 minutes
	cd benchmarks && export GOWORK=off && go run ./cmd/bench && (cd dskit && go run .) && go run ./cmd/page

fuzz: ## a million inputs for each fuzz target, an hour
	FUZZ=$${FUZZ:-1000000} .ci/run fuzz

soak: ## five minutes of random faults; SOAK=1h for more
	SOAK=$${SOAK:-5m} .ci/run soak

e2e: ## two programs under a real Prometheus and Jaeger, two minutes; see docs/end-to-end.md
	.ci/run e2e

mutants: ## whether the end-to-end run notices faults of the product, ten minutes
	scripts/mutants.sh

stack: ## the same to look at, until Ctrl-C
	scripts/stack.sh

dashboards: ## write the boards anew from their source
	cd dashboards && go run ./cmd/generate
