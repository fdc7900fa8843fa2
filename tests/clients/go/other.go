package main

import (
	"crypto/sha256"
	"io"

	clientv3 "go.etcd.io/etcd/client/v3"
)

var otherChecks = []check{
	{"members", members},
	{"status", status},
	{"hash", hash},
	{"alarms", alarms},
	{"defragment", defragment},
	{"snapshot", snapshot},
}

func members(e *env) {
	list := got(e.MemberList(e))
	equal("members", len(list.Members), 1)
	equal("address", list.Members[0].ClientURLs[0], "http://"+e.endpoint)
	must(e.Sync(e))
	equal("endpoint after sync", e.Endpoints()[0], "http://"+e.endpoint)
}

func status(e *env) {
	before := got(e.Status(e, e.endpoint))
	equal("leader", before.Leader, before.Header.MemberId)
	equal("learner", before.IsLearner, false)
	equal("version", before.Version[:2], "3.")
	got(e.Put(e, e.key("a"), "1"))
	after := got(e.Status(e, e.endpoint))
	equal("revision", after.Header.Revision, before.Header.Revision+1)
	equal("index", after.RaftIndex > before.RaftIndex, true)
}

func hash(e *env) {
	revision := got(e.Put(e, e.key("a"), "1")).Header.Revision
	first := got(e.HashKV(e, e.endpoint, revision))
	got(e.Put(e, e.key("a"), "2"))
	again := got(e.HashKV(e, e.endpoint, revision))
	equal("hash at a revision", again.Hash, first.Hash)
	equal("hash has changed", got(e.HashKV(e, e.endpoint, 0)).Hash != first.Hash, true)
}

func alarms(e *env) {
	equal("alarms", len(got(e.AlarmList(e)).Alarms), 0)
	equal("disarmed", len(got(e.AlarmDisarm(e, &clientv3.AlarmMember{})).Alarms), 0)
}

func defragment(e *env) {
	got(e.Defragment(e, e.endpoint))
	got(e.Put(e, e.key("a"), "1"))
}

// The file, and the checksum of it at its end.
func snapshot(e *env) {
	stream := got(e.SnapshotWithVersion(e))
	defer stream.Snapshot.Close()
	file := got(io.ReadAll(stream.Snapshot))
	body, sum := file[:len(file)-sha256.Size], file[len(file)-sha256.Size:]
	equal("checksum", [32]byte(sum), sha256.Sum256(body))
	equal("pages", len(body)%512, 0)
}
