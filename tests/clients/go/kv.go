package main

import (
	"errors"
	"fmt"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
	"go.etcd.io/etcd/client/v3/namespace"
)

var kvChecks = []check{
	{"put and get", putAndGet},
	{"ranges", ranges},
	{"old revisions", oldRevisions},
	{"range stream", rangeStream},
	{"delete", deletes},
	{"txn", txns},
	{"nested txn", nestedTxn},
	{"errors", kvErrors},
	{"namespace", namespaced},
	{"kubernetes client", kubernetesClient},
}

func keys(response *clientv3.GetResponse) string {
	var out []string
	for _, kv := range response.Kvs {
		out = append(out, string(kv.Key[strings.LastIndexByte(string(kv.Key), '/')+1:]))
	}
	return strings.Join(out, " ")
}

func putAndGet(e *env) {
	first := got(e.Put(e, e.key("a"), "1"))
	second := got(e.Put(e, e.key("a"), "2", clientv3.WithPrevKV()))
	equal("previous value", string(second.PrevKv.Value), "1")
	equal("revision", second.Header.Revision, first.Header.Revision+1)
	kv := got(e.Get(e, e.key("a"))).Kvs[0]
	equal("value", string(kv.Value), "2")
	equal("version", kv.Version, 2)
	equal("created", kv.CreateRevision, first.Header.Revision)
	equal("modified", kv.ModRevision, second.Header.Revision)
	equal("a key that is not there", len(got(e.Get(e, e.key("b"))).Kvs), 0)
	binary := string([]byte{0, 255, 1, 254})
	got(e.Put(e, e.key(binary), binary))
	equal("binary value", string(got(e.Get(e, e.key(binary))).Kvs[0].Value), binary)
	got(e.Put(e, e.key("a"), "", clientv3.WithIgnoreValue()))
	equal("kept value", string(got(e.Get(e, e.key("a"), clientv3.WithSerializable())).Kvs[0].Value), "2")
}

func ranges(e *env) {
	for _, name := range []string{"c", "a", "d", "b"} {
		got(e.Put(e, e.key(name), "value of "+name))
	}
	prefix := clientv3.WithPrefix()
	equal("prefix", keys(got(e.Get(e, e.prefix, prefix))), "a b c d")
	equal("range", keys(got(e.Get(e, e.key("b"), clientv3.WithRange(e.key("d"))))), "b c")
	page := got(e.Get(e, e.prefix, prefix, clientv3.WithLimit(3)))
	equal("page", keys(page), "a b c")
	equal("more", page.More, true)
	equal("count", page.Count, 4)
	descending := clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend)
	equal("descending", keys(got(e.Get(e, e.prefix, prefix, descending))), "d c b a")
	byTime := clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortAscend)
	equal("by time", keys(got(e.Get(e, e.prefix, prefix, byTime))), "c a d b")
	only := got(e.Get(e, e.prefix, prefix, clientv3.WithKeysOnly()))
	equal("keys only", keys(only)+string(only.Kvs[0].Value), "a b c d")
	count := got(e.Get(e, e.prefix, prefix, clientv3.WithCountOnly()))
	equal("count only", fmt.Sprint(count.Count, len(count.Kvs)), "4 0")
	newest := clientv3.WithLastRev()
	equal("newest", keys(got(e.Get(e, e.prefix, newest...))), "b")
	late := clientv3.WithMinModRev(page.Kvs[0].ModRevision)
	equal("since", keys(got(e.Get(e, e.prefix, prefix, late))), "a b d")
	equal("from a key", strings.HasPrefix(keys(got(e.Get(e, e.key("c"), clientv3.WithFromKey()))), "c d"), true)
}

func oldRevisions(e *env) {
	first := got(e.Put(e, e.key("a"), "1")).Header.Revision
	got(e.Put(e, e.key("a"), "2"))
	got(e.Delete(e, e.key("a")))
	last := got(e.Put(e, e.key("a"), "3")).Header.Revision
	wanted := []string{"", "1", "2", "", "3"}
	for revision := first - 1; revision <= last; revision++ {
		value := ""
		for _, kv := range got(e.Get(e, e.key("a"), clientv3.WithRev(revision))).Kvs {
			value = string(kv.Value)
		}
		equal("value at an old revision", value, wanted[revision-first+1])
	}
}

func rangeStream(e *env) {
	value := strings.Repeat("v", 2000)
	for i := 0; i < 300; i++ {
		got(e.Put(e, e.key(fmt.Sprintf("%03d", i)), value))
	}
	stream := got(e.GetStream(e, e.prefix, clientv3.WithPrefix()))
	streamed := got(clientv3.GetStreamToGetResponse(stream))
	once := got(e.Get(e, e.prefix, clientv3.WithPrefix()))
	equal("keys", keys(streamed), keys(once))
	equal("count", streamed.Count, 300)
}

func deletes(e *env) {
	for _, name := range []string{"a", "b", "c"} {
		got(e.Put(e, e.key(name), name))
	}
	equal("deleted", got(e.Delete(e, e.key("none"))).Deleted, 0)
	one := got(e.Delete(e, e.key("a"), clientv3.WithPrevKV()))
	equal("deleted", one.Deleted, 1)
	equal("previous value", string(one.PrevKvs[0].Value), "a")
	equal("deleted", got(e.Delete(e, e.prefix, clientv3.WithPrefix())).Deleted, 2)
	equal("left", got(e.Get(e, e.prefix, clientv3.WithPrefix())).Count, 0)
}

func txns(e *env) {
	create := func() *clientv3.TxnResponse {
		return got(e.Txn(e).If(clientv3.Compare(clientv3.CreateRevision(e.key("a")), "=", 0)).
			Then(clientv3.OpPut(e.key("a"), "1"), clientv3.OpPut(e.key("b"), "2")).
			Else(clientv3.OpGet(e.key("a"))).Commit())
	}
	made := create()
	equal("created", made.Succeeded, true)
	again := create()
	equal("created again", again.Succeeded, false)
	equal("else", string(again.Responses[0].GetResponseRange().Kvs[0].Value), "1")
	b := got(e.Get(e, e.key("b"))).Kvs[0]
	equal("one revision", b.ModRevision, made.Header.Revision)
	all := got(e.Txn(e).If(
		clientv3.Compare(clientv3.Value(e.key("a")), "=", "1"),
		clientv3.Compare(clientv3.Value(e.key("a")), "<", "2"),
		clientv3.Compare(clientv3.Version(e.key("a")), "!=", 2),
		clientv3.Compare(clientv3.ModRevision(e.key("a")), ">", 1),
		clientv3.Compare(clientv3.LeaseValue(e.key("a")), "=", 0),
		clientv3.Compare(clientv3.Version(e.prefix), ">", 0).WithPrefix(),
	).Then(clientv3.OpDelete(e.prefix, clientv3.WithPrefix(), clientv3.WithPrevKV()),
		clientv3.OpGet(e.prefix, clientv3.WithPrefix())).Commit())
	equal("all compares", all.Succeeded, true)
	equal("deleted", len(all.Responses[0].GetResponseDeleteRange().PrevKvs), 2)
	equal("read after the delete", all.Responses[1].GetResponseRange().Count, 0)
}

func nestedTxn(e *env) {
	inner := clientv3.OpTxn(
		[]clientv3.Cmp{clientv3.Compare(clientv3.Value(e.key("a")), "=", "1")},
		[]clientv3.Op{clientv3.OpPut(e.key("b"), "from the inner txn")},
		[]clientv3.Op{clientv3.OpPut(e.key("c"), "not this one")})
	response := got(e.Txn(e).Then(clientv3.OpPut(e.key("a"), "1"), inner).Commit())
	// A comparison sees what was there before the outer txn.
	equal("inner compare", response.Responses[1].GetResponseTxn().Succeeded, false)
	response = got(e.Txn(e).Then(inner).Commit())
	equal("inner compare", response.Responses[0].GetResponseTxn().Succeeded, true)
	equal("keys", keys(got(e.Get(e, e.prefix, clientv3.WithPrefix()))), "a b c")
}

func kvErrors(e *env) {
	is := func(err, wanted error) {
		if !errors.Is(err, wanted) {
			fail("%v instead of %v", err, wanted)
		}
	}
	_, err := e.Put(e, "", "v")
	is(err, rpctypes.ErrEmptyKey)
	_, err = e.Get(e, "k", clientv3.WithRev(1<<40))
	is(err, rpctypes.ErrFutureRev)
	_, err = e.Txn(e).Then(clientv3.OpPut("k", "1"), clientv3.OpPut("k", "2")).Commit()
	is(err, rpctypes.ErrDuplicateKey)
	_, err = e.Put(e, "k", "v", clientv3.WithLease(12345))
	is(err, rpctypes.ErrLeaseNotFound)
	_, err = e.Put(e, "k", strings.Repeat("v", 1600*1024))
	is(err, rpctypes.ErrRequestTooLarge)
	var many []clientv3.Op
	for i := 0; i < 129; i++ {
		many = append(many, clientv3.OpGet("k"))
	}
	_, err = e.Txn(e).Then(many...).Commit()
	is(err, rpctypes.ErrTooManyOps)
}

func namespaced(e *env) {
	kv := namespace.NewKV(e.KV, e.prefix)
	got(kv.Put(e, "a", "1"))
	got(kv.Put(e, "b", "2"))
	equal("within", len(got(kv.Get(e, "\x00", clientv3.WithFromKey())).Kvs), 2)
	equal("key", string(got(kv.Get(e, "a")).Kvs[0].Key), "a")
	equal("from outside", string(got(e.Get(e, e.key("a"))).Kvs[0].Value), "1")
}

func kubernetesClient(e *env) {
	client := kubernetes.Client{Client: e.Client}
	first := got(client.OptimisticPut(e, e.key("a"), []byte("1"), 0, kubernetes.PutOptions{}))
	equal("created", first.Succeeded, true)
	clash := got(client.OptimisticPut(e, e.key("a"), []byte("2"), 0, kubernetes.PutOptions{GetOnFailure: true}))
	equal("created again", clash.Succeeded, false)
	equal("what is there", string(clash.KV.Value), "1")
	for _, name := range []string{"b", "c", "d"} {
		got(client.OptimisticPut(e, e.key(name), []byte(name), 0, kubernetes.PutOptions{}))
	}
	page := got(client.List(e, e.prefix, kubernetes.ListOptions{Limit: 2}))
	equal("page", len(page.Kvs), 2)
	equal("count", page.Count, 4)
	gone := got(client.OptimisticDelete(e, e.key("c"), page.Revision-1, kubernetes.DeleteOptions{}))
	equal("deleted", gone.Succeeded, true)
	rest := got(client.List(e, e.prefix, kubernetes.ListOptions{
		Limit: 2, Revision: page.Revision, Continue: e.key("b") + "\x00"}))
	equal("next page", len(rest.Kvs), 2)
	equal("count", got(client.Count(e, e.prefix, kubernetes.CountOptions{})), 3)
	stale := got(client.OptimisticDelete(e, e.key("a"), 1, kubernetes.DeleteOptions{GetOnFailure: true}))
	equal("deleted at a stale revision", stale.Succeeded, false)
	equal("what is there", string(stale.KV.Value), "1")
}
