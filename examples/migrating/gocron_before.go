package migrating

import (
	"context"
	"time"

	"github.com/go-co-op/gocron/v2"
)

func gocronBefore(ctx context.Context, refresh func(context.Context) error) error {
	s, err := gocron.NewScheduler()
	if err != nil {
		return err
	}
	_, err = s.NewJob(
		gocron.DurationJob(time.Minute),
		gocron.NewTask(refresh), // gets a context of the job's
		gocron.WithName("refresh"),
		gocron.WithStartAt(gocron.WithStartImmediately()),
		gocron.WithSingletonMode(gocron.LimitModeReschedule),
	)
	if err != nil {
		return err
	}
	s.Start()
	<-ctx.Done()
	return s.Shutdown()
}
