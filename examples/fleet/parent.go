package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// fleet is the parent's view.
type fleet struct {
	config
	stdout, stderr io.Writer
	replicas       []*replica
	said           string
	begun          time.Time
}

// replica is one child.
type replica struct {
	name string
	cmd  *exec.Cmd // nil: it is down
	page string
	cold bool // frozen
}

func parent(ctx context.Context, c config, stdout, stderr io.Writer) error {
	f := &fleet{config: c, stdout: stdout, stderr: stderr, begun: time.Now()}
	if f.etcd == "" {
		dir, err := os.MkdirTemp("", "fleet")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		server, endpoint, err := startEtcd(dir)
		if err != nil {
			return err
		}
		defer server.Close()
		f.etcd = endpoint
	}
	defer f.stop()
	for i := range f.count {
		r := &replica{name: fmt.Sprint("r", i)}
		f.replicas = append(f.replicas, r)
		if err := f.start(r); err != nil {
			return err
		}
	}
	return f.watch(ctx)
}

// startEtcd starts an etcd in this process.
func startEtcd(dir string) (*embed.Etcd, string, error) {
	cfg := embed.NewConfig()
	cfg.Dir, cfg.LogLevel = dir, "fatal"
	var urls [2]url.URL
	for i := range urls {
		address, err := freeAddress()
		if err != nil {
			return nil, "", err
		}
		urls[i] = url.URL{Scheme: "http", Host: address}
	}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = urls[:1], urls[:1]
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = urls[1:], urls[1:]
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		return nil, "", err
	}
	select {
	case <-server.Server.ReadyNotify():
		return server, urls[0].String(), nil
	case <-time.After(30 * time.Second):
		server.Close()
		return nil, "", errors.New("etcd is not ready after 30 s")
	}
}

// tried counts the ports that this process has tried, so that no two of its addresses are alike.
var tried atomic.Int32

// freeAddress returns one that nobody listens at. Its port is below those that systems give
// to connections: one of these could take it before who is to listen there has begun, or while it is down.
func freeAddress() (string, error) {
	for range 100 {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(10_000+(os.Getpid()*97+int(tried.Add(1)))%20_000)))
		if err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", errors.New("no port is free")
}

// start starts a replica and waits for the address of its page, which it keeps over
// restarts.
func (f *fleet) start(r *replica) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	address := strings.TrimSuffix(strings.TrimPrefix(r.page, "http://"), "/")
	if address == "" {
		if address, err = freeAddress(); err != nil {
			return err
		}
	}
	cmd := exec.Command(exe, "-replica", r.name, "-etcd", f.etcd, "-ttl", f.ttl.String(), "-listen", address)
	cmd.Stderr = f.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL} // Ctrl-C is the parent's
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r.cmd = cmd
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return fmt.Errorf("%s did not start: %w", r.name, err)
	}
	r.page = strings.TrimSpace(line)
	f.say("%s is up, its page is %s", r.name, r.page)
	return nil
}

func (f *fleet) say(format string, args ...any) {
	fmt.Fprintf(f.stdout, "%6.1fs  %s\n", time.Since(f.begun).Seconds(), fmt.Sprintf(format, args...))
}

// watch says who has what whenever that changes, and brings chaos.
func (f *fleet) watch(ctx context.Context) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	next := time.Now().Add(2 * f.ttl)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		f.tell(ctx)
		if f.chaos && time.Now().After(next) {
			if err := f.harm(); err != nil {
				return err
			}
			next = time.Now().Add(3 * f.ttl)
		}
	}
}

// harm heals the replica that was harmed last, or kills or freezes one.
func (f *fleet) harm() error {
	for _, r := range f.replicas {
		switch {
		case r.cmd == nil:
			return f.start(r)
		case r.cold:
			r.cold = false
			f.say("%s goes on", r.name)
			return r.cmd.Process.Signal(syscall.SIGCONT)
		}
	}
	r := f.replicas[rand.IntN(len(f.replicas))]
	if rand.IntN(2) == 0 {
		f.say("%s is killed", r.name)
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait() // its error is the signal
		r.cmd = nil
		return nil
	}
	f.say("%s is frozen", r.name)
	r.cold = true
	return r.cmd.Process.Signal(syscall.SIGSTOP)
}

// tell says who has what, if that is news.
func (f *fleet) tell(ctx context.Context) {
	var list []string
	for _, r := range f.replicas {
		if r.cmd == nil || r.cold {
			continue // what a frozen one has it does not say
		}
		held, err := r.leases(ctx)
		if err != nil {
			continue
		}
		var names []string
		for key, token := range held {
			if name, ok := strings.CutPrefix(key, "shard/"); ok {
				names = append(names, name)
			} else if key == "billing" {
				names = append(names, fmt.Sprintf("BILLING(%d)", token))
			}
		}
		slices.Sort(names)
		list = append(list, r.name+": "+strings.Join(names, " "))
	}
	if now := strings.Join(list, "   "); now != f.said && ctx.Err() == nil {
		f.said = now
		f.say("%s", now)
	}
}

// leases asks a replica for what it has.
func (r *replica) leases(ctx context.Context) (held map[string]uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.page+"leases", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return held, json.NewDecoder(resp.Body).Decode(&held)
}

// stop ends the replicas, one after the other.
func (f *fleet) stop() {
	for _, r := range f.replicas {
		if r.cmd == nil {
			continue
		}
		_ = r.cmd.Process.Signal(syscall.SIGCONT)
		_ = r.cmd.Process.Signal(syscall.SIGTERM)
		err := r.cmd.Wait()
		r.cmd = nil
		if err != nil {
			f.say("%s has ended: %v", r.name, err)
			continue
		}
		f.say("%s has ended", r.name)
		f.tell(context.Background())
	}
}
