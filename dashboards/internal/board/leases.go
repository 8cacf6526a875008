package board

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// leases are for programs that run as several processes: which of them had what, whether
// somebody had it all the time, and how far from a loss they were.
func leases() []ready {
	const (
		none      = "Nothing here takes leases."
		singleton = `mode="singleton"`
		lineOf    = taskOf + ": {{instance}}"
	)
	one := ofService + ", mode"
	owned, wanted := ofTask("lease_owned", singleton), ofTask("lease_wanted", singleton)
	return []ready{
		panel{title: "Owner and standbys", unit: units.NoUnit, width: 24, height: 8, empty: none,
			desc:    "Of the tasks that one instance runs at a time: which one it was, at each scrape. Two green bars side by side for longer than a scrape or two are two owners; no green one is none. Alerts: TaskvisorLeaseNotOwned, TaskvisorLeaseOwnedTwice.",
			targets: []target{{expr: sum("("+owned+" > bool 0) + 1", identity), legend: lineOf}},
		}.timeline(leaseStates),
		panel{title: "Leases owned too few or too many", unit: units.Number, width: 8, height: 8, empty: none, links: seriesLink(), decimals: cog.ToPtr(0.0),
			desc:    "Owned by all instances together, less those that there are: below zero a task runs nowhere, above it more than once. A handover that falls between two scrapes shows as a spike.",
			targets: []target{{expr: sum(owned, one) + " - max by (" + one + ") (" + wanted + ")", legend: taskOf}},
		}.lines(),
		panel{title: "Leases on each instance", unit: units.Number, width: 8, height: 8, empty: none, decimals: cog.ToPtr(0.0),
			desc:    "How many each instance has, keys of shards and slots too: shards are spread evenly.",
			targets: []target{{expr: sum(ofTask("lease_owned"), oneOf, "mode"), legend: "{{instance}} {{supervisor}}, {{mode}}"}},
		}.stacked(),
		panel{title: "Leases that moved", unit: units.OpsPerSecond, width: 8, height: 8, empty: none,
			desc: "Leases acquired, and lost, by reason, per second. A deploy acquires and loses nothing; deadline says that the engine did not answer in time, stolen that it says somebody else has it.",
			targets: []target{
				{expr: sum(rate(of("lease_acquired_total"))), legend: "acquired"},
				{expr: sum(rate(of("lease_lost_total")), "reason"), legend: "lost: {{reason}}"}},
		}.lines(byPrefix("lost", red)),
		panel{title: "Margin of the leases", unit: units.PercentUnit, width: 12, height: 8, empty: none,
			desc:    "The least time that was left before a lease was given up, of its TTL: over a half when all is well. At zero it was lost. Alert: TaskvisorLeaseMarginLow.",
			targets: []target{{expr: of("lease_margin_seconds") + " / " + of("lease_ttl_seconds"), legend: "{{instance}} {{supervisor}}"}},
		}.lines(),
		panel{title: "Renewals", unit: units.Seconds, width: 12, height: 8, empty: none,
			desc: "How long the engine took to renew all leases of an instance. Renewals are sent every fifth of the TTL, and given a quarter.",
			targets: []target{
				{expr: quantile(0.5, of("lease_renew_seconds")), legend: "p50"},
				{expr: quantile(0.99, of("lease_renew_seconds")), legend: "p99"}},
		}.lines(),
	}
}
