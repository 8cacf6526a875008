package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const (
	redrawEvery = time.Second
	maxNameWide = 24 // columns of a target's name
	journalRows = 6  // of a screen that are left to the lines above the table
)

// board writes a table of the targets that fits a terminal of that size: all of them
// or, where there is no room, those in trouble first. It returns how many lines it wrote.
func board(w io.Writer, tasks []*taskvisor.Handle, now time.Time, width, height int) (lines int) {
	list := make([]taskvisor.TaskStatus, len(tasks))
	for i, h := range tasks {
		list[i] = h.Status()
	}
	left := 0
	if room := max(height-journalRows, 3); len(list)+1 > room {
		slices.SortStableFunc(list, func(a, b taskvisor.TaskStatus) int { return cmp.Compare(verdict(b).trouble, verdict(a).trouble) })
		left = len(list) - (room - 2)
		list = list[:room-2]
	}
	tw := table.NewWriter()
	tw.SetStyle(table.StyleDefault)
	tw.Style().Options = table.OptionsNoBordersAndSeparators
	tw.Style().Box.PaddingLeft = ""
	tw.SetColumnConfigs([]table.ColumnConfig{
		{Number: 1, WidthMax: min(maxNameWide, width/3), WidthMaxEnforcer: cut},
		{Number: 3, Align: text.AlignRight, AlignHeader: text.AlignRight},
		{Number: 4, Align: text.AlignRight, AlignHeader: text.AlignRight},
	})
	tw.AppendHeader(table.Row{"target", "state", "good", "next", "last error"})
	for _, st := range list {
		v := verdict(st)
		good, all := goodOf(st.Results)
		tw.AppendRow(table.Row{printable(st.Name), v.state, fmt.Sprintf("%d of %d", good, all), next(st, now), v.why})
	}
	for line := range strings.Lines(tw.Render() + "\n") {
		fmt.Fprintln(w, cut(strings.TrimRight(line, " \n"), width-1)) // a full line would wrap on some terminals
		lines++
	}
	if left > 0 {
		fmt.Fprintf(w, "and %d more\n", left)
		lines++
	}
	return lines
}

// judgement is how a target is doing, in words for one cell each.
type judgement struct {
	state, why string
	trouble    int // the more the worse
}

func verdict(st taskvisor.TaskStatus) judgement {
	why := ""
	if st.LastErr != nil {
		why = printable(brief(st.LastErr))
	}
	end, ended := st.Handle.Outcome()
	switch {
	case ended && (end.Kind == taskvisor.OutcomeFailed || end.Kind == taskvisor.OutcomeFatal):
		return judgement{"given up", why, 2}
	case st.Stuck || st.State == taskvisor.StateAbandoned:
		return judgement{"stuck", why, 3}
	case ended || st.State == taskvisor.StatePaused || st.State == taskvisor.StateStopping:
		return judgement{state: st.State.String()}
	case st.Streak > 0:
		return judgement{fmt.Sprintf("failing (%d)", st.Streak), why, 1}
	case st.LastSuccess.IsZero():
		return judgement{state: "new"}
	}
	return judgement{state: "good"}
}

// next says when the next check of a target is due.
func next(st taskvisor.TaskStatus, now time.Time) string {
	switch st.State {
	case taskvisor.StateRunning:
		return "now"
	case taskvisor.StateBackoff, taskvisor.StateWaiting:
		return max(st.NextStart.Sub(now), 0).Round(time.Second).String()
	}
	return ""
}

// goodOf returns how many attempts ended, and how many of these were a success.
// Attempts that we canceled say nothing about the target.
func goodOf(c taskvisor.ResultCounts) (good, all uint64) {
	return c.Success, c.Success + c.Failure + c.Fatal + c.Timeout + c.Panic
}
