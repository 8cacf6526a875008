package promsub

import (
	"strings"
	"sync"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// maxGates is how many values the label gate can have: gates promise bounded names, and
// this is for those that do not keep to it. The rest share "_other".
const maxGates = 200

// gate is what is counted about the gates of one name.
type gate struct {
	labels []*dto.LabelPair
	wait   *timer
}

// gateSet holds the gates that somebody has waited at.
type gateSet struct {
	source *source

	mu     sync.Mutex // guards the field below
	byName map[string]*gate
}

// get returns the gate of a name, made when somebody waits there for the first time.
func (gs *gateSet) get(name string) *gate {
	name = strings.ToValidUTF8(name, "\uFFFD")
	gs.mu.Lock()
	defer gs.mu.Unlock()
	g := gs.byName[name]
	if g == nil && len(gs.byName) >= maxGates {
		name = overflow
		g = gs.byName[name]
	}
	if g == nil {
		s := gs.source
		labels := s.pairs.joined(pair("gate", name))
		g = &gate{labels: labels, wait: newTimer(s.descs[gateWait], s.config, timestamppb.New(s.created), labels)}
		if gs.byName == nil {
			gs.byName = make(map[string]*gate)
		}
		gs.byName[name] = g
	}
	return g
}

// all returns the gates that there are.
func (gs *gateSet) all() []*gate {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	all := make([]*gate, 0, len(gs.byName))
	for _, g := range gs.byName {
		all = append(all, g)
	}
	return all
}
