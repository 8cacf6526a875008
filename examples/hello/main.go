// Command hello runs one task that fails twice before it succeeds.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

func main() {
	sup, err := taskvisor.New(taskvisor.WithSignals())
	if err != nil {
		log.Fatal(err)
	}
	attempt := 0
	err = sup.Run(context.Background(), taskvisor.Restartable("hello", func(context.Context) error {
		if attempt++; attempt < 3 {
			return errors.New("not yet")
		}
		fmt.Println("hello, at attempt", attempt)
		return nil
	}))
	if err != nil {
		log.Fatal(err)
	}
}
