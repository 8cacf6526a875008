package alertlab_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/alertlab"
	"github.com/taskvisor/taskvisor-go/dashboards/internal/rules"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

var update = flag.Bool("update", false, "write rules/tests anew")

const root = "../.." // the module's directory

var (
	errWork = errors.New("work failed")
	half    = 30 * time.Second
	m, h    = time.Minute, time.Hour
)

type (
	lab    = alertlab.Lab
	labels = map[string]string
	fires  = alertlab.Firing
)

// task returns labels that name a task.
func task(name string, more ...string) labels {
	l := labels{"task": name}
	for i := 0; i < len(more); i += 2 {
		l[more[i]] = more[i+1]
	}
	return l
}

// work takes its time and succeeds.
func work(d time.Duration) taskvisor.Func {
	return plan(func(int) (time.Duration, error) { return d, nil })
}

// plan says of each attempt, from 1, how long it takes and how it ends.
func plan(of func(n int) (time.Duration, error)) taskvisor.Func {
	n := 0
	return func(ctx context.Context) error {
		n++
		d, err := of(n)
		return wait(ctx, d, err)
	}
}

// ends says how attempts end that take no time: the letters of s in turn, again and
// again, F for a failure and S for a success.
func ends(s string) taskvisor.Func {
	return plan(func(n int) (time.Duration, error) {
		if s[(n-1)%len(s)] == 'F' {
			return 0, errWork
		}
		return 0, nil
	})
}

// interrupted says how attempts end by the letters of s, again and again: F and f for a
// failure, at once and after a time, P for a panic, S for a success, and C for one that
// is interrupted after that time.
func interrupted(p *alertlab.Process, name, s string, after time.Duration) taskvisor.Func {
	n := 0
	return func(ctx context.Context) error {
		c := s[n%len(s)]
		n++
		switch c {
		case 'F':
			return errWork
		case 'f':
			return wait(ctx, after, errWork)
		case 'P':
			panic("broken")
		case 'C':
			me, _ := p.Lookup(name)
			time.AfterFunc(after+time.Millisecond, func() { me.Interrupt(errWork) })
			return wait(ctx, 10*h, nil)
		}
		return nil
	}
}

func wait(ctx context.Context, d time.Duration, err error) error {
	select {
	case <-time.After(d):
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hang never returns unless it is told to.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func retry(d time.Duration) taskvisor.TaskOption { return taskvisor.ConstantBackoff(d) }

// The committed files are what the product makes today: an alert's test that no longer
// fits it fails here, and one that no longer fits the rule in promtool.
func TestCommittedTestsAreTheRecorded(t *testing.T) {
	all, err := rules.Load(filepath.Join(root, "rules"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !slices.ContainsFunc(f.Scenarios, func(s alertlab.Scenario) bool { return !s.Long }) {
			continue // nothing of it is for promtool
		}
		t.Run(f.Name, func(t *testing.T) {
			path := filepath.Join(root, "rules", "tests", f.Name+"_test.yml")
			text := f.Text(t, all)
			if *update {
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			committed, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if text != string(committed) {
				t.Errorf("%s is not what the product makes: run go test ./internal/alertlab -update in dashboards\n%s",
					path, difference(string(committed), text))
			}
		})
	}
}

// difference shows the first line in which two texts differ.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return fmt.Sprintf("line %d is\n%s\nand was\n%s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, there were %d", len(g), len(w))
}
