// Package server runs a Kubernetes API server for tests: the real kube-apiserver over a
// real etcd, both from the binary that scripts/tools.sh builds, each in a process of its
// own, with access control as clusters have it.
package server

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/taskvisor/taskvisor-go/internal/port"
)

const (
	version  = "1.34.1"                   // as scripts/tools.sh has it
	variable = "TASKVISOR_KUBE_APISERVER" // names the directory of the binary

	patience = 2 * time.Minute // for a server that starts on a busy machine
)

// ErrNone is that there is no server to run.
var ErrNone = errors.New("no kube-apiserver: build it (scripts/tools.sh kube-apiserver)")

// Server is one cluster's API server, with data of its own.
type Server struct {
	bin, dir     string
	client, peer string // addresses of etcd
	addr         string
	etcd, api    *exec.Cmd
	admin        *kubernetes.Clientset
}

// binary finds the server. That it is missing where the environment names it is an error
// like others, so that a check which has built it skips nothing.
func binary() (string, error) {
	dir, named := os.LookupEnv(variable)
	if !named {
		cache := os.Getenv("XDG_CACHE_HOME")
		if cache == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", err
			}
			cache = filepath.Join(home, ".cache")
		}
		dir = filepath.Join(cache, "taskvisor-tools", "kube-apiserver-"+version)
	}
	bin := filepath.Join(dir, "kube-apiserver")
	if _, err := os.Stat(bin); err != nil { //nolint:gosec // whoever runs the tests says where it is
		if named {
			return "", fmt.Errorf("%s: %w", variable, err)
		}
		return "", ErrNone
	}
	return bin, nil
}

// User is somebody who may come with a token.
type User struct {
	Token, Name string
	Groups      []string
}

// ServiceAccount is the user that pods of a service account are.
func ServiceAccount(namespace, name string) User {
	return User{Token: namespace + "-" + name, Name: "system:serviceaccount:" + namespace + ":" + name,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"}}
}

// Administrator may do everything.
var Administrator = User{Token: "admin", Name: "admin", Groups: []string{"system:masters"}}

// New makes the data of a server that knows the users, and the administrator, and starts
// it.
func New(users ...User) (*Server, error) {
	bin, err := binary()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin}
	if s.dir, err = os.MkdirTemp("", "kubelease"); err != nil {
		return nil, err
	}
	if err := s.prepare(append(users, Administrator)); err != nil {
		_ = os.RemoveAll(s.dir)
		return nil, err
	}
	if err := s.Start(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// prepare chooses addresses, and writes the keys and the users' tokens.
func (s *Server) prepare(users []User) error {
	for _, addr := range []*string{&s.client, &s.peer, &s.addr} {
		var err error
		if *addr, err = port.Free(); err != nil {
			return err
		}
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	if err := os.WriteFile(s.file("sa.key"), pem.EncodeToMemory(block), 0o600); err != nil {
		return err
	}
	var lines strings.Builder
	for i, u := range users {
		fmt.Fprintf(&lines, "%s,%s,%d,%q\n", u.Token, u.Name, i, strings.Join(u.Groups, ","))
	}
	return os.WriteFile(s.file("tokens.csv"), []byte(lines.String()), 0o600)
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

// Start starts both processes and waits until the server is ready.
func (s *Server) Start() (err error) {
	s.etcd, err = s.process("etcd.log", "etcd", "--data-dir="+s.file("etcd"), "--log-level=error", "--unsafe-no-fsync",
		"--listen-client-urls=http://"+s.client, "--advertise-client-urls=http://"+s.client,
		"--listen-peer-urls=http://"+s.peer, "--initial-advertise-peer-urls=http://"+s.peer, "--initial-cluster=default=http://"+s.peer)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		return err
	}
	s.api, err = s.process("apiserver.log", "--etcd-servers=http://"+s.client, "--bind-address="+host, "--advertise-address="+host,
		"--secure-port="+port, "--cert-dir="+s.file("certs"), "--token-auth-file="+s.file("tokens.csv"), "--authorization-mode=RBAC",
		"--service-account-key-file="+s.file("sa.key"), "--service-account-signing-key-file="+s.file("sa.key"),
		"--service-account-issuer=https://kubernetes.default.svc", "--disable-admission-plugins=ServiceAccount",
		"--service-cluster-ip-range=10.0.0.0/24", "--profiling=false", "-v=0")
	if err != nil {
		return err
	}
	return s.ready()
}

func (s *Server) process(log string, args ...string) (*exec.Cmd, error) {
	out, err := os.OpenFile(s.file(log), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()  // the process has its own
	cmd := exec.Command(s.bin, args...) //nolint:gosec // it is what was built for this
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, cmd.Start()
}

// ready waits for the server.
func (s *Server) ready() error {
	var last error
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(100 * time.Millisecond) {
		var client *kubernetes.Clientset
		client, last = kubernetes.NewForConfig(s.Config(Administrator)) // fails until the server has written its certificate
		if last != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_, last = client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		cancel()
		if last == nil {
			s.admin = client
			return nil
		}
	}
	log, err := os.ReadFile(s.file("apiserver.log"))
	if err != nil {
		return err
	}
	return fmt.Errorf("kube-apiserver is not ready after %s: %w\n%s", patience, last, log)
}

// Config is how a user comes to the server. It limits no requests.
func (s *Server) Config(u User) *rest.Config { return Config(s.addr, s.Certificate(), u) }

// Config is how a user comes to the server at addr that has the certificate.
func Config(addr, certificate string, u User) *rest.Config {
	return &rest.Config{Host: "https://" + addr, BearerToken: u.Token, QPS: -1, TLSClientConfig: rest.TLSClientConfig{CAFile: certificate}}
}

// Certificate names the file of the server's certificate.
func (s *Server) Certificate() string { return s.file("certs/apiserver.crt") }

// Addr is where the server listens.
func (s *Server) Addr() string { return s.addr }

// Admin is a client that may do everything.
func (s *Server) Admin() *kubernetes.Clientset { return s.admin }

// Kill ends both processes as a crash would.
func (s *Server) Kill() {
	for _, cmd := range []*exec.Cmd{s.api, s.etcd} {
		if cmd != nil && cmd.Process != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // its error is the signal
		}
	}
	s.api, s.etcd = nil, nil
}

// Close ends the server and deletes its data.
func (s *Server) Close() {
	s.Kill()
	_ = os.RemoveAll(s.dir)
}
