// Package readme holds the READMEs of the examples to what the examples print.
package readme

import (
	"flag"
	"io"
	"log"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "write what an example printed into its README")

// masks are what differs between two runs of a program that did the same.
var masks = []struct {
	what *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`\d{4}/\d\d/\d\d \d\d:\d\d:\d\d`), "TIME"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d(\.\d+)?`), "TIME"},
	{regexp.MustCompile(`(127\.0\.0\.1|\[::1\]):\d+`), "ADDRESS"},
	{regexp.MustCompile(`\b(duration|delay|task_id)=\S+`), "$1=…"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "TRACE"},
	{regexp.MustCompile(`\bworker \d\b`), "WORKER"},
}

// Mask returns text without clock times, ports, ids of tasks and traces, the lengths
// of attempts and delays in log records, and which of several workers did a thing.
func Mask(text string) string {
	for _, m := range masks {
		text = m.what.ReplaceAllString(text, m.as)
	}
	return text
}

// Check demands that the first block of README.md that is marked "text", in the
// directory of the test, is what the example printed, but for what [Mask] hides.
// With -update it is written instead.
func Check(t testing.TB, printed string) { t.Helper(); check(t, printed, Mask) }

// CheckLines is [Check] for programs whose lines come in no settled order: it
// compares which lines there are.
func CheckLines(t testing.TB, printed string) {
	t.Helper()
	check(t, printed, func(text string) string {
		return strings.Join(slices.Compact(slices.Sorted(strings.Lines(Mask(text)))), "")
	})
}

func check(t testing.TB, printed string, essence func(string) string) {
	t.Helper()
	const file = "README.md"
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end, ok := block(string(page))
	if !ok {
		t.Fatalf("%s has no block that is marked text", file)
	}
	if essence(string(page[begin:end])) == essence(printed) {
		return
	}
	if !*update {
		t.Errorf("%s says\n%s\nbut the example prints\n%s", file, page[begin:end], printed)
		return
	}
	text := string(page[:begin]) + printed + string(page[end:])
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// block returns where the content of the first block begins and ends.
func block(page string) (begin, end int, ok bool) {
	_, rest, ok := strings.Cut(page, "```text\n")
	inside, _, closed := strings.Cut(rest, "```\n")
	begin = len(page) - len(rest)
	return begin, begin + len(inside), ok && closed
}

// Output calls main and returns what it printed, to the standard output and by
// package log.
func Output(t testing.TB, main func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, logged := os.Stdout, log.Writer()
	defer func() {
		os.Stdout = stdout
		log.SetOutput(logged)
	}()
	os.Stdout = w
	log.SetOutput(w)
	printed := make(chan []byte)
	// Ends when the pipe is closed, below; this function waits for it.
	go func() {
		b, _ := io.ReadAll(r)
		printed <- b
	}()
	main()
	w.Close()
	return string(<-printed)
}

// Buffer keeps what several goroutines write. The zero value is empty.
type Buffer struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

// Write appends p.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String returns what was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
