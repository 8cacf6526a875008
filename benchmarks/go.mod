module github.com/taskvisor/taskvisor-go/benchmarks

go 1.25.0

require (
	cirello.io/oversight/v2 v2.0.0
	github.com/cenkalti/backoff/v5 v5.0.3
	github.com/failsafe-go/failsafe-go v0.9.8
	github.com/oklog/run v1.2.0
	github.com/sourcegraph/conc v0.3.0
	github.com/taskvisor/taskvisor-go v0.1.0
	github.com/thejerf/suture/v4 v4.0.6
	golang.org/x/sync v0.21.0
)

require (
	github.com/bits-and-blooms/bitset v1.24.4 // indirect
	golang.org/x/net v0.56.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	google.golang.org/protobuf v1.36.11 // indirect
)

replace (
	github.com/taskvisor/taskvisor-go => ../
	github.com/taskvisor/taskvisor-go/subscribers/otel => ../subscribers/otel
	github.com/taskvisor/taskvisor-go/subscribers/prom => ../subscribers/prom
)
