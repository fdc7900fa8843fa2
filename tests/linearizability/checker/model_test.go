package main

import (
	"testing"

	"github.com/anishathalye/porcupine"
)

// An operation from `call` to `end` that was answered at the revision.
func op(call, end, revision int64, r record) record {
	r.Call, r.Return, r.Revision, r.Known = call, end, revision, true
	return r
}

func put(key int, value int64) record { return record{Kind: "put", Key: key, Value: value} }
func remove(key int, count int64) record {
	return record{Kind: "delete", Key: key, Deleted: count}
}

// A read that shows one key.
func read(kind string, key int, value, mod int64) record {
	r := record{Kind: kind, Values: make([]int64, keys), Mods: make([]int64, keys)}
	r.Values[key], r.Mods[key] = value, mod
	return r
}

func event(revision int64, key int, value int64) record {
	return record{Kind: "event", Revision: revision, Keys: []int{key}, New: []int64{value}}
}

func unanswered(call int64, r record) record {
	r.Call, r.Return = call, call+1
	return r
}

func of(records ...record) *history {
	h := &history{events: map[int64]record{}, last: 1}
	for i, r := range records {
		if r.Kind == "event" {
			h.events[r.Revision] = r
			h.last = max(h.last, r.Revision)
			continue
		}
		r.Client = i
		h.operations = append(h.operations, r)
	}
	return h
}

func TestModel(t *testing.T) {
	txn := record{Kind: "txn", Key: 0, Value: 2, Second: 1, SecondValue: 3, Expected: 2, Succeeded: true}
	late := txn
	late.Expected = 0
	for _, c := range []struct {
		name  string
		right bool
		h     *history
	}{
		{"in order", true, of(op(1, 2, 2, put(0, 1)), op(3, 4, 2, read("read", 0, 1, 2)), event(2, 0, 1))},
		{"stale read", false, of(op(1, 2, 2, put(0, 1)), op(3, 4, 1, read("read", 0, 0, 0)), event(2, 0, 1))},
		{"read beside a put", true, of(op(1, 9, 2, put(0, 1)), op(3, 4, 1, read("read", 0, 0, 0)), event(2, 0, 1))},
		{"read goes back", false, of(op(1, 9, 2, put(0, 1)), op(3, 4, 2, read("read", 0, 1, 2)),
			op(5, 6, 1, read("read", 0, 0, 0)), event(2, 0, 1))},
		{"lost put", false, of(op(1, 2, 2, put(0, 1)), op(3, 4, 2, put(0, 2)), event(2, 0, 2))},
		{"revisions against the time", false, of(op(1, 2, 3, put(0, 1)), op(3, 4, 2, put(0, 2)),
			event(2, 0, 2), event(3, 0, 1))},
		{"unanswered put that happened later", true, of(unanswered(1, put(0, 1)), op(3, 4, 1, read("read", 0, 0, 0)),
			op(5, 6, 2, read("read", 0, 1, 2)), event(2, 0, 1))},
		{"unanswered put that happened before its call", false, of(unanswered(5, put(0, 1)),
			op(3, 4, 2, read("read", 0, 1, 2)), event(2, 0, 1))},
		{"unanswered put that did not happen", true, of(unanswered(1, put(0, 1)), op(3, 4, 1, read("read", 0, 0, 0)))},
		{"unanswered delete", true, of(op(1, 2, 2, put(0, 1)), unanswered(3, remove(0, 0)),
			op(5, 6, 3, read("read", 0, 0, 0)), event(2, 0, 1), event(3, 0, 0))},
		{"delete of nothing", true, of(op(1, 2, 1, remove(0, 0)))},
		{"delete of what is not there", false, of(op(1, 2, 2, remove(0, 1)), event(2, 0, 0))},
		{"transaction", true, of(op(1, 2, 2, put(0, 1)), op(3, 4, 3, txn), event(2, 0, 1),
			record{Kind: "event", Revision: 3, Keys: []int{0, 1}, New: []int64{2, 3}})},
		{"transaction on an old comparison", false, of(op(1, 2, 2, put(0, 1)), op(3, 4, 3, late), event(2, 0, 1),
			record{Kind: "event", Revision: 3, Keys: []int{0, 1}, New: []int64{2, 3}})},
	} {
		if got := porcupine.CheckOperations(model, operations(c.h.resolve())); got != c.right {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestStaleReads(t *testing.T) {
	right := of(op(1, 2, 2, put(0, 1)), op(3, 4, 3, put(0, 2)), op(5, 6, 2, read("stale_read", 0, 1, 2)),
		event(2, 0, 1), event(3, 0, 2))
	if err := right.checkStaleReads(); err != nil {
		t.Error(err)
	}
	wrong := of(op(1, 2, 2, put(0, 1)), op(5, 6, 2, read("stale_read", 0, 2, 2)), event(2, 0, 1))
	if wrong.checkStaleReads() == nil {
		t.Error("a read of what never was is not found")
	}
}
