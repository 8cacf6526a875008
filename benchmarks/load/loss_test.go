package load_test

import (
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/benchmarks/load"
)

func TestEveryEventIsAccountedFor(t *testing.T) {
	for _, c := range []load.Case{
		{Subscribers: 4},
		{Subscribers: 4, Work: 20 * time.Microsecond, Capacity: 16},
		{Subscribers: 1, Work: 20 * time.Microsecond, Rate: 100_000},
	} {
		l, err := load.Run(c, 10*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if !l.Exact || l.Published == 0 {
			t.Errorf("%+v: %+v", c, l)
		}
	}
}
