package kubelease_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	typed "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	kubelease "github.com/taskvisor/taskvisor-go/lease/kubernetes"
	"github.com/taskvisor/taskvisor-go/lease/kubernetes/internal/server"
)

// The names of the manifests.
const (
	namespace = "billing"
	app       = "billing"
)

var account = server.ServiceAccount(namespace, app)

// shared is one API server for all tests, which is started by the first that needs it.
var shared struct {
	once   sync.Once
	server *server.Server
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.server != nil {
		shared.server.Close()
	}
	os.Exit(code)
}

// start returns the server, with the objects of deploy/rbac.yaml in it. A test that could
// not have one is skipped, and says why.
func start(t *testing.T) *server.Server {
	t.Helper()
	shared.once.Do(func() {
		if shared.server, shared.err = server.New(account); shared.err == nil {
			shared.err = install(shared.server.Admin())
		}
	})
	if errors.Is(shared.err, server.ErrNone) {
		t.Skip(shared.err)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// manifests reads the documents of a file of deploy.
func manifests(file string) (documents [][]byte, err error) {
	text, err := os.ReadFile(filepath.Join("deploy", file))
	if err != nil {
		return nil, err
	}
	return bytes.Split(text, []byte("\n---\n")), nil
}

// access is what deploy/rbac.yaml holds.
type access struct {
	account core.ServiceAccount
	role    rbac.Role
	binding rbac.RoleBinding
}

func readAccess() (a access, err error) {
	documents, err := manifests("rbac.yaml")
	if err != nil {
		return a, err
	}
	into := []any{&a.account, &a.role, &a.binding}
	if len(documents) != len(into) {
		return a, fmt.Errorf("%d documents in rbac.yaml", len(documents))
	}
	for i, document := range documents {
		if err := yaml.UnmarshalStrict(document, into[i]); err != nil {
			return a, err
		}
	}
	return a, nil
}

// install makes the namespace and the objects of rbac.yaml, with nothing in them that the
// server does not know.
func install(client kubernetes.Interface) error {
	ctx := context.Background()
	a, err := readAccess()
	if err != nil {
		return err
	}
	strict := meta.CreateOptions{FieldValidation: meta.FieldValidationStrict}
	_, err1 := client.CoreV1().Namespaces().Create(ctx, &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: namespace}}, meta.CreateOptions{})
	_, err2 := client.CoreV1().ServiceAccounts(a.account.Namespace).Create(ctx, &a.account, strict)
	_, err3 := client.RbacV1().Roles(a.role.Namespace).Create(ctx, &a.role, strict)
	_, err4 := client.RbacV1().RoleBindings(a.binding.Namespace).Create(ctx, &a.binding, strict)
	return errors.Join(err1, err2, err3, err4)
}

// leases is how the program of the manifests comes to the server: it may do what its Role
// says. wrap changes the configuration first; nil: not.
func leases(t *testing.T, s *server.Server, wrap func(c *rest.Config)) typed.LeaseInterface {
	t.Helper()
	config := s.Config(account)
	if wrap != nil {
		wrap(config)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client.CoordinationV1().Leases(namespace)
}

// Leases of tests that are not about time outlive any pause of a busy machine.
const (
	ttl  = 2 * time.Second
	long = time.Minute
)

// key is one that no other test has, also when a test is run again.
func key(t *testing.T, name string) string {
	return fmt.Sprintf("%s/%d/%s", t.Name(), time.Now().UnixNano(), name)
}

func take(t *testing.T, s *kubelease.Store, key, owner string) uint64 {
	t.Helper()
	return takeFor(t, s, key, owner, long)
}

func takeFor(t *testing.T, s *kubelease.Store, key, owner string, ttl time.Duration) uint64 {
	t.Helper()
	token, err := s.Acquire(context.Background(), key, owner, ttl)
	if err != nil {
		t.Fatalf("acquire: %v", err)
	}
	return token
}

// lost reports whether a renewal says so.
func lost(t *testing.T, s *kubelease.Store, key, owner string, token uint64) bool {
	t.Helper()
	gone, err := s.Renew(context.Background(), owner, map[string]uint64{key: token}, long)
	if err != nil {
		t.Fatalf("renew: %v", err)
	}
	return len(gone) > 0
}

// object finds the object of a key.
func object(t *testing.T, client typed.LeaseInterface, key string) *coordination.Lease {
	t.Helper()
	list, err := client.List(context.Background(), meta.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range list.Items {
		if list.Items[i].Annotations["taskvisor.github.io/key"] == key {
			return &list.Items[i]
		}
	}
	return nil
}

// edit changes the object of a key as a user does.
func edit(t *testing.T, client typed.LeaseInterface, key string, change func(l *coordination.Lease)) {
	t.Helper()
	l := object(t, client, key)
	if l == nil {
		t.Fatalf("no object of %q", key)
	}
	change(l)
	if _, err := client.Update(context.Background(), l, meta.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}
