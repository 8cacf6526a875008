package taskvisor_test

import (
	"strings"
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// prefers is a subscriber with a nil preference.
type prefers struct{ discard }

func (*prefers) Preferences() []taskvisor.SubscriberOption { return []taskvisor.SubscriberOption{nil} }

// A nil option is a programmer's error, as a nil function is: it panics where it
// is given, with a sentence that says for whom.
func TestNilOptionsPanic(t *testing.T) {
	must, good := taskvisor.WithMaxRetries(1), taskvisor.WithTimeout(1)
	spec := taskvisor.Once("mailer", noWork)
	for name, tt := range map[string]struct {
		call func()
		text string
	}{
		"Once":             {func() { taskvisor.Once("mailer", noWork, nil) }, `taskvisor: nil TaskOption for task "mailer"`},
		"Restartable":      {func() { taskvisor.Restartable("mailer", noWork, must, nil) }, `taskvisor: nil TaskOption for task "mailer"`},
		"Periodic":         {func() { taskvisor.Periodic("mailer", 1, noWork, nil, good) }, `taskvisor: nil TaskOption for task "mailer"`},
		"With":             {func() { spec.With(nil) }, `taskvisor: nil TaskOption for task "mailer"`},
		"WithTaskDefaults": {func() { taskvisor.WithTaskDefaults(good, nil) }, "taskvisor: nil TaskOption for WithTaskDefaults"},
		"New":              {func() { taskvisor.New(nil) }, "taskvisor: nil Option for New"},
		"WithSubscriber":   {func() { taskvisor.WithSubscriber(&discard{}, nil) }, "taskvisor: nil SubscriberOption for WithSubscriber"},
		"Preferences":      {func() { taskvisor.New(taskvisor.WithSubscriber(&prefers{})) }, `taskvisor: nil SubscriberOption for subscriber "*taskvisor_test.prefers", by its Preferences`},
		"nil function":     {func() { taskvisor.Once("mailer", nil) }, `taskvisor: nil Func for task "mailer"`},
		"nil subscriber":   {func() { taskvisor.WithSubscriber(nil) }, "taskvisor: nil subscriber"},
		"nil Returning":    {func() { taskvisor.Returning[int](nil) }, "taskvisor: nil function for Returning"},
	} {
		t.Run(name, func(t *testing.T) { wantPanic(t, tt.call, tt.text) })
	}
	if _, err := taskvisor.New(taskvisor.WithTaskDefaults(), taskvisor.WithSubscriber(&discard{})); err != nil {
		t.Error(err) // no option is not a nil option
	}
}

func wantPanic(t *testing.T, call func(), want string) {
	t.Helper()
	defer func() {
		t.Helper()
		if got, _ := recover().(string); !strings.HasPrefix(got, want) {
			t.Errorf("panic %q, want %q", got, want)
		}
	}()
	call()
}
