package otelsub_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
	"github.com/taskvisor/taskvisor-go/subscribers/otel"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// replica is one process of several, whose spans go to one place.
type replica struct {
	*rig
	conn  *leasetest.Conn
	owner *lease.Owner
}

// leaseTTL has no attempt of these tests wait for the turn of its note.
const leaseTTL = 4 * time.Second

// inReplicas runs play with two replicas, the owners' subscribers before or behind ours.
func inReplicas(t *testing.T, ownerFirst bool, sampler sdktrace.Sampler, play func(engine *leasetest.Memory, a, b *replica)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var engine leasetest.Memory
		provider, spans := tracing(sdktrace.WithSampler(sampler))
		replicas := map[string]*replica{"a": nil, "b": nil}
		for id := range replicas {
			r := &replica{rig: &rig{T: t, provider: provider, spans: spans}, conn: engine.Connect()}
			var err error
			r.owner, err = lease.New(r.conn, lease.WithID(id), lease.WithTTL(leaseTTL), lease.WithObserver(func(lease.Event) {}))
			if err != nil {
				t.Fatal(err)
			}
			r.sub = otelsub.New(otelsub.WithTracerProvider(provider))
			opts := []taskvisor.Option{taskvisor.WithSubscriber(r.owner.Subscriber()), taskvisor.WithSubscriber(r.sub)}
			if !ownerFirst {
				slices.Reverse(opts)
			}
			r.sup, _ = taskvisortest.Start(t, append(opts, taskvisor.WithName(id), taskvisor.WithGrace(time.Second))...)
			replicas[id] = r
		}
		play(&engine, replicas["a"], replicas["b"])
		for _, r := range replicas {
			r.conn.Cut(false)
			if err := r.sup.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(3 * leaseTTL)
	})
}

// spansOf returns the spans of that name that began in a replica, in order.
func spansOf(spans *tracetest.SpanRecorder, replica, name string) (list []sdktrace.ReadOnlySpan) {
	for _, s := range spans.Started() {
		for _, a := range s.Attributes() {
			if a.Key == "taskvisor.supervisor.name" && a.Value.AsString() == replica && s.Name() == name {
				list = append(list, s)
			}
		}
	}
	return list
}

// previousOwner returns what a span that has ended says of the owner before.
func previousOwner(s sdktrace.ReadOnlySpan) (all []trace.SpanContext) {
	for _, l := range s.Links() {
		for _, a := range l.Attributes {
			if a.Key == "taskvisor.link.type" && a.Value.AsString() == "previous_owner" {
				all = append(all, l.SpanContext)
			}
		}
	}
	return all
}

// The first attempt of an owner is linked to the last of the owner before, also where that
// was killed: of a resident task to what told of its start, since its end was never told.
// The attempts that follow are not.
func TestPreviousOwner(t *testing.T) {
	kill := func(r *replica, _ *taskvisor.Handle) { r.conn.Cut(true) } // it is never heard of again
	stop := func(_ *replica, h *taskvisor.Handle) { h.Stop() }
	for name, c := range map[string]struct {
		spec     func(taskvisor.Func, ...taskvisor.TaskOption) taskvisor.TaskSpec
		end      func(*replica, *taskvisor.Handle)
		from, to string // the span of the next owner's that is linked, and the one that it leads to
		nth      int    // of these
	}{
		"bounded, killed":   {bounded, kill, "run job", "run job", 1},
		"bounded, stopped":  {bounded, stop, "run job", "run job", 1},
		"resident, killed":  {resident, kill, "start job", "start job", 1},
		"resident, stopped": {resident, stop, "start job", "run job", 1},
	} {
		for order, ownerFirst := range map[string]bool{"owner first": true, "owner behind": false} {
			t.Run(name+", "+order, func(t *testing.T) {
				inReplicas(t, ownerFirst, sdktrace.AlwaysSample(), func(_ *leasetest.Memory, a, b *replica) {
					// The second attempt begins after 3 s, and lasts.
					work := func() taskvisor.Func { return steps(fail(errBoom)) }
					h := a.add(context.Background(), c.spec(work(), a.owner.Singleton("job")))
					time.Sleep(time.Second / 2)
					b.add(context.Background(), c.spec(work(), b.owner.Singleton("job")))
					time.Sleep(4 * time.Second)
					c.end(a, h)
					synctest.Wait()
					want := spansOf(a.spans, "a", c.to)[c.nth].SpanContext()
					time.Sleep(3 * leaseTTL)
					b.sup.Shutdown(context.Background())
					synctest.Wait()
					from := c.from
					if !ownerFirst { // it is not known when a resident one begins
						from = "run job"
					}
					for i, s := range spansOf(b.spans, "b", from) {
						got := previousOwner(s)
						if i > 0 && len(got) > 0 {
							t.Errorf("attempt %d is linked to %v", i+1, got)
						}
						if i == 0 && (len(got) != 1 || got[0].TraceID() != want.TraceID() || got[0].SpanID() != want.SpanID() || !got[0].IsSampled() || !got[0].IsRemote()) {
							t.Errorf("linked to %+v, want %s %s", got, want.TraceID(), want.SpanID())
						}
					}
					for i, s := range spansOf(a.spans, "a", from) {
						if got := previousOwner(s); len(got) > 0 {
							t.Errorf("attempt %d of the first owner is linked to %v", i+1, got)
						}
					}
					if n := len(spansOf(b.spans, "b", "run job")); n != 2 {
						t.Errorf("the next owner made %d attempts", n)
					}
				})
			})
		}
	}
}

// What the drawing of a handover and the way back looks like.
func TestPreviousOwnerDrawn(t *testing.T) {
	inReplicas(t, true, sdktrace.AlwaysSample(), func(_ *leasetest.Memory, a, b *replica) {
		first := a.add(context.Background(), bounded(steps(ok(), ok()), a.owner.Singleton("job")))
		time.Sleep(time.Second / 2)
		second := b.add(context.Background(), bounded(steps(ok(), ok()), b.owner.Singleton("job")))
		time.Sleep(4 * time.Second) // two attempts
		first.Stop()
		time.Sleep(time.Second * 7 / 2)
		third := a.add(context.Background(), bounded(steps(ok()), a.owner.Singleton("job")))
		second.Stop()
		time.Sleep(2 * time.Second)
		third.Stop()
		time.Sleep(time.Second)
		expectShape(t, a.spans, `
			trace 1
			  #1 run job 1s
			trace 2
			  #2 run job 1s
			     -> previous_attempt #1
			trace 3
			  #3 run job 1s
			     -> previous_owner #2
			trace 4
			  #4 run job 1s
			     -> previous_attempt #3
			trace 5
			  #5 run job 1s
			     -> previous_owner #4
		`)
	})
}

// An owner that loses its lease and has it again, with nobody in between, has its own
// attempt before already.
func TestPreviousOwnerIsNotTheOneBefore(t *testing.T) {
	for order, ownerFirst := range map[string]bool{"owner first": true, "owner behind": false} {
		t.Run(order, func(t *testing.T) {
			inReplicas(t, ownerFirst, sdktrace.AlwaysSample(), func(engine *leasetest.Memory, a, _ *replica) {
				h := a.add(context.Background(), bounded(steps(step{body: func(ctx context.Context) { <-ctx.Done() }}), a.owner.Singleton("job")))
				time.Sleep(time.Second)
				engine.Expire("taskvisor/job")
				time.Sleep(2 * leaseTTL)
				h.Stop()
				time.Sleep(time.Second)
				all := spansOf(a.spans, "a", "run job")
				if n := len(engine.Grants()); n != 2 || len(all) != 2 {
					t.Errorf("%d grants, %d attempts", n, len(all))
				}
				for i, s := range all {
					if got := previousOwner(s); len(got) > 0 {
						t.Errorf("attempt %d is linked to %v", i+1, got)
					}
				}
			})
		})
	}
}

// An attempt that nobody recorded is not linked to, nor is one before it; somebody else's
// note leads nowhere.
func TestPreviousOwnerUnsampled(t *testing.T) {
	inReplicas(t, true, &alternating{}, func(engine *leasetest.Memory, a, b *replica) {
		for n := 2; n <= 3; n++ { // of two attempts the last is sampled, of the three that follow it is not
			h := a.add(context.Background(), bounded(steps(ok(), ok(), ok()), a.owner.Singleton("job")))
			a.after(h, n)
			h.Stop()
			time.Sleep(leaseTTL)
			token, note, err := engine.Connect().AcquireNoted(t.Context(), "taskvisor/job", "next", leaseTTL)
			if sampled := note != ""; err != nil || sampled != (n == 2) {
				t.Errorf("the note after %d attempts is %q: %v", n, note, err)
			}
			if err := engine.Connect().Release(t.Context(), "taskvisor/job", token); err != nil {
				t.Error(err)
			}
		}
		token, err := engine.Connect().Acquire(t.Context(), "taskvisor/theirs", "else", leaseTTL)
		if err == nil {
			err = engine.Connect().ReleaseNoted(t.Context(), "taskvisor/theirs", token, "row 7")
		}
		if err != nil {
			t.Fatal(err)
		}
		b.after(b.add(context.Background(), bounded(steps(ok()), b.owner.Singleton("theirs"))), 1)
		if all := spansOf(b.spans, "b", "run job"); len(all) != 1 || len(all[0].Links()) > 0 {
			t.Errorf("%d spans, the first with the links %+v", len(all), all[0].Links())
		}
	})
}
