package healthsub_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	healthsub "github.com/taskvisor/taskvisor-go/subscribers/health"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// TestProbes is the table of what a prober sees, in the order in which it happens.
func TestProbes(t *testing.T) {
	critical := func(names ...string) *healthsub.Health {
		return healthsub.New(healthsub.WithLevel(healthsub.Critical, names...))
	}
	for name, c := range map[string]struct {
		health *healthsub.Health
		f      func(r *rig)
	}{
		"before the start": {healthsub.New(), func(r *rig) {
			r.want(503, 200, "not ready\n", "shop: not started, for 0s\n")
			if err := r.sup.Start(context.Background()); err != nil {
				r.t.Fatal(err)
			}
			r.want(200, 200)
		}},
		"after the end": {healthsub.New(), func(r *rig) {
			if err := r.sup.Run(context.Background(), taskvisor.Once("import", succeed)); err != nil {
				r.t.Fatal(err)
			}
			r.want(503, 200, "shop: ended, for 0s\n")
		}},
		"after a shutdown": {healthsub.New(), func(r *rig) {
			r.start()
			if err := r.sup.Shutdown(context.Background()); err != nil {
				r.t.Fatal(err)
			}
			later(time.Minute)
			r.want(503, 200, "shop: ended, for 1m0s\n")
		}},
		"critical, not yet added": {critical("orders"), func(r *rig) {
			r.start()
			r.want(503, 200, "orders: not added yet\n")
			r.add(taskvisor.Restartable("orders", block))
			r.want(200, 200)
		}},
		"critical, ready once": {critical("orders"), func(r *rig) {
			r.start()
			r.add(taskvisor.Restartable("orders", sayReadyAfter(time.Minute), taskvisor.WithReadiness(), taskvisor.ConstantBackoff(time.Hour)))
			later(30 * time.Second)
			r.want(503, 200, "shop: orders: not ready yet, for 30s\n")
			later(29 * time.Second)
			r.want(503, 200)
			later(time.Second)
			r.want(200, 200)
			later(time.Hour) // it fails a minute later, and keeps failing
			r.want(200, 200)
			if st, _ := r.sup.Lookup("orders"); st.Status().Ready {
				r.t.Error("it is ready, which proves nothing")
			}
		}},
		"critical, ready once while nobody asked": {critical("orders"), func(r *rig) {
			r.start()
			r.add(taskvisor.Restartable("orders", sayReadyAfter(time.Minute), taskvisor.WithReadiness(), taskvisor.ConstantBackoff(time.Hour)))
			later(30 * time.Minute)
			r.want(200, 200)
		}},
		"critical, fails from the start": {critical("orders"), func(r *rig) {
			r.start()
			r.add(taskvisor.Restartable("orders", fail, taskvisor.ConstantBackoff(time.Minute)))
			later(90 * time.Second)
			r.want(503, 200, "shop: orders: not ready yet, for 1m30s\n")
		}},
		"critical, succeeded and fails since": {critical("orders"), func(r *rig) {
			r.start()
			r.add(taskvisor.Periodic("orders", time.Minute, taskvisortest.Script(taskvisortest.Succeed(), taskvisortest.Fail(errBoom)), taskvisor.ConstantBackoff(time.Minute)))
			later(10 * time.Minute)
			r.want(200, 200, `"problem":"failing"`)
		}},
		"critical, a resident recovers": {critical("orders"), func(r *rig) {
			r.start()
			bad := taskvisortest.Fail(errBoom)
			r.add(taskvisor.Restartable("orders", taskvisortest.Script(bad, bad, bad, taskvisortest.Block()), taskvisor.ConstantBackoff(time.Second)))
			later(time.Minute)
			r.want(200, 200, `"problem":"failing"`)
			later(time.Minute) // it runs on, and says nothing
			if st := r.health.Status(); len(st.Reasons) > 0 {
				r.t.Errorf("%+v", st.Reasons)
			}
		}},
		"critical, given up": {critical("orders"), func(r *rig) {
			r.start()
			r.add(taskvisor.Restartable("orders", fail, taskvisor.WithMaxRetries(0)))
			later(2 * time.Hour)
			r.want(503, 200, "shop: orders: gave up, for 2h0m0s\n")
			r.add(taskvisor.Restartable("orders", block)) // recovered
			r.want(200, 200)
		}},
		"critical, fatal": {critical("orders"), func(r *rig) {
			r.start()
			r.add(taskvisor.Restartable("orders", func(context.Context) error { return taskvisor.Fatal(errBoom) }))
			r.want(503, 200, "orders: gave up")
		}},
		"critical, completed or stopped": {critical("migrate", "orders"), func(r *rig) {
			r.start()
			r.add(taskvisor.Once("migrate", succeed))
			h := r.add(taskvisor.Restartable("orders", block))
			h.Stop()
			synctest.Wait()
			r.want(200, 200)
		}},
		"critical, paused": {critical("orders"), func(r *rig) {
			r.start()
			h := r.add(taskvisor.Periodic("orders", time.Minute, succeed))
			h.Pause(errBoom)
			later(10 * time.Second)
			r.want(503, 200, "shop: orders: paused, for 10s\n")
			h.Resume(errBoom)
			r.want(200, 200)
		}},
		"critical, added paused": {critical("orders"), func(r *rig) {
			r.start()
			h := r.add(taskvisor.Restartable("orders", block, taskvisor.WithStartPaused()))
			r.want(503, 200, "orders: paused")
			h.Resume(nil)
			synctest.Wait()
			r.want(200, 200)
		}},
		"critical, stuck": {critical("orders"), func(r *rig) {
			r.start()
			r.add(taskvisor.Periodic("orders", time.Hour, deaf(2*time.Minute), taskvisor.WithTimeout(time.Second), taskvisor.WithStuckAfter(time.Second)))
			later(2 * time.Second)
			r.want(200, 200, `"problem":"stuck"`) // from now on
			later(29 * time.Second)
			r.want(200, 200)
			later(time.Second)
			r.want(200, 503, "not live\nshop: orders: stuck, for 30s\n")
			later(88 * time.Second) // the body is back
			r.want(200, 200)
		}},
		"critical, abandoned": {critical("orders"), func(r *rig) {
			r.start()
			h := r.add(taskvisor.Restartable("orders", deaf(time.Hour), taskvisor.WithGrace(10*time.Second), taskvisor.WithStuckAfter(time.Minute)))
			h.Stop()
			later(39 * time.Second)
			r.want(200, 200, `"problem":"abandoned"`)
			later(time.Second)
			r.want(200, 503, "shop: orders: abandoned, for 30s\n")
			later(time.Hour)
			r.want(200, 200)
		}},
		"critical, stuck and then abandoned": {critical("orders"), func(r *rig) {
			r.start()
			h := r.add(taskvisor.Restartable("orders", deaf(time.Hour), taskvisor.WithGrace(10*time.Second), taskvisor.WithStuckAfter(5*time.Second)))
			h.Stop()
			later(34 * time.Second)
			r.want(200, 200)
			later(time.Second) // counted from the first report
			r.want(200, 503, "shop: orders: abandoned, for 30s\n")
		}},
		"standby": {critical("report"), func(r *rig) {
			r.start()
			r.add(taskvisor.Restartable("other", block, taskvisor.WithEssential(), taskvisor.WithGate(&gate{name: "lease"})))
			g := &gate{name: "lease report"}
			r.add(taskvisor.Restartable("report", block, taskvisor.WithGate(g)))
			r.want(200, 200)
			g.openUp()
			r.want(200, 200)
		}},
		"at a gate that is no lease": {critical("report"), func(r *rig) {
			r.start()
			g := &gate{name: "leases"}
			r.add(taskvisor.Restartable("report", block, taskvisor.WithGate(g)))
			r.want(503, 200, "report: not ready yet, waits for leases, for 0s\n")
			g.openUp()
			r.want(200, 200)
		}},
		"standby at a gate of the program's": {healthsub.New(healthsub.WithLevel(healthsub.Critical, "report"), healthsub.WithStandby("window", "night")), func(r *rig) {
			r.start()
			r.add(taskvisor.Restartable("report", block, taskvisor.WithGate(&gate{name: "night"})))
			r.want(200, 200)
		}},
		"draining": {healthsub.New(), func(r *rig) {
			r.start()
			r.add(taskvisor.Restartable("orders", deaf(10*time.Second)))
			r.want(200, 200)
			go func() { _ = r.sup.Shutdown(context.Background()) }()
			synctest.Wait()
			r.want(503, 200, "shop: shutting down, for 0s\n")
			later(4 * time.Second)
			r.want(503, 200, "shop: shutting down, for 4s\n")
		}},
		"shutting down, stuck before": {critical("orders"), func(r *rig) {
			r.start()
			r.add(taskvisor.Restartable("orders", deaf(time.Hour), taskvisor.WithTimeout(time.Second)))
			later(time.Minute)
			r.want(200, 503)
			go func() { _ = r.sup.Shutdown(context.Background()) }()
			synctest.Wait()
			r.want(503, 200, "shop: shutting down, for 0s\n")
		}},
		"after the end, abandoned": {critical("orders"), func(r *rig) {
			r.start()
			r.add(taskvisor.Restartable("orders", deaf(time.Hour)))
			_ = r.sup.Shutdown(context.Background())
			later(time.Minute)
			r.want(503, 200, "shop: ended")
			if why := r.health.Status().Reasons; len(why) != 2 || why[1].Problem != healthsub.Abandoned {
				r.t.Errorf("%+v", why)
			}
		}},
		"essential": {healthsub.New(), func(r *rig) {
			r.start()
			h := r.add(taskvisor.Restartable("orders", block, taskvisor.WithEssential()))
			h.Pause(nil)
			r.want(200, 200) // its attempt runs on
			h.Interrupt(nil)
			synctest.Wait()
			r.want(503, 200, "orders: paused")
		}},
		"degrading": {healthsub.New(), func(r *rig) {
			r.start()
			r.add(taskvisor.Restartable("mail", fail, taskvisor.WithMaxRetries(0)))
			r.add(taskvisor.Restartable("push", fail, taskvisor.ConstantBackoff(time.Second)))
			r.add(taskvisor.Periodic("feed", time.Minute, succeed)).Pause(nil)
			r.add(taskvisor.Once("hang", deaf(time.Hour), taskvisor.WithTimeout(time.Second)))
			later(10 * time.Minute)
			r.want(200, 200, `"task":"mail","level":"degrading","problem":"gave up"`, `"task":"push","level":"degrading","problem":"failing"`,
				`"task":"feed","level":"degrading","problem":"paused"`, `"task":"hang","level":"degrading","problem":"stuck"`)
		}},
		"ignored": {healthsub.New(healthsub.WithLevel(healthsub.Ignored, "mail", "feed")), func(r *rig) {
			r.start()
			r.add(taskvisor.Restartable("mail", fail, taskvisor.WithMaxRetries(0)))
			r.add(taskvisor.Periodic("feed", time.Minute, succeed, taskvisor.WithEssential())).Pause(nil)
			if st := r.reasons(); len(st.Reasons) > 0 {
				r.t.Errorf("%+v", st.Reasons)
			}
			r.want(200, 200)
		}},
		"limit of the program's": {healthsub.New(healthsub.WithLevel(healthsub.Critical, "orders"), healthsub.WithStuckLimit(0)), func(r *rig) {
			r.start()
			r.add(taskvisor.Restartable("orders", deaf(time.Hour), taskvisor.WithTimeout(time.Second), taskvisor.WithStuckAfter(time.Second)))
			later(1999 * time.Millisecond)
			r.want(200, 200)
			later(time.Millisecond)
			r.want(200, 503)
		}},
	} {
		t.Run(name, func(t *testing.T) { bubble(t, c.health, c.f) })
	}
}

func (r *rig) start() {
	r.t.Helper()
	if err := r.sup.Start(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

// sayReadyAfter is ready after d, and fails after as long again.
func sayReadyAfter(d time.Duration) taskvisor.Func {
	return func(ctx context.Context) error {
		time.Sleep(d)
		taskvisor.Ready(ctx)
		time.Sleep(d)
		return errBoom
	}
}

// TestLevelFunc: names win over the function, and nonsense means the default.
func TestLevelFunc(t *testing.T) {
	calls := map[string]int{}
	health := healthsub.New(healthsub.WithLevel(healthsub.Ignored, "quiet"), healthsub.WithLevelFunc(func(name, kind string) healthsub.Level {
		calls[name+"/"+kind]++
		switch kind {
		case "worker":
			return healthsub.Critical
		case "broken":
			panic("no level")
		}
		return 77
	}))
	running(t, health, func(r *rig) {
		for name, kind := range map[string]string{"w": "worker", "quiet": "worker", "b": "broken", "x": "other"} {
			r.add(taskvisor.Restartable(name, fail, taskvisor.WithKind(kind), taskvisor.WithMaxRetries(0)))
		}
		got := map[string]healthsub.Level{}
		for _, why := range health.Status().Reasons {
			got[why.Task] = why.Level
		}
		if want := fmt.Sprint(map[string]healthsub.Level{"w": healthsub.Critical, "b": healthsub.Degrading, "x": healthsub.Degrading}); fmt.Sprint(got) != want {
			r.t.Errorf("levels %v, want %s", got, want)
		}
		for range 10 {
			health.Status()
		}
		if want := "map[b/broken:1 w/worker:1 x/other:1]"; fmt.Sprint(calls) != want {
			r.t.Errorf("called %v, want %s", calls, want)
		}
	})
}

// TestSeveralSupervisors: the process is as well as the worst of them, and one that
// was followed by another of its name does not count any more.
func TestSeveralSupervisors(t *testing.T) {
	health := healthsub.New(healthsub.WithLevel(healthsub.Critical, "orders"))
	if st := health.Status(); st.Ready || !st.Live || len(st.Reasons) != 2 {
		t.Errorf("without a supervisor: %+v", st)
	}
	running(t, health, func(r *rig) {
		r.add(taskvisor.Restartable("orders", fail, taskvisor.WithMaxRetries(0)))
		r.want(503, 200, "orders: gave up")
		if err := r.sup.Shutdown(context.Background()); err != nil {
			r.t.Fatal(err)
		}
		r.want(503, 200, "shop: ended", "orders: gave up")
		later(time.Second)
		again, err := taskvisor.New(taskvisor.WithName("shop"), taskvisor.WithSubscriber(health))
		if err != nil {
			r.t.Fatal(err)
		}
		r.want(503, 200, "shop: not started")
		if err := again.Start(context.Background()); err != nil {
			r.t.Fatal(err)
		}
		r.want(503, 200, "orders: not added yet")
		if _, err := again.Add(context.Background(), taskvisor.Restartable("orders", block)); err != nil {
			r.t.Fatal(err)
		}
		synctest.Wait()
		r.want(200, 200)
		other, err := taskvisor.New(taskvisor.WithName("other"), taskvisor.WithSubscriber(health))
		if err != nil {
			r.t.Fatal(err)
		}
		r.want(503, 200, "other: not started")
		for _, sup := range []*taskvisor.Supervisor{again, other} {
			if err := sup.Shutdown(context.Background()); err != nil {
				r.t.Fatal(err)
			}
		}
	})
}
