package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/taskvisor/taskvisor-go/internal/postgres"
)

// Processes of the program are this binary.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "-database") {
		main()
		return
	}
	os.Exit(m.Run())
}

// database starts a PostgreSQL. Without one there is nothing to test, and that is said.
func database(t *testing.T) *postgres.Server {
	t.Helper()
	s, err := postgres.New()
	if errors.Is(err, postgres.ErrNone) {
		t.Skip("NOT TESTED: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// process is the program as a process of its own.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	url string
}

// begin starts the program and waits until it serves.
func begin(t *testing.T, s *postgres.Server, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(os.Args[0], append([]string{"-database", s.URL(), "-listen", "127.0.0.1:0"}, args...)...)}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the program has said nothing: %v", err)
	}
	p.url = strings.TrimSpace(line)
	return p
}

// end sends a signal and waits until the process is gone.
func (p *process) end(sig os.Signal) error {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	return p.cmd.Wait()
}

// ask makes a request and reads the answer into v.
func (p *process) ask(method, path string, v any) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, p.url+path, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, body, err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		p.t.Fatalf("%v: %s", err, body)
	}
}

func (p *process) order(item string) int64 {
	p.t.Helper()
	var o order
	p.ask("POST", "/orders?item="+item, &o)
	return o.ID
}

func (p *process) report() {
	p.t.Helper()
	var task map[string]uint64
	p.ask("POST", "/reports", &task)
}

func (p *process) reports() int {
	p.t.Helper()
	var made map[string]int
	p.ask("GET", "/reports", &made)
	return made["made"]
}

func (p *process) orders() map[int64]order {
	p.t.Helper()
	var list []order
	p.ask("GET", "/orders", &list)
	all := map[int64]order{}
	for _, o := range list {
		all[o.ID] = o
	}
	return all
}

// jobs counts the jobs in a state.
func jobs(t *testing.T, pool *pgxpool.Pool, state string) (n int) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM river_job WHERE state = $1::river_job_state`, state).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func connect(t *testing.T, s *postgres.Server) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(context.Background(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// eventually waits for a condition: what it waits for takes River some seconds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for begun := time.Now(); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Since(begun) > 3*time.Minute {
			t.Fatalf("after three minutes: %s", what)
		}
	}
}

// The job of an order outlives the process that worked at it, and is charged once by
// another, in a second attempt; the report that the process had in hand is gone with it.
func TestCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes River half a minute to notice")
	}
	s := database(t)
	pool := connect(t, s)
	first := begin(t, s, "-took", "1h", "-timeout", "2h")
	id := first.order("book")
	first.report()
	eventually(t, "the job is not worked at", func() bool { return jobs(t, pool, "running") == 1 })
	if err := first.end(syscall.SIGKILL); err == nil {
		t.Error("a process that was killed has ended well")
	}

	second := begin(t, s, "-took", "10ms", "-timeout", "10s")
	eventually(t, "the order is not charged", func() bool { return second.orders()[id].Charged != nil })
	if o := second.orders()[id]; *o.Attempt < 2 {
		t.Errorf("it was charged by attempt %d, want a later one than that of the process that died", *o.Attempt)
	}
	if n := second.reports(); n != 0 {
		t.Errorf("%d reports were made by a process that was asked for none", n)
	}
	second.report()
	eventually(t, "the report is not made", func() bool { return second.reports() == 1 })
	if err := second.end(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

// At a stop the job in hand is finished and the next is left for another process, which
// does it at once.
func TestStop(t *testing.T) {
	s := database(t)
	pool := connect(t, s)
	first := begin(t, s, "-took", "5s", "-workers", "1", "-soft", "30s")
	ids := []int64{first.order("book"), first.order("pen")}
	eventually(t, "no job is worked at", func() bool { return jobs(t, pool, "running") == 1 })
	if err := first.end(syscall.SIGTERM); err != nil {
		t.Errorf("the stop: %v", err)
	}
	if done, left := jobs(t, pool, "completed"), jobs(t, pool, "available"); done < 1 || done+left != 2 { // on a slow machine the second has begun before the stop
		t.Errorf("%d jobs are completed and %d left, want two in all, and one completed", done, left)
	}
	second := begin(t, s, "-took", "10ms")
	eventually(t, "not all are charged", func() bool {
		all := second.orders()
		return all[ids[0]].Charged != nil && all[ids[1]].Charged != nil
	})
	for _, id := range ids {
		if o := second.orders()[id]; *o.Attempt != 1 {
			t.Errorf("order %d took %d attempts", id, *o.Attempt)
		}
	}
	if err := second.end(os.Interrupt); err != nil {
		t.Error(err)
	}
}

// A job that does not finish in time is cancelled before the grace ends, so that the
// process ends in order, and is worked again without having to be missed first.
func TestStopThatTakesTooLong(t *testing.T) {
	s := database(t)
	pool := connect(t, s)
	first := begin(t, s, "-took", "1h", "-timeout", "2h", "-soft", "200ms")
	id := first.order("book")
	eventually(t, "the job is not worked at", func() bool { return jobs(t, pool, "running") == 1 })
	if err := first.end(syscall.SIGTERM); err != nil {
		t.Errorf("the stop: %v", err)
	}
	if n := jobs(t, pool, "running"); n != 0 {
		t.Errorf("%d jobs are said to be worked at, by nobody", n)
	}
	second := begin(t, s, "-took", "10ms")
	eventually(t, "the order is not charged", func() bool { return second.orders()[id].Charged != nil })
}

// The database is away for a while: the program goes on when it is back, and what was
// stored is there.
func TestDatabaseGoesAndComes(t *testing.T) {
	s := database(t)
	p := begin(t, s, "-took", "3s", "-timeout", "20s")
	id := p.order("book")
	s.Kill()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	client := &http.Client{Timeout: 10 * time.Second}
	for charged := false; !charged; time.Sleep(100 * time.Millisecond) {
		resp, err := client.Get(p.url + "/orders")
		if err == nil {
			var list []order
			_ = json.NewDecoder(resp.Body).Decode(&list) // an error, while it is away
			_ = resp.Body.Close()
			charged = slices.ContainsFunc(list, func(o order) bool { return o.ID == id && o.Charged != nil })
		}
		if ctx.Err() != nil {
			t.Fatal("the order is not charged three minutes after the database came back")
		}
	}
}

// What is missing is said, and nothing begins.
func TestUsage(t *testing.T) {
	t.Setenv("DATABASE_URL", "")
	var out, errs strings.Builder
	if code := run(t.Context(), nil, &out, &errs); code != 2 || !strings.Contains(errs.String(), "DATABASE_URL") {
		t.Errorf("code %d, %s", code, errs.String())
	}
	if code := run(t.Context(), []string{"-nonsense"}, &out, io.Discard); code != 2 {
		t.Errorf("code %d", code)
	}
	if out.Len() > 0 {
		fmt.Fprintln(os.Stderr, out.String())
		t.Error("it has said something")
	}
}
