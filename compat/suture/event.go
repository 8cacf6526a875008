package suture

import "fmt"

// Event is something that went wrong, or was put right, as an [EventHook] sees it.
type Event interface {
	fmt.Stringer
	// Type says which of the event types it is.
	Type() EventType
	// Map returns what can be serialized of it.
	Map() map[string]any
}

// EventHook is told events; see [Spec].
type EventHook func(Event)

// SprintFunc returns the text of a value.
type SprintFunc func(any) string

// EventType tells events apart.
type EventType int

// The types.
const (
	EventTypeStopTimeout      EventType = iota // [EventStopTimeout]
	EventTypeServicePanic                      // [EventServicePanic]
	EventTypeServiceTerminate                  // [EventServiceTerminate]
	EventTypeBackoff                           // [EventBackoff]
	EventTypeResume                            // [EventResume]
)

// EventStopTimeout says that a service still ran when the Timeout after its stop had
// passed.
type EventStopTimeout struct {
	Supervisor     *Supervisor `json:"-"`
	SupervisorName string      `json:"supervisor_name"`
	Service        Service     `json:"-"`
	ServiceName    string      `json:"service"`
}

// Type returns EventTypeStopTimeout.
func (EventStopTimeout) Type() EventType { return EventTypeStopTimeout }

// String names the supervisor and the service.
func (e EventStopTimeout) String() string {
	return fmt.Sprintf("%s: service %s was stopped and still runs", e.SupervisorName, e.ServiceName)
}

// Map has supervisor_name and service_name.
func (e EventStopTimeout) Map() map[string]any {
	return map[string]any{"supervisor_name": e.SupervisorName, "service_name": e.ServiceName}
}

// EventServicePanic says that a service panicked.
type EventServicePanic struct {
	Supervisor       *Supervisor `json:"-"`
	SupervisorName   string      `json:"supervisor_name"`
	Service          Service     `json:"-"`
	ServiceName      string      `json:"service_name"`
	CurrentFailures  float64     `json:"current_failures"`
	FailureThreshold float64     `json:"failure_threshold"`
	Restarting       bool        `json:"restarting"` // at once, and not after a FailureBackoff or never
	PanicMsg         string      `json:"panic_msg"`
	Stacktrace       string      `json:"stacktrace"`
}

// Type returns EventTypeServicePanic.
func (EventServicePanic) Type() EventType { return EventTypeServicePanic }

// String says everything that the fields do.
func (e EventServicePanic) String() string {
	return fmt.Sprintf("%s: panic: %s\n%s",
		failure(e.SupervisorName, e.ServiceName, e.CurrentFailures, e.FailureThreshold, e.Restarting), e.PanicMsg, e.Stacktrace)
}

// Map has the fields by their JSON names.
func (e EventServicePanic) Map() map[string]any {
	m := failureMap(e.SupervisorName, e.ServiceName, e.CurrentFailures, e.FailureThreshold, e.Restarting)
	m["panic_msg"], m["stacktrace"] = e.PanicMsg, e.Stacktrace
	return m
}

// EventServiceTerminate says that a service returned.
type EventServiceTerminate struct {
	Supervisor       *Supervisor `json:"-"`
	SupervisorName   string      `json:"supervisor_name"`
	Service          Service     `json:"-"`
	ServiceName      string      `json:"service_name"`
	CurrentFailures  float64     `json:"current_failures"`
	FailureThreshold float64     `json:"failure_threshold"`
	Restarting       bool        `json:"restarting"` // at once, and not after a FailureBackoff or never
	Err              any         `json:"error_msg"`  // the error; nil if it returned nil
}

// Type returns EventTypeServiceTerminate.
func (EventServiceTerminate) Type() EventType { return EventTypeServiceTerminate }

// String says everything that the fields do.
func (e EventServiceTerminate) String() string {
	return fmt.Sprintf("%s: %v",
		failure(e.SupervisorName, e.ServiceName, e.CurrentFailures, e.FailureThreshold, e.Restarting), e.Err)
}

// Map has the fields by their JSON names, and the error as error.
func (e EventServiceTerminate) Map() map[string]any {
	m := failureMap(e.SupervisorName, e.ServiceName, e.CurrentFailures, e.FailureThreshold, e.Restarting)
	m["error"] = e.Err
	return m
}

// EventBackoff says that there were too many failures: nothing is restarted for a
// FailureBackoff.
type EventBackoff struct {
	Supervisor     *Supervisor `json:"-"`
	SupervisorName string      `json:"supervisor_name"`
}

// Type returns EventTypeBackoff.
func (EventBackoff) Type() EventType { return EventTypeBackoff }

// String names the supervisor.
func (e EventBackoff) String() string {
	return e.SupervisorName + ": too many failures, restarts are held back"
}

// Map has supervisor_name.
func (e EventBackoff) Map() map[string]any {
	return map[string]any{"supervisor_name": e.SupervisorName}
}

// EventResume says that a FailureBackoff is over.
type EventResume struct {
	Supervisor     *Supervisor `json:"-"`
	SupervisorName string      `json:"supervisor_name"`
}

// Type returns EventTypeResume.
func (EventResume) Type() EventType { return EventTypeResume }

// String names the supervisor.
func (e EventResume) String() string { return e.SupervisorName + ": restarts go on" }

// Map has supervisor_name.
func (e EventResume) Map() map[string]any {
	return map[string]any{"supervisor_name": e.SupervisorName}
}

func failure(supervisor, service string, count, threshold float64, restarting bool) string {
	then := "it is restarted"
	if !restarting {
		then = "it is not restarted now"
	}
	return fmt.Sprintf("%s: service %s failed (%.2f failures, threshold %.2f), %s", supervisor, service, count, threshold, then)
}

func failureMap(supervisor, service string, count, threshold float64, restarting bool) map[string]any {
	return map[string]any{
		"supervisor_name":   supervisor,
		"service_name":      service,
		"current_failures":  count,
		"failure_threshold": threshold,
		"restarting":        restarting,
	}
}
