// Command sentry reports panics, and tasks that gave up, to Sentry, without its SDK.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// reporter is a queued subscriber: a slow or absent Sentry delays nobody.
type reporter struct {
	url, auth string
	client    http.Client
}

// newReporter takes a DSN, such as https://key@o1.ingest.sentry.io/42.
func newReporter(dsn string) (*reporter, error) {
	u, err := url.Parse(dsn)
	if err != nil || u.User == nil {
		return nil, errors.New("that is no DSN") // without the DSN, which is a secret
	}
	return &reporter{
		url:    fmt.Sprintf("%s://%s/api/%s/envelope/", u.Scheme, u.Host, strings.Trim(u.Path, "/")),
		auth:   "Sentry sentry_version=7, sentry_client=taskvisor/1, sentry_key=" + u.User.Username(),
		client: http.Client{Timeout: 10 * time.Second},
	}, nil
}

func (r *reporter) OnEvent(ctx context.Context, e taskvisor.Event) {
	gaveUp := e.Kind == taskvisor.ActorExhausted && e.Outcome == taskvisor.OutcomeFailed &&
		!errors.As(e.Err, new(*taskvisor.PanicError)) // that was reported
	if e.Result == taskvisor.ResultPanic || gaveUp || e.Kind == taskvisor.ActorDead || e.Kind == taskvisor.TaskAbandoned {
		e.ReportFailure(r.send(ctx, e)) // counted in the snapshot and in the metrics
	}
}

func (r *reporter) send(ctx context.Context, e taskvisor.Event) error {
	event, err := json.Marshal(map[string]any{
		"timestamp": e.Time.Unix(), "platform": "go", "level": "error", "logger": "taskvisor",
		"fingerprint": []string{e.Task, e.Kind.String(), fmt.Sprintf("%T", e.Err)},
		"exception":   map[string]any{"values": []any{map[string]any{"type": e.Kind.String(), "value": fmt.Sprint(e.Task, ": ", e.Err)}}},
		"tags":        map[string]any{"task": e.Task, "supervisor": e.Supervisor, "attempt": e.Attempt},
		"extra":       map[string]any{"stack": e.Stack},
	})
	if err != nil {
		return err
	}
	body := fmt.Sprintf("{\"event_id\":\"%016x%016x\"}\n{\"type\":\"event\"}\n%s\n", rand.Uint64(), rand.Uint64(), event)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("X-Sentry-Auth", r.auth)
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("sentry answers %s", resp.Status)
	}
	return nil
}

func main() {
	sentry, err := newReporter(os.Getenv("SENTRY_DSN"))
	if err != nil {
		log.Fatal("SENTRY_DSN: ", err)
	}
	sup, err := taskvisor.New(taskvisor.WithSignals(), taskvisor.WithSubscriber(sentry))
	if err != nil {
		log.Fatal(err)
	}
	if err := sup.Run(context.Background(), taskvisor.Once("job", func(context.Context) error { panic("oh no") })); err != nil {
		log.Fatal(err)
	}
}
