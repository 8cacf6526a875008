// Command mutants builds the subject with one deliberate fault in the product, which
// the audit then has to notice; scripts/mutants.sh runs them all. The tree itself is
// never changed: the compiler is given the edited files as an overlay.
//
//	mutants -list                  prints the names
//	mutants -build NAME -out FILE  builds one
//	mutants -says NAME             prints what is wrong in it
//	mutants -by NAME               prints the check that has to notice it
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	list := flag.Bool("list", false, "print the names")
	says := flag.String("says", "", "print what is wrong in the mutant")
	by := flag.String("by", "", "print the check that has to notice the mutant")
	name := flag.String("build", "", "build the mutant")
	out := flag.String("out", "subject", "where to put the program")
	root := flag.String("root", "..", "the repository")
	flag.Parse()
	if err := run(*list, *says, *by, *name, *out, *root); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(list bool, says, by, name, out, root string) error {
	for _, m := range mutants {
		switch {
		case list:
			fmt.Println(m.name)
		case m.name == says:
			fmt.Println(m.says)
			return nil
		case m.name == by:
			fmt.Println(m.by)
			return nil
		case m.name == name:
			return m.build(root, out)
		}
	}
	if !list {
		return fmt.Errorf("there is no mutant %q", says+by+name)
	}
	return nil
}

// build compiles the subject with the edits in place of the files that they are of.
func (m mutant) build(root, out string) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "taskvisor-mutant-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	texts, err := m.apply(root)
	if err != nil {
		return err
	}
	replace := map[string]string{}
	for file, text := range texts {
		edited := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(edited, []byte(text), 0o600); err != nil {
			return err
		}
		replace[filepath.Join(root, file)] = edited
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	config := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(config, overlay, 0o600); err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-overlay", config, "-o", out, "./internal/e2e/subject")
	cmd.Dir = filepath.Join(root, "examples")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s does not compile: %w\n%s", m.name, err, text)
	}
	return nil
}

// apply returns the edited files. A text that is not there, or more than once, is an
// error: the source has moved on, and the table has to follow.
func (m mutant) apply(root string) (map[string]string, error) {
	texts := map[string]string{}
	for _, e := range m.edits {
		text, ok := texts[e.file]
		if !ok {
			source, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m.name, err)
			}
			text = string(source)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%s: %s has %d times %q", m.name, e.file, n, e.old)
		}
		texts[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return texts, nil
}
