package stack_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const repository = "../../.."

func project(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(repository, "docker-compose.yml")})
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestComposeServices(t *testing.T) {
	p := project(t)
	if got, want := p.ServiceNames(), []string{"app", "grafana", "jaeger", "prometheus"}; !slices.Equal(got, want) {
		t.Fatalf("services %v, want %v", got, want)
	}
	for name, s := range p.Services {
		if s.HealthCheck == nil || len(s.HealthCheck.Test) < 2 {
			t.Errorf("%s has no healthcheck", name)
		}
		if len(s.Ports) == 0 {
			t.Errorf("%s publishes no port", name)
		}
		for _, port := range s.Ports {
			if ip, err := netip.ParseAddr(port.HostIP); err != nil || !ip.IsLoopback() {
				t.Errorf("%s publishes %s on %q, want the loopback interface", name, port.Published, port.HostIP)
			}
		}
		for dependency, d := range s.DependsOn {
			if d.Condition != types.ServiceConditionHealthy {
				t.Errorf("%s does not wait until %s is healthy", name, dependency)
			}
		}
	}
}

func TestComposeImagesArePinned(t *testing.T) {
	pinned := regexp.MustCompile(`^[\w./-]+:v?\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?$`)
	for name, s := range project(t).Services {
		if s.Build != nil {
			continue
		}
		if !pinned.MatchString(s.Image) {
			t.Errorf("%s: image %q is not pinned", name, s.Image)
		}
		if name != "jaeger" && !strings.Contains(s.Image, "@sha256:") {
			t.Errorf("%s: image %q has no digest", name, s.Image)
		}
	}
}

func TestComposeMountsExist(t *testing.T) {
	mounts := 0
	for name, s := range project(t).Services {
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			mounts++
			if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("%s mounts what does not exist: %v", name, err)
			}
			if !v.ReadOnly {
				t.Errorf("%s could write to %s", name, v.Source)
			}
		}
	}
	if mounts < 7 {
		t.Errorf("%d mounts, want all configuration files", mounts)
	}
}

func TestComposeBuildsTheExample(t *testing.T) {
	app := project(t).Services["app"]
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	if app.Build == nil || app.Build.Context != root || app.Build.Dockerfile != "examples/uptime/Dockerfile" {
		t.Fatalf("build %+v, want examples/uptime/Dockerfile in %s", app.Build, root)
	}
	if _, err := os.Stat(filepath.Join(root, app.Build.Dockerfile)); err != nil {
		t.Error(err)
	}
}

// The services find each other: Prometheus its target, the app and Grafana
// Jaeger, at ports that the others listen on.
func TestComposeAddresses(t *testing.T) {
	p := project(t)
	names := p.ServiceNames()
	text := read(t, "dashboards/targets-compose/app.yml") + read(t, "dashboards/grafana/provisioning/datasources/taskvisor.yml") +
		*p.Services["app"].Environment["OTEL_EXPORTER_OTLP_ENDPOINT"]
	found := regexp.MustCompile(`(?:http://|\[)([a-z]+):(\d+)`).FindAllStringSubmatch(text, -1)
	if len(found) != 4 {
		t.Errorf("addresses %v, want 4", found)
	}
	for _, address := range found {
		host, port := address[1], address[2]
		if !slices.Contains(names, host) {
			t.Errorf("no service %q", host)
			continue
		}
		published := slices.ContainsFunc(p.Services[host].Ports, func(c types.ServicePortConfig) bool { return c.Published == port })
		if !published {
			t.Errorf("%s does not listen on %s", host, port)
		}
	}
}

// The native run and the compose stack differ in nothing but the host that is
// scraped.
func TestTargets(t *testing.T) {
	port := regexp.MustCompile(`- targets: \[([\w.]+):(\d+)\]`)
	native := port.FindStringSubmatch(read(t, "dashboards/targets/native.yml"))
	compose := port.FindStringSubmatch(read(t, "dashboards/targets-compose/app.yml"))
	if native == nil || compose == nil || native[1] != "127.0.0.1" || native[2] != compose[2] {
		t.Errorf("targets %v and %v", native, compose)
	}
	mounts := map[string]string{}
	for _, v := range project(t).Services["prometheus"].Volumes {
		mounts[v.Target] = v.Source
	}
	config := read(t, "dashboards/prometheus.yml")
	for inside, line := range map[string]string{"/etc/prometheus/rules": "- rules/*.rules.yml", "/etc/prometheus/targets": "- targets/*.yml"} {
		if mounts[inside] == "" || !strings.Contains(config, line) {
			t.Errorf("%s is mounted from %q; prometheus.yml must say %q", inside, mounts[inside], line)
		}
	}
	for _, want := range []string{"scrape_native_histograms: true", "always_scrape_classic_histograms: true"} {
		if !strings.Contains(config, want) {
			t.Errorf("prometheus.yml does not say %q", want)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
