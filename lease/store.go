package lease

import (
	"context"
	"errors"
	"strconv"
	"time"
)

// Store is what an engine does for leases: compare-and-set and expiry. Keys are
// valid UTF-8 of 1 to 1 200 bytes without control characters. An owner is one [Owner] in one process, named
// by its id. All methods are safe for concurrent use, return soon after ctx has
// ended, and start nothing that outlives the last lease but what the store's own
// Close ends. The suite in leasetest checks a store for all of this.
//
// An error other than [ErrHeld] says that nothing is known: the request may have
// been carried out, or still be. A store keeps such a request from doing harm: a
// lease that nobody was told of is not prolonged by Renew, so that it expires; and
// a request that arrives late neither shortens nor ends a lease of a later token, also
// where both are Acquires of one owner.
type Store interface {
	// Acquire takes the lease of key for ttl, counted from no earlier than the call,
	// and returns its token. If somebody else has it the error is ErrHeld, or
	// wraps it, as [HeldError] does. The token is greater than every one that was
	// returned for the key before, also for an owner that has the lease already, which
	// takes it anew: over releases, expiry, the deletion of whatever the store keeps, and
	// a restart of the engine.
	Acquire(ctx context.Context, key, owner string, ttl time.Duration) (token uint64, err error)

	// Renew prolongs the leases that owner has under these tokens, to ttl from no
	// earlier than the call, and returns the keys of those that it has no more. What
	// is in lost is lost also where there is an error; of the rest nothing is known
	// then, unless that is or wraps a [RenewError]. Other leases of owner are not
	// prolonged. The map belongs to the caller and does not change meanwhile.
	Renew(ctx context.Context, owner string, held map[string]uint64, ttl time.Duration) (lost []string, err error)

	// Release ends the lease of key if its token is still this one, which is no
	// error otherwise.
	Release(ctx context.Context, key string, token uint64) error

	// Holders returns who has the leases whose keys begin with prefix, by key.
	Holders(ctx context.Context, prefix string) (map[string]string, error)
}

// Watcher is implemented by stores whose engine tells of changes. Without it an
// [Owner] asks the store every now and then.
type Watcher interface {
	// Watch calls changed with each key that begins with prefix whose lease has ended
	// or changed hands, one call at a time, and which must not block; it may call it
	// too often, and with "" for any of them. It returns when ctx has ended, with its
	// cause, or when it cannot go on, with what went wrong.
	Watch(ctx context.Context, prefix string, changed func(key string)) error
}

// Noter is implemented by stores that keep a note beside each lease: a short text that its
// owner leaves for the next one (see [Term.Note]), valid UTF-8 of at most 256 bytes without
// control characters. It outlives the lease, also where nothing is said at its end: its
// owner was killed, and it has expired. Without it nobody is told anything. A wrapper of a
// store that has a Noter's methods has to wrap these too.
type Noter interface {
	// AcquireNoted is [Store.Acquire], and returns the note that was left last, by whichever
	// owner; "" if none was, or that was the last.
	AcquireNoted(ctx context.Context, key, owner string, ttl time.Duration) (token uint64, note string, err error)

	// ReleaseNoted is [Store.Release], and leaves a note if the token is still this one.
	ReleaseNoted(ctx context.Context, key string, token uint64, note string) error

	// Annotate leaves the notes, by key, of leases that are held under these tokens. Those of
	// other leases are left as they are, which is no error: a note of an owner that has lost
	// its lease, or has given it back, comes too late. It prolongs nothing. An [Owner] gives
	// it a hundred at most. The maps belong to the caller and do not change meanwhile.
	Annotate(ctx context.Context, held map[string]uint64, notes map[string]string) error
}

// ErrHeld is the error of [Store.Acquire], and of [Owner.Slot], where another owner
// has the lease.
var ErrHeld = errors.New("lease: held elsewhere")

// HeldError is ErrHeld with the name of who has it.
type HeldError struct {
	Key, Holder string // Holder is "" where it is not known
}

// Error names the holder.
func (e *HeldError) Error() string {
	if e.Holder == "" {
		return ErrHeld.Error()
	}
	return ErrHeld.Error() + " by " + e.Holder
}

// Unwrap returns ErrHeld.
func (e *HeldError) Unwrap() error { return ErrHeld }

// RenewError is the error of a [Store.Renew] that knows what became of each lease, and
// could not prolong some of them.
type RenewError struct {
	Keys []string // of which nothing is known; the others were prolonged, or are lost
	Err  error
}

// Error says how many, and why.
func (e *RenewError) Error() string {
	return "lease: " + strconv.Itoa(len(e.Keys)) + " not renewed: " + e.Err.Error()
}

// Unwrap returns Err.
func (e *RenewError) Unwrap() error { return e.Err }

// ErrLost is what the cause of an attempt's context unwraps to when its lease was
// lost while it ran; see [LostError].
var ErrLost = errors.New("lease: lost")

// LostError is ErrLost with the circumstances.
type LostError struct {
	Key    string // without the prefix
	Token  uint64
	Reason LossReason
}

// Error says which lease was lost, and why.
func (e *LostError) Error() string {
	return "lease: lost " + quote(e.Key) + ": " + e.Reason.text()
}

// Unwrap returns ErrLost.
func (e *LostError) Unwrap() error { return ErrLost }
