module github.com/taskvisor/taskvisor-go/examples/migrating

go 1.25.0

require (
	github.com/cenkalti/backoff/v5 v5.0.3
	github.com/go-co-op/gocron/v2 v2.21.2
	github.com/oklog/run v1.2.0
	github.com/robfig/cron/v3 v3.0.1
	github.com/taskvisor/taskvisor-go v0.1.0
	github.com/thejerf/suture/v4 v4.0.6
	golang.org/x/sync v0.21.0
)

require (
	github.com/google/uuid v1.6.0 // indirect
	github.com/jonboulle/clockwork v0.5.0 // indirect
)

replace github.com/taskvisor/taskvisor-go => ../..
