package life_test

import "github.com/taskvisor/taskvisor-go/taskvisor/internal/life"

// allRules cover every branch of the contract.
func allRules() []*rules {
	return []*rules{
		{name: "once", restart: life.Never, retries: life.Unlimited},
		{name: "once, timeout", restart: life.Never, retries: life.Unlimited, timeout: 20, gated: true},
		{name: "once, readiness", restart: life.Never, retries: life.Unlimited, readiness: true, paused: true},
		{name: "on failure", restart: life.OnFailure, retries: life.Unlimited},
		{name: "one retry, reset", restart: life.OnFailure, retries: 1, reset: 40},
		{name: "no retries", restart: life.OnFailure, timeout: 20},
		{name: "timeout, reset", restart: life.OnFailure, retries: 2, timeout: 60, reset: 40, gated: true},
		{name: "always, at once", restart: life.Always, retries: 1, noFloor: true},
		{name: "always, floor", restart: life.Always, retries: life.Unlimited, gated: true},
		{name: "always, interval", restart: life.Always, retries: 2, interval: 20, timeout: 20, readiness: true},
		{name: "idle", restart: life.Always, retries: 2, interval: 20, idle: 15, reset: 40},
		{name: "idle and timeout", restart: life.OnFailure, retries: 2, idle: 15, timeout: 40, gated: true},
		{name: "release", restart: life.OnFailure, retries: 2, timeout: 20, release: true},
		{name: "release, gated", restart: life.Never, retries: life.Unlimited, gated: true, release: true},
		{name: "scheduled", restart: life.Always, retries: 2, scheduled: true, idle: 15},
		{name: "scheduled, gated, paused", restart: life.Always, retries: 1, scheduled: true, gated: true, paused: true},
	}
}

// policy is the same for the machine.
func (r *rules) policy() *life.Policy {
	return &life.Policy{
		Restart: r.restart, Scheduled: r.scheduled, NoFloor: r.noFloor, Release: r.release, Readiness: r.readiness,
		Interval: span(r.interval), Backoff: life.Backoff{First: 4 * unit, Max: 16 * unit, Factor: 2}, Retries: r.retries,
		Timeout: span(r.timeout), Idle: span(r.idle), ResetAfter: span(r.reset), StuckAfter: stuckAfter * unit, Grace: grace * unit,
	}
}
