package port

import (
	"net"
	"testing"
)

// Every address can be listened at, no two are alike, and one that is taken is passed over.
func TestFree(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		addr, err := Free()
		if err != nil {
			t.Fatal(err)
		}
		if seen[addr] {
			t.Fatalf("%s twice", addr)
		}
		seen[addr] = true
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	tried.Add(-50) // those that are taken now come first
	addr, err := Free()
	if err != nil || seen[addr] {
		t.Errorf("%s, %v", addr, err)
	}
}
