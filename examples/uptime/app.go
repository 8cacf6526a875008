package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os/signal"
	runtimetrace "runtime/trace"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/taskvisor/taskvisor-go/examples/internal/tally"
	flightsub "github.com/taskvisor/taskvisor-go/subscribers/flight"
	healthsub "github.com/taskvisor/taskvisor-go/subscribers/health"
	livesub "github.com/taskvisor/taskvisor-go/subscribers/live"
	otelsub "github.com/taskvisor/taskvisor-go/subscribers/otel"
	promsub "github.com/taskvisor/taskvisor-go/subscribers/prom"
	slogsub "github.com/taskvisor/taskvisor-go/subscribers/slog"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// maxWaiting bounds the checks, and the notifications, that wait for one target.
const maxWaiting = 20

// closeTimeout is what requests in flight get at the end.
const closeTimeout = 2 * time.Second

// errServer is the cause when the status page's server failed.
var errServer = errors.New("status page")

// app is one run of the program. Its fields are set by newApp and only read
// afterwards.
type app struct {
	cfg       config
	targets   map[string]target
	order     []string // the targets' names as they were given
	registry  *prometheus.Registry
	tracer    trace.TracerProvider
	prober    *prober
	tally     *tally.Tally
	page      *livesub.Page
	health    *healthsub.Health
	incidents *flightsub.Recorder
	sup       *taskvisor.Supervisor
	term      *terminal                                                        // nil: lines are JSON
	say       func(ctx context.Context, level slog.Level, what, detail string) // one line of our own
}

// watch runs the monitor until ctx, -for or a signal ends it. The order of the
// end matters: the tasks first, then, while /metrics still answers, the summary
// and the time for a last scrape, then the server, then the last spans.
func watch(ctx context.Context, cfg config, stdout io.Writer) (err error) {
	listener, err := net.Listen("tcp", cfg.listen)
	if err != nil {
		return fmt.Errorf("%w: choose another address with -listen", err)
	}
	defer listener.Close()
	if len(cfg.targets) == 0 {
		d, err := startDemo()
		if err != nil {
			return err
		}
		defer d.Close()
		cfg.useDemo(d)
	}
	tracer, flush, err := newTracing(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, flush()) }()
	cfg.recorder = runtimetrace.NewFlightRecorder(runtimetrace.FlightRecorderConfig{MinAge: 5 * time.Second})
	if err := cfg.recorder.Start(); err != nil {
		return err
	}
	defer cfg.recorder.Stop()
	a, err := newApp(cfg, tracer, stdout)
	if err != nil {
		return err
	}
	// What the exporter has to say goes where everything goes. The handler is one
	// per process, which is this program's.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		a.say(ctx, slog.LevelWarn, "telemetry", err.Error())
	}))
	running, stopped := context.WithCancelCause(ctx)
	defer stopped(nil)
	closeServer := a.serve(listener, stopped)
	defer closeServer()
	return a.run(running, listener.Addr())
}

// useDemo makes the demo's endpoints the targets, and its receiver the webhook
// if there is no other.
func (c *config) useDemo(d *demo) {
	c.targets = d.targets()
	if c.webhook == nil {
		c.webhook = d.base.JoinPath("hook")
	}
}

func newApp(cfg config, tracer trace.TracerProvider, stdout io.Writer) (*app, error) {
	a := &app{
		cfg: cfg, targets: map[string]target{}, registry: newRegistry(), tracer: tracer,
		prober: newProber(tracer), tally: tally.New(), health: healthsub.New(),
	}
	var err error
	if a.incidents, err = newIncidents(cfg.recorder); err != nil {
		return nil, err
	}
	for _, t := range cfg.targets {
		a.targets[t.name] = t
		a.order = append(a.order, t.name)
	}
	a.page = a.newPage()
	journal := a.journal(stdout)
	notifier := newNotifier(cfg.targets, cfg.downAfter, a.delivery(cfg.webhook), func(err error) {
		a.say(context.Background(), slog.LevelWarn, "not sent", err.Error())
	})
	sup, err := taskvisor.New(append(a.options(),
		taskvisor.WithSubscriber(promsub.New(a.registry, promsub.WithExemplars(otelsub.TraceLabels))),
		taskvisor.WithSubscriber(otelsub.New(otelsub.WithTracerProvider(tracer))),
		taskvisor.WithSubscriber(a.tally),
		taskvisor.WithSubscriber(a.page),
		taskvisor.WithSubscriber(a.health),
		taskvisor.WithSubscriber(a.incidents),
		taskvisor.WithSubscriber(notifier),
		taskvisor.WithSubscriber(journal),
	)...)
	if err != nil {
		return nil, err
	}
	a.sup = sup
	notifier.submit = sup.Submit // before Run, hence before the first event
	return a, nil
}

// options are the flags in the supervisor's terms.
func (a *app) options() []taskvisor.Option {
	c := a.cfg
	defaults := []taskvisor.TaskOption{
		taskvisor.WithTimeout(c.timeout),
		taskvisor.ExponentialBackoff(c.backoff, c.backoffMax),
	}
	if c.retries >= 0 {
		defaults = append(defaults, taskvisor.WithMaxRetries(c.retries))
	}
	opts := []taskvisor.Option{
		taskvisor.WithName("uptime"),
		taskvisor.WithSignals(),
		taskvisor.WithGrace(c.grace),
		taskvisor.WithMaxQueue(maxWaiting),
		taskvisor.WithTaskDefaults(defaults...),
	}
	if c.concurrent > 0 {
		opts = append(opts, taskvisor.WithMaxConcurrent(c.concurrent))
	}
	return opts
}

// journal returns the subscriber that writes events to w, and sets a.say.
func (a *app) journal(w io.Writer) taskvisor.Subscribe {
	if a.cfg.format == "json" {
		logger := slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: a.cfg.level}))
		a.say = func(ctx context.Context, level slog.Level, what, detail string) {
			logger.LogAttrs(ctx, level, what, slog.String("detail", detail))
		}
		return slogsub.New(logger, slogsub.WithContextLabels(otelsub.TraceLabels))
	}
	a.term = newTerminal(w, a.cfg.level)
	a.say = func(_ context.Context, level slog.Level, what, detail string) {
		a.term.print(level, time.Now(), plain, what, detail)
	}
	return a.term
}

// delivery returns what a notification does: it is printed, and posted if there
// is a webhook.
func (a *app) delivery(webhook *url.URL) func(context.Context, message) error {
	post := func(context.Context, message) error { return nil }
	if webhook != nil {
		post = a.prober.hook(webhook)
	}
	return func(ctx context.Context, m message) error {
		if err := post(ctx, m); err != nil {
			return err
		}
		a.say(ctx, slog.LevelInfo, "notified", m.String())
		return nil
	}
}

// run supervises the targets, reports how it ended, and lingers.
func (a *app) run(ctx context.Context, addr net.Addr) error {
	a.say(ctx, slog.LevelInfo, "watching", fmt.Sprintf("%s, status at http://%s/", several(len(a.order), "target"), localAddr(addr.String())))
	specs := make([]taskvisor.TaskSpec, 0, len(a.order))
	for _, name := range a.order {
		t := a.targets[name]
		specs = append(specs, taskvisor.Periodic(name, a.cfg.interval, a.prober.check(t), t.opts...))
	}
	tasks, err := a.sup.AddAll(ctx, specs...) // they wait for Run
	if err != nil {
		return err
	}
	supervised := ctx
	if a.cfg.runFor > 0 {
		var cancel context.CancelFunc
		supervised, cancel = context.WithTimeoutCause(ctx, a.cfg.runFor, fmt.Errorf("the time given by -for, %s, is over", a.cfg.runFor))
		defer cancel()
	}
	stop := func() {}
	if a.term != nil {
		stop = a.term.watch(tasks)
	}
	err = a.sup.Run(supervised)
	stop()
	return errors.Join(err, a.report(ctx, tasks, err), a.finish(ctx))
}

// report says who was stuck and how each target did, and returns the reason if the
// run ended otherwise than by the user's wish.
func (a *app) report(ctx context.Context, tasks []*taskvisor.Handle, err error) error {
	var grace *taskvisor.GraceExceededError
	if errors.As(err, &grace) {
		for _, t := range grace.Tasks {
			a.say(ctx, slog.LevelError, "stuck", fmt.Sprintf("%s, attempt %d, %s",
				t.Name, t.Attempt, whereabouts(t.Stack)))
		}
	}
	left := false // somebody watched to the end
	for _, h := range tasks {
		good, all := goodOf(h.Status().Results)
		a.say(ctx, slog.LevelInfo, "result", fmt.Sprintf("%s: %d of %s good", h.Name(), good, several(all, "check")))
		end, _ := h.Outcome()
		left = left || end.Kind == taskvisor.OutcomeCanceled || end.Kind == taskvisor.OutcomeAbandoned
	}
	if cause := context.Cause(ctx); errors.Is(cause, errServer) {
		return cause
	}
	if !left {
		return errors.New("no target is left to watch: all were given up")
	}
	return nil
}

// finish writes the summary and keeps the program up for a last scrape. The
// counts are final: the supervisor has ended. Signals are caught before the
// summary appears, so that who waits for it can end the wait by one.
func (a *app) finish(ctx context.Context) error {
	ctx, release := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer release()
	if a.cfg.summary != "" {
		if err := a.tally.Summary(a.sup.Snapshot()).Write(a.cfg.summary); err != nil {
			return err
		}
	}
	if a.cfg.linger > 0 {
		a.say(ctx, slog.LevelInfo, "lingering", fmt.Sprintf("serving the final values for %s or until a signal", a.cfg.linger))
		linger := time.NewTimer(a.cfg.linger)
		defer linger.Stop()
		select {
		case <-linger.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// serve answers HTTP until the returned function is called. A server that ends
// by itself ends the run, through stopped.
func (a *app) serve(listener net.Listener, stopped context.CancelCauseFunc) (stop func()) {
	srv := limited(a.handler())
	done := make(chan struct{})
	// Ends when stop closes the server; stop waits for it.
	go func() {
		defer close(done)
		if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			stopped(fmt.Errorf("%w: %w", errServer, err))
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if srv.Shutdown(ctx) != nil {
			_ = srv.Close()
		}
		<-done
	}
}
