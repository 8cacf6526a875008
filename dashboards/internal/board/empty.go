package board

// nothing is what a panel says that has nothing to show, and no text of its own. An empty
// graph is a riddle at night: is all well, is nothing scraped, or is the feature not used?
const nothing = "Nothing of this in the time shown."

// why says, by the panel's title, what it means that there is nothing.
var why = map[string]string{
	"Where: tasks with failed attempts, worst first": "No attempt has failed in the time shown.",
	"Tasks that fail, on how many replicas":          "No task fails now.",
	"Services":                                       "No supervisor of this choice was scraped.",
	"Versions":                                       "No supervisor of this choice was scraped.",
	"Longest running attempts":                       "No attempt is running.",
	"Due next, or overdue":                           "No task waits for its next attempt.",
	"Oldest successes":                               "No task has succeeded yet; resident ones never do.",
	"Waiting at gates":                               "No task has waited at a gate.",
	"Wait at gates, p95":                             "No attempt has waited at a gate.",
	"Tasks that are not ready":                       "All tasks are ready.",
	"Tasks that gave up":                             "No task has given up.",
	"Submissions by verdict":                         "Nobody submits anything.",
	"Submissions by policy":                          "Nobody submits anything.",
	"Refusals by reason":                             "Nobody submits anything.",
	"Wait for a slot":                                "Nothing has waited for a slot.",
	"Waiting submissions":                            "Nobody submits anything.",
	"Slots by state":                                 "Nobody submits anything.",
	"Fill of the subscribers' queues":                "All subscribers are inline: they have no queue.",
	"Attempts abandoned, by what stopped them":       "No attempt was abandoned.",
}

// emptyText is what is shown when there is nothing.
func (p panel) emptyText() string {
	switch {
	case p.empty != "":
		return p.empty
	case why[p.title] != "":
		return why[p.title]
	default:
		return nothing
	}
}
