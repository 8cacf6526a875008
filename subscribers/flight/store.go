package flightsub

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// The parts of an incident.
const (
	documentName = "incident.json"
	stacksName   = "stacks.txt"
	traceName    = "trace.out"
)

const (
	filePrefix = "incident-"
	fileSuffix = ".zip"
	tempGlob   = ".incident-*.tmp"
	tempFor    = time.Hour // that an unfinished file may be another process's
)

// store keeps incidents, in a directory or in memory, the latest within the bounds.
type store struct {
	dir      string // "": memory
	maxCount int
	maxBytes int64

	mu    sync.Mutex // guards the fields below
	list  []kept     // oldest first
	bytes int64
}

// kept is one incident; data is nil where it is in a file.
type kept struct {
	Incident
	data []byte
}

// open makes the store, and takes over what an earlier process has left.
func (s *store) open(dir string, maxCount int, maxBytes int64) error {
	s.dir, s.maxCount, s.maxBytes = dir, maxCount, maxBytes
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("flightsub: %w", err)
	}
	temps, err := filepath.Glob(filepath.Join(dir, tempGlob))
	if err != nil {
		return fmt.Errorf("flightsub: %s: %w", dir, err)
	}
	for _, path := range temps {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > tempFor {
			_ = os.Remove(path) // of a process that was killed while it wrote
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("flightsub: %w", err)
	}
	for _, entry := range entries {
		if in, ok := readIncident(dir, entry); ok {
			s.list = append(s.list, kept{Incident: in})
			s.bytes += in.Bytes
		}
	}
	slices.SortStableFunc(s.list, func(a, b kept) int { return a.Time.Compare(b.Time) })
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.makeRoomLocked(0, 0)
}

// readIncident reads the entry of a file; ok is false if it is none of ours.
func readIncident(dir string, entry fs.DirEntry) (in Incident, ok bool) {
	id, ours := strings.CutPrefix(entry.Name(), filePrefix)
	id, zipped := strings.CutSuffix(id, fileSuffix)
	info, err := entry.Info()
	if !ours || !zipped || err != nil || !info.Mode().IsRegular() {
		return in, false
	}
	z, err := zip.OpenReader(filepath.Join(dir, entry.Name()))
	if err != nil {
		return in, false
	}
	defer z.Close()
	f, err := z.Open(documentName)
	if err != nil {
		return in, false
	}
	defer f.Close()
	if json.NewDecoder(f).Decode(&in) != nil || in.ID != id {
		return in, false
	}
	in.Bytes = info.Size()
	return in, true
}

// newID is a name that sorts by time and that no other incident has, whoever writes to
// the directory.
func (s *store) newID(t Trigger, at time.Time) string {
	return fmt.Sprintf("%s-%s-%08x", at.UTC().Format("20060102-150405"), t, rand.Uint32())
}

// path is where an incident is; "" if it is in memory.
func (s *store) path(id string) string {
	if s.dir == "" {
		return ""
	}
	return filepath.Join(s.dir, filePrefix+id+fileSuffix)
}

// add stores an incident and lets the oldest go.
func (s *store) add(in Incident, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.makeRoomLocked(1, in.Bytes); err != nil {
		return err
	}
	k := kept{Incident: in, data: data}
	if s.dir != "" {
		if err := s.write(in.ID, data); err != nil {
			return err
		}
		k.data = nil
	}
	s.list = append(s.list, k)
	s.bytes += in.Bytes
	return nil
}

// makeRoomLocked forgets the oldest until n more, of so many bytes, may come. Before
// the file is written: the bounds hold at every instant.
func (s *store) makeRoomLocked(n int, bytes int64) error {
	if bytes > s.maxBytes {
		return fmt.Errorf("flightsub: an incident of %d bytes is more than may be kept", bytes)
	}
	for len(s.list) > 0 && (len(s.list)+n > s.maxCount || s.bytes+bytes > s.maxBytes) {
		oldest := s.list[0]
		if s.dir != "" {
			if err := os.Remove(s.path(oldest.ID)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("flightsub: no room: %w", err)
			}
		}
		s.bytes -= oldest.Bytes
		s.list = slices.Delete(s.list, 0, 1)
	}
	return nil
}

// write makes a file that is there as a whole or not at all, also after a crash of the
// machine.
func (s *store) write(id string, data []byte) (err error) {
	f, err := os.CreateTemp(s.dir, tempGlob)
	if err != nil {
		return fmt.Errorf("flightsub: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
			err = fmt.Errorf("flightsub: %w", err)
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), s.path(id))
}

// entries returns the list, the latest first.
func (s *store) entries() []Incident {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Incident, 0, len(s.list))
	for i := len(s.list) - 1; i >= 0; i-- {
		out = append(out, s.list[i].Incident)
	}
	return out
}

// get returns an incident by its id: its bytes, or the file that has them.
func (s *store) get(id string) (k kept, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.list {
		if s.list[i].ID == id {
			return s.list[i], true
		}
	}
	return k, false
}
