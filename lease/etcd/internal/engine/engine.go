// Package engine runs an etcd in the process, for tests and examples.
package engine

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/taskvisor/taskvisor-go/internal/port"
)

// Config says which member of which cluster it is.
type Config struct {
	Dir     string // of the data
	Name    string // of the member
	Client  string // URL that clients come to
	Peer    string // URL that members come to
	Cluster string // all members, as "name=peer,…"
}

// Alone returns the configuration of a cluster of one, on free ports of the loopback
// interface.
func Alone(dir string) (Config, error) {
	all, err := Cluster(1, func(int) string { return dir })
	if err != nil {
		return Config{}, err
	}
	return all[0], nil
}

// Cluster returns the configurations of n members; dir names the data of each.
func Cluster(n int, dir func(i int) string) (all []Config, err error) {
	cluster := ""
	for i := range n {
		c := Config{Dir: dir(i), Name: fmt.Sprint("etcd", i)}
		if c.Client, err = freeURL(); err != nil {
			return nil, err
		}
		if c.Peer, err = freeURL(); err != nil {
			return nil, err
		}
		if i > 0 {
			cluster += ","
		}
		cluster += c.Name + "=" + c.Peer
		all = append(all, c)
	}
	for i := range all {
		all[i].Cluster = cluster
	}
	return all, nil
}

// Etcd is one server that runs.
type Etcd struct{ server *embed.Etcd }

// Start starts a server and waits until it serves. The data and the addresses may be
// those of one that has run before.
func Start(c Config) (*Etcd, error) {
	cfg := embed.NewConfig()
	cfg.Dir, cfg.Name, cfg.InitialCluster = c.Dir, c.Name, c.Cluster
	cfg.LogLevel = "fatal"
	cfg.UnsafeNoFsync = true // the disk of a test says nothing
	client, err := url.Parse(c.Client)
	if err != nil {
		return nil, err
	}
	peer, err := url.Parse(c.Peer)
	if err != nil {
		return nil, err
	}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		return nil, fmt.Errorf("start etcd: %w", err)
	}
	select {
	case <-server.Server.ReadyNotify():
		return &Etcd{server}, nil
	case <-time.After(30 * time.Second):
		server.Close()
		return nil, errors.New("start etcd: not ready after 30 s")
	}
}

// Close stops the server, which may take some seconds while clients are connected.
func (e *Etcd) Close() {
	e.server.Close()
	<-e.server.Server.StopNotify()
}

// freeURL returns one that nobody listens at.
func freeURL() (string, error) {
	addr, err := port.Free()
	return "http://" + addr, err
}
