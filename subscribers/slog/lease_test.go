package slogsub_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
	"github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

type leasedFunc = func(sup *taskvisor.Supervisor, owner *lease.Owner, engine *leasetest.Memory)

// leased runs f with a supervisor whose tasks take leases of an engine in memory, and
// returns what was written about these.
func leased(t *testing.T, level slog.Level, opts []slogsub.Option, f leasedFunc) *recorder {
	t.Helper()
	h := &recorder{level: level}
	synctest.Test(t, func(t *testing.T) {
		logs := slogsub.New(slog.New(h), opts...)
		var engine leasetest.Memory
		owner, err := lease.New(engine.Connect(), lease.WithID("shop-1"), lease.WithTTL(20*time.Second), lease.WithObserver(logs.Lease))
		if err != nil {
			t.Fatal(err)
		}
		sup, _ := taskvisortest.Start(t, taskvisor.WithName("shop"), taskvisor.WithSubscriber(owner.Subscriber()), taskvisor.WithGrace(5*time.Second))
		f(sup, owner, &engine)
		_ = sup.Shutdown(context.Background())
		time.Sleep(time.Hour)
	})
	return h
}

// wantLeased compares it.
func wantLeased(t *testing.T, level slog.Level, opts []slogsub.Option, f leasedFunc, want string) {
	t.Helper()
	got := strings.Join(leased(t, level, opts, f).lines, "\n")
	if want = strings.ReplaceAll(strings.TrimSpace(want), "\t", ""); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func singleton(t *testing.T, sup *taskvisor.Supervisor, name string, body taskvisor.Func, opts ...taskvisor.TaskOption) *taskvisor.Handle {
	t.Helper()
	h, err := sup.Add(t.Context(), taskvisor.Restartable(name, body, opts...))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return h
}

// A lease is acquired, stolen, acquired again, and released by the shutdown.
func TestLeaseRecords(t *testing.T) {
	wantLeased(t, slog.LevelInfo, nil, func(sup *taskvisor.Supervisor, owner *lease.Owner, engine *leasetest.Memory) {
		singleton(t, sup, "billing", untilStopped(nil), owner.Singleton("invoices"))
		time.Sleep(time.Minute + time.Second) // between two renewals
		engine.Expire("taskvisor/invoices")
		time.Sleep(time.Minute)
	}, `
		INFO lease acquired supervisor=shop task=billing lease=invoices owner=shop-1 token=1
		WARN lease lost supervisor=shop task=billing lease=invoices owner=shop-1 token=1 reason=stolen duration=1m4s
		INFO lease released supervisor=shop task=billing lease=invoices owner=shop-1 token=1 duration=1m4s
		INFO lease acquired supervisor=shop task=billing lease=invoices owner=shop-1 token=2
		INFO lease released supervisor=shop task=billing lease=invoices owner=shop-1 token=2 duration=57s
	`)
}

// Renewals are for who looks closely.
func TestLeaseRenewalsAreDebug(t *testing.T) {
	wantLeased(t, slog.LevelDebug, nil, func(sup *taskvisor.Supervisor, owner *lease.Owner, _ *leasetest.Memory) {
		singleton(t, sup, "billing", untilStopped(nil), owner.Singleton("invoices"))
		time.Sleep(5 * time.Second)
	}, `
		INFO lease acquired supervisor=shop task=billing lease=invoices owner=shop-1 token=1
		DEBUG leases renewed owner=shop-1 margin=11s
		INFO lease released supervisor=shop task=billing lease=invoices owner=shop-1 token=1 duration=5s
	`)
}

// What the engine says may hold secrets: the formatter sees it, and a body that outlives
// its lease is an error.
func TestLeaseTroubles(t *testing.T) {
	redact := slogsub.WithErrorFormatter(func(err error) string {
		if errors.Is(err, leasetest.ErrDown) {
			return "[redacted]"
		}
		return err.Error()
	})
	wantLeased(t, slog.LevelInfo, []slogsub.Option{redact}, func(sup *taskvisor.Supervisor, owner *lease.Owner, engine *leasetest.Memory) {
		deaf := singleton(t, sup, "deaf", func(context.Context) error { time.Sleep(30 * time.Second); return nil }, owner.Singleton("d"))
		time.Sleep(5 * time.Second)
		engine.SetDown(true)
		time.Sleep(20 * time.Second)
		engine.SetDown(false)
		time.Sleep(time.Second)
		singleton(t, sup, "patient", untilStopped(nil), owner.Singleton("p"), taskvisor.WithGrace(time.Minute))
		deaf.Stop()
		time.Sleep(time.Minute)
	}, `
		INFO lease acquired supervisor=shop task=deaf lease=d owner=shop-1 token=1
		WARN lease not renewed owner=shop-1 error=[redacted]
		WARN lease lost supervisor=shop task=deaf lease=d owner=shop-1 token=1 reason=deadline duration=19s
		ERROR lease overrun supervisor=shop task=deaf lease=d owner=shop-1 token=1
		ERROR lease refused supervisor=shop task=patient lease=p owner=shop-1 error=lease: task "patient" has a grace of 1m0s, and a lease of 20s leaves 5s after its deadline: set taskvisor.WithGrace(5s) on the task, or lease.WithTTL(4m0s)
		INFO lease released supervisor=shop task=deaf lease=d owner=shop-1 token=1 duration=30s
	`)
}
