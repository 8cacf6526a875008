package livesub_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	livesub "github.com/taskvisor/taskvisor-go/subscribers/live"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares text with a file.
func golden(t *testing.T, file string, text []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile("testdata/"+file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, want) {
		t.Errorf("%s has changed; if that was meant, go test -update:\n%s", file, text)
	}
}

// steady replaces what differs from run to run: ids come from one counter of the
// process, and paths and versions are the machine's.
func steady(t *testing.T, text string) []byte {
	t.Helper()
	ids := map[string]string{}
	text = regexp.MustCompile(`"(id|owner|task_id)":(\d+)`).ReplaceAllStringFunc(text, func(m string) string {
		key, id, _ := strings.Cut(m, ":")
		if ids[id] == "" {
			ids[id] = fmt.Sprint(1000 + len(ids))
		}
		return key + ":" + ids[id]
	})
	text = regexp.MustCompile(`"[^"]*/([a-z_]+\.go):\d+"`).ReplaceAllString(text, `"…/$1:1"`)
	text = regexp.MustCompile(`"go_version":"[^"]*"`).ReplaceAllString(text, `"go_version":"go"`)
	text = regexp.MustCompile(`"module":"[^"]*",`).ReplaceAllString(text, "")
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(text), "", "  "); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return b.Bytes()
}

// night runs f on a supervisor in which a bit of everything has happened, always the
// same, at times that are exact.
func night(t *testing.T, f func(page *livesub.Page)) {
	t.Helper()
	page := livesub.New(
		livesub.WithTraceLabels(func(context.Context) map[string]string {
			return map[string]string{"trace_id": "0af7651916cd43dd8448eb211c80319c"}
		}),
		livesub.WithTraceLink(func(id string) string { return "https://traces.example/" + id }),
		livesub.WithSection("leases", func() livesub.Section {
			return livesub.Section{Columns: []string{"lease", "holder"}, Rows: [][]string{{"report", "shop-2"}}}
		}),
		livesub.WithIncidents(func() []livesub.Incident {
			return []livesub.Incident{{ID: "i-1", Time: time.Now(), Supervisor: "shop", Task: "billing", Kind: "task_failed", Reason: "", Bytes: 4096}}
		}, nil),
	)
	started(t, page, func(sup *taskvisor.Supervisor) {
		noted := func(ctx context.Context) error {
			taskvisor.Beat(ctx, "offset 184201")
			return block(ctx)
		}
		steps := []taskvisor.TaskSpec{
			taskvisor.Restartable("consumer", noted, taskvisor.WithKind("consumer")),
			taskvisor.Restartable("billing", fail, taskvisor.BackoffPolicy{First: time.Second, Max: time.Minute, Factor: 2}, taskvisor.WithMaxRetries(9), taskvisor.WithTimeout(5*time.Second)),
			taskvisor.Periodic("cleanup", time.Hour, succeed),
			taskvisor.Once("migrate", func(context.Context) error { return taskvisor.Fatal(errBoom) }),
			taskvisor.Restartable("report", block, taskvisor.WithStartPaused()),
			taskvisor.Restartable("relay", block, taskvisor.After("consumer")),
		}
		for _, s := range steps { // one by one: events of tasks that start together have no order
			add(t, sup, s)
		}
		for i := range 2 {
			_, err := sup.Submit(context.Background(), taskvisor.Submission{Task: taskvisor.Once(fmt.Sprint("sync-", i), block), Slot: "tenant-7"})
			if err != nil {
				t.Fatal(err)
			}
			later(time.Second)
		}
		later(9 * time.Second)
		f(page)
	}, taskvisor.WithMaxConcurrent(8), taskvisor.WithGrace(10*time.Second))
}

// TestGolden holds the forms that programs read.
func TestGolden(t *testing.T) {
	night(t, func(page *livesub.Page) {
		golden(t, "index.json", steady(t, get(t, page, "/x/?format=json")))
		golden(t, "task.json", steady(t, get(t, page, "/x/?format=json&task=billing")))
		golden(t, "ended.json", steady(t, get(t, page, "/x/?format=json&task=migrate")))
		golden(t, "index.txt", []byte(get(t, page, "/x/?format=text")))
		ids := regexp.MustCompile(`\(task \d+`)
		golden(t, "task.txt", ids.ReplaceAll([]byte(get(t, page, "/x/?format=text&task=billing")), []byte("(task 1")))
		var lines bytes.Buffer
		for line := range strings.Lines(get(t, page, "/x/events")) {
			lines.Write(steady(t, line))
		}
		golden(t, "events.json", lines.Bytes())
	})
}

// TestNamesOfMembers: snake_case, and the unit where there is one.
func TestNamesOfMembers(t *testing.T) {
	night(t, func(page *livesub.Page) {
		for _, q := range []string{"", "&task=billing", "&task=migrate"} {
			for _, m := range regexp.MustCompile(`"([^"]+)":`).FindAllStringSubmatch(get(t, page, "/x/?format=json"+q), -1) {
				if !regexp.MustCompile(`^[a-z][a-z0-9_]*$`).MatchString(m[1]) {
					t.Errorf("%q", m[1])
				}
			}
		}
	})
}

// TestNeedsTheStandardLibraryOnly: the root module requires nothing.
func TestNeedsTheStandardLibraryOnly(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for _, path := range strings.Fields(string(out)) {
		if !strings.HasPrefix(path, "github.com/taskvisor/taskvisor-go/taskvisor") && path != "github.com/taskvisor/taskvisor-go/subscribers/live" &&
			path != "github.com/taskvisor/taskvisor-go/lease" {
			t.Errorf("depends on %s", path)
		}
	}
}
