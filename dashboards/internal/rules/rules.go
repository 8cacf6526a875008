// Package rules reads the committed recording and alert rules and their tests.
package rules

import (
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v2"
)

// Rule is a recording rule or an alert.
type Rule struct {
	Record      string            `yaml:"record"`
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// Name returns the name of the alert or of the recorded series.
func (r Rule) Name() string {
	if r.Alert != "" {
		return r.Alert
	}
	return r.Record
}

// Load reads all rules of dir/*.rules.yml, alerts and recordings, in order.
func Load(dir string) ([]Rule, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.rules.yml"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no rules in %s", dir)
	}
	var all []Rule
	for _, file := range files {
		var content struct {
			Groups []struct {
				Rules []Rule `yaml:"rules"`
			} `yaml:"groups"`
		}
		if err := unmarshal(file, &content); err != nil {
			return nil, err
		}
		for _, g := range content.Groups {
			all = append(all, g.Rules...)
		}
	}
	return all, nil
}

// Alerts returns those of the rules that are alerts.
func Alerts(all []Rule) []Rule {
	var alerts []Rule
	for _, r := range all {
		if r.Alert != "" {
			alerts = append(alerts, r)
		}
	}
	return alerts
}

// Test is a test of rules, as promtool runs it.
type Test struct {
	Name        string `yaml:"name"`
	InputSeries []struct {
		Series string `yaml:"series"`
	} `yaml:"input_series"`
	AlertRuleTest []struct {
		EvalTime  string `yaml:"eval_time"`
		AlertName string `yaml:"alertname"`
		ExpAlerts []any  `yaml:"exp_alerts"`
	} `yaml:"alert_rule_test"`
	PromqlExprTest []struct {
		Expr       string `yaml:"expr"`
		ExpSamples []any  `yaml:"exp_samples"`
	} `yaml:"promql_expr_test"`
}

// LoadTests reads the tests of one file.
func LoadTests(file string) ([]Test, error) {
	var content struct {
		Tests []Test `yaml:"tests"`
	}
	err := unmarshal(file, &content)
	return content.Tests, err
}

func unmarshal(file string, into any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}
