package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestImageHasWhatTheProgramIsMadeOf: the Dockerfile copies every folder of the repository
// that a package of the program is in, and the module files before they are asked for, and
// its ignore file lets them through.
func TestImageHasWhatTheProgramIsMadeOf(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	local := func(format string) (paths []string) {
		t.Helper()
		cmd := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}"+format+"{{end}}", ".")
		cmd.Env = append(os.Environ(), "GOWORK=off") // as in the image
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			if path, inside := strings.CutPrefix(strings.TrimSpace(line), root+"/"); inside && !slices.Contains(paths, path) {
				paths = append(paths, path)
			}
		}
		return paths
	}
	early, late := copied(t)
	passed := lines(t, "Dockerfile.dockerignore", "!")
	folders, modules := local("{{.Dir}}"), local("{{with .Module}}{{.GoMod}}{{end}}")
	if !slices.Contains(folders, "taskvisor") || !slices.Contains(modules, "go.mod") {
		t.Fatalf("this is not what the program is made of: %v %v", folders, modules)
	}
	for _, path := range append(folders, modules...) {
		if !covers(passed, path) {
			t.Errorf("Dockerfile.dockerignore keeps %s out", path)
		}
		if !covers(append(late, early...), path) {
			t.Errorf("Dockerfile does not copy %s", path)
		}
	}
	for _, path := range modules {
		if !covers(early, path) {
			t.Errorf("Dockerfile does not copy %s before it downloads modules", path)
		}
	}
}

// copied returns what the Dockerfile copies from the repository, before the modules are
// downloaded and after.
func copied(t *testing.T) (early, late []string) {
	t.Helper()
	downloaded := false
	for _, line := range lines(t, "Dockerfile", "") {
		words := strings.Fields(line)
		switch {
		case strings.Contains(line, "go mod download"):
			downloaded = true
		case len(words) < 3 || words[0] != "COPY" || strings.HasPrefix(words[1], "--from"):
		case downloaded:
			late = append(late, words[1:len(words)-1]...)
		default:
			early = append(early, words[1:len(words)-1]...)
		}
	}
	return early, late
}

// lines returns what follows prefix in the lines of a file that begin with it.
func lines(t *testing.T, file, prefix string) (list []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(strings.TrimSpace(line), prefix); found {
			list = append(list, rest)
		}
	}
	return list
}

// covers reports whether path is one of those named, or below one.
func covers(named []string, path string) bool {
	return slices.ContainsFunc(named, func(n string) bool { return path == n || strings.HasPrefix(path, n+"/") })
}
