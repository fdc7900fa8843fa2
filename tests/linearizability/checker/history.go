package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// Keys are numbers from 0 to keys-1, values are numbers that are each written at most once; 0 is no value.
const keys = 6

// A line of the history. Kinds of operations: "put", "delete", "txn" (if the modification revision of Key is Expected,
// Key gets Value and Second gets SecondValue, else all keys are read), "read" (all keys, linearizable) and
// "stale_read" (serializable). Kind "event" is what a watch said of a revision: Keys that changed, and their New values.
type record struct {
	Kind   string
	Client int
	// Nanoseconds of one clock.
	Call, Return int64
	// The call was answered; the fields after Revision have a meaning only then.
	Known       bool
	Key, Second int
	Value       int64
	SecondValue int64 `json:"second_value"`
	Expected    int64
	Revision    int64
	Deleted     int64
	Succeeded   bool
	Values      []int64
	Mods        []int64
	Keys        []int
	New         []int64
}

type history struct {
	operations []record
	// By revision; the first revision that changes something is 2.
	events map[int64]record
	last   int64
}

func load(path string) (*history, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	h := &history{events: map[int64]record{}, last: 1}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, err
		}
		if r.Kind != "event" {
			h.operations = append(h.operations, r)
			continue
		}
		h.events[r.Revision] = r
		h.last = max(h.last, r.Revision)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if int64(len(h.events)) != h.last-1 {
		return nil, fmt.Errorf("the watch has %d revisions up to %d", len(h.events), h.last)
	}
	return h, nil
}

// The keys after the event.
func (s state) after(event record) state {
	s.revision = event.Revision
	for i, key := range event.Keys {
		s.set(key, event.New[i])
	}
	return s
}

// Serializable reads show some revision as it was.
func (h *history) checkStaleReads() error {
	states := make([]state, h.last+1)
	states[1].revision = 1
	for r := int64(2); r <= h.last; r++ {
		states[r] = states[r-1].after(h.events[r])
	}
	for _, r := range h.operations {
		if r.Kind != "stale_read" {
			continue
		}
		if r.Revision > h.last || !states[r.Revision].shows(r) {
			return fmt.Errorf("a serializable read at revision %d is not what the watch says", r.Revision)
		}
	}
	return nil
}

// What was not answered may have happened or not. Values are written once, so the watch tells of each put and
// transaction whether it did, and at which revision; those that did not are left out. A delete may have happened if the
// watch has one of that key which nobody was told of.
func (h *history) resolve() []record {
	written := map[int64]int64{}
	deletions := map[int]int{}
	for _, event := range h.events {
		for i, key := range event.Keys {
			if event.New[i] == 0 {
				deletions[key]++
			} else {
				written[event.New[i]] = event.Revision
			}
		}
	}
	for _, r := range h.operations {
		if r.Kind == "delete" && r.Known && r.Deleted > 0 {
			deletions[r.Key]--
		}
	}
	var out []record
	for _, r := range h.operations {
		if r.Kind == "stale_read" {
			continue
		}
		if !r.Known {
			revision, happened := written[r.Value]
			if r.Kind == "delete" {
				happened = deletions[r.Key] > 0
			}
			if !happened {
				continue
			}
			r.Revision, r.Succeeded = revision, true
		}
		out = append(out, r)
	}
	return out
}
