package taskvisortest

import "github.com/taskvisor/taskvisor-go/taskvisor/internal/bubbled"

type group = bubbled.Group
