package etcdlease_test

import (
	"context"
	"errors"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/taskvisor/taskvisor-go/lease"
	etcdlease "github.com/taskvisor/taskvisor-go/lease/etcd"
)

// long leases outlive any pause of a busy machine.
const long = time.Minute

// renews demands that all leases are renewed.
func renews(t *testing.T, s *etcdlease.Store, held map[string]uint64) {
	t.Helper()
	if lost, err := s.Renew(context.Background(), "me", held, long); err != nil || len(lost) != 0 {
		t.Errorf("renew: lost %q, %v", lost, err)
	}
}

func take(t *testing.T, s *etcdlease.Store, key string) uint64 {
	t.Helper()
	token, err := s.Acquire(context.Background(), key, "me", long)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// A cluster without space refuses every write. Renewals need none, also after an
// acquisition that was refused, and may have been carried out.
func TestNoSpace(t *testing.T) {
	e, ctx := start(t), context.Background()
	client := connect(t, e.config.Client)
	s := etcdlease.New(client)
	held := map[string]uint64{"k": take(t, s, "k")}
	alarm := &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, Alarm: pb.AlarmType_NOSPACE}
	if _, err := pb.NewMaintenanceClient(client.ActiveConnection()).Alarm(ctx, alarm); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.Acquire(ctx, "other", "me", long); err == nil || errors.Is(err, lease.ErrHeld) {
			t.Errorf("acquire: %v", err)
		}
		renews(t, s, held)
	}
	if _, err := client.AlarmDisarm(ctx, &clientv3.AlarmMember{Alarm: pb.AlarmType_NOSPACE}); err != nil {
		t.Fatal(err)
	}
	held["other"] = take(t, s, "other")
	renews(t, s, held)
}

// Of an acquisition that is not allowed something is known: it has not happened, and leaves
// nothing to be undone.
func TestNoPermission(t *testing.T) {
	e, ctx := start(t), context.Background()
	admin := connect(t, e.config.Client)
	all := clientv3.PermissionType(clientv3.PermReadWrite)
	_, err1 := admin.UserAdd(ctx, "root", "secret")
	_, err2 := admin.UserGrantRole(ctx, "root", "root")
	_, err3 := admin.RoleAdd(ctx, "leases")
	_, err4 := admin.RoleGrantPermission(ctx, "leases", "ours/", clientv3.GetPrefixRangeEnd("ours/"), all)
	_, err5 := admin.RoleGrantPermission(ctx, "leases", "taskvisor.sessions/", clientv3.GetPrefixRangeEnd("taskvisor.sessions/"), all)
	_, err6 := admin.UserAdd(ctx, "app", "secret")
	_, err7 := admin.UserGrantRole(ctx, "app", "leases")
	_, err8 := admin.AuthEnable(ctx)
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7, err8); err != nil {
		t.Fatal(err)
	}
	as := func(user string) *clientv3.Client {
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{e.config.Client}, Logger: zap.NewNop(),
			DialTimeout: 10 * time.Second, Username: user, Password: "secret"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		return client
	}
	s := etcdlease.New(as("app"))
	held := map[string]uint64{"ours/k": take(t, s, "ours/k")}
	for range 2 {
		if _, err := s.Acquire(ctx, "theirs/k", "me", long); !errors.Is(err, rpctypes.ErrPermissionDenied) {
			t.Errorf("acquire: %v", err)
		}
		renews(t, s, held)
	}
	resp, err := as("root").Get(ctx, "taskvisor.sessions/", clientv3.WithPrefix())
	if err != nil || len(resp.Kvs) != 1 || resp.Kvs[0].Version != 1 {
		t.Errorf("the session was written to: %v, %v", resp, err)
	}
}
