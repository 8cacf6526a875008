package slogsub

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// Text returns a handler for people at a terminal. A record is one line, with what
// matters first: the task and its attempt, the message, the error; then the other
// attributes; then, indented below it, the stack, if there is one:
//
//	14:05:07.123 WARN  fetch#3: attempt failed: connection refused  duration=1.2s delay=400ms
//	14:05:08.000 ERROR fetch#4: attempt panicked: panic: oh no  duration=1ms delay=800ms
//	    main.fetch(...)
//	        /src/main.go:12
//
// Left out is what the line says already, and what is for programs: the result, the
// id of a task, the name of a supervisor that was given none. Records of others are
// written in the same form. A nil level means [slog.LevelInfo]. The handler calls
// w.Write once for each record and is safe for concurrent use.
func Text(w io.Writer, level slog.Leveler) slog.Handler {
	if level == nil {
		level = slog.LevelInfo
	}
	return &textHandler{out: &textOutput{w: w}, level: level}
}

// textOutput is shared by a handler and those made of it.
type textOutput struct {
	mu sync.Mutex // held while w is written to
	w  io.Writer
}

type textHandler struct {
	out    *textOutput
	level  slog.Leveler
	prefix string // of the open groups, with dots
	attrs  []byte // of WithAttrs, as they are written
}

func (h *textHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	b := bytes.NewBuffer(slices.Clone(h.attrs))
	for _, a := range attrs {
		writeAttr(b, h.prefix, a)
	}
	c := *h
	c.attrs = b.Bytes()
	return &c
}

func (h *textHandler) WithGroup(name string) slog.Handler {
	c := *h
	if name != "" {
		c.prefix += name + "."
	}
	return &c
}

func (h *textHandler) Handle(_ context.Context, r slog.Record) error {
	var known map[string]slog.Value
	var rest bytes.Buffer
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "supervisor", "task", "attempt", "error", "stack", "task_id", "result":
			if h.prefix == "" {
				if known == nil {
					known = make(map[string]slog.Value)
				}
				known[a.Key] = a.Value
				return true
			}
		}
		writeAttr(&rest, h.prefix, a)
		return true
	})

	var b bytes.Buffer
	if !r.Time.IsZero() {
		b.WriteString(r.Time.Format("15:04:05.000 "))
	}
	fmt.Fprintf(&b, "%-5s ", r.Level)
	writeWho(&b, known)
	b.WriteString(plain(r.Message))
	if err, ok := known["error"]; ok {
		b.WriteString(": " + plain(valueText(err)))
	}
	if len(h.attrs)+rest.Len() > 0 {
		b.WriteByte(' ')
		b.Write(h.attrs)
		b.Write(rest.Bytes())
	}
	b.WriteByte('\n')
	if stack, ok := known["stack"]; ok {
		for line := range strings.Lines(stack.String()) {
			b.WriteString("    " + plain(strings.ReplaceAll(strings.TrimRight(line, "\n"), "\t", "    ")) + "\n")
		}
	}
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := h.out.w.Write(b.Bytes())
	return err
}

// writeWho writes whom a record is about: supervisor/task#attempt.
func writeWho(b *bytes.Buffer, known map[string]slog.Value) {
	who := ""
	if s, ok := known["supervisor"]; ok && s.String() != "taskvisor" {
		who = s.String()
	}
	if t, ok := known["task"]; ok {
		if who != "" {
			who += "/"
		}
		who += t.String()
		if n, ok := known["attempt"]; ok {
			who += "#" + n.String()
		}
	}
	if who != "" {
		b.WriteString(plain(who) + ": ")
	}
}

// writeAttr writes " key=value".
func writeAttr(b *bytes.Buffer, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, inner := range v.Group() {
			writeAttr(b, prefix, inner)
		}
		return
	}
	if a.Equal(slog.Attr{}) {
		return
	}
	text := valueText(v)
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r == ' ' || r == '"' || r == '=' || !unicode.IsPrint(r) }) {
		text = strconv.Quote(text)
	}
	b.WriteString(" " + plain(prefix+a.Key) + "=" + text)
}

// valueText writes durations to what an eye can tell apart.
func valueText(v slog.Value) string {
	v = v.Resolve()
	switch v.Kind() {
	case slog.KindDuration:
		d := v.Duration()
		for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
			if d.Abs() >= 100*unit {
				return d.Round(unit / 10).String()
			}
		}
		return d.String()
	case slog.KindTime:
		return v.Time().Format(time.RFC3339Nano)
	case slog.KindAny:
		if err, ok := v.Any().(error); ok {
			return textOf(err)
		}
	}
	return v.String()
}

// plain keeps a line one line, and a terminal from being told what to do.
func plain(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	q := strconv.Quote(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}
