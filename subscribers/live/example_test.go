package livesub_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	livesub "github.com/taskvisor/taskvisor-go/subscribers/live"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// The page is a subscriber and a handler; nothing else has to be set up.
func Example() {
	page := livesub.New()
	sup, err := taskvisor.New(taskvisor.WithName("orders"), taskvisor.WithSubscriber(page))
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/debug/taskvisor/", page)

	_ = sup.Run(context.Background(), taskvisor.Once("import", func(context.Context) error { return fmt.Errorf("no such file") }))

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/debug/taskvisor/?format=text", nil))
	for line := range strings.Lines(w.Body.String()) {
		if fields := strings.Fields(line); len(fields) > 3 && fields[0] == "gave" {
			fmt.Println(fields[0], fields[1], fields[2], strings.Join(fields[4:], " "))
		}
	}
	// Output: gave up orders/import failed after 1 attempt no such file
}

// Who may act is the program's to decide; events and logs name them.
func ExampleWithActions() {
	page := livesub.New(livesub.WithActions(func(r *http.Request) (actor string, ok bool) {
		user, password, ok := r.BasicAuth()
		return user, ok && password == "secret"
	}))
	fmt.Println(page != nil)
	// Output: true
}
