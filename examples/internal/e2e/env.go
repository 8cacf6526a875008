package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/ask"
	"github.com/taskvisor/taskvisor-go/examples/internal/checklist"
)

// The words of the product that differ from release to release.
const (
	labelResult = "result" // of an attempt, on metrics
	attrResult  = "taskvisor.attempt.result"
	attrAborted = "taskvisor.attempt.aborted"
	attrLink    = "taskvisor.link.type"
)

// check is one claim about the run.
type check struct {
	name string
	run  func(ctx context.Context, e *env) error
}

// listed returns the checks as a list to run.
func listed(checks []check) []checklist.Check[*env] {
	list := make([]checklist.Check[*env], 0, len(checks))
	for _, c := range checks {
		list = append(list, checklist.Check[*env]{Name: c.name, Run: c.run})
	}
	return list
}

// env is what the checks ask.
type env struct {
	app                        string
	prometheus                 ask.Prometheus
	jaeger                     ask.Jaeger
	log, summaryFile, promtool string
	patience                   time.Duration

	began   time.Time
	summary summary // set before the phases that read it
}

// summary is the part of the program's counts that the checks use.
type summary struct {
	Time        time.Time                    `json:"time"`
	Events      uint64                       `json:"events"`
	Attempts    map[string]map[string]uint64 `json:"attempts"`
	Restarts    map[string]map[string]uint64 `json:"restarts"`
	Outcomes    map[string]uint64            `json:"outcomes"`
	Requests    map[string]uint64            `json:"requests"`
	Rejections  map[string]uint64            `json:"rejections"`
	Totals      map[string]uint64            `json:"totals"`
	Subscribers []struct {
		Name      string `json:"name"`
		Delivered uint64 `json:"delivered"`
		Dropped   uint64 `json:"dropped"`
		Panics    uint64 `json:"panics"`
	} `json:"subscribers"`
}

// awaitSummary waits for the program to write its counts, which it does whole
// or not at all, and reads them.
func (e *env) awaitSummary(ctx context.Context, limit time.Duration) error {
	for began := time.Now(); ; checklist.Pause(ctx, 200*time.Millisecond) {
		text, err := os.ReadFile(e.summaryFile)
		if err == nil {
			return json.Unmarshal(text, &e.summary)
		}
		if !os.IsNotExist(err) {
			return err
		}
		if time.Since(began) > limit || ctx.Err() != nil {
			return fmt.Errorf("%s did not appear within %s", e.summaryFile, limit)
		}
	}
}

// press asks for checks of two slow targets all the time, from several callers,
// so that slots are busy, checks wait and some are superseded, until ctx ends.
func (e *env) press(ctx context.Context) {
	for ; ctx.Err() == nil; checklist.Pause(ctx, 700*time.Millisecond) {
		for _, target := range []string{"slow", "hanging", "slow", "hanging"} {
			// The answers are checked elsewhere; near the end they are refusals.
			_, _, _ = ask.Request(ctx, http.MethodPost, e.app+"/check?target="+target)
		}
	}
}
