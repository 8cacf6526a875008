package main

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestRedaction(t *testing.T) {
	for arg, want := range map[string][2]string{ // name, shown
		"http://a.test":                             {"http://a.test", "http://a.test"},
		"http://a.test:81/x/y":                      {"http://a.test:81/x/y", "http://a.test:81/x/y"},
		"https://user:hunter2@a.test/x":             {"https://xxxxx@a.test/x", "https://xxxxx@a.test/x"},
		"https://ghp_token@a.test/x":                {"https://xxxxx@a.test/x", "https://xxxxx@a.test/x"},
		"https://a.test/x?token=hunter2&n=1":        {"https://a.test/x?token=xxxxx&n=xxxxx", "https://a.test/x?token=xxxxx&n=xxxxx"},
		"https://a.test/x?hunter2":                  {"https://a.test/x?xxxxx", "https://a.test/x?xxxxx"},
		"https://a.test/x?a=b=hunter2;c&&":          {"https://a.test/x?a=xxxxx&&", "https://a.test/x?a=xxxxx&&"},
		"https://a.test/x#hunter2":                  {"https://a.test/x", "https://a.test/x"},
		"shop=https://u:p@a.test/hunter2?q=1#f":     {"shop", "https://a.test/"},
		"a-b_c.1=http://[::1]:8080/hunter2":         {"a-b_c.1", "http://[::1]:8080/"},
		"https://a.test/a=b":                        {"https://a.test/a=b", "https://a.test/a=b"},
		"https://user:p%40ss%3Aword@a.test:443/%20": {"https://xxxxx@a.test:443/%20", "https://xxxxx@a.test:443/%20"},
	} {
		got, err := parseTarget(arg)
		if err != nil {
			t.Errorf("%s: %v", arg, err)
			continue
		}
		if got.name != want[0] || got.shown.String() != want[1] {
			t.Errorf("%s: name %q, shown %q, want %q", arg, got.name, got.shown, want)
		}
	}
}

func TestBadURLsAreNotRepeated(t *testing.T) {
	for _, arg := range []string{
		"http://user:hunter2@a.test:port/", "http://user:hunter2@a b/", "http://user:hunter2%zz@a.test/",
		"http://user:hunter2@", "ftp://user:hunter2@a.test", "user:hunter2@a.test", "http://\x7fhunter2", "=hunter2", "hunter2",
	} {
		_, err := parseTargets([]string{arg})
		if err == nil {
			t.Errorf("%q was accepted", arg)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error repeats the password: %v", err)
		}
	}
}

// FuzzRedact: whatever the credentials, exactly the rest of the URL is shown.
func FuzzRedact(f *testing.F) {
	f.Add("user", "hunter2", "token", "s3cr3t", "frag")
	f.Add("", "", "", "", "")
	f.Add("a:b@c", "p@ss/w?#d", "k&=", "v=&#", "%zz")
	f.Add("xxxxx", "\x00\xff", "é", "\u202e", "…")
	f.Fuzz(func(t *testing.T, user, password, key, value, fragment string) {
		u := url.URL{Scheme: "https", User: url.UserPassword(user, password), Host: "example.com", Path: "/health",
			RawQuery: url.QueryEscape(key) + "=" + url.QueryEscape(value), Fragment: fragment}
		got, err := parseTarget(u.String())
		if err != nil {
			if strings.Contains(err.Error(), "example") {
				t.Errorf("the error repeats the URL: %v", err)
			}
			return
		}
		want := "https://" + mask + "@example.com/health?" + url.QueryEscape(key) + "=" + mask
		if got.name != want || got.shown.String() != want {
			t.Errorf("name %q, shown %q, want %q", got.name, got.shown, want)
		}
		if p, _ := got.full.User.Password(); p != password || got.full.Query().Get(key) != value {
			t.Errorf("the credentials did not survive: %q, %q", p, got.full.Query().Get(key))
		}
	})
}

// FuzzParseTarget: an argument is refused, or gives a name that a task can have
// and a URL without credentials.
func FuzzParseTarget(f *testing.F) {
	for _, seed := range []string{"http://a.test", "eu=https://u:p@a.test/x?y=z#f", "http://[::1]:80/", "x=", "http://a.test/%00", "HTTP://é.test/\u202e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		got, err := parseTarget(arg)
		if err != nil {
			return
		}
		if got.name == "" || len(got.name) > maxTargetName || !utf8.ValidString(got.name) || printable(got.name) != got.name {
			t.Errorf("name %q", got.name)
		}
		if u := got.shown; u.User != nil && u.User.String() != mask || u.Fragment != "" {
			t.Errorf("shown %q", u)
		}
		for _, values := range got.shown.Query() {
			for _, v := range values {
				if v != mask && v != "" {
					t.Errorf("shown %q", got.shown)
				}
			}
		}
	})
}
