package taskvisor_test

import (
	"reflect"
	"testing"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

// alike reports whether the exported fields of two attempts are equal.
func alike(a, b taskvisor.Attempt) bool {
	v, w := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range v.NumField() {
		if v.Type().Field(i).IsExported() && !reflect.DeepEqual(v.Field(i).Interface(), w.Field(i).Interface()) {
			return false
		}
	}
	return true
}

func TestAlike(t *testing.T) {
	a := taskvisor.Attempt{Task: "a", Number: 1}
	if b := a; !alike(a, b) {
		t.Error("equal attempts are not alike")
	}
	if alike(a, taskvisor.Attempt{Task: "a", Number: 2}) {
		t.Error("different attempts are alike")
	}
}
