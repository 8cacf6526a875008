// Package boardfile reads a board's JSON as far as its checks need it: what is
// asked, where, and how it is explained. It reads the committed files, not the
// generator's types, because the files are what Grafana gets.
package boardfile

import (
	"encoding/json"
	"fmt"
	"os"
)

// Board is a Grafana dashboard.
type Board struct {
	ID          *int64 `json:"id"`
	UID         string `json:"uid"`
	Title       string `json:"title"`
	Editable    bool   `json:"editable"`
	Links       []Link `json:"links"`
	Panels      []Panel
	Annotations struct {
		List []Annotation `json:"list"`
	} `json:"annotations"`
	Templating struct {
		List []Variable `json:"list"`
	} `json:"templating"`
}

// Panel is a panel, or a row, which has the type "row".
type Panel struct {
	ID          int         `json:"id"`
	Type        string      `json:"type"`
	Title       string      `json:"title"`
	Description string      `json:"description"`
	Datasource  *Datasource `json:"datasource"`
	Targets     []Target    `json:"targets"`
	Grid        struct {
		W, H, X, Y int
	} `json:"gridPos"`
	FieldConfig struct {
		Defaults struct {
			Unit  string `json:"unit"`
			Links []Link `json:"links"`
		} `json:"defaults"`
		Overrides []struct {
			Matcher struct {
				Options any `json:"options"`
			} `json:"matcher"`
			Properties []struct {
				ID    string `json:"id"`
				Value any    `json:"value"`
			} `json:"properties"`
		} `json:"overrides"`
	} `json:"fieldConfig"`
}

// Target is one query of a panel.
type Target struct {
	RefID      string      `json:"refId"`
	Expr       string      `json:"expr"`
	Instant    bool        `json:"instant"`
	Exemplar   bool        `json:"exemplar"`
	Datasource *Datasource `json:"datasource"`
}

// Datasource is a reference to a data source.
type Datasource struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// Annotation is a query whose answer is marked on every graph.
type Annotation struct {
	Name       string      `json:"name"`
	Expr       string      `json:"expr"`
	Datasource *Datasource `json:"datasource"`
}

// Variable is a choice at the top of a board.
type Variable struct {
	Name       string `json:"name"`
	Type       string `json:"type"`
	Multi      bool   `json:"multi"`
	IncludeAll bool   `json:"includeAll"`
	AllValue   string `json:"allValue"`
	Definition string `json:"definition"`
}

// Link leads to another page.
type Link struct {
	Title       string `json:"title"`
	URL         string `json:"url"`
	KeepTime    bool   `json:"keepTime"`
	IncludeVars bool   `json:"includeVars"`
}

// Load reads the board in the file.
func Load(file string) (Board, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Board{}, err
	}
	var b Board
	if err := json.Unmarshal(text, &b); err != nil {
		return Board{}, fmt.Errorf("%s: %w", file, err)
	}
	return b, nil
}

// Query is an expression and where it stands.
type Query struct {
	Where string // as in "taskvisor-task / Panics / A"
	Expr  string
}

// Queries returns the expressions of all panels and annotations.
func (b Board) Queries() []Query {
	var all []Query
	for _, p := range b.Panels {
		for _, t := range p.Targets {
			all = append(all, Query{fmt.Sprintf("%s / %s / %s", b.UID, p.Title, t.RefID), t.Expr})
		}
	}
	for _, a := range b.Annotations.List {
		if a.Expr != "" {
			all = append(all, Query{fmt.Sprintf("%s / annotation / %s", b.UID, a.Name), a.Expr})
		}
	}
	return all
}
