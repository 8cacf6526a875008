module github.com/taskvisor/taskvisor-go/benchmarks/dskit

go 1.25.8

require (
	github.com/grafana/dskit v0.0.0-20260703122047-de1ec7541c44
	github.com/taskvisor/taskvisor-go/benchmarks v0.1.0
)

require (
	github.com/bits-and-blooms/bitset v1.24.4 // indirect
	github.com/cenkalti/backoff/v5 v5.0.3 // indirect
	github.com/failsafe-go/failsafe-go v0.9.8 // indirect
	github.com/oklog/run v1.2.0 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	github.com/sourcegraph/conc v0.3.0 // indirect
	github.com/taskvisor/taskvisor-go v0.1.0 // indirect
	github.com/thejerf/suture/v4 v4.0.6 // indirect
	go.uber.org/atomic v1.11.0 // indirect
	golang.org/x/sync v0.21.0 // indirect
)

replace (
	github.com/taskvisor/taskvisor-go => ../../
	github.com/taskvisor/taskvisor-go/benchmarks => ../
	github.com/taskvisor/taskvisor-go/subscribers/otel => ../../subscribers/otel
	github.com/taskvisor/taskvisor-go/subscribers/prom => ../../subscribers/prom
)
