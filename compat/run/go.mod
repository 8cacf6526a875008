module github.com/taskvisor/taskvisor-go/compat/run

go 1.25.0

require github.com/taskvisor/taskvisor-go v0.1.0

replace github.com/taskvisor/taskvisor-go => ../..
