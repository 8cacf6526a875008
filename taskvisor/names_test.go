package taskvisor

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"
)

// A nameTable does what a map does, through growth and shrinking.
func TestNameTableIsAMap(t *testing.T) {
	var table nameTable
	table.init()
	model := map[string]*task{}
	rng := rand.New(rand.NewPCG(1, 2))
	check := func(name string) {
		t.Helper()
		if got := table.get(name); got != model[name] {
			t.Fatalf("%q is %p, want %p, of %d", name, got, model[name], len(model))
		}
	}
	for _, wave := range []struct{ steps, names, adds int }{ // adds in ten steps
		{3000, 200, 5}, {30_000, 10_000, 9}, {60_000, 10_000, 1}, {5000, 300, 5}, {3000, 100, 0},
	} {
		for range wave.steps {
			name := fmt.Sprint("task-", rng.IntN(wave.names))
			check(name)
			if rng.IntN(10) < wave.adds {
				u := &task{name: name}
				_, taken := model[name]
				if table.put(u) == taken {
					t.Fatalf("put of %q: taken %v", name, taken)
				}
				if !taken {
					model[name] = u
				}
			} else if u := model[name]; u != nil {
				u.departed.Store(true)
				delete(model, name)
				check(name)
				if rng.IntN(3) == 0 { // another has the name before u is out of the table
					model[name] = &task{name: name}
					if !table.put(model[name]) {
						t.Fatalf("%q is taken by one that departed", name)
					}
				}
				table.depart(u)
			}
			check(name)
			if table.count-table.left != len(model) || len(table.buckets) != table.half+table.split || table.count > len(table.buckets) {
				t.Fatalf("%d of %d in %d buckets, %d + %d", table.count, len(model), len(table.buckets), table.half, table.split)
			}
		}
	}
	for name := range model {
		check(name)
	}
}

// Names are spread: no chain is long, at any size on the way.
func TestNameTableChainsAreShort(t *testing.T) {
	var table nameTable
	table.init()
	for i := range 20_000 {
		table.put(&task{name: "task-" + strconv.Itoa(i)})
	}
	for _, u := range table.buckets {
		n := 0
		for ; u != nil; u = u.same {
			n++
		}
		if n > 24 { // with a load of at most 2 in an unsplit bucket, 1 in 10^14
			t.Fatalf("%d names on one chain", n)
		}
	}
}

// Names that are gone leave no buckets behind.
func TestNameTableGivesMemoryBack(t *testing.T) {
	var table nameTable
	table.init()
	var tasks []*task
	table.put(&task{name: "before"})
	table.reserve(10_000)
	if table.get("before") == nil || len(table.buckets) < 10_000 {
		t.Errorf("room for %d", len(table.buckets))
	}
	tasks = append(tasks, table.get("before"))
	for i := range 10_000 {
		tasks = append(tasks, &task{name: strconv.Itoa(i)})
		table.put(tasks[i+1])
	}
	for _, u := range tasks {
		table.delete(u)
	}
	if cap(table.buckets) > leastNames {
		t.Errorf("%d buckets for nothing", cap(table.buckets))
	}
}

// What a task, and an attempt whose body waits, take is a promise of the
// benchmarks; each of these fills a size class of the allocator.
func TestSizesOfWhatATaskHolds(t *testing.T) {
	if strconv.IntSize != 64 {
		return
	}
	for _, x := range []struct {
		of   any
		most uintptr
	}{{Handle{}, 320}, {runner{}, 176}, {liveCtx{}, 112}} {
		if v := reflect.TypeOf(x.of); v.Size() > x.most {
			t.Errorf("%s has %d bytes, more than %d", v, v.Size(), x.most)
		}
	}
}
