package main

import (
	"fmt"
	"math"

	"github.com/anishathalye/porcupine"
)

// The store: the newest revision, and of each key its value and the revision that wrote it.
type state struct {
	revision int64
	values   [keys]int64
	mods     [keys]int64
}

func (s *state) set(key int, value int64) {
	s.values[key], s.mods[key] = value, s.revision
	if value == 0 {
		s.mods[key] = 0
	}
}

func (s state) shows(r record) bool {
	for key := 0; key < keys; key++ {
		if r.Values[key] != s.values[key] || r.Mods[key] != s.mods[key] {
			return false
		}
	}
	return s.revision == r.Revision
}

// Each step takes one revision if it changes something, and every answer names the revision: of all orders that the
// times allow, nearly always one is possible, which makes long histories cheap to check.
func step(s state, r record) (bool, state) {
	switch r.Kind {
	case "put":
		s.revision++
		s.set(r.Key, r.Value)
		return s.revision == r.Revision, s
	case "delete":
		there := s.mods[r.Key] != 0
		if there {
			s.revision++
			s.set(r.Key, 0)
		}
		return !r.Known || (there == (r.Deleted == 1) && s.revision == r.Revision), s
	case "txn":
		if s.mods[r.Key] != r.Expected {
			return !r.Succeeded && s.shows(r), s
		}
		s.revision++
		s.set(r.Key, r.Value)
		s.set(r.Second, r.SecondValue)
		return r.Succeeded && s.revision == r.Revision, s
	case "read":
		return s.shows(r), s
	}
	panic("kind " + r.Kind)
}

var model = porcupine.Model{
	Init: func() any { return state{revision: 1} },
	Step: func(s, input, _ any) (bool, any) { return step(s.(state), input.(record)) },
	DescribeOperation: func(input, _ any) string {
		r := input.(record)
		text := fmt.Sprintf("%s %d", r.Kind, r.Key)
		if !r.Known {
			text += "?"
		}
		return fmt.Sprintf("%s at %d", text, r.Revision)
	},
	DescribeState: func(s any) string { return fmt.Sprint(s) },
}

func operations(records []record) []porcupine.Operation {
	var out []porcupine.Operation
	for i, r := range records {
		end := r.Return
		// What was not answered may have happened later. Its client goes on meanwhile, so it is another one's.
		client := r.Client
		if !r.Known {
			end, client = math.MaxInt64, 1000+i
		}
		out = append(out, porcupine.Operation{ClientId: client, Input: r, Call: r.Call, Return: end})
	}
	return out
}
