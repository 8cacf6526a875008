package taskvisor

// leastTable is the size below which a table never shrinks.
const leastTable = 1024

// table is a map that gives memory back: Go's maps keep what they once needed. It is
// rebuilt when it holds an eighth of what it held at its largest: seven eighths were deleted
// since, so that each deletion has paid for the move of at most a seventh of an entry.
// The zero value is empty and ready; its owner's lock guards it. Callers read m directly.
type table[V any] struct {
	m    map[string]V // nil: nothing was ever put
	peak int          // largest length since it was made or rebuilt
}

// put is the only way to add an entry: it keeps peak.
func (t *table[V]) put(key string, v V) {
	if t.m == nil {
		t.m = make(map[string]V)
	}
	t.m[key] = v
	t.peak = max(t.peak, len(t.m))
}

// delete is the only way to take one out: it may replace m.
func (t *table[V]) delete(key string) {
	delete(t.m, key)
	if t.peak < leastTable || len(t.m) > t.peak/8 {
		return
	}
	t.rebuild()
}

// rebuild is not inlined: delete is called near the end of a small stack.
//
//go:noinline
func (t *table[V]) rebuild() {
	m := make(map[string]V, len(t.m))
	for k, v := range t.m {
		m[k] = v
	}
	t.m, t.peak = m, len(m)
}
