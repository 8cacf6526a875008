package otelsub

import (
	"runtime"
	"runtime/debug"
)

const coreModule = "github.com/taskvisor/taskvisor-go"

// versions returns those of taskvisor and of Go that this program was built
// with; "unknown" for the former in a program without module information.
func versions() (core, goVersion string) {
	core = "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == coreModule && m.Version != "" {
				core = m.Version
			}
		}
	}
	return core, runtime.Version()
}
