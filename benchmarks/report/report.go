// Package report keeps results in files, each with what it was measured on.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// Meta is what a reader has to know to judge a figure.
type Meta struct {
	Date     string
	Command  string
	Commit   string
	Go       string
	CPU      string
	Cores    int
	MemoryGB int
	Kernel   string
	LoadAvg  string            // of the last minute, before the first round
	Modules  map[string]string // what was measured, by module path
}

// NewMeta describes this machine and this program.
func NewMeta() Meta {
	m := Meta{
		Date: time.Now().UTC().Format("2006-01-02 15:04 UTC"), Command: "go run ./cmd/bench " + strings.Join(os.Args[1:], " "),
		Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.GOMAXPROCS(0),
		CPU: field("/proc/cpuinfo", "model name"), Modules: map[string]string{},
	}
	if out, err := exec.Command("git", "describe", "--always", "--dirty=+", "--exclude=*").Output(); err == nil {
		m.Commit = strings.TrimSpace(string(out))
	}
	if out, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel, _, _ = strings.Cut(strings.TrimSpace(string(out)), "-")
	}
	if out, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.LoadAvg, _, _ = strings.Cut(string(out), " ")
	}
	var kb int
	if _, err := fmt.Sscanf(field("/proc/meminfo", "MemTotal"), "%d", &kb); err == nil {
		m.MemoryGB = (kb + 1<<19) >> 20
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			m.Modules[d.Path] = d.Version
		}
	}
	return m
}

// field returns the first value of a "name : value" file.
func field(file, name string) string {
	text, err := os.ReadFile(file) // #nosec G304 -- the callers name files of /proc
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// File is one file of results.
type File[T any] struct {
	Meta Meta
	Data T
}

// Save writes data to dir/name.json.
func Save[T any](dir, name string, meta Meta, data T) error {
	text, err := json.MarshalIndent(File[T]{meta, data}, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".json"), append(text, '\n'), 0o644)
}

// Load reads what Save has written.
func Load[T any](dir, name string) (f File[T], err error) {
	text, err := os.ReadFile(filepath.Join(dir, name+".json"))
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return f, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}
