package taskvisor

import "time"

// attemptInfo is what differs between the attempts of a task.
type attemptInfo struct {
	streak        int32
	previous      ResultKind
	waited, delay time.Duration
	started       instant
}

// infoLocked describes the attempt that runs.
func (t *task) infoLocked(i *attemptInfo) {
	r := t.run
	if r.brackets != nil && t.m.phase == phaseEnded { // the machine is ahead already
		b := &r.brackets.attempt
		*i = attemptInfo{streak: int32(b.Streak), previous: b.Previous, waited: b.PermitWait, delay: b.Delay,
			started: t.m.started}
		return
	}
	i.streak, i.waited, i.started = t.m.streak, r.waited, t.m.started
	if r.c.number > 1 {
		i.previous, i.delay = t.m.result, t.m.delay
	}
}

// describe adds what does not differ. It needs no lock.
func (t *task) describe(number int, i *attemptInfo) Attempt {
	a := Attempt{Supervisor: t.sup.fan.supervisor, Task: t.name, TaskID: t.id, Spec: t.spec(),
		Number: number, Streak: int(i.streak), Previous: i.previous, PermitWait: i.waited, Delay: i.delay}
	if x := t.sub; x != nil {
		a.Slot, a.Admission, a.Replaced, a.SlotWait = x.slot, x.admission, x.replaced, x.waited
	}
	return a
}
