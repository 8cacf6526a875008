package livesub_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/lease"
	"github.com/taskvisor/taskvisor-go/lease/leasetest"
	livesub "github.com/taskvisor/taskvisor-go/subscribers/live"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// replica is a process of several, with its page.
func replica(t *testing.T, engine *leasetest.Memory, id string) (*livesub.Page, *taskvisor.Supervisor, *lease.Owner, *leasetest.Conn) {
	t.Helper()
	conn := engine.Connect()
	owner, err := lease.New(conn, lease.WithID(id), lease.WithTTL(20*time.Second), lease.WithObserver(func(lease.Event) {}))
	if err != nil {
		t.Fatal(err)
	}
	page := livesub.New(livesub.WithLeases(owner))
	sup, err := taskvisor.New(taskvisor.WithName(id), taskvisor.WithSubscriber(page), taskvisor.WithSubscriber(owner.Subscriber()), taskvisor.WithGrace(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if err := sup.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return page, sup, owner, conn
}

// wantLeases compares the section's rows.
func wantLeases(t *testing.T, page *livesub.Page, want ...string) {
	t.Helper()
	synctest.Wait()
	d := look(t, page, "")
	if len(d.Sections) != 1 || d.Sections[0].Name != "leases" {
		t.Fatalf("sections: %+v", d.Sections)
	}
	var got []string
	for _, row := range d.Sections[0].Rows {
		got = append(got, strings.Join(row, " | "))
	}
	if !slices.Equal(got, want) {
		t.Errorf("leases:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Both replicas say who has it, since when, under which token and how close it was; the
// standby is pending at the lease's gate and needs nobody.
func TestLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var engine leasetest.Memory
		pageA, a, ownerA, conn := replica(t, &engine, "shop-1")
		pageB, b, ownerB, _ := replica(t, &engine, "shop-2")
		wantLeases(t, pageA)
		add(t, a, taskvisor.Restartable("billing", block, ownerA.Singleton("invoices")))
		synctest.Wait()
		time.Sleep(time.Second)
		add(t, b, taskvisor.Restartable("billing", block, ownerB.Singleton("invoices")))
		conn.Delay(time.Second)
		time.Sleep(time.Minute)
		conn.Delay(0)

		wantLeases(t, pageA, "invoices | singleton | held | 2000-01-01T00:00:00Z | shop-1 (here) | 1 | 10s | billing")
		wantLeases(t, pageB, "invoices | singleton | seeking | 2000-01-01T00:00:01Z | shop-1 |  |  | billing")
		d := look(t, pageB, "")
		if d.Total != 0 || len(d.Supervisors[0].Tasks) != 1 || d.Supervisors[0].Tasks[0].State != "pending" || d.Supervisors[0].Tasks[0].WaitsFor != "lease invoices" {
			t.Errorf("the standby: %+v needs somebody, %+v", d.Needs, d.Supervisors)
		}
		if html := get(t, pageB, "/x/"); !strings.Contains(html, "<h3>leases</h3>") || !strings.Contains(html, `<td data-l="holder">shop-1</td>`) {
			t.Errorf("the page shows no leases: %s", html)
		}
		if text := get(t, pageB, "/x/?format=text"); !strings.Contains(text, "\nLEASES\n") || !strings.Contains(text, "invoices  singleton  seeking") {
			t.Errorf("the text has no leases:\n%s", text)
		}
		etag := ask(pageA, "GET", "/x/").Header().Get("ETag")
		time.Sleep(time.Minute)
		if w := ask(pageA, "GET", "/x/", "If-None-Match", etag); w.Code != 304 {
			t.Errorf("%d: nothing has happened, and the page has changed", w.Code)
		}
		if err := a.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		wantLeases(t, pageA)
		wantLeases(t, pageB, "invoices | singleton | held | 2000-01-01T00:02:01Z | shop-2 (here) | 2 | 15s | billing")
		if err := b.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
	})
}

// Singletons come first, then keys of shards and slots, then that the process is there;
// a lease whose body was abandoned says that it expires.
func TestLeasesOfEachMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var engine leasetest.Memory
		page, sup, owner, _ := replica(t, &engine, "shop-1")
		key := func(string) taskvisor.TaskSpec { return taskvisor.Restartable("of a key", block) }
		keys := func(context.Context) ([]string, error) { return []string{"k"}, nil }
		add(t, sup, taskvisor.Restartable("keys", func(ctx context.Context) error { return owner.Shard(ctx, sup, keys, key) }))
		time.Sleep(10 * time.Second)
		if _, err := owner.Slot(t.Context(), sup, taskvisor.Submission{Task: taskvisor.Once("submitted", block), Slot: "tenant"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		deaf := add(t, sup, taskvisor.Once("deaf", func(context.Context) error { time.Sleep(15 * time.Second); return nil }, owner.Singleton("z")))[0]
		synctest.Wait()
		deaf.StopFor(errors.New("maintenance"))
		time.Sleep(6 * time.Second)
		shot := look(t, page, "").Sections[0].Rows
		var got []string
		for _, row := range shot {
			got = append(got, strings.Join([]string{row[0], row[1], row[2], row[7]}, " | "))
		}
		want := []string{"z | singleton | held, expires | deaf", "shard/k | shard | held | of a key", "slot/tenant | slot | held | submitted", "member/shop-1 | presence | held | "}
		if !slices.Equal(got, want) {
			t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		time.Sleep(10 * time.Second) // until it has returned after all
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
	})
}
