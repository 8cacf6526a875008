package kubelease_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	kubelease "github.com/taskvisor/taskvisor-go/lease/kubernetes"
	"github.com/taskvisor/taskvisor-go/lease/kubernetes/internal/server"
)

func readDeployment(t *testing.T) *apps.Deployment {
	t.Helper()
	documents, err := manifests("deployment.yaml")
	if err != nil || len(documents) != 1 {
		t.Fatalf("%d documents: %v", len(documents), err)
	}
	var d apps.Deployment
	if err := yaml.UnmarshalStrict(documents[0], &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

// The deployment is what the types know, runs as whom the Role is for, finds its own pods,
// and is given the time that a shutdown may take.
func TestDeployment(t *testing.T) {
	d := readDeployment(t)
	a, err := readAccess()
	if err != nil {
		t.Fatal(err)
	}
	pod := d.Spec.Template.Spec
	if d.Namespace != namespace || pod.ServiceAccountName != a.account.Name || a.account.Namespace != namespace {
		t.Errorf("it runs as %s in %s", pod.ServiceAccountName, d.Namespace)
	}
	if s := a.binding.Subjects; len(s) != 1 || s[0].Name != a.account.Name || s[0].Namespace != namespace || a.binding.RoleRef.Name != a.role.Name {
		t.Errorf("the Role is for %v", s)
	}
	for label, value := range d.Spec.Selector.MatchLabels {
		if d.Spec.Template.Labels[label] != value {
			t.Errorf("its pods lack %s=%s", label, value)
		}
	}
	const drain = 5 * time.Second // the default of WithSubscriberDrain
	if grace > leaseTTL/4 {
		t.Errorf("a grace of %s does not fit a ttl of %s", grace, leaseTTL)
	}
	if given, need := pod.TerminationGracePeriodSeconds, preStopDelay+grace+drain; given == nil || time.Duration(*given)*time.Second < need+5*time.Second {
		t.Errorf("a shutdown takes up to %s, and some air: SIGKILL comes after %v s", need, given)
	}
	c := pod.Containers[0]
	for path, probe := range map[string]*core.Probe{"/readyz": c.ReadinessProbe, "/livez": c.LivenessProbe} {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != path || probe.HTTPGet.Port.StrVal != c.Ports[0].Name {
			t.Errorf("the probe of %s is %+v", path, probe)
		}
	}
	// Unready at once, or requests still come when the delay is over.
	if r := c.ReadinessProbe; time.Duration(r.PeriodSeconds*r.FailureThreshold)*time.Second >= preStopDelay {
		t.Errorf("a shutdown is noticed after %d times %d s", r.FailureThreshold, r.PeriodSeconds)
	}
}

// The API server takes it as it is.
func TestServerTakesTheDeployment(t *testing.T) {
	s, d := start(t), readDeployment(t)
	_, err := s.Admin().AppsV1().Deployments(d.Namespace).Create(context.Background(), d,
		meta.CreateOptions{FieldValidation: meta.FieldValidationStrict, DryRun: []string{meta.DryRunAll}})
	if err != nil {
		t.Error(err)
	}
}

// exercise does what owners do.
func exercise(ctx context.Context, store *kubelease.Store, key string) error {
	token, err := store.Acquire(ctx, key, "a", ttl)
	if err != nil {
		return fmt.Errorf("acquire: %w", err)
	}
	if _, err := store.Renew(ctx, "a", map[string]uint64{key: token}, ttl); err != nil {
		return fmt.Errorf("renew: %w", err)
	}
	if _, err := store.Holders(ctx, key); err != nil {
		return fmt.Errorf("holders: %w", err)
	}
	if err := store.Release(ctx, key, token); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	watching, cancel := context.WithTimeout(ctx, 5*time.Second) // for the server to refuse it
	defer cancel()
	if err := store.Watch(watching, key, func(string) {}); !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("watch: %w", err)
	}
	return nil
}

// The Role has what it needs, as every test here shows, and nothing more: without any of
// its verbs something is forbidden.
func TestRoleHasNothingTooMuch(t *testing.T) {
	s, ctx := start(t), context.Background()
	admin := s.Admin()
	client, err := kubernetes.NewForConfig(s.Config(account))
	if err != nil {
		t.Fatal(err)
	}
	if err := exercise(ctx, kubelease.New(client.CoordinationV1().Leases(namespace)), key(t, "k")); err != nil {
		t.Fatalf("with all: %v", err)
	}
	if err := client.CoordinationV1().Leases(namespace).Delete(ctx, "any", meta.DeleteOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("it may delete: %v", err)
	}
	a, err := readAccess()
	if err != nil {
		t.Fatal(err)
	}
	for i, verb := range a.role.Rules[0].Verbs {
		t.Run(verb, func(t *testing.T) {
			// The same, but for the verb, in a namespace of its own.
			where := fmt.Sprintf("without-%s-%d", verb, time.Now().UnixNano())
			role, binding := a.role.DeepCopy(), a.binding.DeepCopy()
			role.Namespace, binding.Namespace = where, where
			role.Rules[0].Verbs = slices.Delete(role.Rules[0].Verbs, i, i+1)
			_, err1 := admin.CoreV1().Namespaces().Create(ctx, &core.Namespace{ObjectMeta: meta.ObjectMeta{Name: where}}, meta.CreateOptions{})
			_, err2 := admin.RbacV1().Roles(where).Create(ctx, role, meta.CreateOptions{})
			_, err3 := admin.RbacV1().RoleBindings(where).Create(ctx, binding, meta.CreateOptions{})
			if err := errors.Join(err1, err2, err3); err != nil {
				t.Fatal(err)
			}
			settled(t, s, where, verb, role.Rules[0].Verbs)
			err := exercise(ctx, kubelease.New(client.CoordinationV1().Leases(where)), key(t, "k"))
			if !apierrors.IsForbidden(err) {
				t.Errorf("without %s: %v", verb, err)
			}
		})
	}
}

// settled waits until the server's access control knows a new role.
func settled(t *testing.T, s *server.Server, where, without string, with []string) {
	t.Helper()
	client, err := kubernetes.NewForConfig(s.Config(account))
	if err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(20 * time.Millisecond) {
		_, err := client.CoordinationV1().Leases(where).Get(context.Background(), "any", meta.GetOptions{})
		if without == "get" {
			_, err = client.CoordinationV1().Leases(where).List(context.Background(), meta.ListOptions{})
		}
		if err == nil || apierrors.IsNotFound(err) {
			return
		}
	}
	t.Fatalf("%v are not granted", with)
}
