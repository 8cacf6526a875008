package taskvisor

import (
	"strconv"
	"sync/atomic"
)

// lastID is the one global: ids are unique in the process, so that a log line or
// a profile of several supervisors can be told apart.
var lastID atomic.Uint64

func newID() TaskID { return TaskID(lastID.Add(1)) }

// idBlock bounds how many ids share one text. They differ in two digits.
const idBlock = 100

// idTexts gives ids as text, for labels. Ids are handed out in sequence and most
// tasks begin nearly in that order, so that the text of nearly every one is a slice
// of its block's: an allocation less for each. A block has the place of the one
// that was idPlaces before it.
type idTexts struct {
	places [idPlaces]atomic.Pointer[idTextBlock]
}

const idPlaces = 4

type idTextBlock struct {
	first uint64 // a multiple of idBlock
	width int    // digits of each
	text  string
}

func (x *idTexts) text(id TaskID) string {
	n := uint64(id)
	place := &x.places[n/idBlock%idPlaces]
	b := place.Load()
	if b == nil || n < b.first || n-b.first >= idBlock {
		if n < idBlock || b != nil && n < b.first { // of different widths, or a task that runs again
			return strconv.FormatUint(n, 10)
		}
		b = newIDTextBlock(n - n%idBlock)
		place.Store(b)
	}
	at := int(n-b.first) * b.width
	return b.text[at : at+b.width]
}

func newIDTextBlock(first uint64) *idTextBlock {
	digits := strconv.AppendUint(nil, first, 10)
	width := len(digits)
	text := make([]byte, idBlock*width)
	for n := copy(text, digits); n < len(text); n *= 2 {
		copy(text[n:], text[:n])
	}
	for i := range idBlock {
		last := text[i*width+width-2:]
		last[0], last[1] = '0'+byte(i/10), '0'+byte(i%10)
	}
	return &idTextBlock{first: first, width: width, text: string(text)}
}
