module github.com/taskvisor/taskvisor-go/benchmarks

go 1.25.0

require (
	cirello.io/oversight/v2 v2.0.0
	github.com/cenkalti/backoff/v5 v5.0.3
	github.com/failsafe-go/failsafe-go v0.9.8
	github.com/oklog/run v1.2.0
	github.com/prometheus/client_golang v1.24.0
	github.com/prometheus/client_model v0.6.2
	github.com/sourcegraph/conc v0.3.0
	github.com/taskvisor/taskvisor-go v0.1.0
	github.com/taskvisor/taskvisor-go/subscribers/otel v0.1.0
	github.com/taskvisor/taskvisor-go/subscribers/prom v0.1.0
	github.com/thejerf/suture/v4 v4.0.6
	go.opentelemetry.io/otel v1.45.0
	go.opentelemetry.io/otel/sdk v1.45.0
	go.opentelemetry.io/otel/trace v1.45.0
	golang.org/x/sync v0.21.0
)

require (
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/bits-and-blooms/bitset v1.24.4 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/go-logr/logr v1.4.4 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/prometheus/common v0.70.0 // indirect
	github.com/prometheus/procfs v0.21.1 // indirect
	go.opentelemetry.io/auto/sdk v1.2.1 // indirect
	go.opentelemetry.io/otel/metric v1.45.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	google.golang.org/protobuf v1.36.11 // indirect
)

replace (
	github.com/taskvisor/taskvisor-go => ../
	github.com/taskvisor/taskvisor-go/subscribers/otel => ../subscribers/otel
	github.com/taskvisor/taskvisor-go/subscribers/prom => ../subscribers/prom
)
