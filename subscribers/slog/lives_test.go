package slogsub_test

import (
	"context"
	"errors"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// lives are runs of real supervisors, each with what it writes at Debug. Between them
// they have an event of every kind: TestEveryKindIsWritten holds that.
var lives = []struct {
	name string
	opts []taskvisor.Option
	play func(l *life)
	want string
}{
	{
		name: "healthy",
		opts: []taskvisor.Option{taskvisor.WithTaskDefaults(taskvisor.WithTimeout(time.Minute))},
		play: func(l *life) {
			l.add(taskvisor.Periodic("job", time.Hour, script(succeeds())))
			synctest.Wait()
			l.add(taskvisor.Once("single", script(succeeds()), taskvisor.WithKind("import")))
			synctest.Wait()
			l.shutdown(true)
		},
		want: `
			INFO task added task=job
			DEBUG attempt started task=job attempt=1 timeout=1m0s
			DEBUG attempt succeeded task=job attempt=1 duration=0s
			DEBUG next attempt scheduled task=job attempt=1 delay=1h0m0s
			INFO task added task=single task_kind=import
			DEBUG attempt started task=single attempt=1 task_kind=import timeout=1m0s
			DEBUG attempt succeeded task=single attempt=1 task_kind=import duration=0s
			INFO task completed task=single attempt=1 task_kind=import outcome=completed
			INFO task removed task=single task_kind=import outcome=completed
			INFO shutdown requested
			INFO task removed task=job outcome=canceled reason=shutdown
			INFO shutdown complete duration=0s
		`,
	}, {
		name: "timeout",
		play: func(l *life) {
			l.add(taskvisor.Periodic("job", time.Hour, script(ignores(20*time.Second), blocks()),
				taskvisor.WithTimeout(time.Second), taskvisor.ConstantBackoff(time.Hour)))
			time.Sleep(time.Minute)
		},
		want: `
			INFO task added task=job
			DEBUG attempt started task=job attempt=1 timeout=1s
			DEBUG attempt past its timeout task=job attempt=1 duration=1s
			ERROR attempt stuck task=job attempt=1 duration=6s stack=slog_test.deaf
			WARN attempt timed out task=job attempt=1 result=timeout duration=20s delay=1h0m0s error=attempt timed out after 1s
		`,
	}, {
		name: "gate",
		opts: []taskvisor.Option{taskvisor.WithMaxConcurrent(1)},
		play: func(l *life) {
			first := l.add(taskvisor.Restartable("first", script(blocks())))
			synctest.Wait()
			l.add(taskvisor.Restartable("second", script(blocks())))
			time.Sleep(time.Second)
			first.Pause(nil) // after a stop it is removed before the second begins, or after that
			first.Interrupt(nil)
		},
		want: `
			INFO task added task=first
			DEBUG attempt started task=first attempt=1
			INFO task added task=second
			DEBUG attempt waits task=second attempt=1 gate=max_concurrent
			INFO task paused task=first
			INFO task interrupted task=first attempt=1
			DEBUG attempt canceled task=first attempt=1 duration=1s reason=interrupted error=taskvisor: attempt interrupted
			DEBUG next attempt scheduled task=first attempt=1 delay=0s source=triggered
			DEBUG attempt started task=second attempt=1 gate_wait=1s
		`,
	}, {
		name: "wheel",
		play: func(l *life) {
			step := func(did bool) {
				if !did {
					l.Error("nothing changed")
				}
				synctest.Wait()
			}
			h := l.add(taskvisor.Periodic("job", time.Hour, script(succeeds(), blocks(), succeeds())))
			time.Sleep(time.Millisecond) // no two attempts start within one
			step(h.RunNow(nil))
			step(h.Interrupt(errors.New("by ann")))
			step(h.Pause(errors.New("by bob")))
			step(h.Resume(nil))
			step(h.StopFor(errors.New("by cy")))
		},
		want: `
			INFO task added task=job
			DEBUG attempt started task=job attempt=1
			DEBUG attempt succeeded task=job attempt=1 duration=0s
			DEBUG next attempt scheduled task=job attempt=1 delay=1h0m0s
			DEBUG task triggered task=job
			DEBUG attempt started task=job attempt=2
			INFO task interrupted task=job attempt=2 cause=by ann
			DEBUG attempt canceled task=job attempt=2 duration=0s reason=interrupted error=taskvisor: attempt interrupted: by ann
			DEBUG next attempt scheduled task=job attempt=2 delay=1ms source=triggered
			INFO task paused task=job cause=by bob
			INFO task resumed task=job
			INFO stop requested task=job reason=removed cause=by cy
			INFO task removed task=job outcome=canceled reason=removed
		`,
	}, {
		name: "ready and in order",
		play: func(l *life) {
			l.add(taskvisor.Restartable("db", func(ctx context.Context) error {
				taskvisor.Ready(ctx)
				<-ctx.Done()
				return nil
			}, taskvisor.WithReadiness()))
			synctest.Wait()
			l.add(taskvisor.Restartable("app", script(blocks()), taskvisor.After("db")))
			synctest.Wait()
			l.shutdown(true)
		},
		want: `
			INFO task added task=db
			DEBUG attempt started task=db attempt=1
			DEBUG task ready task=db attempt=1 duration=0s
			INFO task added task=app
			DEBUG attempt started task=app attempt=1
			INFO shutdown requested
			INFO shutdown stage stage=1 stages=2 tasks=1
			DEBUG attempt canceled task=app attempt=1 duration=0s reason=shutdown error=taskvisor: supervisor shut down
			INFO task removed task=app outcome=canceled reason=shutdown
			INFO shutdown stage stage=2 stages=2 tasks=1
			DEBUG attempt succeeded task=db attempt=1 duration=0s
			INFO task removed task=db outcome=canceled reason=shutdown
			INFO shutdown complete duration=0s
		`,
	}, {
		name: "abandoned, and back",
		play: func(l *life) {
			h := l.add(taskvisor.Once("job", script(ignores(time.Minute)), taskvisor.WithGrace(2*time.Second),
				taskvisor.WithKind("import"), taskvisor.WithStuckAfter(time.Second)))
			time.Sleep(time.Second)
			h.Stop()
			time.Sleep(2 * time.Minute)
		},
		want: `
			INFO task added task=job task_kind=import
			DEBUG attempt started task=job attempt=1 task_kind=import
			INFO stop requested task=job task_kind=import reason=removed
			ERROR attempt stuck task=job attempt=1 task_kind=import duration=2s reason=removed stack=slog_test.deaf
			ERROR task abandoned task=job attempt=1 task_kind=import duration=3s reason=removed error=taskvisor: grace of 2s exceeded by "job" (attempt 1) stack=slog_test.deaf
			DEBUG attempt succeeded task=job attempt=1 task_kind=import duration=1m0s
			INFO abandoned task returned task=job attempt=1 task_kind=import duration=57s
			INFO task removed task=job task_kind=import outcome=abandoned reason=removed
		`,
	}, {
		name: "abandoned and released",
		play: func(l *life) {
			h := l.add(taskvisor.Once("job", script(ignores(time.Minute)), taskvisor.WithGrace(0), taskvisor.WithReleaseOnAbandon()))
			time.Sleep(time.Second)
			h.Stop()
			time.Sleep(2 * time.Minute)
		},
		want: `
			INFO task added task=job
			DEBUG attempt started task=job attempt=1
			INFO stop requested task=job reason=removed
			ERROR task abandoned task=job attempt=1 duration=1s reason=removed error=taskvisor: grace of 0s exceeded by "job" (attempt 1)
			INFO task removed task=job outcome=abandoned reason=removed
			INFO released body returned task=job attempt=1 result=success duration=1m0s
		`,
	}, {
		name: "abandoned by the shutdown",
		opts: []taskvisor.Option{taskvisor.WithGrace(time.Second)},
		play: func(l *life) {
			l.add(taskvisor.Once("job", script(ignores(time.Minute))))
			synctest.Wait()
			l.shutdown(false)
			time.Sleep(time.Hour)
		},
		want: `
			INFO task added task=job
			DEBUG attempt started task=job attempt=1
			INFO shutdown requested
			ERROR task abandoned task=job attempt=1 duration=1s reason=shutdown error=taskvisor: grace of 1s exceeded by "job" (attempt 1)
			ERROR grace exceeded duration=1s error=taskvisor: grace of 1s exceeded by "job" (attempt 1) stack=slog_test.deaf
		`,
	}, {
		name: "slot",
		play: func(l *life) {
			submit := func(name string, policy taskvisor.Admission) {
				_, err := l.sup.Submit(context.Background(), taskvisor.Submission{
					Task: taskvisor.Restartable(name, script(blocks())), Slot: "key", Admission: policy})
				if err != nil {
					l.Fatal(err)
				}
				synctest.Wait()
			}
			submit("a", taskvisor.Queue)
			submit("b", taskvisor.DropIfRunning)
			submit("c", taskvisor.Coalesce)
			time.Sleep(time.Second)
			submit("d", taskvisor.Coalesce)
			submit("e", taskvisor.Join)
			if _, err := l.sup.Add(context.Background(), taskvisor.Once("a", script(succeeds()))); !errors.Is(err, taskvisor.ErrTaskExists) {
				l.Error(err)
			}
			l.sup.StopSlot("key", true)
		},
		want: `
			DEBUG submission accepted task=a slot=key
			DEBUG slot changed slot=key from=idle to=admitting
			INFO task added task=a slot=key duration=0s
			DEBUG attempt started task=a attempt=1
			DEBUG slot changed slot=key from=admitting to=running
			DEBUG submission accepted task=b slot=key
			WARN submission rejected task=b slot=key duration=0s reason=slot_busy
			INFO submission queued task=c slot=key
			INFO submission replaced task=c slot=key duration=1s reason=superseded
			INFO submission queued task=d slot=key
			DEBUG submission joined task=a slot=key
			WARN task refused task=a reason=already_exists
			INFO submission rejected task=d slot=key duration=0s reason=removed
			INFO stop requested task=a reason=removed
			DEBUG slot changed slot=key from=running to=terminating
			DEBUG attempt canceled task=a attempt=1 duration=1s reason=removed error=taskvisor: task removed
			DEBUG slot changed slot=key from=terminating to=idle
			INFO task removed task=a outcome=canceled reason=removed
		`,
	},
}
