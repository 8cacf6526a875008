// Package drivertest is the test of each store's driver.
package drivertest

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/lease/internal/driver"
)

// Main runs the tests, and program where this binary is started as a replica or an engine.
func Main(m *testing.M, program func()) {
	if driver.Child() {
		program()
		return
	}
	os.Exit(m.Run())
}

// Run has package lease suffer every fault, as [driver.Program.Prove] does. Faults for which
// there is no engine here are skipped: driver.ErrNeed says so, and what is given besides.
func Run(t *testing.T, p driver.Program, ttl time.Duration, none ...error) {
	if testing.Short() {
		t.Skip("it takes a minute or two")
	}
	for _, f := range driver.Faults {
		t.Run(f.Name, func(t *testing.T) {
			measured, err := p.Prove(context.Background(), f, ttl, os.Stderr)
			for _, absent := range append(none, driver.ErrNeed) {
				if errors.Is(err, absent) {
					t.Skip(err)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", measured)
		})
	}
}
