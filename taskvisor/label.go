package taskvisor

import "fmt"

// Every enum of the package is a uint8 with a table of stable snake_case
// labels, so that metrics, logs and traces agree on words. The zero value is
// "not set" and has the label "", but for Jitter and Admission.

// label is the label of v. A value without one, of a newer version or a mistake, is shown
// by its number instead of a panic in a log line.
func label[E ~uint8](labels []string, v E) string {
	if int(v) < len(labels) {
		return labels[v]
	}
	return fmt.Sprintf("unknown_%d", uint8(v))
}

// parse sets v to the value whose label text is, or leaves it and returns an error.
func parse[E ~uint8](v *E, text []byte, labels []string) error {
	for i, l := range labels {
		if l == string(text) {
			*v = E(i)
			return nil
		}
	}
	return fmt.Errorf("taskvisor: unknown label %q for %T", text, *v)
}
