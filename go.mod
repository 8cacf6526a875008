module github.com/taskvisor/taskvisor-go

go 1.25.0
