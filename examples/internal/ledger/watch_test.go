package ledger

import (
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// TestLongest: where more threads are busy than there are processors, each waits its turn,
// and what was told once is not told again.
func TestLongest(t *testing.T) {
	if _, err := os.Stat("/proc/self/task"); err != nil {
		t.Skip("the system does not tell")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8 * runtime.NumCPU()))
	var end atomic.Bool
	for range 8 * runtime.NumCPU() {
		go func() {
			for !end.Load() {
				runtime.KeepAlive(t)
			}
		}()
	}
	waited := map[string]time.Duration{}
	for range 2 { // threads are made meanwhile
		time.Sleep(100 * time.Millisecond)
		longest(waited)
	}
	time.Sleep(300 * time.Millisecond)
	busy := longest(waited)
	end.Store(true)
	again := busy
	for range 20 { // others may keep the machine busy
		again = min(again, longest(waited))
	}
	if busy < 20*time.Millisecond || again > busy/2 {
		t.Errorf("%s while all are busy, %s at once behind it", busy, again)
	}
}
