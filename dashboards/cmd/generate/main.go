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
	"github.com/taskvisor/taskvisor-go/dashboards/internal/docs"
	"github.com/taskvisor/taskvisor-go/dashboards/internal/rules"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(module string) error {
	files, err := board.Files()
	if err != nil {
		return err
	}
	all, err := rules.Load(filepath.Join(module, "rules"))
	if err != nil {
		return err
	}
	page, err := docs.Page(all)
	if err != nil {
		return err
	}
	files[filepath.Join("..", "docs", "observability.md")] = page
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(module, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
