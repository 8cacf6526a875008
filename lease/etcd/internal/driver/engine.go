package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/taskvisor/taskvisor-go/lease/etcd/internal/engine"
	"github.com/taskvisor/taskvisor-go/lease/internal/driver"
)

// serve is the process of one member: it says "ready" and serves until it is killed. A line
// of input is how far its clock is to be ahead.
func serve(config string) error {
	var c engine.Config
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return err
	}
	e, err := engine.Start(c)
	if err != nil {
		return err
	}
	defer e.Close()
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin) // ends with the driver
	for lines.Scan() {
		by, err := time.ParseDuration(lines.Text())
		if err != nil {
			return err
		}
		before := time.Now().Round(0) // the real time alone
		move(by)
		if went := time.Now().Round(0).Sub(before).Round(time.Second); went != 0 {
			fmt.Fprintln(os.Stderr, "the clock of etcd went by", went)
		}
	}
	return lines.Err()
}

// cluster is an etcd of one process for each member, so that it can be killed.
type cluster struct {
	dir     string
	configs []engine.Config
	members []*exec.Cmd // nil: it is down
	inputs  []io.Writer // theirs
}

// newCluster starts the members.
func newCluster(n driver.Need) (driver.Engine, error) {
	if n.Clock && !movable {
		return nil, driver.ErrNeed
	}
	dir, err := os.MkdirTemp("", "driver")
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir}
	members := max(n.Members, 1)
	c.configs, err = engine.Cluster(members, func(i int) string { return fmt.Sprintf("%s/%d", dir, i) })
	if err == nil {
		c.members, c.inputs = make([]*exec.Cmd, members), make([]io.Writer, members)
		err = c.Up()
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Addrs implements driver.Engine.
func (c *cluster) Addrs() (all []string) {
	for _, config := range c.configs {
		all = append(all, strings.TrimPrefix(config.Client, "http://"))
	}
	return all
}

// More implements driver.Engine.
func (c *cluster) More() string { return "" }

// Close implements driver.Engine.
func (c *cluster) Close() {
	c.Down()
	_ = os.RemoveAll(c.dir)
}

// Up starts the members that are down, and waits until all serve.
func (c *cluster) Up() error {
	ready := make(chan error, len(c.configs))
	started := 0
	for i := range c.configs {
		if c.members[i] != nil {
			continue
		}
		cmd, out, err := c.start(i)
		if err != nil {
			return err
		}
		c.members[i] = cmd
		started++
		// Ends when the member has said something, or is killed; Up waits for it.
		go func() {
			if !bufio.NewScanner(out).Scan() {
				ready <- errors.New("etcd did not start")
				return
			}
			ready <- nil
		}()
	}
	for range started {
		if err := <-ready; err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) start(i int) (*exec.Cmd, io.Reader, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	config, err := json.Marshal(c.configs[i])
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(exe, "engine", string(config)) //nolint:gosec // it is this program
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if c.inputs[i], err = cmd.StdinPipe(); err != nil { // held open
		return nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return cmd, out, cmd.Start()
}

// kill ends a member.
func (c *cluster) kill(i int) {
	if cmd := c.members[i]; cmd != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // its error is the signal
		c.members[i] = nil
	}
}

// Down implements driver.Engine.
func (c *cluster) Down() {
	for i := range c.members {
		c.kill(i)
	}
}

// KillLeader implements driver.Cluster.
func (c *cluster) KillLeader() error {
	i, err := c.leader()
	if err == nil {
		c.kill(i)
	}
	return err
}

// Move implements driver.Clock.
func (c *cluster) Move(ahead time.Duration) (err error) {
	for i, cmd := range c.members {
		if cmd != nil {
			_, write := fmt.Fprintln(c.inputs[i], ahead)
			err = errors.Join(err, write)
		}
	}
	return err
}

// leader finds the member that leads.
func (c *cluster) leader() (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for i, config := range c.configs {
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{config.Client}, Logger: zap.NewNop()})
		if err != nil {
			return 0, err
		}
		st, err := client.Status(ctx, config.Client)
		_ = client.Close()
		if err == nil && st.Leader == st.Header.MemberId {
			return i, nil
		}
	}
	return 0, errors.New("nobody leads")
}
