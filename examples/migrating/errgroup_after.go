package migrating

import (
	"context"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func errgroupAfter(ctx context.Context, urls []string, fetch func(context.Context, string) error) error {
	g, err := taskvisor.New(
		taskvisor.WithMaxConcurrent(4),
		taskvisor.WithTaskDefaults(taskvisor.WithEssential()), // the first failure stops the others
	)
	if err != nil {
		return err
	}
	var tasks []taskvisor.TaskSpec
	for _, url := range urls {
		tasks = append(tasks, taskvisor.Once(url, func(ctx context.Context) error { return fetch(ctx, url) }))
	}
	return g.Run(ctx, tasks...)
}
