package slogsub_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// exampleLogger writes text without what differs from run to run.
func exampleLogger() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Key {
			case slog.TimeKey, "task_id", "duration", "delay":
				return slog.Attr{}
			}
			return a
		},
	}))
}

func runOnce(sub *slogsub.Subscriber, work taskvisor.Func) {
	sup, err := taskvisor.New(taskvisor.WithSubscriber(sub))
	if err == nil {
		err = sup.Run(context.Background(), taskvisor.Restartable("fetch", work, taskvisor.ConstantBackoff(time.Millisecond)))
	}
	var failed *taskvisor.TaskError // of the task: the log has it
	if err != nil && !errors.As(err, &failed) {
		fmt.Println(err)
	}
}

// A task that fails a hundred times before it succeeds takes six lines.
func Example() {
	tries := 0
	runOnce(slogsub.New(exampleLogger()), func(context.Context) error {
		if tries++; tries <= 100 {
			return errors.New("connection refused")
		}
		return nil
	})
	// Output:
	// level=INFO msg="task added" supervisor=taskvisor task=fetch
	// level=WARN msg="attempt failed" supervisor=taskvisor task=fetch attempt=1 result=failure error="connection refused"
	// level=INFO msg="task recovered" supervisor=taskvisor task=fetch attempt=101 suppressed=99
	// level=INFO msg="task completed" supervisor=taskvisor task=fetch attempt=101 outcome=completed
	// level=INFO msg="task removed" supervisor=taskvisor task=fetch outcome=completed
	// level=INFO msg="shutdown complete" supervisor=taskvisor
}

// Only what needs a person, or no longer does, and each failure of one task that is
// watched.
func ExampleWithLevel() {
	levels := func(e taskvisor.Event) slog.Level {
		if level := slogsub.DefaultLevel(e); level >= slog.LevelWarn || e.Kind == taskvisor.TaskRecovered {
			return level
		}
		return slog.LevelDebug
	}
	tries := 0
	runOnce(slogsub.New(exampleLogger(), slogsub.WithLevel(levels), slogsub.WithSuppression(0)), func(context.Context) error {
		if tries++; tries <= 2 {
			return errors.New("connection refused")
		}
		return nil
	})
	// Output:
	// level=WARN msg="attempt failed" supervisor=taskvisor task=fetch attempt=1 result=failure error="connection refused"
	// level=WARN msg="attempt failed" supervisor=taskvisor task=fetch attempt=2 result=failure error="connection refused"
	// level=INFO msg="task recovered" supervisor=taskvisor task=fetch attempt=3
}

// Credentials in a URL do not reach the log.
func ExampleWithErrorFormatter() {
	redact := func(err error) string { return strings.ReplaceAll(err.Error(), "s3cret", "***") }
	runOnce(slogsub.New(exampleLogger(), slogsub.WithErrorFormatter(redact)), func(context.Context) error {
		return taskvisor.Fatal(errors.New("get https://user:s3cret@example.com: no such host"))
	})
	// Output:
	// level=INFO msg="task added" supervisor=taskvisor task=fetch
	// level=ERROR msg="task failed fatally" supervisor=taskvisor task=fetch attempt=1 result=fatal outcome=fatal error="get https://user:***@example.com: no such host"
	// level=INFO msg="task removed" supervisor=taskvisor task=fetch outcome=fatal
	// level=INFO msg="shutdown complete" supervisor=taskvisor
}
