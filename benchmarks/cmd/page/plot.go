package main

import (
	"bytes"
	"fmt"
	"html"
	"math"

	"github.com/taskvisor/taskvisor-go/benchmarks/growth"
)

// The plot's geometry, in pixels.
const (
	width, height            = 860, 420
	left, right, top, bottom = 70, 250, 40, 50
)

var colors = []string{"#0969da", "#cf222e", "#1a7f37", "#9a6700", "#8250df", "#57606a", "#bc4c00", "#bf3989"}

// axis maps values to pixels, logarithmically if the values are far apart.
type axis struct {
	lo, hi, from, to float64
	log              bool
}

func newAxis(values []float64, from, to float64, log bool) axis {
	a := axis{lo: math.Inf(1), hi: math.Inf(-1), from: from, to: to}
	for _, v := range values {
		a.lo, a.hi = min(a.lo, v), max(a.hi, v)
	}
	if a.log = log || a.lo > 0 && a.hi/a.lo > 20; a.log {
		a.lo = math.Pow(10, math.Floor(math.Log10(a.lo)))
		a.hi = math.Pow(10, math.Ceil(math.Log10(a.hi)))
	}
	return a
}

func (a axis) at(v float64) float64 {
	if a.hi == a.lo {
		return (a.from + a.to) / 2
	}
	if a.log {
		return a.from + (a.to-a.from)*math.Log(v/a.lo)/math.Log(a.hi/a.lo)
	}
	return a.from + (a.to-a.from)*(v-a.lo)/(a.hi-a.lo)
}

// decades are the marks of a logarithmic axis.
func (a axis) decades() []float64 {
	var all []float64
	for v := a.lo; v <= a.hi*1.001; v *= 10 {
		all = append(all, v)
	}
	return all
}

// plot draws c, time logarithmically, as SVG.
func plot(c growth.Chart) []byte {
	var xs, ys []float64
	for _, s := range c.Series {
		for _, p := range s.Points {
			xs, ys = append(xs, p.X), append(ys, p.Ns)
		}
	}
	x := newAxis(xs, left, width-right, false)
	y := newAxis(ys, height-bottom, top, true)
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	text := func(x, y float64, anchor, s string) {
		fmt.Fprintf(&b, `<text x="%.0f" y="%.0f" text-anchor="%s" fill="#1f2328">%s</text>`+"\n", x, y, anchor, html.EscapeString(s))
	}
	text(left, 20, "start", c.Title)
	text((left+width-right)/2, height-10, "middle", c.X)
	for _, v := range y.decades() {
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#d0d7de"/>`+"\n", left, width-right, y.at(v), y.at(v))
		text(left-6, y.at(v)+4, "end", duration(v))
	}
	seen := map[float64]bool{}
	for _, v := range xs {
		if !seen[v] {
			seen[v] = true
			fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#eaeef2"/>`+"\n", x.at(v), x.at(v), top, height-bottom)
			text(x.at(v), height-bottom+18, "middle", thousands(v))
		}
	}
	for i, s := range c.Series {
		color := colors[i%len(colors)]
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="2" points="`, color)
		for _, p := range s.Points {
			fmt.Fprintf(&b, "%.1f,%.1f ", x.at(p.X), y.at(p.Ns))
		}
		b.WriteString(`"/>` + "\n")
		for _, p := range s.Points {
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"><title>%s: %s</title></circle>`+"\n", x.at(p.X), y.at(p.Ns), color,
				html.EscapeString(s.Name), duration(p.Ns))
		}
		at := float64(top + 10 + 20*i)
		fmt.Fprintf(&b, `<rect x="%d" y="%.0f" width="12" height="4" fill="%s"/>`+"\n", width-right+12, at, color)
		text(float64(width-right+30), at+6, "start", s.Name)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}
