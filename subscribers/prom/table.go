package promsub

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// Family is one metric: everything about it that a reader of /metrics can see, and
// what the same thing is called where OpenTelemetry carries it.
type Family struct {
	Name     string  // with the namespace taskvisor_, which [WithNamespace] changes
	Type     string  // counter, gauge or histogram
	Group    string  // supervisor, task, gate, admission, lease or subscriber
	Labels   []Label // besides supervisor, which every family has
	Help     string
	Question string // what it is there to answer

	// Instrument is the name of the OpenTelemetry instrument that shows the same, and
	// Unit its unit. Prometheus makes Name of the two when it receives them by OTLP.
	Instrument, Unit string
}

// Label is a label of a [Family] and the values that it takes; nil says that they are
// the user's.
type Label struct {
	Name   string
	Values []string
}

// Families returns every metric that a [Subscriber] exports, in the order of the
// package comment. It is what dashboards, documents and other exporters are made
// from. The caller owns the slice and must not change what it points at.
func Families() []Family {
	all := slices.Clone(families[:])
	for i := range all {
		all[i].Name = defaultNamespace + "_" + all[i].Name
		all[i].Instrument = "taskvisor." + all[i].Instrument
	}
	return all
}

// metric is the index of a row of families.
type metric int

const (
	buildInfo metric = iota
	supervisorState
	supervisorStart
	tasksByState
	tasksAdded
	tasksRemoved
	tasksFinished
	concurrencyLimit
	concurrencyInUse
	stuckAttempts
	abandonedAttempts
	attemptsAbandoned
	shutdownStart
	shutdownDuration
	taskPolicy
	taskInterval
	taskAdded
	taskState
	taskReady
	taskAttempts
	taskDuration
	taskRestarts
	taskGaveUp
	taskFailures
	taskBackoffDelay
	taskBackoffSeconds
	taskLastSuccess
	taskNextStart
	taskAttemptStart
	gateWaiting
	gateWait
	admissionRequests
	admissionRejections
	admissionWait
	slotsByState
	slotQueueLength
	slotQueueMax
	slotQueueOldest
	leaseOwned
	leaseWanted
	leaseAcquired
	leaseLost
	leaseRenew
	leaseMargin
	leaseTTL
	subscriberQueueLength
	subscriberQueueCapacity
	subscriberEvents
	subscriberDropped
	subscriberPanics
	subscriberFailures
	overflowTasks
	metricCount
)

const (
	gauge     = "gauge"
	counter   = "counter"
	histogram = "histogram"
)

// What the labels say, in the order of a page.
var (
	supervisorStates = []taskvisor.SupervisorState{
		taskvisor.SupervisorRunning, taskvisor.SupervisorDraining, taskvisor.SupervisorStopped,
	}
	taskStates = [...]taskvisor.State{
		taskvisor.StatePending, taskvisor.StateRunning, taskvisor.StateBackoff,
		taskvisor.StateWaiting, taskvisor.StatePaused, taskvisor.StateStopping, taskvisor.StateAbandoned,
	}
	slotStates = []taskvisor.SlotState{
		taskvisor.SlotAdmitting, taskvisor.SlotRunning, taskvisor.SlotTerminating, taskvisor.SlotAbandoned,
	}
	results = []taskvisor.ResultKind{
		taskvisor.ResultSuccess, taskvisor.ResultFailure, taskvisor.ResultFatal,
		taskvisor.ResultTimeout, taskvisor.ResultPanic, taskvisor.ResultCanceled,
	}
	outcomes = []taskvisor.OutcomeKind{
		taskvisor.OutcomeCompleted, taskvisor.OutcomeFailed, taskvisor.OutcomeFatal,
		taskvisor.OutcomeCanceled, taskvisor.OutcomeAbandoned,
	}
	gaveUp        = []taskvisor.OutcomeKind{taskvisor.OutcomeFailed, taskvisor.OutcomeFatal}
	restartCauses = []taskvisor.BackoffSource{
		taskvisor.BackoffSuccess, taskvisor.BackoffFailure, taskvisor.BackoffRequested, taskvisor.BackoffTriggered,
	}
	abandonCauses = []taskvisor.Reason{taskvisor.ErrShutdown, taskvisor.ErrRemoved, taskvisor.ErrReplaced}
	admissions    = []taskvisor.Admission{
		taskvisor.Queue, taskvisor.Replace, taskvisor.DropIfRunning, taskvisor.Coalesce, taskvisor.Join,
	}
	verdicts = []taskvisor.Verdict{
		taskvisor.VerdictStarted, taskvisor.VerdictQueued, taskvisor.VerdictJoined, taskvisor.VerdictRejected,
	}
	rejectReasons = []taskvisor.Reason{
		taskvisor.ErrTaskExists, taskvisor.ErrSlotBusy, taskvisor.ErrQueueFull,
		taskvisor.ErrSuperseded, taskvisor.ErrTooManyTasks, taskvisor.ErrRemoved, taskvisor.ErrShuttingDown,
	}
	leaseModes      = []lease.Mode{lease.ModeSingleton, lease.ModeShard, lease.ModeSlot}
	lossReasons     = []lease.LossReason{lease.LostDeadline, lease.LostStolen, lease.LostAbandoned}
	restartPolicies = [...]string{"never", "on_failure", "always", "scheduled"}
)

// words returns the labels of values.
func words[E interface{ String() string }](values []E) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = v.String()
	}
	return all
}

// lossKinds are those of the events that a subscriber can lose: all but the one that
// is made for who lost something.
func lossKinds() []string {
	var all []string
	for k := taskvisor.TaskAdded; k <= taskvisor.SubscriberPanicked; k++ {
		if k != taskvisor.SubscriberOverflow {
			all = append(all, k.String())
		}
	}
	return all
}

func own(names ...string) (labels []Label) {
	for _, n := range names {
		labels = append(labels, Label{Name: n})
	}
	return labels
}

func labelled(more ...Label) []Label { return more }

func ofTask(more ...Label) []Label { return append(own("task"), more...) }

// labelNames are what client libraries call variable labels.
func (f *Family) labelNames() (names []string) {
	for _, l := range f.Labels {
		names = append(names, l.Name)
	}
	return names
}

// describe makes the descriptors of all families.
func describe(namespace string, constLabels prometheus.Labels) (descs [metricCount]*prometheus.Desc) {
	for id := range families {
		f := &families[id]
		descs[id] = prometheus.NewDesc(prometheus.BuildFQName(namespace, "", f.Name), f.Help, f.labelNames(), constLabels)
	}
	return descs
}
