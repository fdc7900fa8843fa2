// The checks of Go's clientv3: main.go runs them, the other files have them. See ../run.py for how a restart of
// the server is asked for.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

const bound = 60 * time.Second

type check struct {
	name string
	run  func(*env)
}

// What a check gets: a client, keys of its own, and the end of its time.
type env struct {
	context.Context
	*clientv3.Client
	endpoint string
	prefix   string
}

func (e *env) key(name string) string { return e.prefix + name }

// A second connection, as another process would have.
func (e *env) another() *clientv3.Client { return dial(e.endpoint) }

func dial(endpoint string) *clientv3.Client {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   []string{endpoint},
		DialTimeout: bound,
		Logger:      zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithBlock()}, //nolint:staticcheck // waits for the server
	})
	must(err)
	return client
}

type failure string

func fail(format string, arguments ...any) { panic(failure(fmt.Sprintf(format, arguments...))) }

func must(err error) {
	if err != nil {
		panic(failure(err.Error()))
	}
}

func got[T any](value T, err error) T {
	must(err)
	return value
}

func equal[T comparable](what string, value, wanted T) {
	if value != wanted {
		fail("%s: %v instead of %v", what, value, wanted)
	}
}

var input = bufio.NewReader(os.Stdin)

// Stops the server, "restart" in order and "kill" not, and starts it again.
func ask(what string) {
	fmt.Println(what)
	line, err := input.ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "restarted" {
		fail("the driver answered %q", line)
	}
}

func run(c check, endpoint string) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	client := dial(endpoint)
	defer client.Close()
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(failure)
			if !ok {
				panic(r)
			}
			err = fmt.Errorf("%s", f)
		}
	}()
	c.run(&env{ctx, client, endpoint, strings.ReplaceAll(c.name, " ", "-") + "/"})
	return nil
}

func main() {
	failed := false
	for _, list := range [][]check{kvChecks, watchChecks, leaseChecks, concurrencyChecks, otherChecks} {
		for _, c := range list {
			if err := run(c, os.Args[1]); err != nil {
				fmt.Printf("FAIL %s: %v\n", c.name, err)
				failed = true
			} else {
				fmt.Printf("pass %s\n", c.name)
			}
		}
	}
	if failed {
		os.Exit(1)
	}
}
