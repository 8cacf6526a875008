package flightsub

import "fmt"

const (
	maxDepth = 16 // of an error's tree
	maxNodes = 64 // in all
)

// node is an error and what it wraps.
type node struct {
	Type   string  `json:"type"`
	Text   string  `json:"text"`
	Causes []*node `json:"causes,omitempty"`
}

// tree shows an error with all that it wraps, as far as that is within reason: trees may
// be deep, wide, or a circle, and their methods may panic.
func (r *Recorder) tree(err error) *node {
	left := maxNodes
	return r.branch(err, maxDepth, &left)
}

func (r *Recorder) branch(err error, depth int, left *int) *node {
	if err == nil || depth == 0 || *left == 0 {
		return nil
	}
	*left--
	n := &node{Type: fmt.Sprintf("%T", err), Text: r.text(err)}
	for _, cause := range causes(err) {
		if c := r.branch(cause, depth-1, left); c != nil {
			n.Causes = append(n.Causes, c)
		}
	}
	return n
}

// causes returns what err wraps.
func causes(err error) (list []error) {
	defer func() { _ = recover() }() // then nothing
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return []error{e.Unwrap()}
	case interface{ Unwrap() []error }:
		return e.Unwrap()
	}
	return nil
}
