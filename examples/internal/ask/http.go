// Package ask puts questions to a Prometheus and a Jaeger, for checks that compare
// their answers with what a program did.
package ask

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// requestTimeout bounds one question.
const requestTimeout = 30 * time.Second

// Get returns the body of an answer with status 200.
func Get(ctx context.Context, url string) (string, error) {
	code, body, err := Request(ctx, http.MethodGet, url)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("GET %s: HTTP %d: %s", url, code, FirstLine(body))
	}
	return body, err
}

// Request sends a request without a body and returns the answer, whatever its status.
func Request(ctx context.Context, method, url string) (code int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func getJSON(ctx context.Context, url string, v any) error {
	body, err := Get(ctx, url)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(body), v); err != nil {
		return fmt.Errorf("GET %s: %w", url, err)
	}
	return nil
}

// FirstLine returns the first line of s, for a message.
func FirstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
