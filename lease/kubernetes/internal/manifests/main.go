// Command manifests writes lease/kubernetes/deploy/prometheusrule.yaml, which has the
// recording rules and alerts of dashboards/rules as an object of Prometheus' operator.
// Run it in its directory after a change of those:
//
//	GOWORK=off go run .
//
// It is a module of its own because its test decodes the manifests into the operator's
// types, which users of the store need not have.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	rulesDir  = "../../../../dashboards/rules"
	deployDir = "../../deploy"
	ruleFile  = "prometheusrule.yaml"
)

// head is what stands above the groups.
const head = `# Made of dashboards/rules by lease/kubernetes/internal/manifests; do not edit.
#
# For the operator of Prometheus. It takes what its ruleSelector selects: give this the
# labels that yours asks for. The alerts' links to boards are paths of your Grafana.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: taskvisor
  namespace: billing
  labels:
    app.kubernetes.io/name: taskvisor
spec:
  groups:
`

func main() {
	text, err := prometheusRule(rulesDir)
	if err == nil {
		err = os.WriteFile(filepath.Join(deployDir, ruleFile), text, 0o644) //nolint:gosec // for everyone to read
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "manifests:", err)
		os.Exit(1)
	}
}

// prometheusRule joins the groups of all files of rules, as they are written, comments
// included.
func prometheusRule(dir string) ([]byte, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.rules.yml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no rules in %s", dir)
	}
	var out bytes.Buffer
	out.WriteString(head)
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // of the repository
		if err != nil {
			return nil, err
		}
		about, groups, ok := strings.Cut(string(text), "\ngroups:\n")
		if !ok {
			return nil, fmt.Errorf("%s: its groups are not found", file)
		}
		fmt.Fprintf(&out, "    # From %s.\n    #\n", filepath.Base(file))
		indent(&out, about, "    ")
		indent(&out, groups, "  ")
	}
	return out.Bytes(), nil
}

func indent(out *bytes.Buffer, text, by string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
		if strings.TrimSpace(line) != "" {
			out.WriteString(by)
		}
		out.WriteString(line)
	}
}
