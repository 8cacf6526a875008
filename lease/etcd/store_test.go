package etcdlease_test

import (
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/taskvisor/taskvisor-go/lease"
	etcdlease "github.com/taskvisor/taskvisor-go/lease/etcd"
	"github.com/taskvisor/taskvisor-go/lease/etcd/internal/engine"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
)

// server is an etcd in this process.
type server struct {
	t      *testing.T
	config engine.Config
	etcd   *engine.Etcd
}

func start(t *testing.T) *server {
	t.Helper()
	config, err := engine.Alone(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, config: config}
	s.up()
	t.Cleanup(func() { s.etcd.Close() })
	return s
}

func (s *server) up() {
	s.t.Helper()
	var err error
	if s.etcd, err = engine.Start(s.config); err != nil {
		s.t.Fatal(err)
	}
}

func connect(t *testing.T, endpoint string) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop(), DialTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestStore(t *testing.T) {
	e := start(t)
	leasetest.TestStore(t, leasetest.Engine{
		Open: func(t *testing.T) lease.Store { return etcdlease.New(connect(t, e.config.Client)) },
		Restart: func(*testing.T) {
			e.etcd.Close()
			e.up()
		},
	})
}
