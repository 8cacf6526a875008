package main

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/taskvisor/taskvisor-go/taskvisor"
)

const (
	// mask stands for whatever may be a secret.
	mask = "xxxxx"

	// maxTargetName leaves room for "notify " in a task's name of 128 bytes.
	maxTargetName = 120
)

// target is one thing to watch.
type target struct {
	name  string   // the task's name: on events, logs, labels, spans, the page
	shown *url.URL // the URL as spans and errors may have it
	full  *url.URL // with its credentials; only [disclose] reads it

	probe taskvisor.Func         // instead of a GET of the URL; the demo's special cases
	opts  []taskvisor.TaskOption // on top of the flags'
}

var errURL = errors.New("not a URL of the form http://host/path or https://host/path (its text is not repeated, as it may hold a password)")

// nameOf matches the NAME of NAME=URL; no URL with a scheme begins like that.
var nameOf = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*)=`)

// parseTargets reads the command line's arguments. The names come out unique.
func parseTargets(args []string) ([]target, error) {
	var targets []target
	seen := map[string]bool{}
	for i, arg := range args {
		t, err := parseTarget(arg)
		switch {
		case err != nil:
			return nil, fmt.Errorf("target %d: %w", i+1, err)
		case seen[t.name]:
			return nil, fmt.Errorf("target %d: there are two called %q: give one a name of its own, as in eu=https://…", i+1, t.name)
		}
		seen[t.name] = true
		targets = append(targets, t)
	}
	return targets, nil
}

// parseTarget reads URL or NAME=URL.
func parseTarget(arg string) (target, error) {
	name := ""
	if m := nameOf.FindString(arg); m != "" {
		name, arg = strings.TrimSuffix(m, "="), arg[len(m):]
	}
	u, err := parseURL(arg)
	if err != nil {
		return target{}, err
	}
	t := target{name: name, full: u, shown: redact(u)}
	if name == "" {
		t.name = t.shown.String()
	} else {
		// A named target keeps its path to itself too: paths can be secrets.
		t.shown = &url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/"}
	}
	if len(t.name) > maxTargetName {
		return target{}, fmt.Errorf("longer than %d bytes: give it a shorter name, as in eu=https://…", maxTargetName)
	}
	return t, nil
}

// parseURL accepts absolute http and https URLs. Its errors do not quote s, and
// neither do they wrap those of net/url, which do.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, errURL
	}
	return u, nil
}

// redact returns a copy of u that can be shown: user and password, every
// query value and the fragment are gone. Which query values are secrets cannot
// be told from their keys.
func redact(u *url.URL) *url.URL {
	r := *u
	r.Fragment, r.RawFragment = "", ""
	if r.User != nil {
		r.User = url.User(mask)
	}
	if r.RawQuery != "" {
		pairs := strings.Split(r.RawQuery, "&")
		for i, pair := range pairs {
			if key, _, ok := strings.Cut(pair, "="); ok {
				pairs[i] = key + "=" + mask
			} else if pair != "" {
				pairs[i] = mask
			}
		}
		r.RawQuery = strings.Join(pairs, "&")
	}
	return &r
}
