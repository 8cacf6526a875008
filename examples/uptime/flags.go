package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"runtime/trace"
	"time"
)

// defaultListen is a fixed address, so that -healthcheck, a scrape
// configuration and a bookmark find the program again.
const defaultListen = "127.0.0.1:8484"

// config is the command line, checked.
type config struct {
	targets []target // none: the demo

	interval, timeout       time.Duration
	backoff, backoffMax     time.Duration
	retries                 int // less than 0: no limit
	concurrent              int // 0: no limit
	downAfter               int
	grace, runFor, linger   time.Duration
	listen, format, summary string
	level                   slog.Level
	webhook                 *url.URL // nil: notifications are printed only
	healthcheck             bool
	recorder                *trace.FlightRecorder // nil: none; the process has one
}

// parseFlags reads args. What it has to say about their use goes to w; its
// errors never repeat a URL, which may hold a password.
func parseFlags(args []string, w io.Writer) (config, error) {
	var c config
	fs := flag.NewFlagSet("uptime", flag.ContinueOnError)
	fs.SetOutput(w)
	fs.Usage = func() { usage(fs) }
	c.bind(fs)
	webhook := fs.String("webhook", "", "POST a JSON `URL` when a target goes down or comes back")
	// The flag package repeats a bad value in its messages, on w as well; none of
	// the values it parses itself is a secret.
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return c, err
		}
		return c, errors.New("wrong usage, see above")
	}
	if *webhook != "" {
		u, err := parseURL(*webhook)
		if err != nil {
			return c, fmt.Errorf("-webhook: %w", err)
		}
		c.webhook = u
	}
	var err error
	if c.targets, err = parseTargets(fs.Args()); err != nil {
		return c, err
	}
	if len(c.targets) == 0 {
		c.demoDefaults(fs)
	}
	return c, c.validate()
}

func (c *config) bind(fs *flag.FlagSet) {
	fs.DurationVar(&c.interval, "interval", 30*time.Second, "time between a good check and the next")
	fs.DurationVar(&c.timeout, "timeout", 5*time.Second, "longest time a check may take")
	fs.DurationVar(&c.backoff, "backoff", time.Second, "delay before the first retry of a failed check; it doubles with each further one")
	fs.DurationVar(&c.backoffMax, "backoff-max", 30*time.Second, "longest delay between retries")
	fs.IntVar(&c.retries, "retries", -1, "give a target up after `N` failed retries in a row; -1 for never")
	fs.IntVar(&c.concurrent, "concurrent", 0, "checks at the same time, 0 for no limit")
	fs.IntVar(&c.downAfter, "down-after", 2, "failed checks in a row that make a target down")
	fs.DurationVar(&c.grace, "grace", 10*time.Second, "time that running checks get to return when the program stops")
	fs.DurationVar(&c.runFor, "for", 0, "stop after this time; 0 runs until Ctrl-C")
	fs.DurationVar(&c.linger, "linger", 0, "after the stop, keep serving for this long or until a signal, so that the last values can be scraped")
	fs.StringVar(&c.listen, "listen", defaultListen, "`address` of the page and the metrics; there is no password on it")
	fs.StringVar(&c.format, "log", "text", "text for people or json for machines")
	fs.TextVar(&c.level, "level", slog.LevelInfo, "least `level` to log: debug shows good checks too")
	fs.StringVar(&c.summary, "summary", "", "write the final counts as JSON to this `file`")
	fs.BoolVar(&c.healthcheck, "healthcheck", false, "ask the program at -listen whether it is well, and exit 0 or 1")
}

// demoDefaults shortens what the user did not set, so that a minute of the demo
// shows everything.
func (c *config) demoDefaults(fs *flag.FlagSet) {
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for name, set := range map[string]func(){
		"interval":    func() { c.interval = 2 * time.Second },
		"timeout":     func() { c.timeout = 2 * time.Second },
		"backoff":     func() { c.backoff = min(200*time.Millisecond, c.backoffMax) },
		"backoff-max": func() { c.backoffMax = max(time.Second, c.backoff) },
	} {
		if !given[name] {
			set()
		}
	}
}

func (c *config) validate() error {
	switch {
	case c.interval <= 0:
		return fmt.Errorf("-interval %s is not positive", c.interval)
	case c.timeout <= 0:
		return fmt.Errorf("-timeout %s is not positive", c.timeout)
	case c.backoff < 0:
		return fmt.Errorf("-backoff %s is negative", c.backoff)
	case c.backoffMax < c.backoff:
		return fmt.Errorf("-backoff-max %s is less than -backoff %s", c.backoffMax, c.backoff)
	case c.concurrent < 0:
		return fmt.Errorf("-concurrent %d is negative", c.concurrent)
	case c.retries < -1:
		return fmt.Errorf("-retries %d is less than -1", c.retries)
	case c.downAfter < 1:
		return fmt.Errorf("-down-after %d is less than 1", c.downAfter)
	case c.grace < 0:
		return fmt.Errorf("-grace %s is negative", c.grace)
	case c.runFor < 0:
		return fmt.Errorf("-for %s is negative", c.runFor)
	case c.linger < 0:
		return fmt.Errorf("-linger %s is negative", c.linger)
	case c.format != "text" && c.format != "json":
		return fmt.Errorf("-log %q is neither text nor json", c.format)
	}
	if _, _, err := net.SplitHostPort(c.listen); err != nil {
		return fmt.Errorf("-listen %q is not host:port", c.listen)
	}
	return nil
}

func usage(fs *flag.FlagSet) {
	w := fs.Output()
	fmt.Fprint(w, `usage: uptime [flags] [[NAME=]URL ...]

Watches each URL until Ctrl-C. Without one, it watches bad and good endpoints of
its own. A URL is shown without password and query values; give it a NAME to
show none of it.

`)
	fs.PrintDefaults()
}
