package taskvisor

import (
	"strconv"
	"sync/atomic"
)

// lastID is the one global: ids are unique in the process, so that a log line or
// a profile of several supervisors can be told apart.
var lastID atomic.Uint64

// idBlock bounds how many ids share one text.
const idBlock = 100

// idTexts holds the digits of the ids of one block in one string. Ids are handed
// out in sequence, so that the text of nearly every task is a slice of it: one
// allocation less for each.
type idTexts struct {
	first uint64 // a multiple of idBlock
	width int    // digits of each
	text  string
}

// newID returns the next id with its digits.
func (s *Supervisor) newID() (id TaskID, digits string) {
	n := lastID.Add(1)
	b := s.ids.Load()
	if b == nil || n-n%idBlock != b.first {
		if n < idBlock { // of different widths
			return TaskID(n), strconv.FormatUint(n, 10)
		}
		b = newIDTexts(n - n%idBlock)
		s.ids.Store(b)
	}
	at := int(n-b.first) * b.width
	return TaskID(n), b.text[at : at+b.width]
}

func newIDTexts(first uint64) *idTexts {
	text := make([]byte, 0, idBlock*20) // 20 digits are the most there can be
	for n := first; n < first+idBlock; n++ {
		text = strconv.AppendUint(text, n, 10)
	}
	return &idTexts{first: first, width: len(text) / idBlock, text: string(text)}
}
