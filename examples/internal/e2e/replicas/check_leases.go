package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/checklist"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
)

// leaseFaults happen to whoever owns the singleton of the scraped service.
var leaseFaults = []check{
	{Name: "of a task with a lease one of three owns it, and three want it", Run: ownedOnce},
	{Name: "its owner is killed, and another takes over", Run: once(killed)},
	{Name: "its owner is cut off from the engine, and another takes over", Run: once(cutOff)},
}

// The metric, and when it was scraped.
const owned = `taskvisor_lease_owned{job="` + jobScraped + `", task="` + singleTask + `"}`

func ownedOnce(ctx context.Context, e *env) error {
	return errors.Join(
		e.until(ctx, `sum by (task) (`+owned+`)`, 1),
		e.until(ctx, `sum by (task) (taskvisor_lease_wanted{job="`+jobScraped+`", task="`+singleTask+`"})`, count))
}

// grants are those of the scraped service's lease, in order.
func (e *env) grants() (list []leasetest.Grant) {
	for _, g := range e.leases.memory.Grants() {
		if g.Key == jobScraped+"/"+singleTask {
			list = append(list, g)
		}
	}
	return list
}

// owner is the process that the engine gave the lease last.
func (e *env) owner() (*process, leasetest.Grant, error) {
	list := e.grants()
	if len(list) == 0 {
		return nil, leasetest.Grant{}, errors.New("the engine gave nobody the lease")
	}
	last := list[len(list)-1]
	for _, p := range e.running {
		if instance(last) == p.listen {
			return p, last, nil
		}
	}
	return nil, last, fmt.Errorf("%s is no replica", last.Owner)
}

// instance is the label of an owner, whose id is that and the process.
func instance(g leasetest.Grant) string {
	addr, _, _ := strings.Cut(g.Owner, "/")
	return addr
}

func killed(ctx context.Context, e *env) error {
	p, last, err := e.owner()
	if err != nil {
		return err
	}
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	if err := <-p.done; err == nil {
		return errors.New("it was killed and has ended in order")
	}
	return errors.Join(e.takenOver(ctx, last), e.start(p), ownedOnce(ctx, e), servicesAre(count, 0)(ctx, e, jobScraped))
}

func cutOff(ctx context.Context, e *env) error {
	_, last, err := e.owner()
	if err != nil {
		return err
	}
	e.leases.conn(last.Owner).Cut(true)
	err = e.takenOver(ctx, last)
	checklist.Pause(ctx, leaseTTL) // whoever goes on is scraped meanwhile
	e.leases.conn(last.Owner).Cut(false)
	return errors.Join(err, ownedOnce(ctx, e))
}

// takenOver waits until the engine has given the lease to another.
func (e *env) takenOver(ctx context.Context, last leasetest.Grant) error {
	for began := time.Now(); time.Since(began) < 3*leaseTTL; checklist.Pause(ctx, 50*time.Millisecond) {
		list := e.grants()
		if now := list[len(list)-1]; now.Owner != last.Owner {
			return nil
		}
	}
	return fmt.Errorf("nobody took over from %s in %s", last.Owner, 3*leaseTTL)
}

const scrapeEvery = time.Second // and as long a scrape may take

// account compares every scraped value with the engine's account. The sum over instances
// may be 2 for as long as it takes to scrape all of them, because each value has a time of
// its own, and that of a replica that was killed stays for one scrape more. At no instant
// do two own it: each value of 1 is of a time at which the engine says the same.
func account(ctx context.Context, e *env) error {
	list := e.grants()
	if len(list) < 4 {
		return fmt.Errorf("the lease was given %d times: at first, and after the kill, the cut and the deploy", len(list))
	}
	all, err := e.prometheus.Range(ctx, fmt.Sprintf(`%s[%ds]`, owned, int(time.Since(e.began).Seconds())+1))
	if err != nil {
		return err
	}
	ones := 0
	owners := map[string]bool{}
	for _, s := range all["taskvisor_lease_owned"] {
		for _, v := range s.Points {
			switch {
			case v.Value > 1:
				return fmt.Errorf("%s owned %v at once", s.Labels["instance"], v.Value)
			case v.Value == 1 && !had(list, s.Labels["instance"], v.At):
				return fmt.Errorf("%s said at %s that it owned it, and the engine had given it to another: %v", s.Labels["instance"], v.At, list)
			case v.Value == 1:
				ones++
				owners[s.Labels["instance"]] = true
			}
		}
	}
	if ones < 10 || len(owners) < 2 {
		return fmt.Errorf("%d scrapes of %d instances have an owner", ones, len(owners))
	}
	return e.sums(ctx, list)
}

// had reports whether an instance was given the lease before a scrape ended, and nobody
// else had been given it when that began.
func had(list []leasetest.Grant, name string, scraped time.Time) bool {
	for i, g := range list {
		if instance(g) == name && g.At.Before(scraped.Add(scrapeEvery)) && (i == len(list)-1 || list[i+1].At.After(scraped)) {
			return true
		}
	}
	return false
}

// sums asks what boards and alerts ask, over the whole run.
func (e *env) sums(ctx context.Context, list []leasetest.Grant) error {
	sums, err := e.prometheus.Range(ctx, fmt.Sprintf(`(sum by (task) (%s))[%ds:500ms]`, owned, int(time.Since(e.began).Seconds())+1))
	if err != nil {
		return err
	}
	asked := 0
	for _, s := range sums[""] {
		for _, v := range s.Points {
			asked++
			if v.Value > 1 && !handover(list, v.At) {
				return fmt.Errorf("the sum is %v at %s, when the engine gave it to nobody: %v", v.Value, v.At, list)
			}
		}
	}
	if asked < 20 {
		return fmt.Errorf("the sum has %d values", asked)
	}
	return nil
}

// handover reports whether the lease was given so shortly before that not all instances
// had been scraped since.
func handover(list []leasetest.Grant, at time.Time) bool {
	for _, g := range list {
		if d := at.Sub(g.At); d > -scrapeEvery && d < 2*scrapeEvery {
			return true
		}
	}
	return false
}
