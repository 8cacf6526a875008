package promsub

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/taskvisor/taskvisor-go/taskvisor"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// page is what a scrape has to send, by family. What tasks have is in order.
type page [metricCount][]prometheus.Metric

// scrape is one pass over one snapshot.
type scrape struct {
	*source
	life    *life
	snap    taskvisor.Snapshot
	sum     totals                      // of this life and those before
	byID    map[taskvisor.TaskID]*label // of the tasks; nil where no leases are asked for
	created *timestamppb.Timestamp
	rows    []row // of tasks, by the names of their labels
	out     *page

	// Room for what is made next.
	gauges   []gaugeSample
	counters []counterSample
	room     []*dto.LabelPair
}

// collect reads everything first, in short locked steps, and sends afterwards,
// when a slow reader can hold up nobody.
func (s *source) collect(l *life, ch chan<- prometheus.Metric) {
	for _, family := range s.read(l) {
		for _, m := range family {
			ch <- m
		}
	}
}

func (s *source) read(l *life) *page {
	s.scraping.Lock()
	defer s.scraping.Unlock()
	// What has been waited is read before what is being waited: a backoff that ends
	// meanwhile is not counted twice.
	s.labels.backoffs()
	c := scrape{source: s, life: l, snap: l.snapshot(), created: timestamppb.New(s.created), out: new(page)}
	of, sum := s.shown(l, &c.snap)
	if of == nil {
		return c.out
	}
	if of != l {
		c.life, c.snap = of, of.snapshot()
	}
	c.sum = sum
	found := c.find()
	s.labels.pace()
	c.group(found, s.labels.scrape(c.snap.Time))

	c.out[buildInfo] = append(c.out[buildInfo], c.sample(buildInfo, 1, s.build, nil))
	c.supervisor()
	c.totals()
	c.counts()
	c.admission()
	c.leased()
	c.subscribers()
	c.tasks()
	return c.out
}

// send is for series of which there are few.
func (c *scrape) send(id metric, v float64, labels ...*dto.LabelPair) {
	c.out[id] = append(c.out[id], c.sample(id, v, c.pairs.joined(labels...), c.created)) // as old as what counts
}

// timestamp sends nothing for a zero time: an age computed from 0 would be that
// of the epoch.
func (c *scrape) timestamp(id metric, t time.Time, labels ...*dto.LabelPair) {
	if !t.IsZero() {
		c.send(id, unixSeconds(t), labels...)
	}
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// states sends how many there are in each state. One of a newer core is nobody's.
func states[S interface {
	comparable
	String() string
}](c *scrape, id metric, states []S, count map[S]int) {
	for _, st := range states {
		c.send(id, float64(count[st]), pair("state", st.String()))
	}
}

func (c *scrape) supervisor() {
	s := &c.snap
	states(c, supervisorState, supervisorStates, map[taskvisor.SupervisorState]int{s.State: 1})
	c.timestamp(supervisorStart, c.life.created)
	c.send(tasksAdded, float64(c.sum.added))
	c.send(tasksRemoved, float64(c.sum.removed))
	if s.MaxConcurrent > 0 {
		c.send(concurrencyLimit, float64(s.MaxConcurrent))
	}
	c.send(concurrencyInUse, float64(s.InUse))
	if s.StopSince.IsZero() {
		return
	}
	c.timestamp(shutdownStart, s.StopSince)
	took := s.StopTook
	if s.State != taskvisor.SupervisorStopped {
		took = max(s.Time.Sub(s.StopSince), 0)
	}
	c.send(shutdownDuration, took.Seconds())
}

// totals counts tasks. Bodies whose tasks were removed from under them are in no
// entry of the snapshot any more, only in its total.
func (c *scrape) totals() {
	count := make(map[taskvisor.State]int)
	waiting := make(map[*gate]int)
	stuck := 0
	for i := range c.snap.Tasks {
		t := &c.snap.Tasks[i]
		count[t.State]++
		if t.Stuck {
			stuck++
		}
		if t.Gate != "" && t.State == taskvisor.StatePending {
			waiting[c.gates.get(t.Gate)]++
		}
	}
	states(c, tasksByState, taskStates[:], count)
	c.send(stuckAttempts, float64(stuck))
	c.send(abandonedAttempts, float64(count[taskvisor.StateAbandoned]+c.snap.Released))
	for _, g := range c.gates.all() {
		c.out[gateWaiting] = append(c.out[gateWaiting], c.sample(gateWaiting, float64(waiting[g]), g.labels, nil))
		c.out[gateWait] = append(c.out[gateWait], g.wait)
	}
}

// counts sends what events count for the supervisor as a whole, each series from
// the start, so that increase() sees the first of its kind.
func (c *scrape) counts() {
	for _, o := range outcomes {
		c.send(tasksFinished, float64(c.finished[o].Load()), pair("outcome", o.String()))
	}
	for _, r := range abandonCauses {
		c.send(attemptsAbandoned, float64(c.abandoned[r].Load()), pair("cause", r.String()))
	}
}

// admission sends nothing where nobody submits. Of the policies it sends those that
// somebody has used, with all that can become of a submission.
func (c *scrape) admission() {
	wait := c.wait.Load()
	if wait == nil {
		return
	}
	c.out[admissionWait] = append(c.out[admissionWait], wait)
	for _, p := range admissions {
		used := false
		for _, v := range verdicts {
			used = used || c.requests[p][v].Load() > 0
		}
		for _, v := range verdicts {
			if used {
				c.send(admissionRequests, float64(c.requests[p][v].Load()), pair("policy", p.String()), pair("result", v.String()))
			}
		}
	}
	for _, r := range rejectReasons {
		c.send(admissionRejections, float64(c.rejections[r].Load()), pair("reason", r.String()))
	}
	count := make(map[taskvisor.SlotState]int)
	var oldest time.Time
	queued, most := 0, 0
	for _, s := range c.snap.Slots {
		count[s.State]++
		queued += s.Queued
		most = max(most, s.Queued)
		oldest = earlier(oldest, s.Oldest)
	}
	states(c, slotsByState, slotStates, count)
	c.send(slotQueueLength, float64(queued))
	c.send(slotQueueMax, float64(most))
	c.timestamp(slotQueueOldest, oldest)
}

// subscribers sends what is known of each name. Supervisors number equal names, but
// somebody may have chosen such a number: they count together, since a series that is
// sent twice fails the whole scrape.
func (c *scrape) subscribers() {
	queues := make(map[string]taskvisor.SubscriberStatus)
	for _, s := range c.snap.Subscribers {
		if s.Inline {
			continue // it has no queue, and nothing to lose
		}
		q := queues[s.Name]
		q.Queued += s.Queued
		q.Capacity += s.Capacity
		queues[s.Name] = q
	}
	for name, q := range queues {
		c.send(subscriberQueueLength, float64(q.Queued), pair("subscriber", name))
		c.send(subscriberQueueCapacity, float64(q.Capacity), pair("subscriber", name))
	}
	for name, s := range c.sum.subscribers {
		of := pair("subscriber", name)
		c.send(subscriberEvents, float64(s.Delivered), of)
		c.send(subscriberPanics, float64(s.Panics), of)
		c.send(subscriberFailures, float64(s.Failures), of)
		for k, n := range s.Dropped {
			if n > 0 && k != taskvisor.SubscriberOverflow { // made for the one who lost something
				c.send(subscriberDropped, float64(n), of, pair("kind", k.String()))
			}
		}
	}
}
