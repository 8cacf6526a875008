package kubelease_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	coordination "k8s.io/api/coordination/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"

	kubelease "github.com/taskvisor/taskvisor-go/lease/kubernetes"
	"github.com/taskvisor/taskvisor-go/lease/kubernetes/internal/server"
)

// The script that deletes objects leaves those that somebody has, and notes.
func TestCleanUp(t *testing.T) {
	for _, tool := range []string{"kubectl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	s, ctx := start(t), context.Background()
	admin := s.Admin().CoordinationV1().Leases(namespace)
	a := kubelease.New(leases(t, s, nil))
	keys, tokens := make(map[string]string), make(map[string]uint64)
	for _, name := range []string{"released", "dead", "held", "noted"} {
		keys[name] = key(t, name)
		tokens[name] = take(t, a, keys[name], "a")
	}
	if err := a.Release(ctx, keys["released"], tokens["released"]); err != nil {
		t.Fatal(err)
	}
	if err := a.ReleaseNoted(ctx, keys["noted"], tokens["noted"], "a note"); err != nil {
		t.Fatal(err)
	}
	edit(t, admin, keys["dead"], func(l *coordination.Lease) {
		then := meta.NewMicroTime(time.Now().Add(-2 * time.Hour))
		l.Spec.RenewTime = &then
	})
	admins := s.Config(server.Administrator)
	file := filepath.Join(t.TempDir(), "config")
	err := os.WriteFile(file, fmt.Appendf(nil, `{apiVersion: v1, kind: Config, current-context: x,
		contexts: [{name: x, context: {cluster: c, user: u}}], users: [{name: u, user: {token: %q}}],
		clusters: [{name: c, cluster: {server: %q, certificate-authority: %q}}]}`, admins.BearerToken, admins.Host, admins.CAFile), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("deploy/clean.sh", namespace)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+file)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, want := range map[string]bool{"released": false, "dead": false, "held": true, "noted": true} {
		if l := object(t, admin, keys[name]); (l != nil) != want {
			t.Errorf("%s: there is %+v\n%s", name, l, out)
		}
	}
	if token := take(t, kubelease.New(leases(t, s, nil)), keys["dead"], "b"); token <= tokens["dead"] {
		t.Errorf("token %d after %d", token, tokens["dead"])
	}
}
