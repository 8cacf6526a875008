package postgres

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// ErrNoClock is that the server's clock cannot be moved.
var ErrNoClock = errors.New("no libfaketime: install Debian's package (apt-get install libfaketime)")

// NewWithClock is New for a server whose real time [Server.Move] moves. Its monotonic
// clock, by which it waits, stays.
func NewWithClock() (*Server, error) {
	found, err := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1")
	if err != nil || len(found) == 0 {
		return nil, ErrNoClock
	}
	s, err := prepare()
	if err != nil {
		return nil, err
	}
	s.env = []string{"LD_PRELOAD=" + found[0], "FAKETIME_TIMESTAMP_FILE=" + s.clock(), "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"}
	if err := s.Move(0); err != nil {
		s.Close()
		return nil, err
	}
	if err := s.Start(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Server) clock() string { return filepath.Join(s.dir, "clock") }

// Move has the server's clock go that far ahead of the machine's, from now on.
func (s *Server) Move(ahead time.Duration) error {
	next := s.clock() + ".next"                                                                     // replaced as a whole: it is read all the time
	if err := os.WriteFile(next, fmt.Appendf(nil, "%+.3f\n", ahead.Seconds()), 0o644); err != nil { //nolint:gosec // the server's user reads it
		return err
	}
	return os.Rename(next, s.clock())
}
