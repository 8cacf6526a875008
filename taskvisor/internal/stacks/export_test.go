package stacks

import "strings"

// Parse reads the text of a goroutine profile, given in pieces of at most n bytes.
func Parse(text string, n int) map[uint64]string {
	p := stackParser{stacks: map[uint64]*strings.Builder{}}
	for len(text) > 0 {
		piece := text[:min(n, len(text))]
		if _, err := p.Write([]byte(piece)); err != nil {
			panic(err)
		}
		text = text[len(piece):]
	}
	p.record()
	stacks := make(map[uint64]string, len(p.stacks))
	for id, b := range p.stacks {
		stacks[id] = b.String()
	}
	return stacks
}

// What the tests must know of the bounds.
const (
	Every = every
	Share = share
	Cut   = cut
)
