package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/mirror"
)

var watchChecks = []check{
	{"watch", watch},
	{"watch from the past", watchFromThePast},
	{"watch filters", watchFilters},
	{"watch progress", watchProgress},
	{"watch of compacted", watchCompacted},
	{"watch fragments", watchFragments},
	{"many watches", manyWatches},
	{"mirror", mirrored},
	{"watch over a restart", func(e *env) { watchOver(e, "restart") }},
	{"watch over a kill", func(e *env) { watchOver(e, "kill") }},
}

// The next events of a watch, as "PUT a=1".
func next(e *env, channel clientv3.WatchChan, count int) []string {
	var out []string
	for len(out) < count {
		select {
		case response, open := <-channel:
			if !open {
				fail("the watch ended after %v", out)
			}
			must(response.Err())
			for _, event := range response.Events {
				out = append(out, fmt.Sprintf("%s %s=%s", event.Type,
					strings.TrimPrefix(string(event.Kv.Key), e.prefix), event.Kv.Value))
			}
		case <-e.Done():
			fail("no more events after %v", out)
		}
	}
	return out
}

func expect(e *env, channel clientv3.WatchChan, wanted ...string) {
	equal("events", strings.Join(next(e, channel, len(wanted)), ", "), strings.Join(wanted, ", "))
}

func watch(e *env) {
	channel := e.Watch(e, e.prefix, clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithCreatedNotify())
	equal("created", (<-channel).Created, true)
	got(e.Put(e, e.key("a"), "1"))
	got(e.Put(e, e.key("a"), "2"))
	got(e.Put(e, "elsewhere", "x"))
	response := <-channel
	equal("created by it", response.Events[0].IsCreate(), true)
	if len(response.Events) == 1 {
		response = <-channel
	}
	last := response.Events[len(response.Events)-1]
	equal("modified by it", last.IsModify(), true)
	equal("previous value", string(last.PrevKv.Value), "1")
	got(e.Delete(e, e.key("a")))
	expect(e, channel, "DELETE a=")
	must(e.Watcher.Close())
	_, open := <-channel
	equal("open after close", open, false)
}

func watchFromThePast(e *env) {
	first := got(e.Put(e, e.key("a"), "1")).Header.Revision
	got(e.Delete(e, e.key("a")))
	got(e.Txn(e).Then(clientv3.OpPut(e.key("b"), "2"), clientv3.OpPut(e.key("c"), "3")).Commit())
	channel := e.Watch(e, e.prefix, clientv3.WithPrefix(), clientv3.WithRev(first))
	expect(e, channel, "PUT a=1", "DELETE a=", "PUT b=2", "PUT c=3")
	got(e.Put(e, e.key("d"), "4"))
	expect(e, channel, "PUT d=4")
}

func watchFilters(e *env) {
	revision := got(e.Get(e, "x")).Header.Revision + 1
	got(e.Put(e, e.key("a"), "1"))
	got(e.Delete(e, e.key("a")))
	got(e.Put(e, e.key("a"), "2"))
	from, prefix := clientv3.WithRev(revision), clientv3.WithPrefix()
	expect(e, e.Watch(e, e.prefix, prefix, from, clientv3.WithFilterDelete()), "PUT a=1", "PUT a=2")
	expect(e, e.Watch(e, e.prefix, prefix, from, clientv3.WithFilterPut()), "DELETE a=")
}

func watchProgress(e *env) {
	channel := e.Watch(e, e.prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	<-channel
	revision := got(e.Put(e, "elsewhere", "x")).Header.Revision
	must(e.RequestProgress(e))
	for {
		response := <-channel
		equal("progress", response.IsProgressNotify(), true)
		if response.Header.Revision >= revision {
			return
		}
		time.Sleep(10 * time.Millisecond)
		must(e.RequestProgress(e))
	}
}

func watchCompacted(e *env) {
	got(e.Put(e, e.key("a"), "1"))
	revision := got(e.Put(e, e.key("a"), "2")).Header.Revision
	got(e.Compact(e, revision, clientv3.WithCompactPhysical()))
	channel := e.Watch(e, e.key("a"), clientv3.WithRev(1))
	response := <-channel
	equal("compact revision", response.CompactRevision, revision)
	if !errors.Is(response.Err(), rpctypes.ErrCompacted) {
		fail("%v", response.Err())
	}
	_, err := e.Get(e, e.key("a"), clientv3.WithRev(revision-1))
	if !errors.Is(err, rpctypes.ErrCompacted) {
		fail("%v", err)
	}
}

func watchFragments(e *env) {
	revision := got(e.Get(e, "x")).Header.Revision + 1
	var ops []clientv3.Op
	for i := 0; i < 10; i++ {
		ops = append(ops, clientv3.OpPut(e.key(fmt.Sprint(i)), strings.Repeat("v", 120*1024)))
	}
	got(e.Txn(e).Then(ops...).Commit())
	for i := range ops {
		ops[i] = clientv3.OpPut(e.key(fmt.Sprint(i)), strings.Repeat("w", 120*1024))
	}
	got(e.Txn(e).Then(ops...).Commit())
	options := []clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithRev(revision), clientv3.WithFragment(),
		clientv3.WithPrevKV()}
	equal("events", len(next(e, e.Watch(e, e.prefix, options...), 20)), 20)
}

func manyWatches(e *env) {
	const count = 200
	var channels []clientv3.WatchChan
	for i := 0; i < count; i++ {
		channels = append(channels, e.Watch(e, e.key(fmt.Sprint(i, "/")), clientv3.WithPrefix(), clientv3.WithCreatedNotify()))
	}
	for _, channel := range channels {
		<-channel
	}
	for i := 0; i < count; i++ {
		got(e.Put(e, e.key(fmt.Sprint(i, "/k")), fmt.Sprint(i)))
	}
	for i, channel := range channels {
		expect(e, channel, fmt.Sprintf("PUT %d/k=%d", i, i))
	}
}

func mirrored(e *env) {
	for i := 0; i < 50; i++ {
		got(e.Put(e, e.key(fmt.Sprint(i)), "v"))
	}
	syncer := mirror.NewSyncer(e.Client, e.prefix, 0)
	responses, errs := syncer.SyncBase(e)
	count := 0
	for response := range responses {
		count += len(response.Kvs)
	}
	must(<-errs)
	equal("mirrored", count, 50)
	got(e.Put(e, e.key("new"), "w"))
	expect(e, syncer.SyncUpdates(e), "PUT new=w")
}

// No event is lost or comes twice, whatever happens to the server between them.
func watchOver(e *env, how string) {
	prefix := clientv3.WithPrefix()
	live := e.Watch(e, e.prefix, prefix, clientv3.WithCreatedNotify())
	<-live
	nobodys := "elsewhere/" + e.prefix
	quiet := e.Watch(e, nobodys, clientv3.WithCreatedNotify())
	<-quiet
	writer := e.another()
	defer writer.Close()
	got(writer.Put(e, e.key("a"), "1"))
	expect(e, live, "PUT a=1")
	// Written, and perhaps not delivered when the server goes.
	first := got(writer.Put(e, e.key("b"), "2")).Header.Revision
	ask(how)
	got(writer.Put(e, e.key("c"), "3"))
	got(writer.Delete(e, e.key("a")))
	wanted := []string{"PUT b=2", "PUT c=3", "DELETE a="}
	expect(e, live, wanted...)
	expect(e, e.Watch(e, e.prefix, prefix, clientv3.WithRev(first)), wanted...)
	select {
	case response := <-quiet:
		must(response.Err())
		equal("events of the quiet watch", len(response.Events), 0)
	default:
	}
	got(writer.Put(e, nobodys, "somebody does"))
	equal("events of the quiet watch", len(next(e, quiet, 1)), 1)
}
