// Package port finds ports for the servers of this repository's tests and drivers.
package port

import (
	"errors"
	"net"
	"os"
	"strconv"
	"sync/atomic"
)

// tried counts the ports that this process has tried, so that no two of its addresses are alike.
var tried atomic.Int32

// Free returns an address of the loopback interface that nobody listens at. Its port is below
// those that systems give to connections: one of these could take it before the server has
// begun, or while it is down.
func Free() (string, error) {
	for range 100 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(10_000+(os.Getpid()*97+int(tried.Add(1)))%20_000))
		if l, err := net.Listen("tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", errors.New("no port is free")
}
