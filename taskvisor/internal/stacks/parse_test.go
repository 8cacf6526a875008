package stacks_test

import (
	"context"
	"fmt"
	"maps"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor/internal/stacks"
)

// record is one of a profile's, as the runtime writes it.
func record(count int, labels string, frames ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d @ 0x4a 0x4b\n", count)
	if labels != "" {
		fmt.Fprintf(&b, "# labels: {%s}\n", labels)
	}
	for i, f := range frames {
		fmt.Fprintf(&b, "#\t%#x\t%s+0x%x\t\t/src/main.go:%d\n", 0x4a0000+i, f, 0x2c+i, 10+i)
	}
	return b.String() + "\n"
}

func label(id uint64) string { return fmt.Sprintf("%q:%q", stacks.Label, fmt.Sprint(id)) }

// Of each task, the goroutines that wear its id, and of these what is to be read.
func TestParse(t *testing.T) {
	profile := "goroutine profile: total 9\n" +
		record(2, label(7), "main.f", "main.main") +
		record(1, "", "main.nobody") +
		record(3, `"taskvisor_task":"a \"`+stacks.Label+`\":\"8\"", `+label(9), "main.g") +
		record(1, `"taskvisor_task":"\"`+stacks.Label+`\":\"8\""`, "main.quoted") +
		record(1, `"`+stacks.Label+`":"no number"`, "main.text") +
		record(1, `"`+stacks.Label+`":"0"`, "main.zero") +
		record(1, label(7), "main.(*T).method", "main.(*T).other.func1") +
		record(1, label(10))
	want := map[uint64]string{
		7: "2 goroutine(s):\nmain.f\n\t/src/main.go:10\nmain.main\n\t/src/main.go:11\n" +
			"\n1 goroutine(s):\nmain.(*T).method\n\t/src/main.go:10\nmain.(*T).other.func1\n\t/src/main.go:11\n",
		9:  "3 goroutine(s):\nmain.g\n\t/src/main.go:10\n",
		10: "1 goroutine(s):\n",
	}
	for _, n := range []int{1, 2, 3, 7, 64, 1 << 20} {
		if got := stacks.Parse(profile, n); !maps.Equal(got, want) {
			t.Errorf("in pieces of %d: %q, want %q", n, got, want)
		}
	}
	if got := stacks.Parse(strings.TrimSuffix(profile, "\n"), 5); !maps.Equal(got, want) {
		t.Errorf("without the last line: %q", got)
	}
}

// What is kept is bounded, of one task and of all, and says where something was cut.
func TestParseBounds(t *testing.T) {
	frame := "main." + strings.Repeat("f", 1000)
	deep := make([]string, 100)
	for i := range deep {
		deep[i] = frame
	}
	one := stacks.Parse(record(1, label(1), deep...), 4096)[1]
	if len(one) > stacks.MaxTask || len(one) < stacks.MaxTask-2000 || !strings.HasSuffix(one, stacks.Cut) {
		t.Errorf("one goroutine: %d bytes, ends with %q", len(one), one[len(one)-10:])
	}
	var profile strings.Builder
	for range 200 {
		profile.WriteString(record(1, label(1), deep[:5]...))
	}
	several := stacks.Parse(profile.String(), 4096)[1]
	if len(several) > stacks.MaxTask || len(several) < stacks.MaxTask-6000 {
		t.Errorf("many goroutines: %d bytes", len(several))
	}
	profile.Reset()
	for id := range uint64(100) {
		profile.WriteString(record(1, label(id+1), deep...))
	}
	total, all := 0, stacks.Parse(profile.String(), 4096)
	for id, stack := range all {
		total += len(stack)
		if !strings.HasPrefix(stack, "1 goroutine(s):\n") || len(stack) > stacks.MaxTask {
			t.Errorf("task %d: %.20q, %d bytes", id, stack, len(stack))
		}
	}
	if total > stacks.MaxReport || total < stacks.MaxReport-2000 {
		t.Errorf("%d bytes of %d tasks", total, len(all))
	}
	// Small tasks find room as long as there is any.
	if all := stacks.Parse(record(1, label(1), deep...)+record(1, label(2), "main.small"), 9); !strings.Contains(all[2], "main.small") {
		t.Errorf("a small one after a large one: %q", all[2])
	}
}

// Whatever the runtime may write in time, the parser neither fails nor passes its
// bounds, and the pieces in which it is written do not matter.
func FuzzParse(f *testing.F) {
	f.Add("goroutine profile: total 1\n"+record(2, label(7), "main.f")+record(1, "", "main.g"), 3)
	f.Add("# labels: {\""+stacks.Label+"\":\"1\n#\t\t\t\n\n#\tx\ty\tz\n", 1)
	f.Add(strings.Repeat("1 @ 0x1\n# labels: {"+label(1)+"}\n#\t0x1\tf+0x1\tx.go:1\n\n", 2000), 100)
	f.Fuzz(func(t *testing.T, text string, n int) {
		n = max(n, 1)
		got := stacks.Parse(text, n)
		total := 0
		for id, stack := range got {
			total += len(stack)
			if id == 0 || len(stack) > stacks.MaxTask {
				t.Errorf("task %d: %d bytes", id, len(stack))
			}
		}
		if total > stacks.MaxReport {
			t.Errorf("%d bytes", total)
		}
		if whole := stacks.Parse(text, len(text)+1); !maps.Equal(got, whole) {
			t.Errorf("in pieces of %d: %q, whole: %q", n, got, whole)
		}
	})
}

// A capture of this process finds the goroutines that wear a task's id, and no others.
func TestAll(t *testing.T) {
	stop, ready := make(chan struct{}), make(chan struct{})
	defer close(stop)
	for _, id := range []string{"4711", "4711", "4712"} {
		go pprof.Do(context.Background(), pprof.Labels(stacks.Label, id, "other", "label"), func(context.Context) { waitHere(ready, stop) })
		<-ready
	}
	go waitHere(ready, stop)
	<-ready
	all := stacks.All()
	if ids := slices.Sorted(maps.Keys(all)); !slices.Equal(ids, []uint64{4711, 4712}) {
		t.Errorf("tasks %v", ids)
	}
	for id, n := range map[uint64]string{4711: "2 goroutine(s):\n", 4712: "1 goroutine(s):\n"} {
		if s := all[id]; !strings.Contains(s, n) || !strings.Contains(s, "stacks_test.waitHere\n\t") || !strings.Contains(s, "parse_test.go:") {
			t.Errorf("task %d: %q", id, s)
		}
	}
}

//go:noinline
func waitHere(ready, stop chan struct{}) {
	ready <- struct{}{}
	<-stop
}
