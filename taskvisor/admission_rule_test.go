package taskvisor

import "testing"

// The table of admission, stated a second time: for each policy, what it makes of a
// slot in each phase, in words that spell resolves.
var admissionTable = map[Admission]map[occupancy]string{
	Queue:         {slotIdle: "start", slotOwned: "append", slotTerminating: "append", slotAbandoned: "append"},
	Replace:       {slotIdle: "start", slotOwned: "head and stop", slotTerminating: "head", slotAbandoned: "head"},
	DropIfRunning: {slotIdle: "start", slotOwned: "busy", slotTerminating: "busy", slotAbandoned: "busy"},
	Coalesce:      {slotIdle: "start", slotOwned: "coalesce", slotTerminating: "coalesce", slotAbandoned: "coalesce"},
	Join:          {slotIdle: "start", slotOwned: "join", slotTerminating: "busy", slotAbandoned: "busy"},
}

func spell(word string, room, coalesced bool) ruling {
	switch word {
	case "start":
		return ruling{verdict: VerdictStarted}
	case "join":
		return ruling{verdict: VerdictJoined}
	case "busy":
		return ruling{verdict: VerdictRejected, reason: ErrSlotBusy}
	case "head":
		return ruling{verdict: VerdictQueued, atHead: true}
	case "head and stop":
		return ruling{verdict: VerdictQueued, atHead: true, stopOwner: true}
	case "coalesce":
		if coalesced {
			return ruling{verdict: VerdictQueued, displace: true}
		}
	}
	if room {
		return ruling{verdict: VerdictQueued}
	}
	return ruling{verdict: VerdictRejected, reason: ErrQueueFull}
}

// rule agrees with the second statement for every input there can be, up to queues of
// four.
func TestAdmissionRule(t *testing.T) {
	seen := 0
	for policy, phases := range admissionTable {
		for phase, word := range phases {
			for queued := range 5 {
				for limit := range 5 {
					for _, coalesced := range []bool{false, true} {
						in := admissionInput{slot: phase, policy: policy, queued: queued, limit: limit, coalesced: coalesced}
						if got, want := rule(in), spell(word, queued < limit, coalesced); got != want {
							t.Errorf("rule(%+v) = %+v, want %+v", in, got, want)
						}
						seen++
					}
				}
			}
		}
	}
	if want := len(admissionLabels) * 4 * 5 * 5 * 2; seen != want {
		t.Errorf("%d inputs tried, want %d: the second statement has a hole", seen, want)
	}
}
