package main

import (
	"fmt"
	"math"
)

// duration prints nanoseconds with a unit, in three digits.
func duration(ns float64) string {
	switch {
	case ns >= 1e6:
		return figure(ns/1e6) + " ms"
	case ns >= 1e4:
		return figure(ns/1e3) + " µs"
	default:
		return figure(ns) + " ns"
	}
}

// figure prints three digits, or all of those before the point.
func figure(v float64) string {
	switch {
	case v >= 100:
		return thousands(v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// size prints a size.
func size(v float64) string { return thousands(v) + " B" }

// thousands groups the digits of the integer part.
func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", math.Round(v))
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}
