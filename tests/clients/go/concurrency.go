package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"strconv"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

var concurrencyChecks = []check{
	{"mutex", mutex},
	{"mutex of a session that ends", mutexExpires},
	{"mutex over a restart", mutexOverRestart},
	{"election", election},
	{"STM", stm},
}

func session(client *clientv3.Client, ttl int) *concurrency.Session {
	return got(concurrency.NewSession(client, concurrency.WithTTL(ttl)))
}

// Waits for all, and fails with the first that failed.
func together(count int, each func(i int)) {
	failures := make(chan any, count)
	var group sync.WaitGroup
	for i := 0; i < count; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			defer func() {
				if r := recover(); r != nil {
					failures <- r
				}
			}()
			each(i)
		}()
	}
	group.Wait()
	close(failures)
	if r, failed := <-failures; failed {
		panic(r)
	}
}

// A counter that only the holder changes, without a transaction: no increment is lost.
func mutex(e *env) {
	const clients, rounds = 5, 8
	got(e.Put(e, e.key("counter"), "0"))
	together(clients, func(int) {
		client := e.another()
		defer client.Close()
		s := session(client, 10)
		defer s.Close()
		lock := concurrency.NewMutex(s, e.key("lock"))
		for i := 0; i < rounds; i++ {
			must(lock.Lock(e))
			owner := got(client.Txn(e).If(lock.IsOwner()).Commit())
			equal("owner", owner.Succeeded, true)
			value := got(strconv.Atoi(string(got(client.Get(e, e.key("counter"))).Kvs[0].Value)))
			got(client.Put(e, e.key("counter"), strconv.Itoa(value+1)))
			must(lock.Unlock(e))
		}
	})
	equal("counter", string(got(e.Get(e, e.key("counter"))).Kvs[0].Value), fmt.Sprint(clients*rounds))
}

func mutexExpires(e *env) {
	holder := session(e.Client, 2)
	must(concurrency.NewMutex(holder, e.key("lock")).Lock(e))
	other := e.another()
	defer other.Close()
	waiting := session(other, 10)
	defer waiting.Close()
	lock := concurrency.NewMutex(waiting, e.key("lock"))
	if err := lock.TryLock(e); !errors.Is(err, concurrency.ErrLocked) {
		fail("TryLock: %v", err)
	}
	holder.Orphan()
	must(lock.Lock(e))
	must(lock.Unlock(e))
}

func mutexOverRestart(e *env) {
	s := session(e.Client, 30)
	lock := concurrency.NewMutex(s, e.key("lock"))
	must(lock.Lock(e))
	other := e.another()
	defer other.Close()
	waiting := session(other, 30)
	locked := make(chan error)
	go func() { locked <- concurrency.NewMutex(waiting, e.key("lock")).Lock(e) }()
	for got(e.Get(e, e.key("lock"), clientv3.WithPrefix())).Count != 2 {
		time.Sleep(10 * time.Millisecond)
	}
	ask("restart")
	equal("still owner", got(e.Txn(e).If(lock.IsOwner()).Commit()).Succeeded, true)
	select {
	case err := <-locked:
		fail("locked by two: %v", err)
	default:
	}
	must(lock.Unlock(e))
	must(<-locked)
	must(waiting.Close())
	must(s.Close())
}

func election(e *env) {
	ctx, cancel := context.WithCancel(e)
	defer cancel()
	first, second := session(e.Client, 10), session(e.Client, 10)
	one, two := concurrency.NewElection(first, e.key("x")), concurrency.NewElection(second, e.key("x"))
	if _, err := one.Leader(e); !errors.Is(err, concurrency.ErrElectionNoLeader) {
		fail("Leader: %v", err)
	}
	must(one.Campaign(e, "one"))
	observed := concurrency.NewElection(second, e.key("x")).Observe(ctx)
	equal("leader", string((<-observed).Kvs[0].Value), "one")
	won := make(chan error)
	go func() { won <- two.Campaign(e, "two") }()
	must(one.Proclaim(e, "one again"))
	equal("leader", string((<-observed).Kvs[0].Value), "one again")
	for got(e.Get(e, e.key("x"), clientv3.WithPrefix())).Count != 2 {
		time.Sleep(10 * time.Millisecond)
	}
	must(one.Resign(e))
	must(<-won)
	equal("leader", string((<-observed).Kvs[0].Value), "two")
	equal("leader", string(got(two.Leader(e)).Kvs[0].Value), "two")
	must(second.Close())
	must(first.Close())
}

// Transfers between accounts at every isolation that keeps their sum.
func stm(e *env) {
	const accounts, clients, rounds = 5, 4, 15
	for i := 0; i < accounts; i++ {
		got(e.Put(e, e.key(fmt.Sprint(i)), "100"))
	}
	levels := []concurrency.Isolation{concurrency.SerializableSnapshot, concurrency.Serializable,
		concurrency.SerializableSnapshot, concurrency.RepeatableReads}
	together(clients, func(i int) {
		random := rand.New(rand.NewSource(int64(i)))
		for round := 0; round < rounds; round++ {
			from, amount := random.Intn(accounts), random.Intn(30)
			to := (from + 1 + random.Intn(accounts-1)) % accounts
			got(concurrency.NewSTM(e.Client, func(s concurrency.STM) error {
				a, b := e.key(fmt.Sprint(from)), e.key(fmt.Sprint(to))
				av, bv := got(strconv.Atoi(s.Get(a))), got(strconv.Atoi(s.Get(b)))
				s.Put(a, strconv.Itoa(av-amount))
				s.Put(b, strconv.Itoa(bv+amount))
				return nil
			}, concurrency.WithIsolation(levels[i]), concurrency.WithAbortContext(e)))
		}
	})
	sum := 0
	for _, kv := range got(e.Get(e, e.prefix, clientv3.WithPrefix())).Kvs {
		sum += got(strconv.Atoi(string(kv.Value)))
	}
	equal("sum", sum, accounts*100)
}
