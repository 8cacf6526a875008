package taskvisor

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
)

// A waiter that is stopped leaves the queue for permits then, not when its turn
// comes: behind a permit that is held for a year nothing piles up.
func TestStoppedWaitersLeaveTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sup, err := New(WithMaxConcurrent(1))
		if err != nil {
			t.Fatal(err)
		}
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		untilStopped := func(ctx context.Context) error { <-ctx.Done(); return nil }
		if _, err := sup.Add(context.Background(), Once("holder", untilStopped)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}} {
			var hs []*Handle
			for i := range 4 {
				h, err := sup.Add(context.Background(), Once(fmt.Sprint(i), untilStopped))
				if err != nil {
					t.Fatal(err)
				}
				hs = append(hs, h)
			}
			if sup.permits.head == nil || sup.permits.head.t != hs[0] || sup.permits.tail.t != hs[3] {
				t.Error("the queue is not first to last")
			}
			for _, i := range order {
				hs[i].Stop()
			}
			if sup.permits.head != nil || sup.permits.tail != nil || sup.permits.contested() {
				t.Errorf("stopped in the order %v: somebody is left", order)
			}
		}
		if n := sup.permits.used(); n != 1 {
			t.Errorf("%d permits in use", n)
		}
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
