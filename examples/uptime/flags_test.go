package main

import (
	"io"
	"strings"
	"testing"
	"time"
)

func TestFlagsThatAreRefused(t *testing.T) {
	for args, want := range map[string]string{
		"-interval 0s":                      "-interval 0s is not positive",
		"-timeout -1s":                      "-timeout -1s is not positive",
		"-backoff -1s":                      "-backoff -1s is negative",
		"-backoff 2s -backoff-max 1s":       "-backoff-max 1s is less than -backoff 2s",
		"-concurrent -1":                    "-concurrent -1 is negative",
		"-down-after 0":                     "-down-after 0 is less than 1",
		"-grace -1s":                        "-grace -1s is negative",
		"-for -1s":                          "-for -1s is negative",
		"-linger -1s":                       "-linger -1s is negative",
		"-log xml":                          `-log "xml" is neither text nor json`,
		"-listen localhost":                 `-listen "localhost" is not host:port`,
		"-retries -2":                       "-retries -2 is less than -1",
		"-retries many":                     "wrong usage",
		"-interval soon":                    "wrong usage",
		"-nonsense":                         "wrong usage",
		"-webhook ftp://h/":                 "-webhook: not a URL",
		"example.com":                       "target 1: not a URL",
		"http://a.test b=c":                 "target 2: not a URL",
		"http://a.test http://a.test":       `target 2: there are two called "http://a.test"`,
		"http://u:1@a.test http://v@a.test": `target 2: there are two called "http://xxxxx@a.test"`,
		"http://a.test/" + strings.Repeat("a", 120): "target 1: longer than 120 bytes",
	} {
		_, err := parseFlags(strings.Fields(args), io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q in it", args, err, want)
		}
	}
}

func TestFlagsOfTargetsAndDemo(t *testing.T) {
	c, err := parseFlags(strings.Fields("-retries 3 -timeout 1s eu=https://a.test/x https://b.test"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.targets) != 2 || c.targets[0].name != "eu" || c.targets[1].name != "https://b.test" {
		t.Errorf("targets %+v", c.targets)
	}
	if c.retries != 3 || c.timeout != time.Second || c.interval != 30*time.Second {
		t.Errorf("config %+v", c)
	}

	c, err = parseFlags(strings.Fields("-interval 7s"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if c.interval != 7*time.Second || c.timeout != 2*time.Second || c.retries != -1 {
		t.Errorf("the demo's config %+v: what is set is kept, the rest is short", c)
	}
	if c, err = parseFlags(strings.Fields("-backoff 5s"), io.Discard); err != nil || c.backoffMax != 5*time.Second {
		t.Errorf("backoff-max %v, error %v: a long backoff of the demo lengthens it", c.backoffMax, err)
	}
}

// FuzzParseFlags: any command line is refused with an error or gives a
// configuration that the program can run with.
func FuzzParseFlags(f *testing.F) {
	f.Add("-interval 1s -retries 2 http://a.test eu=https://u:p@b.test/?k=v")
	f.Add("-for 1m -listen :0 -log json -level debug")
	f.Add("-backoff 1h -webhook http://h/secret")
	f.Add("-retries -1 -- -h")
	f.Fuzz(func(t *testing.T, line string) {
		c, err := parseFlags(strings.Fields(line), io.Discard)
		if err != nil {
			return
		}
		if c.interval <= 0 || c.timeout <= 0 || c.backoff < 0 || c.backoffMax < c.backoff || c.grace < 0 ||
			c.runFor < 0 || c.linger < 0 || c.downAfter < 1 || c.concurrent < 0 || c.retries < -1 {
			t.Errorf("accepted %+v", c)
		}
		names := map[string]bool{}
		for _, target := range c.targets {
			if names[target.name] {
				t.Errorf("two targets are called %q", target.name)
			}
			names[target.name] = true
		}
	})
}
