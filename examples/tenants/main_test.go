package main

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
)

func TestSecondRevisionReplacesTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		if err := run(context.Background(), &out); err != nil {
			t.Fatal(err)
		}
		want := "up: acme r1\nup: globex r1\nup: acme r2\nacme r1 ended: canceled, taskvisor: task replaced\nglobex r1: running\n"
		if out.String() != want {
			t.Errorf("output:\n%s\nwant:\n%s", &out, want)
		}
	})
}
