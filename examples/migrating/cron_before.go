package migrating

import (
	"context"
	"log"

	"github.com/robfig/cron/v3"
)

func cronBefore(ctx context.Context, backup func(context.Context) error) error {
	c := cron.New(cron.WithChain(cron.Recover(cron.DefaultLogger), cron.SkipIfStillRunning(cron.DefaultLogger)))
	_, err := c.AddFunc("0 3 * * *", func() {
		if err := backup(ctx); err != nil {
			log.Print("backup: ", err) // the next try is tomorrow
		}
	})
	if err != nil {
		return err
	}
	c.Start()
	<-ctx.Done()
	<-c.Stop().Done()
	return nil
}
