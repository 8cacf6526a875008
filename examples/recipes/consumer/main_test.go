package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
	"github.com/taskvisor/taskvisor-go/taskvisor/taskvisortest"
)

// broker keeps what it is told of each message.
type broker struct {
	memory
	mu   sync.Mutex // guards said
	said []string
}

func (b *broker) say(what string, m message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.said = append(b.said, what+" "+m.Body)
}

func (b *broker) Receive(ctx context.Context) (message, error) {
	if len(b.memory) == 0 {
		<-ctx.Done()
		return message{}, context.Cause(ctx)
	}
	return b.memory.Receive(ctx)
}

func (b *broker) Ack(m message)                   { b.say("ack", m) }
func (b *broker) Nack(m message)                  { b.say("nack", m) }
func (b *broker) DeadLetter(m message, why error) { b.say(fmt.Sprintf("dead (%v)", why), m) }

func (b *broker) told() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(slices.Sorted(slices.Values(b.said)), ", ")
}

func TestEveryMessageIsSettledOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &broker{memory: newMemory("tea", "poison", "not json", "flaky", "slow")}
		sup, rec := taskvisortest.Start(t)
		flaky := taskvisortest.Script(taskvisortest.Fail(errors.New("busy")), taskvisortest.Succeed())
		h, err := sup.Add(t.Context(), taskvisor.Restartable("consumer", consume(sup, b, 2, func(ctx context.Context, m message) error {
			switch m.Body {
			case "flaky":
				return flaky(ctx)
			case "slow":
				<-ctx.Done()
				return context.Cause(ctx)
			}
			return handle(ctx, m)
		})))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		want := "ack flaky, ack tea, dead (not json) not json, dead (panic: a bug that this message finds) poison"
		if got := b.told(); got != want {
			t.Errorf("told %s\nwant %s", got, want)
		}
		for task, want := range map[string]string{
			"message 2": "A S ✗ B S ✗ B S ✗ E D", // three attempts at the poison
			"message 3": "A S ✗ X D",
			"message 4": "A S ✗ B S ✓ E D",
		} {
			if got := rec.Trace(task); got != want {
				t.Errorf("%s: %s, want %s", task, got, want)
			}
		}
		if err := sup.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if got := b.told(); got != want+", nack slow" {
			t.Errorf("told %s at the end", got)
		}
		if o, known := h.Outcome(); !known || o.Kind != taskvisor.OutcomeCanceled {
			t.Errorf("the consumer: %v", o.Kind)
		}
	})
}

func TestAtMostTwoAreInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &broker{memory: newMemory("1", "2", "3", "4", "5")}
		sup, _ := taskvisortest.Start(t)
		if _, err := sup.Add(t.Context(), taskvisor.Restartable("consumer", consume(sup, b, 2, func(ctx context.Context, m message) error {
			time.Sleep(time.Minute)
			return nil
		}), taskvisor.WithoutTimeout())); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := len(b.memory); n != 3 {
			t.Errorf("%d are left in the queue, want 3", n)
		}
		time.Sleep(10 * time.Minute)
	})
}
