package library

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/taskvisor/taskvisor-go/examples/internal/readme"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func TestLogsAndMetricsAreTheProgramsOwn(t *testing.T) {
	var own, others readme.Buffer
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewTextHandler(&others, nil)))
	reg := prometheus.NewRegistry()
	sub := promsub.New(reg)
	open := func(name string) (*Client, error) {
		return Open(t.Context(), Config{Name: name, Logger: slog.New(slog.NewTextHandler(&own, nil)), Subscribers: []taskvisor.Subscribe{sub}})
	}
	first, err := open("")
	if err != nil {
		t.Fatal(err)
	}
	second, err := open("bulk mailer")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open("bulk mailer"); err == nil || !strings.HasPrefix(err.Error(), "mailer: ") {
		t.Errorf("a second client of one name: %v", err)
	}
	if n := testutil.CollectAndCount(sub, "taskvisor_supervisor_state"); n == 0 {
		t.Error("nothing in the registry")
	}
	for _, c := range []*Client{first, second} {
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if !strings.Contains(own.String(), `supervisor="bulk mailer"`) {
		t.Errorf("logged:\n%s", own.String())
	}
	if others.String() != "" {
		t.Errorf("written to a logger that nobody gave:\n%s", others.String())
	}
}

func TestSilentWithoutALogger(t *testing.T) {
	var others readme.Buffer
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewTextHandler(&others, nil)))
	c, err := Open(t.Context(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := c.sup.Add(t.Context(), taskvisor.Once("bad", func(context.Context) error { panic("bug") }))
	if err != nil {
		t.Fatal(err)
	}
	if outcome, err := h.Wait(t.Context()); err != nil || outcome.Kind != taskvisor.OutcomeFailed {
		t.Errorf("%v, %v", outcome.Kind, err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if others.String() != "" {
		t.Errorf("written to a logger that nobody gave:\n%s", others.String())
	}
}
