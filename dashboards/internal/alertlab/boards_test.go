package alertlab_test

import (
	"maps"
	"path/filepath"
	"testing"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/alertlab"
	"github.com/taskvisor/taskvisor-go/dashboards/internal/boardfile"
	"github.com/taskvisor/taskvisor-go/dashboards/internal/promql"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// shown is the expression of a query of a board.
func shown(t *testing.T, where string) string {
	t.Helper()
	for _, uid := range []string{"taskvisor-overview", "taskvisor-task"} {
		b, err := boardfile.Load(filepath.Join(root, uid+".json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range b.Queries() {
			if q.Where == where {
				return promql.Substitute(q.Expr)
			}
		}
	}
	t.Fatalf("no board has %s", where)
	return ""
}

// Each of these numbers was wrong once.
func TestBoardsSayWhatIs(t *testing.T) {
	twoPending := func(l *lab) {
		p := l.Start("a:1", taskvisor.WithMaxConcurrent(1))
		p.Add(taskvisor.Restartable("holder", hang, taskvisor.WithKind("mixed")), taskvisor.Restartable("three", hang, taskvisor.WithKind("mixed")),
			taskvisor.Restartable("one", hang, taskvisor.WithKind("kind")),
			taskvisor.Restartable("two", hang, taskvisor.WithKind("kind")))
		l.Pass(2 * m)
	}
	limits := func(l *lab) {
		l.Start("a:1", taskvisor.WithMaxConcurrent(4)).Add(taskvisor.Restartable("one", hang))
		l.Start("b:1").Add(taskvisor.Restartable("one", hang), taskvisor.Restartable("two", hang))
		l.Pass(2 * m)
	}
	fiveReplicas := func(l *lab) {
		for i, instance := range []string{"a:1", "b:1", "c:1", "d:1", "e:1"} {
			p := l.Start(instance)
			body := work(0)
			if i < 2 {
				body = ends("F")
			}
			p.Add(taskvisor.Periodic("sync", m, body, retry(m)))
			if instance == "e:1" {
				defer func() { l.Pass(m) }()
				defer p.Drain()
			}
		}
		l.Pass(2 * m)
	}
	// Two replicas that ask one engine, or one each, with two leases under one label.
	leased := func(engines ...*leasetest.Memory) func(l *lab) {
		return func(l *lab) {
			for i, instance := range []string{"a:1", "b:1"} {
				r := replicaOf(l, instance, engines[i%len(engines)])
				r.report()
				for _, key := range []string{"one", "two"} {
					r.Add(taskvisor.Restartable(key, hang, taskvisor.WithKind("pair"), r.owner.Singleton(key)))
				}
			}
			l.Pass(2 * m)
			if len(engines) == 1 {
				engines[0].SetDown(true)
				defer l.Pass(2 * m)
			}
		}
	}
	one := func() func(l *lab) { return leased(new(leasetest.Memory)) }
	two := func() func(l *lab) { return leased(new(leasetest.Memory), new(leasetest.Memory)) }
	fewOrMany := "taskvisor-overview / Leases owned too few or too many / A"
	for _, tc := range []struct {
		where  string
		script func(*lab)
		want   map[string]float64
	}{
		{"taskvisor-task / Now, on each instance / A", twoPending, map[string]float64{
			`{instance="a:1", job="app", supervisor="main", task="mixed"}`: 4, // one running, one pending
			`{instance="a:1", job="app", supervisor="main", task="kind"}`:  4, // both pending
		}},
		{"taskvisor-task / Now, on each instance / B", twoPending, map[string]float64{
			`{instance="a:1", job="app", supervisor="main", task="mixed"}`: 2,
			`{instance="a:1", job="app", supervisor="main", task="kind"}`:  2,
		}},
		{"taskvisor-overview / Permits / A", limits, map[string]float64{"{}": 1}},
		{"taskvisor-overview / Permits / B", limits, map[string]float64{"{}": 4}},
		{"taskvisor-overview / Supervisors not running / A", fiveReplicas, map[string]float64{"{}": 1}},
		{"taskvisor-overview / Supervisors not running / A", limits, map[string]float64{"{}": 0}},
		{"taskvisor-overview / Services / A", fiveReplicas, map[string]float64{`{job="app", supervisor="main"}`: 5}},
		{"taskvisor-overview / Services / B", fiveReplicas, map[string]float64{`{job="app", supervisor="main"}`: 1}},
		{"taskvisor-overview / Services / C", fiveReplicas, map[string]float64{`{job="app", supervisor="main"}`: 2}},
		{"taskvisor-overview / Tasks that fail, on how many replicas / A", fiveReplicas, map[string]float64{`{job="app", supervisor="main", task="sync"}`: 2}},
		{"taskvisor-overview / Tasks that fail, on how many replicas / B", fiveReplicas, map[string]float64{`{job="app", supervisor="main", task="sync"}`: 4}},
		{"taskvisor-overview / Owner and standbys / A", two(), map[string]float64{
			`{instance="a:1", job="app", supervisor="main", task="report"}`: 2,
			`{instance="b:1", job="app", supervisor="main", task="report"}`: 2,
			`{instance="a:1", job="app", supervisor="main", task="pair"}`:   2,
			`{instance="b:1", job="app", supervisor="main", task="pair"}`:   2,
		}},
		{"taskvisor-overview / Owner and standbys / A", one(), map[string]float64{ // nobody can reach the engine
			`{instance="a:1", job="app", supervisor="main", task="report"}`: 1,
			`{instance="b:1", job="app", supervisor="main", task="report"}`: 1,
			`{instance="a:1", job="app", supervisor="main", task="pair"}`:   1,
			`{instance="b:1", job="app", supervisor="main", task="pair"}`:   1,
		}},
		{fewOrMany, two(), map[string]float64{
			`{job="app", mode="singleton", supervisor="main", task="report"}`: 1,
			`{job="app", mode="singleton", supervisor="main", task="pair"}`:   2,
		}},
		{fewOrMany, one(), map[string]float64{
			`{job="app", mode="singleton", supervisor="main", task="report"}`: -1,
			`{job="app", mode="singleton", supervisor="main", task="pair"}`:   -2,
		}},
	} {
		if got := alertlab.Ask(t, newEngine(), shown(t, tc.where), tc.script); !maps.Equal(got, tc.want) {
			t.Errorf("%s says %v, want %v", tc.where, got, tc.want)
		}
	}
}
