package etcdlease

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// noteKey is where the note of a lease is. It hangs on no session, and is none's key: those
// end in a hexadecimal number.
func (s *Store) noteKey(key string) string { return s.sessions + key + "/note" }

// leave is the operation that leaves a note.
func (s *Store) leave(key, note string) clientv3.Op {
	if note == "" {
		return clientv3.OpDelete(s.noteKey(key))
	}
	return clientv3.OpPut(s.noteKey(key), note)
}

// ReleaseNoted implements lease.Noter.
func (s *Store) ReleaseNoted(ctx context.Context, key string, token uint64, note string) error {
	return s.end(ctx, key, token, s.leave(key, note))
}

// Annotate implements lease.Noter. Each note is a comparison and a write of its own, a
// hundred of them in one request.
func (s *Store) Annotate(ctx context.Context, leases map[string]uint64, notes map[string]string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	var all []clientv3.Op
	for key, token := range leases {
		same := clientv3.Compare(clientv3.ModRevision(key), "=", int64(token))
		all = append(all, clientv3.OpTxn([]clientv3.Cmp{same}, []clientv3.Op{s.leave(key, notes[key])}, nil))
	}
	for len(all) > 0 {
		some := all[:min(batch, len(all))]
		all = all[len(some):]
		if _, err := s.client.Txn(ctx).Then(some...).Commit(); err != nil {
			return fmt.Errorf("etcdlease: annotate: %w", err)
		}
	}
	return nil
}
