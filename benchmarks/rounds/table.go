package rounds

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Table writes medians for people, with ratios to the row's side "raw" and to
// "taskvisor". Where a row has no such side the column is empty.
func Table(w io.Writer, results []Result) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "row\tside\tns/op\tlow..high\tcpu-ns/op\tallocs/op\tB/op\t÷ raw\t÷ taskvisor\t\t")
	last := ""
	for _, r := range results {
		name := r.Row
		if name == last {
			name = ""
		}
		last = r.Row
		var extra []string
		for _, unit := range sortedKeys(r.Extra) {
			extra = append(extra, fmt.Sprintf("%.4g %s", r.Extra[unit], unit))
		}
		fmt.Fprintf(tw, "%s\t%s\t%.4g\t%.4g..%.4g\t%.4g\t%.3g\t%.4g\t%s\t%s\t%s\t\n", name, r.Side, r.NsPerOp, r.Low, r.High, r.CPUPerOp,
			r.AllocsPerOp, r.BytesPerOp, ratio(results, r, "raw"), ratio(results, r, "taskvisor"), strings.Join(extra, ", "))
	}
	return tw.Flush()
}

func ratio(results []Result, r Result, side string) string {
	base, ok := Find(results, r.Row, side)
	if !ok || base.NsPerOp == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", r.NsPerOp/base.NsPerOp)
}

// Find returns the result of a row's side.
func Find(results []Result, row, side string) (Result, bool) {
	for _, r := range results {
		if r.Row == row && r.Side == side {
			return r, true
		}
	}
	return Result{}, false
}
