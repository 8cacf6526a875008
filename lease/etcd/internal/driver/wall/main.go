// Command wall builds the driver with a clock that can be moved, and runs it:
//
//	GOWORK=off go run ./internal/driver/wall -rounds 3 -fault "clock ahead,clock back,clock back,kill"
//
// libfaketime does not reach programs in Go, which ask the kernel without the C library.
// Here package time itself is compiled with an offset in [time.Now], which moves the real
// time and leaves the monotonic one, as a step of the machine's clock does. All of etcd is
// built anew with that, which takes some minutes for the first time.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "wall:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "wall")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	overlay, err := moved(dir)
	if err != nil {
		return err
	}
	bin := filepath.Join(dir, "driver")
	build := exec.Command("go", "build", "-tags=movable", "-overlay="+overlay, "-o="+bin, "github.com/taskvisor/taskvisor-go/lease/etcd/internal/driver") //nolint:gosec // it is ours
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build: %w", err)
	}
	driver := exec.Command(bin, os.Args[1:]...) //nolint:gosec // as above
	driver.Stdout, driver.Stderr = os.Stdout, os.Stderr
	return driver.Run()
}

// moved writes a package time with an offset, and returns the file that says so to go build.
func moved(dir string) (string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	original := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	text, err := os.ReadFile(original) //nolint:gosec // of the Go that builds
	if err != nil {
		return "", err
	}
	const before = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	changed := strings.Replace(string(text), before, before+"\tsec += ahead\n", 1) +
		"\n// ahead is in seconds.\n//\n//go:linkname ahead\nvar ahead int64\n"
	if !strings.Contains(changed, "sec += ahead") {
		return "", errors.New("this Go has another time.Now")
	}
	replacement := filepath.Join(dir, "time.go")
	if err := os.WriteFile(replacement, []byte(changed), 0o600); err != nil { //nolint:gosec // in a directory of ours
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {original: replacement}})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, overlay, 0o600)
}
