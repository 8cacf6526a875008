// Command generate writes what is made from the tables and boards of this
// module: the boards' JSON, and docs/observability.md. Run it in the module's
// directory:
//
//	go run ./cmd/generate
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/board"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	boards, err := board.Files()
	if err != nil {
		return err
	}
	for name, text := range boards {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
