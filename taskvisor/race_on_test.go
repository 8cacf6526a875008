//go:build race

package taskvisor_test

// raceEnabled reports whether the race detector is on.
const raceEnabled = true
