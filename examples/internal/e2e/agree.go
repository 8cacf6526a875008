package main

import (
	"fmt"
	"sort"
	"strings"
)

// same reports the first differences between two tables of counts.
func same(got, want map[string]uint64) error {
	var diffs []string
	for k, w := range want {
		if got[k] != w {
			diffs = append(diffs, fmt.Sprintf("%s: Prometheus has %d, the program counted %d", k, got[k], w))
		}
	}
	for k, g := range got {
		if _, ok := want[k]; !ok {
			diffs = append(diffs, fmt.Sprintf("%s: Prometheus has %d, the program counted none", k, g))
		}
	}
	if len(diffs) == 0 {
		return nil
	}
	sort.Strings(diffs)
	return fmt.Errorf("%d differ: %s", len(diffs), strings.Join(diffs[:min(3, len(diffs))], "; "))
}

// flat joins the two keys of a table by a slash.
func flat(m map[string]map[string]uint64) map[string]uint64 {
	f := map[string]uint64{}
	for a, row := range m {
		for b, n := range row {
			f[a+"/"+b] = n
		}
	}
	return f
}
