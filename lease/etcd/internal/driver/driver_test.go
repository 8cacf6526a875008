package main

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/lease/internal/driver"
)

// Replicas and engines are this binary.
func TestMain(m *testing.M) {
	if driver.Child() {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestDriver(t *testing.T) {
	const ttl = 2 * time.Second
	if testing.Short() {
		t.Skip("it takes a minute")
	}
	for _, f := range driver.Faults {
		t.Run(f.Name, func(t *testing.T) {
			measured, err := program.Prove(context.Background(), f, ttl, os.Stderr)
			if errors.Is(err, driver.ErrNeed) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", measured)
		})
	}
}
