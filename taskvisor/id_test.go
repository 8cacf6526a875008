package taskvisor

import (
	"strconv"
	"testing"
)

// An id's text is its digits, whatever was asked for before.
func TestIDTexts(t *testing.T) {
	var x idTexts
	for _, id := range []TaskID{1, 9, 10, 99, 100, 101, 199, 200, 150, 999, 1000, 7, 9999, 10_000, 10_057, 10_099, 10_100, 1 << 63, 1<<64 - 1, 3} {
		if got, want := x.text(id), strconv.FormatUint(uint64(id), 10); got != want {
			t.Errorf("text of %s: %q", want, got)
		}
	}
	for step := range TaskID(3000) { // from many blocks in turns, up and down
		id := step/7 + step%7*523
		if got, want := x.text(id), strconv.FormatUint(uint64(id), 10); got != want {
			t.Fatalf("text of %s: %q", want, got)
		}
	}
	for id := range TaskID(3000) {
		if got, want := x.text(id), strconv.FormatUint(uint64(id), 10); got != want {
			t.Fatalf("text of %s: %q", want, got)
		}
	}
}
