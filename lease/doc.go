// Package lease has a task run in one process of many: a [Owner.Singleton] in exactly
// one replica of a program, the tasks of a [Owner.Shard] spread over all of them, those
// of a slot ([Owner.Slot]) one at a time wherever they were submitted. It stands on an
// engine that the program's users run already, through a [Store]: lease/etcd,
// lease/kubernetes and lease/postgres are modules of their own, leasetest checks any other.
//
//	owner, err := lease.New(store)
//	…
//	sup, err := taskvisor.New(
//		taskvisor.WithSignals(),
//		taskvisor.WithSubscriber(owner.Subscriber()), // it belongs to leases
//		taskvisor.WithSubscriber(slogsub.New(nil)),   // and is no log: without another nothing is written
//	)
//	…
//	return sup.Run(ctx, taskvisor.Restartable("billing", bill,
//		owner.Singleton("billing"), taskvisor.WithGrace(3*time.Second)))
//
// Each replica has the task. In one its attempts run, under a lease; in the others it is
// pending at the gate "lease billing", without a goroutine. A body finds the lease's
// [Token] in its context and hands it to what it writes to.
//
// # What is promised
//
//   - By the account of the engine a lease has one owner, and its tokens only grow.
//   - A body is told to end, by its context, whose cause unwraps to [ErrLost], when its
//     lease cannot be relied on any more: three quarters of the TTL after the last
//     renewal that was answered was sent, by the local monotonic clock. The last quarter
//     is left to the body, to come back, and to clocks that do not run alike. A body
//     that has come back by then has not overlapped with the next owner's.
//   - A lease is released when the body and its children have ended, and then at once:
//     a shutdown hands over within milliseconds, and [taskvisor.Supervisor.Run] returns
//     after the release.
//   - Where a replica dies or is cut off, another begins within the TTL and the time that
//     it takes to notice: none with a store that is a [Watcher] (a second with PostgreSQL's),
//     or five eighths of the TTL where its watch has fallen silent; otherwise a quarter of
//     the TTL, 2.5 s at most.
//   - An interrupted attempt is canceled and no failure; the task is then pending again.
//     Failed attempts, delays and periods keep the lease.
//
// # What is not
//
// A process that is stopped between its check and its write, by SIGSTOP, by its
// hypervisor or by a collection of garbage, writes once it goes on, whatever was
// promised to whom meanwhile. No lease can help that. The token can, where the write
// happens: see [Token]. A clock that jumps ahead by more than a quarter of the TTL, in
// an engine whose leases follow it (PostgreSQL's do, etcd's do not), and an engine that
// forgets what it acknowledged, lead to two owners as well. Nothing here is exactly
// once, and nothing submitted survives its process.
//
// # A lease, as its owner sees it
//
//	        wanted                 granted              nobody claims it
//	Idle ────────────► Seeking ───────────────► Held ──────────────────► Leaving ──► Idle
//	 ▲                    │                      │                         ▲
//	 └────────────────────┘                      │ deadline, or stolen     │ bodies have ended
//	       not wanted                            └───────► Losing ─────────┘
//
// A task wants a lease while it waits at the gate, and claims it until it is removed from
// its supervisor. Seeking asks the store once, and again when it tells of a change or a
// look at all holders shows that the lease is free. Held is renewed every fifth of the
// TTL, all leases of an owner with one request; a request that fails is repeated soon.
// Losing has interrupted what runs and waits for it; a body that does not come back until
// the lease may be another's is an [Overrun]. Leaving repeats its request until it is
// answered, or the lease has expired by itself.
//
// With a store that is a [Noter] an attempt may leave a note ([Term.Note]) that the next
// owner finds: notes are written beside all this, and nothing waits for them.
//
// A body that is abandoned (its grace has passed) would otherwise keep its lease for
// ever: it is not renewed any more ([Lapsing]), and expires under it.
package lease
