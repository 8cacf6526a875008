package kubelease

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	coordination "k8s.io/api/coordination/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	manager  = "taskvisor" // of the fields that are written
	label    = "app.kubernetes.io/managed-by"
	selector = label + "=" + manager

	annotationKey    = "taskvisor.github.io/key"    // of the lease: a name cannot hold every key
	annotationOrigin = "taskvisor.github.io/origin" // what tokens are counted from
	annotationNote   = "taskvisor.github.io/note"   // that an owner has left

	readableBytes = 60 // of the key, in the object's name
)

var hashes = base32.HexEncoding.WithPadding(base32.NoPadding)

// objectName is the name of a key's object: what can be read of the key, and a hash of it.
func objectName(key string) string {
	readable := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		default:
			return '-'
		}
	}, key)
	readable = strings.Trim(readable[:min(len(readable), readableBytes)], "-")
	sum := sha256.Sum256([]byte(key))
	hash := strings.ToLower(hashes.EncodeToString(sum[:16]))
	if readable == "" {
		return hash
	}
	return readable + "-" + hash
}

// keyOf is the key of an object, and whether it begins with prefix. A copy of an object
// under another name is none.
func keyOf(object *coordination.Lease, prefix string) (key string, ok bool) {
	key, ok = object.Annotations[annotationKey]
	return key, ok && strings.HasPrefix(key, prefix) && objectName(key) == object.Name
}

// blank is the object of a key that nobody has held.
func blank(key string) *coordination.Lease {
	return &coordination.Lease{ObjectMeta: meta.ObjectMeta{
		Name:        objectName(key),
		Labels:      map[string]string{label: manager},
		Annotations: map[string]string{annotationKey: key},
	}}
}

// acquired is what an object becomes when owner takes the lease.
func acquired(object *coordination.Lease, key, owner string, ttl time.Duration) (next *coordination.Lease, token uint64, err error) {
	next = object.DeepCopy()
	count := int32(0)
	if next.Spec.LeaseTransitions != nil {
		count = *next.Spec.LeaseTransitions
	}
	if tokenOf(object) == 0 || count == math.MaxInt32 { // nothing has been counted yet, or no more can be
		version, err := strconv.ParseUint(object.ResourceVersion, 10, 64)
		if err != nil {
			return nil, 0, fmt.Errorf("the cluster's versions are no numbers: %w", err)
		}
		setEntry(&next.Annotations, annotationOrigin, strconv.FormatUint(version, 10))
		count = 0
	}
	count++
	setEntry(&next.Annotations, annotationKey, key)
	setEntry(&next.Labels, label, manager)
	now := meta.NowMicro()
	next.Spec.HolderIdentity, next.Spec.LeaseTransitions, next.Spec.AcquireTime = &owner, &count, &now
	renewed(next, ttl)
	return next, tokenOf(next), nil
}

// renewed prolongs what an object says.
func renewed(next *coordination.Lease, ttl time.Duration) {
	seconds, now := int32((ttl+time.Second-1)/time.Second), meta.NowMicro()
	next.Spec.LeaseDurationSeconds, next.Spec.RenewTime = &seconds, &now
}

// released has nobody as its holder. It goes on counting.
func released(next *coordination.Lease) {
	next.Spec.HolderIdentity, next.Spec.AcquireTime, next.Spec.RenewTime, next.Spec.LeaseDurationSeconds = nil, nil, nil, nil
}

func setEntry(m *map[string]string, key, value string) {
	if *m == nil {
		*m = make(map[string]string, 1)
	}
	(*m)[key] = value
}

// tokenOf is the token that an object's lease has, or had: 0 if it never had one.
func tokenOf(object *coordination.Lease) uint64 {
	origin, err := strconv.ParseUint(object.Annotations[annotationOrigin], 10, 64)
	if err != nil || object.Spec.LeaseTransitions == nil || *object.Spec.LeaseTransitions < 0 {
		return 0
	}
	return origin + uint64(*object.Spec.LeaseTransitions)
}

func holderOf(object *coordination.Lease) string {
	if object.Spec.HolderIdentity == nil {
		return ""
	}
	return *object.Spec.HolderIdentity
}

// ttlOf is how long an object has to stay as it is before its lease has expired.
func ttlOf(object *coordination.Lease) time.Duration {
	if object.Spec.LeaseDurationSeconds == nil {
		return 0
	}
	return time.Duration(*object.Spec.LeaseDurationSeconds) * time.Second
}

// slim is what is kept of an object: without the book that the server keeps of its
// writers, which a write that does not name it leaves alone.
func slim(object *coordination.Lease) *coordination.Lease {
	object.ManagedFields = nil
	return object
}
