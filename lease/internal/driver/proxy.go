package driver

import (
	"net"
	"sync"
)

// proxy forwards connections to a server, until it is cut: then everything vanishes,
// in both directions, and no connection is closed, as in a network that lost its way.
type proxy struct {
	listener net.Listener
	target   string

	mu     sync.Mutex // guards the fields below
	open   *sync.Cond // signaled when cut changes
	cut    bool
	closed bool
	conns  []net.Conn
}

func newProxy(target string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, target: target}
	p.open = sync.NewCond(&p.mu)
	// Started here; ends when the listener is closed; nobody waits for it.
	go p.accept()
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = from.Close()
			continue
		}
		if !p.keep(from, to) {
			return
		}
		// Both end when either connection does; nobody waits for them.
		go p.forward(from, to)
		go p.forward(to, from)
	}
}

func (p *proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, conns...)
	if p.closed {
		for _, c := range conns {
			_ = c.Close()
		}
	}
	return !p.closed
}

func (p *proxy) forward(from, to net.Conn) {
	defer func() { _ = from.Close(); _ = to.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		for p.cut && !p.closed {
			p.open.Wait()
		}
		p.mu.Unlock()
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) setCut(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut
	p.open.Broadcast()
}

// drop closes what is open, as a pooler or a balancer may at any time. New connections
// are served.
func (p *proxy) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.open.Broadcast()
	for _, c := range p.conns {
		_ = c.Close()
	}
}
