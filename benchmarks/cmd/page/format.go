package main

import (
	"fmt"
	"math"
)

// duration prints nanoseconds with a unit.
func duration(ns float64) string {
	switch {
	case ns >= 1e6:
		return fmt.Sprintf("%.3g ms", ns/1e6)
	case ns >= 1e4:
		return fmt.Sprintf("%.3g µs", ns/1e3)
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

// small is figure for what is often nothing at all, and mostly a whole number.
func small(v float64) string {
	switch {
	case v < slack:
		return "0"
	case math.Abs(v-math.Round(v)) < slack:
		return thousands(v)
	default:
		return figure(v)
	}
}

// thousands groups the digits of the integer part.
func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", math.Round(v))
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}
