// Package postgres runs a PostgreSQL for tests and drivers of this repository's modules:
// the one of Debian's package, with data of its own in a temporary directory.
package postgres

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/taskvisor/taskvisor-go/internal/port"
)

// ErrNone is that there is no server to run.
var ErrNone = errors.New("no PostgreSQL server: install Debian's package (apt-get install postgresql)")

// Server is one server with data of its own.
type Server struct {
	bin, dir string
	addr     string
	cred     *syscall.Credential
	env      []string // of the server's process
	cmd      *exec.Cmd
}

// New makes the data of a server in a directory of its own, and starts it.
func New() (*Server, error) {
	s, err := prepare()
	if err != nil {
		return nil, err
	}
	return s, s.Start()
}

// prepare makes the data.
func prepare() (*Server, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return nil, ErrNone
	}
	slices.Sort(found)
	s := &Server{bin: filepath.Dir(found[len(found)-1])}
	if s.dir, err = os.MkdirTemp("", "taskvisor-postgres"); err != nil {
		return nil, err
	}
	if err := s.init(); err != nil {
		_ = os.RemoveAll(s.dir)
		return nil, err
	}
	return s, nil
}

// init makes the data, as the package's user if this is root, which the server refuses.
func (s *Server) init() error {
	var err error
	if s.addr, err = port.Free(); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return err
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return err
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			return err
		}
		s.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(s.dir, uid, gid); err != nil {
			return err
		}
	}
	cmd := s.command("initdb", "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "--pgdata="+s.dir+"/data")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

// port is that of its address.
func (s *Server) port() string {
	_, p, _ := net.SplitHostPort(s.addr)
	return p
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...) //nolint:gosec // of the distribution's package
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred, Pdeathsig: syscall.SIGQUIT}
	return cmd
}

// Start starts the server and waits until it listens.
func (s *Server) Start() error {
	s.cmd = s.command("postgres", "-D", s.dir+"/data", "-p", s.port(), "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "fsync=off")
	if s.env != nil {
		s.cmd.Env = append(os.Environ(), s.env...)
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if err := s.command("pg_isready", "-q", "-h", "127.0.0.1", "-p", s.port()).Run(); err == nil {
			return nil
		}
		if time.Since(begun) > 30*time.Second {
			return errors.New("postgres does not listen after 30 s")
		}
	}
}

// Kill ends the server as a crash would: its children are left to notice.
func (s *Server) Kill() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)
	_ = s.cmd.Wait() // its error is the signal
}

// Close ends the server and deletes its data.
func (s *Server) Close() {
	s.Kill()
	_ = os.RemoveAll(s.dir)
}

// Addr is where the server listens.
func (s *Server) Addr() string { return s.addr }

// URL is where clients come to.
func (s *Server) URL() string {
	return URL(s.Addr())
}

// URL is where clients come to, of a server at that address.
func URL(addr string) string {
	return fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable", addr)
}
