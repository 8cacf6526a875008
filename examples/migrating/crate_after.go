package migrating

import (
	"context"
	"fmt"
	"io"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func crateAfter(ctx context.Context, out io.Writer) error {
	sup, err := taskvisor.New()
	if err != nil {
		return err
	}
	hello := func(ctx context.Context) error {
		_, err := fmt.Fprintln(out, "Hello from task!")
		return err
	}
	return sup.Run(ctx, taskvisor.Once("hello", hello))
}
