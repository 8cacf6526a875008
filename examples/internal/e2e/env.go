package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// env is what the checks ask.
type env struct {
	app, prometheus, jaeger    string
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

// get returns the body of an answer with status 200.
func get(ctx context.Context, url string) (string, error) {
	code, body, err := request(ctx, http.MethodGet, url)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("GET %s: HTTP %d: %s", url, code, firstLine(body))
	}
	return body, err
}

func request(ctx context.Context, method, url string) (code int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func getJSON(ctx context.Context, url string, v any) error {
	body, err := get(ctx, url)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(body), v); err != nil {
		return fmt.Errorf("GET %s: %w", url, err)
	}
	return nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}

// awaitSummary waits for the program to write its counts, which it does whole
// or not at all, and reads them.
func (e *env) awaitSummary(ctx context.Context, limit time.Duration) error {
	for began := time.Now(); ; pause(ctx, 200*time.Millisecond) {
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
	for ; ctx.Err() == nil; pause(ctx, 700*time.Millisecond) {
		for _, target := range []string{"slow", "hanging", "slow", "hanging"} {
			// The answers are checked elsewhere; near the end they are refusals.
			_, _, _ = request(ctx, http.MethodPost, e.app+"/check?target="+target)
		}
	}
}
