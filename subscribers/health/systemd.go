package healthsub

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const (
	askUntilReady = 500 * time.Millisecond // between looks before READY=1
	askAfterwards = 5 * time.Second        // and later, unless the watchdog is quicker
	maxStatus     = 256                    // bytes of STATUS
)

// NotifySystemd tells systemd, by the socket that NOTIFY_SOCKET names, how the process
// is, until ctx ends: READY=1 once it is ready, STATUS with what is wrong, WATCHDOG=1,
// at twice the rate that WATCHDOG_USEC asks for, only while it is live, and STOPPING=1
// when the process ends: when all supervisors that the Health is attached to shut down, or
// ctx ends, which is the end if it comes from no task. A task that is interrupted or
// stopped may come again, and another supervisor may go on. It returns nil at once where
// there is no such socket, and an error that it could not be written to.
//
// It is a [taskvisor.Func], to be supervised like any other work:
//
//	taskvisor.Restartable("systemd", health.NotifySystemd, taskvisor.WithoutTimeout())
//
// With WatchdogSec= in the unit, systemd then restarts a process whose supervisor does
// not run any more or one of whose critical tasks hangs. The unit needs Type=notify. Of
// several supervisors, the one that ends last is to run it. As a task it holds one of the
// permits of [taskvisor.WithMaxConcurrent].
func (h *Health) NotifySystemd(ctx context.Context) error {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil
	}
	// The name of an abstract socket begins with a zero byte, which net writes as @ too.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("healthsub: NOTIFY_SOCKET: %w", err)
	}
	defer conn.Close()
	n := notifier{conn: conn, watchdog: watchdogInterval()}
	for n.err == nil {
		st := h.Status()
		n.tell(&st)
		timer := time.NewTimer(n.pause())
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			if h.endsWith(ctx) {
				n.stopping()
			}
			return n.err
		}
	}
	return n.err
}

// endsWith reports whether the process ends now that ctx has.
func (h *Health) endsWith(ctx context.Context) bool {
	if _, ok := taskvisor.FromContext(ctx); !ok {
		return true
	}
	if !errors.Is(context.Cause(ctx), taskvisor.ErrShutdown) {
		return false
	}
	h.facts.turn() // the event of the shutdown may be under way
	st := h.Status()
	return st.stopping
}

// notifier is one conversation with systemd; err is the first that it met.
type notifier struct {
	conn          *net.UnixConn
	watchdog      time.Duration // 0: none
	ready, ending bool          // was said
	status        string        // that was said
	err           error
}

// watchdogInterval is half of what systemd allows between two signs of life.
func watchdogInterval() time.Duration {
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if pid := os.Getenv("WATCHDOG_PID"); err != nil || usec <= 0 || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0 // or it is meant for another process
	}
	return time.Duration(min(usec, int64(24*time.Hour/time.Microsecond))) * time.Microsecond / 2
}

// pause is how long to wait before the next look.
func (n *notifier) pause() time.Duration {
	d := askAfterwards
	if !n.ready {
		d = askUntilReady
	}
	if n.watchdog > 0 {
		d = min(d, n.watchdog)
	}
	return d
}

// tell says what is new, in one datagram.
func (n *notifier) tell(st *Status) {
	var lines []string
	if st.Ready && !n.ready {
		n.ready = true
		lines = append(lines, "READY=1")
	}
	if st.stopping && !n.ending {
		n.ending = true
		lines = append(lines, "STOPPING=1")
	}
	if s := st.sentence(); s != n.status {
		n.status = s
		lines = append(lines, "STATUS="+s)
	}
	if st.Live && n.watchdog > 0 {
		lines = append(lines, "WATCHDOG=1")
	}
	n.send(lines)
}

// stopping says so, unless it was said before.
func (n *notifier) stopping() {
	if !n.ending {
		n.ending = true
		n.send([]string{"STOPPING=1"})
	}
}

func (n *notifier) send(lines []string) {
	if len(lines) == 0 || n.err != nil {
		return
	}
	if _, err := n.conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		n.err = fmt.Errorf("healthsub: NOTIFY_SOCKET: %w", err)
	}
}

// sentence is the status on one line, without times: it is told when it changes.
func (st *Status) sentence() string {
	word := "not ready"
	switch {
	case !st.Live:
		word = "not live"
	case st.Ready:
		word = "ready"
	}
	if len(st.Reasons) == 0 {
		return word
	}
	first := st.Reasons[0]
	first.Since = time.Time{}
	s := word + ": " + first.line(st.Time)
	if n := len(st.Reasons) - 1 + st.LeftOut; n > 0 {
		s += fmt.Sprintf(", and %d more", n)
	}
	if len(s) > maxStatus {
		s = strings.ToValidUTF8(s[:maxStatus], "") + "…"
	}
	return s
}
