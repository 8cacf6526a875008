package main

// Reasons that several excuses share.
const (
	nobodyWaits = "the demo app's slots are free when something is submitted; nothing waits for long"
	noGate      = "the demo app has permits for all of its tasks, and no other gate"
	noOperator  = "no operator gives the demo app's target this label"
	noObjective = "no task of the demo app has an objective; the alerts are made to fire in rules/tests"
	noLeases    = "the demo app is one process, and takes no leases; the alerts are made to fire in rules/tests"
	nothingLost = "no subscriber of the demo app is slow enough to lose events, or panics"
	tooLong     = "takes longer than the run; it is made to fire in rules/tests"
	orderly     = "every body of the demo app returns within its grace; it is made to fire in rules/tests"
)

// excuses are the questions that a run of the demo app does not answer, and why.
// The alerts among them are made to fire in rules/tests.
var excuses = map[string]string{
	"taskvisor-overview / Longest wait now / A":                      nobodyWaits,
	"taskvisor-overview / Lost events and panics of subscribers / A": nothingLost,
	"taskvisor-overview / Lost events and panics of subscribers / B": nothingLost,
	"taskvisor-overview / Lost events and panics of subscribers / C": nothingLost,
	"taskvisor-overview / Waiting at gates / A":                      noGate,
	"taskvisor-overview / Wait at gates, p95 / A":                    noGate,
	"taskvisor-overview / Owner and standbys / A":                    noLeases,
	"taskvisor-overview / Leases owned too few or too many / A":      noLeases,
	"taskvisor-overview / Leases on each instance / A":               noLeases,
	"taskvisor-overview / Leases that moved / A":                     noLeases,
	"taskvisor-overview / Leases that moved / B":                     noLeases,
	"taskvisor-overview / Margin of the leases / A":                  noLeases,
	"taskvisor-overview / Renewals / A":                              noLeases,
	"taskvisor-overview / Renewals / B":                              noLeases,
	"rule / TaskvisorLeaseNotOwned":                                  noLeases,
	"rule / TaskvisorLeaseOwnedTwice":                                noLeases,
	"rule / TaskvisorLeaseMarginLow":                                 noLeases,
	"taskvisor-overview / $cluster":                                  noOperator,
	"taskvisor-overview / $namespace":                                noOperator,
	"taskvisor-overview / $pod":                                      noOperator,
	"taskvisor-task / $cluster":                                      noOperator,
	"taskvisor-task / $namespace":                                    noOperator,
	"taskvisor-task / $pod":                                          noOperator,
	"rule / TaskvisorTaskNotSucceeding":                              tooLong + " (15 minutes)",
	"rule / TaskvisorAttemptsAbandoned":                              orderly,
	"rule / TaskvisorAdmissionQueueFull":                             nobodyWaits,
	"rule / TaskvisorQueueStalled":                                   tooLong + " (10 minutes)",
	"rule / TaskvisorEventsDropped":                                  nothingLost,
	"rule / TaskvisorTaskFailing":                                    tooLong + " (15 minutes)",
	"rule / TaskvisorTaskSlow":                                       tooLong + " (an hour)",
	"rule / TaskvisorGateSaturated":                                  noGate,
	"rule / TaskvisorSubscriberFailing":                              nothingLost,
	"rule / TaskvisorMetricsOverflow":                                "the demo app has few tasks; it is made to fire in rules/tests",
	"rule / TaskvisorSupervisorStopped":                              "the demo app's process ends with its supervisor; it is made to fire in rules/tests",
	"rule / TaskvisorProcessRestarting":                              "the demo app's process does not crash; it is made to fire in rules/tests",
	"rule / TaskvisorTargetDown":                                     "the demo app answers; it is made to fire in rules/tests",
	"rule / TaskvisorTaskBudgetBurnsFast":                            noObjective,
	"rule / TaskvisorTaskBudgetBurnsSlowly":                          noObjective,
	"taskvisor-task / Error budget, burnt within three days / A":     noObjective,
	"taskvisor-task / How fast the error budget burns / A":           noObjective,
	"taskvisor-task / How fast the error budget burns / B":           noObjective,
	"taskvisor-task / How fast the error budget burns / C":           noObjective,
	"rule / TaskvisorShutdownStuck":                                  tooLong + " (2 minutes)",
}
