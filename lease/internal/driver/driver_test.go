package driver

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// The resource knows what was found, refuses what is behind, and a term that begins behind is counted once.
func TestResource(t *testing.T) {
	r, err := newResource()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.listener.Close() }()
	conn, err := net.Dial("tcp", r.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	answers := bufio.NewScanner(conn)
	for _, w := range []struct {
		line, answer string
		fallen       int
	}{
		{"a 3", "ok", 0}, {"b 5", "ok", 0}, {"a 3", "stale", 0}, // a was paused: no new term
		{"b 5", "ok", 0}, {"c 4", "stale", 1}, {"c 4", "stale", 1}, {"c 5", "ok", 2}, // b's token
		{"c 6 b/5", "ok", 2},
	} {
		if _, err := fmt.Fprintln(conn, w.line); err != nil {
			t.Fatal(err)
		}
		if !answers.Scan() || answers.Text() != w.answer {
			t.Errorf("%q is answered %q, want %q", w.line, answers.Text(), w.answer)
		}
		if n := r.fallen(); n != w.fallen {
			t.Errorf("after %q %d terms have fallen, want %d", w.line, n, w.fallen)
		}
	}
	if w, ok := r.last(); !ok || w.note != noteOf("b", 5) {
		t.Errorf("the last write is %+v", w)
	}
}

// What is cut arrives once it is mended, and nothing before; what is dropped is closed, and
// the next connection served.
func TestProxy(t *testing.T) {
	r, err := newResource() // answers
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.listener.Close() }()
	p, err := newProxy(r.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	answer := func(conn net.Conn, wait time.Duration) error {
		_ = conn.SetReadDeadline(time.Now().Add(wait))
		_, err := bufio.NewReader(conn).ReadString('\n')
		return err
	}
	ask := func(conn net.Conn, wait time.Duration) error {
		if _, err := fmt.Fprintln(conn, "a 1"); err != nil {
			return err
		}
		return answer(conn, wait)
	}
	conn, err := net.Dial("tcp", p.addr())
	if err != nil {
		t.Fatal(err)
	}
	if err := ask(conn, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	p.setCut(true)
	if err := ask(conn, 100*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("cut: %v", err)
	}
	p.setCut(false)
	if err := answer(conn, 5*time.Second); err != nil {
		t.Errorf("mended: %v", err)
	}
	p.drop()
	if err := ask(conn, 5*time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("dropped: %v", err)
	}
	if conn, err = net.Dial("tcp", p.addr()); err != nil {
		t.Fatal(err)
	}
	if err := ask(conn, 5*time.Second); err != nil {
		t.Errorf("the next connection: %v", err)
	}
}

func TestJudge(t *testing.T) {
	const ttl = 2 * time.Second
	faults := map[string]Fault{}
	for _, f := range Faults {
		faults[f.Name] = f
	}
	for _, c := range []struct {
		fault string
		m     Measured
		wrong string // "": nothing
	}{
		{"kill", Measured{Takeover: ttl}, ""},
		{"kill", Measured{Takeover: 3 * ttl}, "nobody worked"},
		{"kill", Measured{Kept: true}, "not changed hands"},
		{"drop", Measured{Takeover: ttl}, "has changed hands"},
		{"drop", Measured{Kept: true, Takeover: ttl / 2}, ""},
		{"cut", Measured{Takeover: ttl, Overlap: 1, Stale: 1}, "overlapped"},
		{"pause", Measured{Takeover: ttl, Overlap: ttl / 8, Stale: 1}, ""},
		{"pause", Measured{Takeover: ttl, Overlap: ttl}, "overlapped"},
		{"clock ahead", Measured{Overlap: ttl / 3, Stale: 9}, ""},
		{"engine", Measured{Stopped: 2 * ttl}, "without an engine"},
		{"term", Measured{Fallen: 1}, "token"},
		{"kill", Measured{Takeover: ttl, Left: "r0/7", Found: "r0/7"}, ""},
		{"kill", Measured{Takeover: ttl, Left: "r0/7", Found: "r1/5"}, "note"},
	} {
		err := Judge(faults[c.fault], c.m, ttl)
		if (c.wrong == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%s %+v: %v, want %q", c.fault, c.m, err, c.wrong)
		}
	}
}
