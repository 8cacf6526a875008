// Package footprint measures memory as the operating system sees it, each in a
// process of its own that is started for it and holds nothing else.
package footprint

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
)

// variable makes a process of this program a child: it names what to hold.
const variable = "TASKVISOR_BENCH_CHILD"

// Child must be called first by main and TestMain of a program that uses this
// package, with the kinds that it measures. In a child process it does what that
// is for and ends the process.
func Child(kinds ...Kind) {
	spec := os.Getenv(variable)
	if spec == "" {
		return
	}
	if err := child(kinds, strings.Fields(spec), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(kinds []Kind, spec []string, out *os.File) error {
	numbers := make([]int, len(spec)-1)
	for i, s := range spec[1:] {
		n, err := strconv.Atoi(s)
		if err != nil {
			return err
		}
		numbers[i] = n
	}
	if spec[0] == "periodic" {
		p, err := periodic(numbers[0], numbers[1], numbers[2])
		if err != nil {
			return err
		}
		return json.NewEncoder(out).Encode(p)
	}
	kinds = append(kinds, empty)
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.slug() == spec[0] })
	if i < 0 {
		return fmt.Errorf("unknown kind %q", spec[0])
	}
	held, err := kinds[i].Hold(numbers[0])
	if err != nil {
		return err
	}
	m := memory{Fresh: rss(), Goroutines: runtime.NumGoroutine()}
	m.Settled = settledRSS()
	runtime.KeepAlive(held)
	return json.NewEncoder(out).Encode(m)
}

// memory is what a child found of itself, in bytes.
type memory struct {
	Fresh, Settled int
	Goroutines     int
}

// rss is the resident memory of this process.
func rss() int { return statusKB("VmRSS") << 10 }

func statusKB(field string) int {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), field+":"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}

// spawn runs a child and reads what it prints.
func spawn(ctx context.Context, result any, spec ...any) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	words := make([]string, len(spec))
	for i, w := range spec {
		words[i] = fmt.Sprint(w)
	}
	cmd := exec.CommandContext(ctx, exe) // #nosec G204 -- this program
	cmd.Env = append(os.Environ(), variable+"="+strings.Join(words, " "))
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("child %s: %w", strings.Join(words, " "), err)
	}
	return json.Unmarshal(text, result)
}

// settledRSS is rss after garbage was collected and given back, and what the
// first collection shrank is garbage too.
func settledRSS() int {
	debug.FreeOSMemory()
	debug.FreeOSMemory()
	return rss()
}
