package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// TestNotificationsKeepTheirOrder: a target that flaps faster than its receiver
// reads is reported in order, down before up, and nothing is lost.
func TestNotificationsKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		deliver := func(ctx context.Context, m message) error {
			time.Sleep(3 * time.Second)
			got = append(got, m.State)
			return ctx.Err()
		}
		// Two failures make it down; one does not.
		script := []string{"ok", "fail", "ok", "fail", "fail", "fail", "ok", "fail", "fail", "ok", "gone"}
		i := -1
		probe := func(context.Context) error {
			i++
			switch script[i] {
			case "fail":
				return errors.New("no answer")
			case "gone":
				return taskvisor.Fatal(errors.New("gone"))
			}
			return nil
		}
		targets := []target{probed("shop", probe)}
		n := newNotifier(targets, 2, deliver, func(err error) { t.Error(err) })
		sup, err := taskvisor.New(taskvisor.WithSubscriber(n), taskvisor.WithTaskDefaults(taskvisor.ConstantBackoff(100*time.Millisecond)))
		if err != nil {
			t.Fatal(err)
		}
		n.submit = sup.Submit
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		if _, err := sup.Add(context.Background(), taskvisor.Periodic("shop", 100*time.Millisecond, probe)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := strings.Join(got, " "); s != "down up down up ended" {
			t.Errorf("notified %q", s)
		}
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}

// TestNotificationsAreRetried: a receiver that is away for a moment misses
// nothing, and one that stays away does not hold up the next message.
func TestNotificationsAreRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		refuse := map[string]int{"down": 2, "up": 1000}
		deliver := func(_ context.Context, m message) error {
			if refuse[m.State]--; refuse[m.State] >= 0 {
				return errors.New("busy")
			}
			got = append(got, m.State)
			return nil
		}
		n := newNotifier([]target{probed("shop", nil)}, 1, deliver, func(err error) { t.Error(err) })
		sup, err := taskvisor.New()
		if err != nil {
			t.Fatal(err)
		}
		n.submit = sup.Submit
		if err := sup.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		for _, e := range []taskvisor.Event{
			{Kind: taskvisor.TaskFailed, Task: "shop", Err: errors.New("x")},
			{Kind: taskvisor.TaskStopped, Task: "shop"},
			{Kind: taskvisor.TaskFailed, Task: "other"},
			{Kind: taskvisor.TaskFailed, Task: "shop", Err: errors.New("y")},
		} {
			n.OnEvent(context.Background(), e)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if s := strings.Join(got, " "); s != "down down" {
			t.Errorf("delivered %q", s)
		}
		if err := sup.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		n.OnEvent(context.Background(), taskvisor.Event{Kind: taskvisor.TaskStopped, Task: "shop"}) // too late: dropped without a word
	})
}
