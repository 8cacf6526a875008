package main

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/lease/internal/driver"
	"github.com/taskvisor/taskvisor-go/lease/kubernetes/internal/server"
)

// Replicas are this binary.
func TestMain(m *testing.M) {
	if driver.Child() {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestDriver(t *testing.T) {
	const ttl = 4 * time.Second
	if testing.Short() {
		t.Skip("it takes two minutes")
	}
	for _, f := range driver.Faults {
		t.Run(f.Name, func(t *testing.T) {
			measured, err := program.Prove(context.Background(), f, ttl, os.Stderr)
			if errors.Is(err, driver.ErrNeed) || errors.Is(err, server.ErrNone) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", measured)
		})
	}
}
