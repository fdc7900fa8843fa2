package main

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var leaseChecks = []check{
	{"lease", lease},
	{"lease expiry", leaseExpiry},
	{"lease keep-alive", leaseKeepAlive},
	{"lease errors", leaseErrors},
	{"lease over a restart", leaseOverRestart},
}

func lease(e *env) {
	granted := got(e.Grant(e, 300))
	equal("TTL", granted.TTL, 300)
	for _, name := range []string{"a", "b"} {
		got(e.Put(e, e.key(name), name, clientv3.WithLease(granted.ID)))
	}
	equal("lease of a key", got(e.Get(e, e.key("a"))).Kvs[0].Lease, int64(granted.ID))
	left := got(e.TimeToLive(e, granted.ID, clientv3.WithAttachedKeys()))
	equal("granted", left.GrantedTTL, 300)
	equal("keys", fmt.Sprintf("%s", left.Keys), fmt.Sprintf("[%s %s]", e.key("a"), e.key("b")))
	found := false
	for _, status := range got(e.Leases(e)).Leases {
		found = found || status.ID == granted.ID
	}
	equal("in the list", found, true)
	got(e.Put(e, e.key("a"), "free"))
	got(e.Put(e, e.key("b"), "", clientv3.WithIgnoreLease()))
	before := got(e.Get(e, "x")).Header.Revision
	got(e.Revoke(e, granted.ID))
	equal("keys after the revocation", keys(got(e.Get(e, e.prefix, clientv3.WithPrefix()))), "a")
	equal("revision", got(e.Get(e, "x")).Header.Revision, before+1)
	equal("TTL when revoked", got(e.TimeToLive(e, granted.ID)).TTL, -1)
}

func leaseExpiry(e *env) {
	channel := e.Watch(e, e.prefix, clientv3.WithPrefix(), clientv3.WithFilterPut(), clientv3.WithCreatedNotify())
	<-channel
	granted := got(e.Grant(e, 2))
	start := time.Now()
	for _, name := range []string{"a", "b"} {
		got(e.Put(e, e.key(name), name, clientv3.WithLease(granted.ID)))
	}
	// Both in one revision, and not before their time.
	response := <-channel
	if early := time.Since(start); early < 1900*time.Millisecond {
		fail("expired after %v", early)
	}
	equal("events", len(response.Events), 2)
	equal("left", got(e.Get(e, e.prefix, clientv3.WithPrefix())).Count, 0)
}

func leaseKeepAlive(e *env) {
	granted := got(e.Grant(e, 2))
	got(e.Put(e, e.key("a"), "kept", clientv3.WithLease(granted.ID)))
	answers := got(e.KeepAlive(e, granted.ID))
	start := time.Now()
	for time.Since(start) < 4*time.Second {
		answer, open := <-answers
		equal("open", open, true)
		equal("TTL", answer.TTL, 2)
	}
	equal("kept", got(e.Get(e, e.key("a"))).Count, 1)
	equal("TTL", got(e.KeepAliveOnce(e, granted.ID)).TTL, 2)
	got(e.Revoke(e, granted.ID))
	for range answers {
	}
	_, err := e.KeepAliveOnce(e, granted.ID)
	if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		fail("%v", err)
	}
}

func leaseErrors(e *env) {
	_, err := e.Grant(e, 1<<40)
	if !errors.Is(err, rpctypes.ErrLeaseTTLTooLarge) {
		fail("%v", err)
	}
	_, err = e.Revoke(e, 987654321)
	if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		fail("%v", err)
	}
	equal("a TTL below the least", got(e.Grant(e, 0+1)).TTL, 2)
}

func leaseOverRestart(e *env) {
	kept, left := got(e.Grant(e, 5)), got(e.Grant(e, 300))
	got(e.Put(e, e.key("kept"), "1", clientv3.WithLease(kept.ID)))
	got(e.Put(e, e.key("left"), "1", clientv3.WithLease(left.ID)))
	answers := got(e.KeepAlive(e, kept.ID))
	<-answers
	ask("kill")
	start := time.Now()
	for time.Since(start) < 3*time.Second {
		answer, open := <-answers
		equal("open", open, true)
		equal("TTL", answer.TTL, 5)
	}
	equal("keys", keys(got(e.Get(e, e.prefix, clientv3.WithPrefix()))), "kept left")
	status := got(e.TimeToLive(e, left.ID, clientv3.WithAttachedKeys()))
	equal("attached", len(status.Keys), 1)
	got(e.Revoke(e, left.ID))
	equal("keys", keys(got(e.Get(e, e.prefix, clientv3.WithPrefix()))), "kept")
}
