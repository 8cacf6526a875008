// Command cron starts tasks by the wall clock, as crontab entries of robfig/cron say.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// every returns a task for a crontab entry, with seconds as an optional first field
// and "CRON_TZ=Europe/Berlin" before it where the zone is not the local one.
func every(name, entry string, fn taskvisor.Func, opts ...taskvisor.TaskOption) (taskvisor.TaskSpec, error) {
	parser := cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	schedule, err := parser.Parse(entry)
	if err != nil {
		return taskvisor.TaskSpec{}, fmt.Errorf("%s: %w", name, err)
	}
	return taskvisor.Scheduled(name, schedule.Next, fn, opts...), nil
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	report, err := every("report", "CRON_TZ=Europe/Berlin 30 3 * * MON-FRI", func(context.Context) error { return nil })
	if err != nil {
		return err
	}
	beat, err := every("heartbeat", "*/1 * * * * *", func(ctx context.Context) error {
		a, _ := taskvisor.FromContext(ctx)
		fmt.Fprintf(w, "%s heartbeat %d\n", time.Now().Format("15:04:05.0"), a.Number)
		if a.Number == 3 {
			cancel() // so that it ends without Ctrl-C
		}
		return nil
	}, taskvisor.WithTimeout(time.Minute))
	if err != nil {
		return err
	}
	sup, err := taskvisor.New(taskvisor.WithSignals())
	if err != nil {
		return err
	}
	return sup.Run(ctx, report, beat)
}
