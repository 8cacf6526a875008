package main

// Reasons that several excuses share.
const (
	nobodyWaits = "the demo app's slots are free when something is submitted; nothing waits for long"
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
	"rule / TaskvisorTaskNotSucceeding":                              tooLong + " (15 minutes)",
	"rule / TaskvisorAttemptsAbandoned":                              orderly,
	"rule / TaskvisorAdmissionQueueFull":                             nobodyWaits,
	"rule / TaskvisorQueueStalled":                                   tooLong + " (10 minutes)",
	"rule / TaskvisorEventsDropped":                                  nothingLost,
	"rule / TaskvisorShutdownStuck":                                  tooLong + " (2 minutes)",
}
