package main

import (
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/lease/internal/driver/drivertest"
)

// Replicas and engines are this binary.
func TestMain(m *testing.M) { drivertest.Main(m, main) }

func TestDriver(t *testing.T) { drivertest.Run(t, program, 2*time.Second) }
