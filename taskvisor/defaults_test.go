package taskvisor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"log/slog"
	"maps"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// The tests of this file hold the tables of the package comment to what happens.

// tableOf returns the rows of the preformatted text below a line of the package
// comment, by their first column; the others are one string.
func tableOf(t *testing.T, heading string) map[string]string {
	t.Helper()
	rows := make(map[string]string)
	_, text, found := strings.Cut(sources(t, ".")["doc.go"].Doc.Text(), heading+"\n\n")
	if !found {
		t.Fatalf("the package comment has no %q", heading)
	}
	for line := range strings.Lines(text) {
		cells := regexp.MustCompile(`\s{2,}`).Split(strings.TrimSpace(line), 2)
		if !strings.HasPrefix(line, "\t") || len(cells) < 2 {
			break
		}
		for name := range strings.SplitSeq(cells[0], ", ") {
			rows[name] = cells[1]
		}
	}
	return rows
}

// says compares rows with what was found out, and demands that nothing is left.
func says(t *testing.T, rows, measured map[string]string) {
	t.Helper()
	for name, want := range measured {
		if got := rows[name]; got != want {
			t.Errorf("the table says %s: %q, but it is %q", name, got, want)
		}
	}
	for name := range rows {
		if _, ok := measured[name]; !ok {
			t.Errorf("nobody has measured %s", name)
		}
	}
}

// yes is what a row begins with.
func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

// limit is a limit that there may be.
func limit[T any](v T, limited bool) string {
	if limited {
		return fmt.Sprint(v)
	}
	return "none"
}

func TestDefaultsOfATask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := defaulted{t: t}
		d.sup, d.rec = taskvisortest.Start(t)
		block := taskvisortest.Script(taskvisortest.Block())
		began := time.Now()
		h := d.add(taskvisor.Restartable("plain", block))
		synctest.Wait()
		st := h.Status()
		spec := st.Spec
		n, retried := spec.MaxRetries()
		timeout, timed := spec.Timeout()
		idle, watched := spec.IdleTimeout()
		deps := limit(spec.Dependencies(), spec.Dependencies() != nil)
		hourly := func(prev time.Time) time.Time { return prev.Add(time.Hour) }
		says(t, tableOf(t, "unless an option says otherwise. Of a task:"), map[string]string{
			"RestartPolicy": fmt.Sprintf("%v; %v of a Once, %s of a Periodic and a Scheduled", spec.Restart(),
				taskvisor.Once("x", block).Restart(), commonPolicy(taskvisor.Periodic("x", time.Hour, block), taskvisor.Scheduled("x", hourly, block))),
			"BackoffPolicy":        spec.Backoff().String(),
			"WithTimeout":          limit(timeout, timed),
			"WithIdleTimeout":      limit(idle, watched),
			"WithMaxRetries":       strings.Replace(limit(n, retried), "none", "no limit", 1),
			"WithGrace":            spec.Grace().String(),
			"WithKind":             limit(spec.Kind(), spec.Kind() != ""),
			"WithEssential":        yes(spec.Essential()),
			"WithGate":             limit(st.Gate, st.Gate != ""),
			"After":                deps,
			"BoundTo":              deps,
			"WithInitialDelay":     limit(st.AttemptStart.Sub(began), !st.AttemptStart.Equal(began)),
			"WithStartPaused":      yes(st.State == taskvisor.StatePaused),
			"WithReadiness":        yes(!st.Ready) + ": ready while an attempt runs or the last one succeeded; a Once when completed",
			"WithResetAfter":       d.resetAfter() + ", or twice the longest backoff if that is more; with a timeout none",
			"WithStuckAfter":       d.stuckAfter(),
			"WithoutRestartFloor":  "attempts start " + d.floor() + " apart",
			"WithoutRecover":       yes(!d.contains()) + ": panics are contained",
			"WithReleaseOnAbandon": yes(d.releases()) + ": the name stays taken until the body is back",
		})
	})
}

// commonPolicy is the restart policy that all of specs have, without its interval.
func commonPolicy(specs ...taskvisor.TaskSpec) (name string) {
	for _, s := range specs {
		own, _, _ := strings.Cut(s.Restart().String(), "(")
		if name != "" && own != name {
			return name + " and " + own
		}
		name = own
	}
	return name
}

// defaulted finds out by trying what nobody can be asked.
type defaulted struct {
	t   *testing.T
	sup *taskvisor.Supervisor
	rec *taskvisortest.Recorder
}

func (d defaulted) add(spec taskvisor.TaskSpec) *taskvisor.Handle {
	d.t.Helper()
	h, err := d.sup.Add(d.t.Context(), spec)
	if err != nil {
		d.t.Fatal(err)
	}
	return h
}

// resetAfter is how long an attempt runs when its streak becomes 0. The backoff is
// short, so that only the smaller bound counts.
func (d defaulted) resetAfter() string {
	h := d.add(taskvisor.Restartable("streak", taskvisortest.Script(taskvisortest.Fail(errors.New("x")), taskvisortest.Block()), taskvisor.ConstantBackoff(time.Second)))
	time.Sleep(2 * time.Second)
	for h.Status().Streak != 0 {
		time.Sleep(time.Second)
	}
	for _, e := range d.rec.Events("streak") {
		if e.Kind == taskvisor.TaskRecovered {
			return e.Duration.Truncate(time.Second).String()
		}
	}
	return "never"
}

func (d defaulted) stuckAfter() string {
	h := d.add(taskvisor.Once("stuck", taskvisortest.Script(taskvisortest.Ignore(time.Minute))))
	synctest.Wait()
	stopped := time.Now()
	h.Stop()
	h.Wait(d.t.Context())
	for _, e := range d.rec.Events("stuck") {
		if e.Kind == taskvisor.TaskStuck {
			return e.Time.Sub(stopped).String()
		}
	}
	return "never"
}

func (d defaulted) floor() string {
	h := d.add(taskvisor.Restartable("floor", taskvisortest.Script(taskvisortest.Succeed()), taskvisor.RestartAlways(0)))
	time.Sleep(time.Second)
	h.Cancel(d.t.Context())
	var starts []time.Time
	for _, e := range d.rec.Events("floor") {
		if e.Kind == taskvisor.TaskStarting {
			starts = append(starts, e.Time)
		}
	}
	return (starts[len(starts)-1].Sub(starts[0]) / time.Duration(len(starts)-1)).String()
}

// contains reports whether a panic leaves the process alive.
func (d defaulted) contains() bool {
	o, err := d.add(taskvisor.Once("panics", taskvisortest.Script(taskvisortest.Panic("x")))).Wait(d.t.Context())
	return err == nil && errors.As(o.Err, new(*taskvisor.PanicError))
}

// releases reports whether the name of an abandoned task is free at once.
func (d defaulted) releases() bool {
	spec := taskvisor.Once("abandoned", taskvisortest.Script(taskvisortest.Ignore(time.Minute)))
	h := d.add(spec)
	synctest.Wait()
	o, err := h.Cancel(d.t.Context())
	if err != nil || o.Kind != taskvisor.OutcomeAbandoned {
		d.t.Errorf("%v, %v", o.Kind, err)
	}
	_, err = d.sup.Add(d.t.Context(), spec)
	<-h.Returned()
	return !errors.Is(err, taskvisor.ErrTaskExists)
}

func TestDefaultsOfASupervisor(t *testing.T) {
	var logged bytes.Buffer
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, nil)))
	sup, err := taskvisor.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := sup.Run(t.Context(), taskvisor.Once("x", func(context.Context) error { return errors.New("oh no") })); err == nil {
		t.Error("no error")
	}
	written := "nowhere"
	if strings.Contains(logged.String(), "oh no") {
		written = "slog.Default"
	}
	sn := sup.Snapshot()
	measured := map[string]string{
		"WithName":          sn.Supervisor,
		"WithMaxConcurrent": strings.Replace(limit(sn.MaxConcurrent, sn.MaxConcurrent != 0), "none", "no limit", 1),
		"WithSubscriber":    limit(len(sn.Subscribers), len(sn.Subscribers) > 1) + ": failures are written to " + written,
		"WithTaskDefaults":  "those of a task, above",

		// Each has a test of what it does; that it does nothing unasked is seen in all others.
		"WithMaxRegistered": "no limit",
		"WithRestartBudget": "no limit",
		"WithPreStopDelay":  "none",
		"WithSignals":       "none are caught; where it is given without any, SIGINT and SIGTERM",
	}
	synctest.Test(t, func(t *testing.T) {
		sup, _ := taskvisortest.Start(t)
		measured["WithMaxQueue"] = fmt.Sprint(maxQueue(t, sup), " submissions a slot")
		measured["WithGrace"] = shutdownOf(t, sup).String()
		time.Sleep(time.Hour)
	})
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		sup, _ := taskvisortest.Start(t, taskvisor.WithSubscriber(taskvisor.SubscribeFunc(func(context.Context, taskvisor.Event) { <-release })))
		began := time.Now()
		if err := sup.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		measured["WithSubscriberDrain"] = time.Since(began).Truncate(time.Second).String()
		close(release)
	})
	says(t, tableOf(t, "Of a supervisor:"), measured)
}

// maxQueue is how many submissions wait for a slot before one is refused.
func maxQueue(t *testing.T, sup *taskvisor.Supervisor) (n int) {
	t.Helper()
	for ; ; n++ {
		h, err := sup.Submit(t.Context(), taskvisor.Submission{Slot: "slot",
			Task: taskvisor.Once(fmt.Sprint("submission ", n), taskvisortest.Script(taskvisortest.Block()))})
		if err != nil {
			t.Fatal(err)
		}
		if o, known := h.Outcome(); known {
			if !errors.Is(o.Err, taskvisor.ErrQueueFull) {
				t.Error(o.Err)
			}
			return n - 1 // one owns the slot
		}
	}
}

// shutdownOf is how long a body has that does not listen.
func shutdownOf(t *testing.T, sup *taskvisor.Supervisor) time.Duration {
	t.Helper()
	if _, err := sup.Add(t.Context(), taskvisor.Once("deaf", taskvisortest.Script(taskvisortest.Ignore(time.Hour)))); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	began := time.Now()
	if err := sup.Shutdown(t.Context()); !errors.As(err, new(*taskvisor.GraceExceededError)) {
		t.Errorf("shutdown: %v", err)
	}
	return time.Since(began).Truncate(time.Second)
}

type named struct{}

func (named) OnEvent(context.Context, taskvisor.Event) {}

func TestDefaultsOfASubscriber(t *testing.T) {
	sup, err := taskvisor.New(taskvisor.WithSubscriber(named{}))
	if err != nil {
		t.Fatal(err)
	}
	s := sup.Snapshot().Subscribers[0]
	name := s.Name
	if name == fmt.Sprintf("%T", named{}) {
		name = "its type"
	}
	says(t, tableOf(t, "Of a subscriber:"), map[string]string{
		"WithName": name,
		"Queued":   fmt.Sprintf("%s, %d events", yes(!s.Inline), s.Capacity),
		"Inline":   yes(s.Inline),
	})
}

// options returns the exported functions that return an option, with their comments.
func options(t *testing.T) map[string]string {
	t.Helper()
	docs := make(map[string]string)
	for _, file := range sources(t, ".") {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !f.Name.IsExported() || f.Type.Results == nil {
				continue
			}
			if typ, ok := f.Type.Results.List[0].Type.(*ast.Ident); ok && strings.HasSuffix(typ.Name, "Option") {
				docs[f.Name.Name] = f.Doc.Text()
			}
		}
	}
	return docs
}

// Every option is in the tables, and its own comment says what holds without it.
func TestEveryOptionNamesItsDefault(t *testing.T) {
	tables := tableOf(t, "unless an option says otherwise. Of a task:")
	maps.Copy(tables, tableOf(t, "Of a supervisor:"))
	maps.Copy(tables, tableOf(t, "Of a subscriber:"))
	inverse := map[string]string{"WithoutTimeout": "WithTimeout", "WithUnlimitedRetries": "WithMaxRetries"}
	silent := map[string]string{"WithTaskDefaults": "it sets them"}
	all := options(t)
	if len(all) < 30 {
		t.Errorf("%d options", len(all))
	}
	says := regexp.MustCompile(`\bdefaults?\b|[Ww]ithout the option`)
	for name, doc := range all {
		row := name
		if other, ok := inverse[name]; ok {
			row = other
		}
		if _, ok := tables[row]; !ok {
			t.Errorf("%s is in no table of the package comment", name)
		}
		if _, ok := silent[name]; !ok && !says.MatchString(doc) {
			t.Errorf("%s does not name its default:\n%s", name, doc)
		}
	}
}

// The table of the wheel names the events that its calls cause.
func TestTableOfTheWheel(t *testing.T) {
	var text string
	for _, decl := range sources(t, ".")["task.go"].Decls {
		if d, ok := decl.(*ast.GenDecl); ok && strings.HasPrefix(d.Doc.Text(), "Handle refers to ") {
			text = d.Doc.Text()
		}
	}
	_, text, found := strings.Cut(text, "\t           while")
	text, _, ends := strings.Cut(text, "At a gate")
	if !found || !ends {
		t.Fatal("the comment of Handle has no table of the wheel")
	}
	synctest.Test(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t)
		h, err := sup.Add(t.Context(), taskvisor.Restartable("x", taskvisortest.Script(taskvisortest.Block())))
		if err != nil {
			t.Fatal(err)
		}
		why := errors.New("why")
		for _, call := range []struct {
			name string
			do   func(error) bool
		}{{"RunNow", h.RunNow}, {"Interrupt", h.Interrupt}, {"Pause", h.Pause}, {"Resume", h.Resume}, {"StopFor", h.StopFor}} {
			synctest.Wait()
			seen := len(rec.Events("x"))
			if !call.do(why) {
				t.Errorf("%s changed nothing", call.name)
			}
			e := rec.Events("x")[seen]
			row := regexp.MustCompile(`(?m)^\t` + call.name + ` .* (\w+)$`).FindStringSubmatch(text)
			if row == nil || strings.ToLower(row[1]) != strings.ReplaceAll(e.Kind.String(), "_", "") || !errors.Is(e.Err, why) {
				t.Errorf("%s: %v because of %v, and the row %q", call.name, e.Kind, e.Err, row)
			}
		}
	})
}
