package board_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/taskvisor/taskvisor-go/dashboards/internal/board"
)

// TestEmptyPanelsSayWhy: a panel that has nothing to show says so in a sentence, and a cell
// without a value shows a dash.
func TestEmptyPanelsSayWhy(t *testing.T) {
	type field struct {
		ID    string `json:"id"`
		Value any    `json:"value"`
	}
	own := 0
	for _, uid := range []string{board.OverviewUID, board.TaskUID} {
		text, err := os.ReadFile(filepath.Join("..", "..", uid+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var b struct {
			Panels []struct {
				Type, Title string
				FieldConfig struct {
					Defaults  struct{ NoValue string }
					Overrides []struct{ Properties []field }
				}
			}
		}
		if err := json.Unmarshal(text, &b); err != nil {
			t.Fatal(err)
		}
		for _, p := range b.Panels {
			says := p.FieldConfig.Defaults.NoValue
			switch p.Type {
			case "row", "stat": // of which the last are too small for a sentence
				continue
			case "table":
				dashes := 0
				for _, o := range p.FieldConfig.Overrides {
					for _, f := range o.Properties {
						if f.ID == "noValue" && f.Value == "–" {
							dashes++
						}
					}
				}
				if dashes == 0 {
					t.Errorf("%s / %s: cells without a value have the text of an empty table", uid, p.Title)
				}
			}
			if len(says) < 12 || says[len(says)-1] != '.' {
				t.Errorf("%s / %s is empty with the words %q", uid, p.Title, says)
			}
			if says != "Nothing of this in the time shown." {
				own++
			}
		}
	}
	if own < 20 {
		t.Errorf("%d panels say why they are empty", own)
	}
}
