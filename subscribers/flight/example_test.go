package flightsub_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	flightsub "github.com/taskvisor/taskvisor-go/subscribers/flight"
	livesub "github.com/taskvisor/taskvisor-go/subscribers/live"
	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// What went wrong is kept, and listed.
func Example() {
	incidents, err := flightsub.New(flightsub.WithLogger(nil))
	if err != nil {
		panic(err)
	}
	sup, err := taskvisor.New(taskvisor.WithName("shop"), taskvisor.WithSubscriber(incidents))
	if err != nil {
		panic(err)
	}
	_ = sup.Run(context.Background(), taskvisor.Once("orders", func(context.Context) error { panic("index out of range") }))
	for _, in := range incidents.List() {
		fmt.Println(in.Supervisor, in.Task, in.Kind)
	}
	// Output: shop orders panic
}

// The live page lists incidents and serves them.
func Example_livePage() {
	incidents, err := flightsub.New(flightsub.WithLogger(nil))
	if err != nil {
		panic(err)
	}
	page := livesub.New(livesub.WithIncidents(func() (list []livesub.Incident) {
		for _, in := range incidents.List() {
			list = append(list, livesub.Incident(in))
		}
		return list
	}, incidents.Handler()))
	sup, err := taskvisor.New(taskvisor.WithSubscriber(page), taskvisor.WithSubscriber(incidents))
	if err != nil {
		panic(err)
	}
	_ = sup.Run(context.Background(), taskvisor.Once("orders", func(context.Context) error { return errors.New("no database") }))

	mux := http.NewServeMux()
	mux.Handle("/debug/taskvisor/", page)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/debug/taskvisor/incident?id="+incidents.List()[0].ID, nil))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output: 200 application/zip
}
