package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/taskvisor/taskvisor-go/examples/internal/readme"
)

var listening = regexp.MustCompile(`listening on (\S+)`)

// An order is in hand when the stop comes: the client gets its answer, the
// database gets the order, and nothing of it is reported as a fault.
func TestServerIsDrainedBeforeTheWorkerAndTheDatabaseIsLast(t *testing.T) {
	var out readme.Buffer
	log.SetOutput(&out)
	defer log.SetOutput(io.Discard)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, "127.0.0.1:0") }()

	addr := waitFor(t, &out, listening)[1]
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Post("http://"+addr, "text/plain", strings.NewReader("tea"))
		if err != nil {
			answer <- err.Error()
			return
		}
		resp.Body.Close()
		answer <- resp.Status
	}()
	waitFor(t, &out, regexp.MustCompile("order of tea"))
	stop()
	if err := <-ended; err != nil {
		t.Error("run:", err)
	}
	if got := <-answer; got != "202 Accepted" {
		t.Error("the order in hand was answered by", got)
	}
	if got := out.String(); regexp.MustCompile("WARN|ERROR").MatchString(got) {
		t.Errorf("an orderly stop is no fault:\n%s", got)
	}
	readme.Check(t, out.String())
}

// All that were accepted are written, also those that wait when the stop comes.
func TestNoOrderIsLost(t *testing.T) {
	var out readme.Buffer
	log.SetOutput(&out)
	defer log.SetOutput(io.Discard)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, "127.0.0.1:0") }()

	addr := waitFor(t, &out, listening)[1]
	answers := make(chan error, 6)
	for i := range cap(answers) {
		go func() {
			resp, err := http.Post("http://"+addr, "text/plain", strings.NewReader(fmt.Sprint("order ", i)))
			if err == nil {
				resp.Body.Close()
			}
			answers <- err
		}()
	}
	waitFor(t, &out, regexp.MustCompile(`(?s)(order of .*){6}`))
	stop()
	if err := <-ended; err != nil {
		t.Error("run:", err)
	}
	for range cap(answers) {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(out.String(), "is in the database"); n != 6 {
		t.Errorf("%d of 6 are in the database:\n%s", n, &out)
	}
}

// waitFor waits until what matches was printed.
func waitFor(t *testing.T, out *readme.Buffer, what *regexp.Regexp) []string {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if m := what.FindStringSubmatch(out.String()); m != nil {
			return m
		}
	}
	t.Fatalf("no %s in\n%s", what, out)
	return nil
}
