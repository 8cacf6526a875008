package taskvisortest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// The checks of this file reach the subscriber through a real supervisor.

var errScripted = errors.New("scripted failure")

// quick is the backoff of tasks whose delays are of no interest.
var quick = taskvisor.ConstantBackoff(10 * time.Millisecond)

// exitError carries an exit code, as an *exec.ExitError does.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }
func (e exitError) ExitCode() int { return int(e) }

// neverStarted makes supervisors that are closed without having run.
func neverStarted(r *rig) {
	for range 3 {
		sup, _ := r.supervisor(nil)
		r.shutdown(sup, false)
	}
}

// naturalEnd lets Run end by itself: no shutdown is requested, and the verdict
// is the last event.
func naturalEnd(r *rig) {
	sup, _ := r.supervisor(nil)
	err := sup.Run(context.Background(),
		taskvisor.Once("ok", Script(Succeed())),
		taskvisor.Once("bad", Script(Fail(errScripted))),
		taskvisor.Restartable("retried", Script(Fail(errScripted), Succeed()), quick),
	)
	if !errors.Is(err, errScripted) { // the failure of what it was given
		r.t.Errorf("taskvisortest: Run: %v", err)
	}
	<-sup.Done()
}

// theWheel brings about what a task's user may do to it, and an ordered shutdown.
func theWheel(r *rig) {
	sup, _ := r.start()
	why := errors.New("because")
	ready := func(ctx context.Context) error {
		taskvisor.Beat(ctx, "ready")
		taskvisor.Ready(ctx)
		<-ctx.Done()
		return context.Cause(ctx)
	}
	hs := r.add(sup, taskvisor.Restartable("database", ready, taskvisor.WithReadiness()),
		taskvisor.Restartable("worker", Script(Block()), taskvisor.After("database"), taskvisor.WithKind("kind")),
		taskvisor.Periodic("poll", time.Hour, Script(Succeed()), taskvisor.WithStartPaused()))
	synctest.Wait()
	poll := hs[2]
	poll.Resume(why)
	synctest.Wait()
	poll.RunNow(why)
	synctest.Wait()
	poll.Pause(why)
	hs[1].Interrupt(why)
	synctest.Wait()
	r.shutdown(sup, false)
}

// panicOnce is a subscriber that is not under test: its panic makes the
// supervisor publish SubscriberPanicked.
type panicOnce struct{ once sync.Once }

func (p *panicOnce) OnEvent(context.Context, taskvisor.Event) {
	p.once.Do(func() { panic("taskvisortest: wanted") })
}

// everyEnding brings about every way in which an attempt and a task can end.
func everyEnding(r *rig) {
	sup, _ := r.start(taskvisor.WithSubscriber(&panicOnce{}, taskvisor.WithName("panics")))
	handles := r.add(sup, endings()...)
	time.Sleep(2500 * time.Millisecond)
	for _, h := range handles {
		switch h.Name() {
		case "periodic", "stopped", "stopped in backoff", "abandoned", "released":
			h.Stop()
		}
	}
	if _, err := sup.Add(context.Background(), taskvisor.Once("resident", Script(Succeed()))); !errors.Is(err, taskvisor.ErrTaskExists) {
		r.t.Errorf("taskvisortest: a taken name: %v", err)
	}
	_, err := sup.AddAll(context.Background(), taskvisor.Once("new", Script(Succeed())), taskvisor.Once("resident", Script(Succeed())))
	if !errors.Is(err, taskvisor.ErrTaskExists) {
		r.t.Errorf("taskvisortest: a batch with a taken name: %v", err)
	}
	time.Sleep(10 * time.Minute)
	r.shutdown(sup, false)
}

func endings() []taskvisor.TaskSpec {
	childPanics := func(ctx context.Context) error {
		if err := taskvisor.Go(ctx, func(context.Context) { panic(errScripted) }); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	}
	limited := func(n int) taskvisor.TaskOption { return taskvisor.WithMaxRetries(n) }
	return []taskvisor.TaskSpec{
		taskvisor.Once("completed", Script(Succeed())),
		taskvisor.Once("value", taskvisor.Returning(func(context.Context) (int, error) { return 1, nil })),
		taskvisor.Once("failed", Script(Fail(exitError(3)))),
		taskvisor.Restartable("recovered", Script(Fail(errScripted), Fail(errScripted), Succeed()), quick),
		taskvisor.Restartable("exhausted", Script(Fail(errScripted)), quick, limited(2)),
		taskvisor.Restartable("requested", Script(Fail(taskvisor.RetryAfter(time.Second, errScripted)), Succeed())),
		taskvisor.Restartable("timed out", Script(Block()), quick, limited(1), taskvisor.WithTimeout(time.Second)),
		taskvisor.Restartable("stuck", Script(Ignore(time.Minute), Succeed()), quick, taskvisor.WithTimeout(time.Second)),
		taskvisor.Restartable("panicked", Script(Panic("text"), Panic(errScripted), Panic(struct{ n int }{1}), Succeed()), quick),
		taskvisor.Restartable("child panicked", childPanics, quick, limited(1)),
		taskvisor.Restartable("exited", Script(Goexit(), Succeed()), quick),
		taskvisor.Restartable("fatal", Script(Fail(taskvisor.Fatal(errScripted)))),
		taskvisor.Restartable("canceled", Script(Fail(taskvisor.ErrCanceled))),
		taskvisor.Periodic("periodic", 500*time.Millisecond, Script(Succeed(), Fail(errScripted), Succeed()), quick),
		taskvisor.Once("stopped", Script(Block())),
		taskvisor.Restartable("stopped in backoff", Script(Fail(errScripted)), taskvisor.ConstantBackoff(time.Hour)),
		taskvisor.Once("abandoned", Script(Ignore(time.Minute)), taskvisor.WithGrace(time.Second)),
		taskvisor.Once("released", Script(Ignore(time.Minute)), taskvisor.WithGrace(time.Second), taskvisor.WithReleaseOnAbandon()),
		taskvisor.Restartable("resident", Script(Block())),
	}
}

// names uses names that are allowed and awkward.
func names(r *rig) {
	sup, _ := r.start()
	for _, name := range []string{
		"x", " ", `"`, `\`, "a=b,c d", "{}", "%s%d", "<b>&amp;", "../..", "_other", "näme", "名前", "👩‍🚀", "\u202eabc", "\ufeff",
		strings.Repeat("n", 128), strings.Repeat("é", 64), strings.Repeat("👩", 32),
	} {
		r.add(sup, taskvisor.Restartable(name, Script(Fail(errScripted), Panic(name), Succeed()), quick))
		sub := taskvisor.Submission{Task: taskvisor.Once("in "+name[:min(len(name), 1)], Script(Succeed())), Slot: name}
		if len(name) != len([]rune(name)) {
			sub.Task = taskvisor.Once(name+"", Script(Succeed())) // taken: rejected under its own name
		}
		if _, err := sup.Submit(context.Background(), sub); err != nil {
			r.t.Errorf("taskvisortest: Submit to slot %q: %v", name, err)
		}
		time.Sleep(time.Second)
	}
	r.shutdown(sup, false)
}

// multiError is an error with several causes and no text.
type multiError []error

func (m multiError) Error() string   { return "" }
func (m multiError) Unwrap() []error { return m }

// oddErrors has tasks fail with errors that are awkward to print.
func oddErrors(r *rig) {
	sup, _ := r.start()
	for i, err := range []error{
		errors.New(""),
		errors.New("two\nlines\tand \x00 \x1b[31m"),
		errors.New("not \xff\xfe UTF-8"),
		errors.New(strings.Repeat("long ", 1<<18)),
		multiError{errScripted, context.DeadlineExceeded},
		errors.Join(errScripted, exitError(-1)),
		fmt.Errorf("outer: %w", &taskvisor.PanicError{}),
		&taskvisor.TimeoutError{},
		&taskvisor.GraceExceededError{},
		context.Canceled,
		context.DeadlineExceeded,
		taskvisor.Reason(200),
	} {
		for _, err := range []error{err, taskvisor.Fatal(err)} {
			r.add(sup, taskvisor.Restartable(fmt.Sprintf("error %d %T", i, err), Script(Fail(err), Panic(err)),
				quick, taskvisor.WithMaxRetries(1)))
		}
	}
	time.Sleep(time.Minute)
	r.shutdown(sup, false)
}

// admission brings about every verdict and every rejection.
func admission(r *rig) {
	sup, _ := r.start(taskvisor.WithMaxQueue(2))
	n := 0
	submit := func(slot string, how taskvisor.Admission, step Step) *taskvisor.Handle {
		n++
		spec := taskvisor.Once(fmt.Sprintf("job-%d", n), Script(step))
		h, err := sup.Submit(context.Background(), taskvisor.Submission{Task: spec, Slot: slot, Admission: how})
		if err != nil {
			r.t.Fatalf("taskvisortest: %v", err)
		}
		return h
	}
	for _, slot := range []string{"a", "b"} {
		submit(slot, taskvisor.Queue, Block())
		synctest.Wait()
		submit(slot, taskvisor.Join, Succeed())
		submit(slot, taskvisor.DropIfRunning, Succeed()) // slot_busy
		submit(slot, taskvisor.Coalesce, Succeed())
		submit(slot, taskvisor.Coalesce, Succeed()) // supersedes
		queued := submit(slot, taskvisor.Queue, Succeed())
		submit(slot, taskvisor.Queue, Succeed()) // queue_full
		queued.Stop()                            // removed
		submit(slot, taskvisor.Replace, Block())
		submit(slot, taskvisor.Replace, Block()) // supersedes
		time.Sleep(time.Second)
	}
	r.add(sup, taskvisor.Once("taken", Script(Block())))
	_, err := sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once("taken", Script(Succeed()))})
	if err != nil {
		r.t.Errorf("taskvisortest: %v", err)
	}
	submit("b", taskvisor.Queue, Succeed())
	sup.StopSlot("b", true)
	submit("c", taskvisor.Queue, Ignore(time.Minute))
	submit("c", taskvisor.Queue, Succeed()) // shutting_down
	time.Sleep(time.Second)
	r.shutdown(sup, true)
}

// graceExceeded abandons bodies, one of which returns long after the
// supervisor has ended: its EndAttempt then is the last call of all.
func graceExceeded(r *rig) {
	sup, _ := r.start()
	r.add(sup,
		taskvisor.Once("late", Script(Ignore(time.Hour))),
		taskvisor.Once("stopped late", Script(Ignore(2*time.Hour)), taskvisor.WithGrace(0)),
		taskvisor.Once("in time", Script(Ignore(5*time.Second))),
		taskvisor.Restartable("good", Script(Block())),
	)
	synctest.Wait()
	if h, ok := sup.Lookup("stopped late"); ok {
		h.Stop()
	}
	time.Sleep(time.Second)
	r.shutdown(sup, true)
	time.Sleep(3 * time.Hour)
}
