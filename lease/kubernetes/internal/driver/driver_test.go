package main

import (
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/lease/internal/driver/drivertest"
	"github.com/taskvisor/taskvisor-go/lease/kubernetes/internal/server"
)

// Replicas are this binary.
func TestMain(m *testing.M) { drivertest.Main(m, main) }

func TestDriver(t *testing.T) { drivertest.Run(t, program, 4*time.Second, server.ErrNone) }
