package suture

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// longest leaves room for a number within the 128 bytes of a name.
const longest = 112

// nameOf returns what events call a service.
func nameOf(service Service) string {
	if s, ok := service.(fmt.Stringer); ok {
		return s.String()
	}
	return fmt.Sprintf("%T", service)
}

// fit makes a name that taskvisor takes of any string.
func fit(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(name, "\uFFFD"))
	if name = strings.TrimSpace(name); name == "" {
		return "unnamed"
	}
	if len(name) > longest {
		n := longest
		for !utf8.RuneStart(name[n]) {
			n--
		}
		name = name[:n] + "…"
	}
	return name
}

// names numbers those who share a name.
type names map[string]*namesakes

type namesakes struct{ alive, last int }

// take returns base, or base and a number if others have that name.
func (n names) take(base string) string {
	who := n[base]
	if who == nil {
		who = &namesakes{}
		n[base] = who
	}
	who.alive++
	who.last++
	if who.last == 1 {
		return base
	}
	return fmt.Sprintf("%s #%d", base, who.last)
}

// free gives back a name that take returned for base.
func (n names) free(base string) {
	if who := n[base]; who != nil {
		if who.alive--; who.alive == 0 {
			delete(n, base)
		}
	}
}
