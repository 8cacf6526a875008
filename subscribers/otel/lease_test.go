package otelsub_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
	"github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// leasedRig is a rig whose tasks can take leases, the owner's subscriber before or behind
// ours. Another replica has the lease "job" for the first ten seconds.
func leasedRig(t *testing.T, ownerFirst bool, play func(r *rig, owner *lease.Owner)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var engine leasetest.Memory
		owner, err := lease.New(engine.Connect(), lease.WithID("here"), lease.WithTTL(20*time.Second), lease.WithObserver(func(lease.Event) {}))
		if err != nil {
			t.Fatal(err)
		}
		other := engine.Connect()
		token, err := other.Acquire(t.Context(), "taskvisor/job", "elsewhere", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(10*time.Second, func() { _ = other.Release(context.Background(), "taskvisor/job", token) })
		r := &rig{T: t}
		r.provider, r.spans = tracing()
		r.sub = otelsub.New(otelsub.WithTracerProvider(r.provider))
		opts := []taskvisor.Option{taskvisor.WithSubscriber(owner.Subscriber()), taskvisor.WithSubscriber(r.sub)}
		if !ownerFirst {
			opts[0], opts[1] = opts[1], opts[0]
		}
		r.sup, _ = taskvisortest.Start(t, append(opts, taskvisor.WithName("sup"), taskvisor.WithGrace(5*time.Second))...)
		play(r, owner)
		_ = r.sup.Shutdown(context.Background()) // one body is late
		time.Sleep(time.Hour)
	})
}

// Every span over an attempt says under which token it ran and how long it waited for
// that, whichever subscriber comes first; at the start where that is known.
func TestLeaseAttributes(t *testing.T) {
	for name, ownerFirst := range map[string]bool{"owner first": true, "owner behind": false} {
		t.Run(name, func(t *testing.T) {
			leasedRig(t, ownerFirst, func(r *rig, owner *lease.Owner) {
				h := r.add(context.Background(), bounded(steps(ok(), ok()), owner.Singleton("job")))
				r.after(h, 2)
				expect(t, r.spans, `
					trace 1
					  #1 run job 1s | attempt.number=1 attempt.gate_wait=10 lease.token=2 lease.wait=10 attempt.result=success backoff.delay=2
					trace 2
					  #2 run job 1s | attempt.number=2 attempt.delay=2 attempt.previous_result=success lease.token=2 lease.wait=0 attempt.result=success backoff.delay=2
					     -> previous_attempt #1
				`)
			})
		})
	}
}

// So do those of resident tasks, and of a body that was abandoned and of its return; a task
// without a lease says nothing of one.
func TestLeaseAttributesOfOtherSpans(t *testing.T) {
	for name, ownerFirst := range map[string]bool{"owner first": true, "owner behind": false} {
		t.Run(name, func(t *testing.T) {
			leasedRig(t, ownerFirst, func(r *rig, owner *lease.Owner) {
				r.add(context.Background(), taskvisor.Once("free", steps(ok())))
				r.add(context.Background(), taskvisor.Restartable("resident", steps(ok()), owner.Singleton("job"), taskvisor.ConstantBackoff(time.Hour)))
				deaf := r.add(context.Background(), taskvisor.Once("deaf", func(context.Context) error { time.Sleep(time.Minute); return nil }, owner.Singleton("deaf")))
				time.Sleep(15 * time.Second)
				deaf.Stop()
				time.Sleep(time.Hour)
				got := map[string]string{}
				for _, s := range r.spans.Ended() {
					for _, a := range s.Attributes() {
						if key, ok := strings.CutPrefix(string(a.Key), "taskvisor.lease."); ok {
							got[s.Name()] += key + "=" + a.Value.String() + " "
						}
					}
				}
				want := map[string]string{
					"run resident": "token=3 wait=10 ", "run deaf": "token=2 wait=0 ", "return deaf": "token=2 wait=0 ",
				}
				if ownerFirst {
					want["start resident"] = want["run resident"]
				}
				if len(got) != len(want) {
					t.Errorf("attributes %q, want %q", got, want)
				}
				for span, attrs := range want {
					if got[span] != attrs {
						t.Errorf("%s: %q, want %q", span, got[span], attrs)
					}
				}
			})
		})
	}
}

// TestLeaseMetrics: nothing before the first lease, then who has it, who waits, what was
// lost and how close it was; what the subscriber hears of it ends with its supervisor, and
// begins again with the next.
func TestLeaseMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var engine leasetest.Memory
		owned := func(id string) *lease.Owner {
			o, err := lease.New(engine.Connect(), lease.WithID(id), lease.WithTTL(20*time.Second), lease.WithObserver(func(lease.Event) {}))
			if err != nil {
				t.Fatal(err)
			}
			return o
		}
		owner, others := owned("here"), owned("here too")
		if _, err := engine.Connect().Acquire(t.Context(), "taskvisor/standby", "elsewhere", time.Hour); err != nil {
			t.Fatal(err)
		}
		sub, reader := metered(otelsub.WithLeases(owner, others))
		r := &rig{T: t, sub: sub}
		idle := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		start := func() {
			r.sup, _ = taskvisortest.Start(t, taskvisor.WithSubscriber(owner.Subscriber()), taskvisor.WithSubscriber(sub),
				taskvisor.WithName("sup"), taskvisor.WithGrace(5*time.Second))
		}
		theirs := &rig{T: t} // a supervisor that is not counted
		theirs.sup, _ = taskvisortest.Start(t, taskvisor.WithSubscriber(others.Subscriber()), taskvisor.WithName("theirs"), taskvisor.WithGrace(5*time.Second))
		theirs.add(context.Background(), taskvisor.Restartable("theirs", idle, others.Singleton("theirs")))
		start()
		r.add(context.Background(), taskvisor.Restartable("other", idle))
		wantLeases(t, reader, "")
		r.add(context.Background(), taskvisor.Restartable("job", idle, owner.Singleton("job")))
		standby := r.add(context.Background(), taskvisor.Restartable("standby", idle, owner.Singleton("standby")))
		time.Sleep(10 * time.Second)
		wantLeases(t, reader, `
			lease.acquired{supervisor.name=sup} 1 {lease}
			lease.lost{reason=abandoned supervisor.name=sup} 0 {lease}
			lease.lost{reason=deadline supervisor.name=sup} 0 {lease}
			lease.lost{reason=stolen supervisor.name=sup} 0 {lease}
			lease.margin{supervisor.name=sup} 11 s
			lease.owned{mode=singleton supervisor.name=sup task.name=job} 1 {lease}
			lease.owned{mode=singleton supervisor.name=sup task.name=standby} 0 {lease}
			lease.renew{supervisor.name=sup} 2 in 0s
			lease.ttl{supervisor.name=sup} 20 s
			lease.wanted{mode=singleton supervisor.name=sup task.name=job} 1 {lease}
			lease.wanted{mode=singleton supervisor.name=sup task.name=standby} 1 {lease}
		`)
		engine.Expire("taskvisor/job")
		standby.Pause(nil) // it wants the lease no more
		time.Sleep(9 * time.Second)
		wantLeases(t, reader, `
			lease.acquired{supervisor.name=sup} 2 {lease}
			lease.lost{reason=abandoned supervisor.name=sup} 0 {lease}
			lease.lost{reason=deadline supervisor.name=sup} 0 {lease}
			lease.lost{reason=stolen supervisor.name=sup} 1 {lease}
			lease.margin{supervisor.name=sup} 11 s
			lease.owned{mode=singleton supervisor.name=sup task.name=job} 1 {lease}
			lease.renew{supervisor.name=sup} 4 in 0s
			lease.ttl{supervisor.name=sup} 20 s
			lease.wanted{mode=singleton supervisor.name=sup task.name=job} 1 {lease}
		`)
		if err := r.sup.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		collect(t, reader)
		start()
		r.add(context.Background(), taskvisor.Restartable("job", idle, owner.Singleton("job")))
		time.Sleep(time.Second)
		wantLeases(t, reader, `
			lease.acquired{supervisor.name=sup} 3 {lease}
			lease.lost{reason=abandoned supervisor.name=sup} 0 {lease}
			lease.lost{reason=deadline supervisor.name=sup} 0 {lease}
			lease.lost{reason=stolen supervisor.name=sup} 1 {lease}
			lease.margin{supervisor.name=sup} 14 s
			lease.owned{mode=singleton supervisor.name=sup task.name=job} 1 {lease}
			lease.renew{supervisor.name=sup} 4 in 0s
			lease.ttl{supervisor.name=sup} 20 s
			lease.wanted{mode=singleton supervisor.name=sup task.name=job} 1 {lease}
		`)
	})
}

// wantLeases compares the metrics of leases.
func wantLeases(t *testing.T, reader sdkmetric.Reader, want string) {
	t.Helper()
	var got strings.Builder
	for line := range strings.Lines(collect(t, reader)) {
		if strings.HasPrefix(line, "lease.") {
			line, _, _ = strings.Cut(line, ", bounds")
			got.WriteString(strings.TrimSpace(line) + "\n")
		}
	}
	if want := strings.ReplaceAll(strings.TrimPrefix(want, "\n"), "\t", ""); got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
}

func TestNilOwnerIsAnError(t *testing.T) {
	sub, _ := metered(otelsub.WithLeases(nil))
	_, err := taskvisor.New(taskvisor.WithSubscriber(sub))
	if err == nil || !strings.Contains(err.Error(), "nil owner") {
		t.Errorf("got %v", err)
	}
}
