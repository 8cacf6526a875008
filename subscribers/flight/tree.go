package flightsub

import (
	"encoding/json"
	"fmt"
)

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

// room is what is left for a tree, and how much did not fit.
type room struct{ nodes, bytes, leftOut int }

// tree shows an error with all that it wraps, as far as that is within reason: trees may
// be deep, wide, or a circle, and their methods may panic.
func (r *Recorder) tree(d *document, err error) *node {
	left := room{nodes: maxNodes, bytes: maxPart}
	n := r.branch(err, maxDepth, &left)
	d.leaveOut(left.leftOut, "error_tree")
	return n
}

func (r *Recorder) branch(err error, depth int, left *room) *node {
	if err == nil {
		return nil
	}
	if depth == 0 || left.nodes == 0 {
		left.leftOut++
		return nil
	}
	n := &node{Type: clip(fmt.Sprintf("%T", err), maxLine), Text: r.text(err)}
	text, _ := json.Marshal(n) // two strings: it cannot fail
	if left.bytes -= len(text); left.bytes < 0 {
		left.nodes = 0
		left.leftOut++
		return nil
	}
	left.nodes--
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
