package main

import (
	"testing"

	"github.com/taskvisor/taskvisor-go/examples/internal/readme"
)

// The log is written by a worker of its own, so that its lines and the program's come
// in no settled order.
func TestReadme(t *testing.T) { readme.CheckLines(t, readme.Output(t, main)) }
