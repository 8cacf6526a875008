package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

// decode reads a manifest into its type, in which nothing may be unknown or twice.
func decode(t *testing.T, file string, object any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deployDir, file))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, object); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// What is committed is what the generator makes.
func TestPrometheusRuleIsUpToDate(t *testing.T) {
	want, err := prometheusRule(rulesDir)
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(filepath.Join(deployDir, ruleFile))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Error("the rules have changed: run GOWORK=off go run . in lease/kubernetes/internal/manifests")
	}
}

// The operator's type takes it, and it holds every group of every file as it is there.
func TestPrometheusRule(t *testing.T) {
	var rule monitoring.PrometheusRule
	decode(t, ruleFile, &rule)
	if rule.Kind != monitoring.PrometheusRuleKind || rule.APIVersion != monitoring.SchemeGroupVersion.String() {
		t.Errorf("it is a %s of %s", rule.Kind, rule.APIVersion)
	}
	files, err := filepath.Glob(filepath.Join(rulesDir, "*.rules.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var want monitoring.PrometheusRuleSpec
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var part monitoring.PrometheusRuleSpec
		if err := yaml.UnmarshalStrict(text, &part); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		want.Groups = append(want.Groups, part.Groups...)
	}
	if len(want.Groups) < 2 || !reflect.DeepEqual(rule.Spec, want) {
		t.Errorf("it has %d groups, the files %d, or they differ", len(rule.Spec.Groups), len(want.Groups))
	}
}

// The monitor finds the pods of the deployment, at a port that they have.
func TestPodMonitor(t *testing.T) {
	var monitor monitoring.PodMonitor
	decode(t, "podmonitor.yaml", &monitor)
	if monitor.Kind != monitoring.PodMonitorsKind || monitor.APIVersion != monitoring.SchemeGroupVersion.String() {
		t.Errorf("it is a %s of %s", monitor.Kind, monitor.APIVersion)
	}
	var deployment apps.Deployment
	decode(t, "deployment.yaml", &deployment)
	pods := deployment.Spec.Template
	if monitor.Namespace != deployment.Namespace {
		t.Errorf("it looks into %q, and they are in %q", monitor.Namespace, deployment.Namespace)
	}
	for label, value := range monitor.Spec.Selector.MatchLabels {
		if pods.Labels[label] != value {
			t.Errorf("no pod has %s=%s", label, value)
		}
	}
	if pods.Labels[monitor.Spec.JobLabel] == "" {
		t.Errorf("no pod has %q, which is to be the job", monitor.Spec.JobLabel)
	}
	for _, endpoint := range monitor.Spec.PodMetricsEndpoints {
		found := false
		for _, port := range pods.Spec.Containers[0].Ports {
			found = found || endpoint.Port != nil && port.Name == *endpoint.Port
		}
		if !found || endpoint.Path != "/metrics" {
			t.Errorf("no port for %+v", endpoint)
		}
	}
}
