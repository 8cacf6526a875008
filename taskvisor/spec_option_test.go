package taskvisor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

var doubled = taskvisor.NewLimit("doubled", 3)

// wrongTaskOptions are misuses, with what the error says.
var wrongTaskOptions = map[string]struct {
	opt taskvisor.TaskOption
	why string
}{
	"zero timeout":        {taskvisor.WithTimeout(0), "timeout 0s is not positive: use WithoutTimeout"},
	"negative timeout":    {taskvisor.WithTimeout(-1), "timeout -1ns is not positive"},
	"negative retries":    {taskvisor.WithMaxRetries(-1), "retry limit -1 is negative: use WithUnlimitedRetries"},
	"zero reset":          {taskvisor.WithResetAfter(0), "reset after 0s is not positive"},
	"negative reset":      {taskvisor.WithResetAfter(-time.Second), "reset after -1s is not positive"},
	"zero stuck":          {taskvisor.WithStuckAfter(0), "stuck after 0s is not positive"},
	"negative grace":      {taskvisor.WithGrace(-time.Second), "negative grace -1s"},
	"negative interval":   {taskvisor.RestartAlways(-time.Second), "negative interval -1s"},
	"negative backoff":    {taskvisor.ConstantBackoff(-time.Second), "negative first delay -1s"},
	"first above maximum": {taskvisor.ExponentialBackoff(2*time.Second, time.Second), "maximum 1s is less than the first delay 2s"},
	"factor below 1":      {taskvisor.BackoffPolicy{First: 1, Max: 2, Factor: 0.5}, "factor 0.5"},
	"factor NaN":          {taskvisor.BackoffPolicy{First: 1, Max: 2, Factor: math.NaN()}, "factor NaN"},
	"factor infinite":     {taskvisor.BackoffPolicy{First: 1, Max: 2, Factor: math.Inf(1)}, "factor +Inf"},
	"factor negative":     {taskvisor.BackoffPolicy{First: 1, Max: 2, Factor: -2}, "factor -2"},
	"unknown jitter":      {taskvisor.BackoffPolicy{First: 1, Max: 2, Jitter: 9}, "unknown jitter 9"},
	"gate twice":          {taskvisor.WithGate(doubled, oddGate{}, oddGate{}, doubled), `gate "doubled" is given twice`},
}

// A wrong option surfaces when the task is registered, and nothing is left.
func TestOptionsRefusedByAdd(t *testing.T) {
	inRoom(t, func(r *room) {
		for name, wrong := range wrongTaskOptions {
			spec := taskvisor.Restartable("culprit "+name, noWork, wrong.opt)
			_, err := r.sup.Add(context.Background(), spec)
			checkRefusal(t, err, "culprit "+name, wrong.why)
			_, err = r.sup.AddAll(context.Background(), taskvisor.Once("valid", noWork), spec)
			checkRefusal(t, err, "culprit "+name, wrong.why)
			_, err = r.sup.Submit(context.Background(), taskvisor.Submission{Task: spec})
			checkRefusal(t, err, "culprit "+name, wrong.why)
		}
		nothingLeft(r)
	})
}

// A wrong default surfaces when the supervisor is made.
func TestOptionsRefusedByNew(t *testing.T) {
	for name, wrong := range wrongTaskOptions {
		_, err := taskvisor.New(taskvisor.WithTaskDefaults(wrong.opt))
		if err == nil || !strings.Contains(err.Error(), wrong.why) {
			t.Errorf("%s as a default: %v", name, err)
		}
	}
	sub := &taskvisortest.Recorder{}
	for name, wrong := range map[string]struct {
		opt taskvisor.Option
		why string
	}{
		"grace":             {taskvisor.WithGrace(-1), "negative grace"},
		"drain":             {taskvisor.WithSubscriberDrain(-1), "negative subscriber drain"},
		"no permits":        {taskvisor.WithMaxConcurrent(0), "concurrency limit 0 is less than 1"},
		"negative permits":  {taskvisor.WithMaxConcurrent(-1), "concurrency limit -1"},
		"queue":             {taskvisor.WithMaxQueue(-1), "queue limit -1 is negative"},
		"name":              {taskvisor.WithName(""), "empty supervisor name"},
		"control in name":   {taskvisor.WithName("a\n"), "control character"},
		"subscriber's name": {taskvisor.WithSubscriber(sub, taskvisor.WithName("")), "empty subscriber name"},
		"capacity":          {taskvisor.WithSubscriber(sub, taskvisor.WithName("culprit"), taskvisor.Queued(0)), `"culprit": capacity 0`},
		"signal":            {taskvisor.WithSignals(nil), "nil signal"},
	} {
		if sup, err := taskvisor.New(wrong.opt); err == nil || sup != nil || !strings.Contains(err.Error(), wrong.why) {
			t.Errorf("%s: %v, want %q", name, err, wrong.why)
		}
	}
}

// Not set means inherited; explicitly none is something else.
func TestOptionsInheritOrNone(t *testing.T) {
	type policy struct {
		timeout time.Duration
		limited bool
		retries int
		bounded bool
	}
	defaults := []taskvisor.TaskOption{taskvisor.WithTimeout(time.Minute), taskvisor.WithMaxRetries(5)}
	inherited := policy{time.Minute, true, 5, true}
	for name, tt := range map[string]struct {
		defaults, own []taskvisor.TaskOption
		want          policy
	}{
		"nothing said":              {nil, nil, policy{}},
		"inherited":                 {defaults, nil, inherited},
		"own timeout":               {defaults, []taskvisor.TaskOption{taskvisor.WithTimeout(time.Second)}, policy{time.Second, true, 5, true}},
		"no timeout":                {defaults, []taskvisor.TaskOption{taskvisor.WithoutTimeout()}, policy{0, false, 5, true}},
		"own retries":               {defaults, []taskvisor.TaskOption{taskvisor.WithMaxRetries(0)}, policy{time.Minute, true, 0, true}},
		"unlimited":                 {defaults, []taskvisor.TaskOption{taskvisor.WithUnlimitedRetries()}, policy{time.Minute, true, 0, false}},
		"none, without a default":   {nil, []taskvisor.TaskOption{taskvisor.WithoutTimeout(), taskvisor.WithUnlimitedRetries()}, policy{}},
		"later wins: none":          {nil, []taskvisor.TaskOption{taskvisor.WithTimeout(1), taskvisor.WithoutTimeout()}, policy{}},
		"later wins: limit":         {nil, []taskvisor.TaskOption{taskvisor.WithUnlimitedRetries(), taskvisor.WithMaxRetries(2)}, policy{0, false, 2, true}},
		"later default wins":        {append(defaults, taskvisor.WithoutTimeout()), nil, policy{0, false, 5, true}},
		"another option is no none": {defaults, []taskvisor.TaskOption{taskvisor.WithStuckAfter(time.Second), taskvisor.WithoutRestartFloor()}, inherited},
	} {
		t.Run(name, func(t *testing.T) {
			inRoom(t, func(r *room) {
				block := taskvisortest.Script(taskvisortest.Block())
				for _, spec := range []taskvisor.TaskSpec{
					taskvisor.Restartable("restartable", block, tt.own...),
					taskvisor.Periodic("periodic", time.Hour, block, tt.own...),
				} {
					var got policy
					in := r.add(spec).Status().Spec
					got.timeout, got.limited = in.Timeout()
					got.retries, got.bounded = in.MaxRetries()
					same(t, spec.Name(), got, tt.want)
				}
			}, taskvisor.WithTaskDefaults(tt.defaults...))
		})
	}
}

func TestOptionDefaults(t *testing.T) {
	inRoom(t, func(r *room) {
		block := taskvisortest.Script(taskvisortest.Block())
		h := r.add(taskvisor.Restartable("a", block))
		spec := h.Status().Spec
		same(t, "restart", spec.Restart(), taskvisor.RestartOnFailure())
		same(t, "zero restart policy", taskvisor.RestartPolicy{}, taskvisor.RestartOnFailure())
		same(t, "backoff", spec.Backoff(), taskvisor.BackoffPolicy{First: 200 * time.Millisecond, Max: 30 * time.Second, Factor: 2, Jitter: taskvisor.EqualJitter})
		sn := r.sup.Snapshot()
		same(t, "permits", sn.MaxConcurrent, 0)
		for _, s := range sn.Subscribers {
			if !s.Inline {
				same(t, "capacity", s.Capacity, 65536)
			}
		}
		same(t, "name", r.sup.Name(), "taskvisor")
	}, taskvisor.WithSubscriber(queuedOnly{}))
}

type queuedOnly struct{}

func (queuedOnly) OnEvent(context.Context, taskvisor.Event) {}

// The grace of a stop is 20 s, the supervisor's, or the task's own.
func TestOptionGrace(t *testing.T) {
	for name, tt := range map[string]struct {
		opts []taskvisor.Option
		own  []taskvisor.TaskOption
		want time.Duration
	}{
		"default":      {nil, nil, 20 * time.Second},
		"supervisor's": {[]taskvisor.Option{taskvisor.WithGrace(7 * time.Second)}, nil, 7 * time.Second},
		"of the defaults": {[]taskvisor.Option{
			taskvisor.WithGrace(7 * time.Second),
			taskvisor.WithTaskDefaults(taskvisor.WithGrace(3 * time.Second)),
		}, nil, 3 * time.Second},
		"own":      {nil, []taskvisor.TaskOption{taskvisor.WithGrace(90 * time.Second)}, 90 * time.Second},
		"own zero": {nil, []taskvisor.TaskOption{taskvisor.WithGrace(0)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inRoom(t, func(r *room) {
				h := r.add(taskvisor.Once("a", taskvisortest.Script(taskvisortest.Ignore(time.Hour)), tt.own...))
				time.Sleep(time.Second)
				start := time.Now()
				o, err := h.Cancel(context.Background())
				same(t, "abandoned after", time.Since(start), tt.want)
				same(t, "outcome", o.Kind, taskvisor.OutcomeAbandoned)
				same(t, "error of waiting", err, nil)
				time.Sleep(2 * time.Hour)
			}, tt.opts...)
		})
	}
}

// Once and Periodic fix their restart policy.
func TestOptionRestartIsPinned(t *testing.T) {
	inRoom(t, func(r *room) {
		add := func(spec taskvisor.TaskSpec) error {
			_, err := r.sup.Add(context.Background(), spec)
			return err
		}
		wrong := map[string]taskvisor.TaskSpec{
			"once on failure":    taskvisor.Once("culprit", noWork, taskvisor.RestartOnFailure()),
			"once always":        taskvisor.Once("culprit", noWork, taskvisor.RestartAlways(0)),
			"once, later":        taskvisor.Once("culprit", noWork).With(taskvisor.RestartOnFailure()),
			"periodic never":     taskvisor.Periodic("culprit", time.Second, noWork, taskvisor.RestartNever()),
			"periodic otherwise": taskvisor.Periodic("culprit", time.Second, noWork, taskvisor.RestartAlways(time.Minute)),
			"periodic, later":    taskvisor.Periodic("culprit", time.Second, noWork).With(taskvisor.RestartOnFailure()),
			"negative interval":  taskvisor.Periodic("culprit", -time.Second, noWork),
		}
		for name, spec := range wrong {
			if err := add(spec); err == nil || !strings.Contains(err.Error(), `"culprit"`) {
				t.Errorf("%s: %v", name, err)
			}
		}
		nothingLeft(r)
		same(t, "the same policy", add(taskvisor.Once("same", noWork, taskvisor.RestartNever())), nil)
	}, taskvisor.WithTaskDefaults(taskvisor.RestartAlways(time.Hour)))
}

// Defaults without a meaning for a task are ignored there; its own are an error.
func TestOptionWithoutMeaningIsIgnored(t *testing.T) {
	inRoom(t, func(r *room) {
		fail := taskvisortest.Script(taskvisortest.Fail(errBoom))
		same(t, "outcome", r.run(taskvisor.Once("once", fail)).Kind, taskvisor.OutcomeFailed)
		r.trace("once", "A S ✗ E D")
		for name, opt := range map[string]taskvisor.TaskOption{"retries": taskvisor.WithMaxRetries(3), "unlimited": taskvisor.WithUnlimitedRetries(),
			"backoff": taskvisor.ConstantBackoff(time.Hour), "reset": taskvisor.WithResetAfter(time.Hour)} {
			for shape, spec := range map[string]taskvisor.TaskSpec{"once": taskvisor.Once(name, fail, opt), "never": taskvisor.Restartable(name, fail, taskvisor.RestartNever(), opt)} {
				if _, err := r.sup.Add(context.Background(), spec); err == nil || !strings.Contains(err.Error(), name) {
					t.Errorf("%s of a task that runs %s: %v", name, shape, err)
				}
			}
		}
		r.run(taskvisor.Restartable("inherits", fail))
		r.trace("inherits", "A S ✗ B S ✗ B S ✗ B S ✗ E D")
	}, taskvisor.WithTaskDefaults(taskvisor.RestartAlways(time.Second), taskvisor.WithMaxRetries(3), taskvisor.ConstantBackoff(time.Second)))
}

// A gate that the defaults have already is an error as well, and takes no place of those
// for which it is given once.
func TestOptionGateIsGivenOnce(t *testing.T) {
	limit := taskvisor.NewLimit("limit", 1)
	inRoom(t, func(r *room) {
		spec := taskvisor.Once("culprit", noWork, taskvisor.WithGate(limit))
		_, err := r.sup.Add(context.Background(), spec)
		checkRefusal(t, err, "culprit", `gate "limit" is given twice`)
		_, err = r.sup.AddAll(context.Background(), taskvisor.Once("valid", noWork), spec)
		checkRefusal(t, err, "culprit", `gate "limit" is given twice`)
		_, err = r.sup.Submit(context.Background(), taskvisor.Submission{Task: spec})
		checkRefusal(t, err, "culprit", `gate "limit" is given twice`)
		_, err = r.sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once("later", noWork, taskvisor.WithGate(limit)).With(taskvisor.WithGate(limit))})
		checkRefusal(t, err, "later", `gate "limit" is given twice`)
		nothingLeft(r)
		for range 3 {
			same(t, "outcome", r.run(taskvisor.Once("once", noWork, taskvisor.WithGate(taskvisor.NewLimit("other", 1)))).Kind, taskvisor.OutcomeCompleted)
		}
	}, taskvisor.WithTaskDefaults(taskvisor.WithGate(limit)))
}

// Every duration may be as long as a duration can be: no sum of it wraps.
func TestOptionsOfTheLongestDuration(t *testing.T) {
	const forever = time.Duration(math.MaxInt64)
	bubble(t, func(t *testing.T) {
		sup, rec := taskvisortest.Start(t, taskvisor.WithGrace(forever), taskvisor.WithSubscriberDrain(forever), taskvisor.WithRestartBudget(1, forever),
			taskvisor.WithTaskDefaults(taskvisor.WithTimeout(forever), taskvisor.WithIdleTimeout(forever), taskvisor.WithResetAfter(forever),
				taskvisor.WithStuckAfter(forever), taskvisor.WithGrace(forever), taskvisor.ConstantBackoff(time.Second)))
		late := taskvisor.WithInitialDelay(0, forever)
		addTo(t, sup, taskvisor.Once("late", noWork, late))
		if _, err := sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once("late, in a slot", noWork, late)}); err != nil {
			t.Fatal(err)
		}
		for i := range 2 { // both ask for their retry at one instant
			addTo(t, sup, taskvisor.Restartable(nth("fails", i), taskvisortest.Script(taskvisortest.Fail(errBoom), taskvisortest.Block())))
		}
		addTo(t, sup, taskvisor.Restartable("first", idle))
		addTo(t, sup, taskvisor.Restartable("then", idle, taskvisor.After("first"))) // two stages of the shutdown
		time.Sleep(time.Hour)
		same(t, "within the budget", sup.Count(taskvisor.StateRunning), 2+1)
		same(t, "beyond the budget", sup.Count(taskvisor.StatePending), 1)
		begun := time.Now()
		if err := sup.Shutdown(context.Background()); err != nil || time.Since(begun) != 0 {
			t.Errorf("Shutdown: %v after %v", err, time.Since(begun))
		}
		wantTrace(t, rec, "late, in a slot", "U A D")
	})
}

// What a task's option changes is shown by its policy, in logs and in JSON.
func TestEveryOptionIsShown(t *testing.T) {
	shown := map[string]taskvisor.TaskOption{
		"After": taskvisor.After("x"), "BoundTo": taskvisor.BoundTo("x"), "WithEssential": taskvisor.WithEssential(),
		"WithGate": taskvisor.WithGate(taskvisor.NewLimit("x", 1)), "WithGrace": taskvisor.WithGrace(77 * time.Second),
		"WithIdleTimeout": taskvisor.WithIdleTimeout(77 * time.Second), "WithInitialDelay": taskvisor.WithInitialDelay(0, 77*time.Second),
		"WithKind": taskvisor.WithKind("x"), "WithMaxRetries": taskvisor.WithMaxRetries(77), "WithReadiness": taskvisor.WithReadiness(),
		"WithReleaseOnAbandon": taskvisor.WithReleaseOnAbandon(), "WithResetAfter": taskvisor.WithResetAfter(77 * time.Second),
		"WithStartPaused": taskvisor.WithStartPaused(), "WithStuckAfter": taskvisor.WithStuckAfter(77 * time.Second),
		"WithTimeout": taskvisor.WithTimeout(77 * time.Second), "WithoutRecover": taskvisor.WithoutRecover(),
		"WithoutRestartFloor": taskvisor.WithoutRestartFloor(), "RestartPolicy": taskvisor.RestartAlways(77 * time.Second),
		"BackoffPolicy": taskvisor.ConstantBackoff(77 * time.Second),
	}
	plain, err := json.Marshal(taskvisor.Restartable("a", noWork))
	if err != nil {
		t.Fatal(err)
	}
	for name := range tableOf(t, "unless an option says otherwise. Of a task:") {
		option, ok := shown[name]
		if !ok {
			t.Errorf("nobody has tried %s", name)
			continue
		}
		spec := taskvisor.Restartable("a", noWork, option)
		text, err := json.Marshal(spec)
		if err != nil || bytes.Equal(text, plain) {
			t.Errorf("%s does not show: %s, %v", name, text, err)
		}
		if spec.LogValue().String() == taskvisor.Restartable("a", noWork).LogValue().String() {
			t.Errorf("%s does not show in logs", name)
		}
	}
}
