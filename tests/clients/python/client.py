"""The checks of aetcd, an asyncio client for Python. See ../run.py for how a restart of the server is asked for."""

import asyncio
import io
import hashlib
import sys
import time

import aetcd

BOUND_S = 60


def equal(what, value, wanted):
    if value != wanted:
        raise AssertionError(f"{what}: {value!r} instead of {wanted!r}")


async def raises(kind, awaitable):
    try:
        await awaitable
    except kind:
        return
    raise AssertionError(f"no {kind.__name__}")


async def ask(what):
    """Stops the server, "restart" in order and "kill" not, and starts it again."""
    print(what, flush=True)
    equal("the driver's answer", (await asyncio.to_thread(sys.stdin.readline)).strip(), "restarted")


async def again(call):
    """Until the connection is there again."""
    while True:
        try:
            return await call()
        except aetcd.exceptions.ConnectionFailedError:
            await asyncio.sleep(0.05)


def keys(response):
    return [kv.key.rpartition(b"/")[2] for kv in response]


async def put_and_get(client, prefix):
    first = await client.put(prefix + b"a", b"1")
    second = await client.put(prefix + b"a", b"\x00\xff", prev_kv=True)
    equal("previous value", second.prev_kv.value, b"1")
    equal("revision", second.header.revision, first.header.revision + 1)
    kv = await client.get(prefix + b"a")
    equal("value", kv.value, b"\x00\xff")
    equal("version", kv.version, 2)
    equal("created", kv.create_revision, first.header.revision)
    equal("serializable", (await client.get(prefix + b"a", serializable=True)).value, b"\x00\xff")
    equal("a key that is not there", await client.get(prefix + b"b"), None)


async def ranges(client, prefix):
    for name in (b"c", b"a", b"d", b"b"):
        await client.put(prefix + name, b"value of " + name)
    equal("prefix", keys(await client.get_prefix(prefix)), [b"a", b"b", b"c", b"d"])
    equal("range", keys(await client.get_range(prefix + b"b", prefix + b"d")), [b"b", b"c"])
    descending = await client.get_prefix(prefix, sort_order="descend", sort_target="key")
    equal("descending", keys(descending), [b"d", b"c", b"b", b"a"])
    equal("count and more", (descending.count, descending.more), (4, False))
    by_time = await client.get_prefix(prefix, sort_order="ascend", sort_target="mod")
    equal("by time", keys(by_time), [b"c", b"a", b"d", b"b"])
    only = await client.get_prefix(prefix, keys_only=True)
    equal("keys only", [kv.value for kv in only], [b""] * 4)


async def deletes(client, prefix):
    for name in (b"a", b"b", b"c"):
        await client.put(prefix + name, name)
    equal("previous value", (await client.delete(prefix + b"a", prev_kv=True)).prev_kv.value, b"a")
    equal("a key that is not there", await client.delete(prefix + b"a"), None)
    equal("deleted", (await client.delete_prefix(prefix)).deleted, 2)
    equal("left", (await client.get_prefix(prefix)).count, 0)


async def txns(client, prefix):
    t, a, b = client.transactions, prefix + b"a", prefix + b"b"
    create = dict(compare=[t.create(a) == 0], success=[t.put(a, b"1"), t.put(b, b"2")], failure=[t.get(a)])
    equal("created", (await client.transaction(**create))[0], True)
    succeeded, responses = await client.transaction(**create)
    equal("created again", succeeded, False)
    equal("else", responses[0][0][0], b"1")
    succeeded, responses = await client.transaction(
        compare=[t.value(a) == b"1", t.version(a) > 0, t.mod(a) > 1, t.version(b) < 2, t.value(b) != b"1"],
        success=[t.delete(a), t.delete(b), t.get(a)], failure=[])
    equal("all compares", succeeded, True)
    equal("read after the delete", responses[2], [])
    equal("replaced", await client.replace(a, b"1", b"2"), False)
    await client.put(a, b"1")
    equal("replaced", await client.replace(a, b"1", b"2"), True)


async def next_events(watch, count):
    out = []
    async for event in watch:
        out.append((event.kind, event.kv.key.rpartition(b"/")[2], event.kv.value))
        if len(out) == count:
            return out


async def watches(client, prefix):
    watch = await client.watch_prefix(prefix, prev_kv=True)
    await client.put(prefix + b"a", b"1")
    await client.delete(prefix + b"a")
    equal("events", await next_events(watch, 2), [("PUT", b"a", b"1"), ("DELETE", b"a", b"")])
    await watch.cancel()
    revision = (await client.put(prefix + b"b", b"2")).header.revision
    await client.delete(prefix + b"b")
    await client.put(prefix + b"c", b"3")
    past = await client.watch_prefix(prefix, start_revision=revision)
    equal("events", await next_events(past, 3), [("PUT", b"b", b"2"), ("DELETE", b"b", b""), ("PUT", b"c", b"3")])
    await past.cancel()
    deleted = await client.watch_prefix(prefix, start_revision=revision, kind=aetcd.EventKind.DELETE)
    equal("events", await next_events(deleted, 1), [("DELETE", b"b", b"")])
    await deleted.cancel()
    once = asyncio.create_task(client.watch_once(prefix + b"d", timeout=BOUND_S))
    while not once.done():
        await client.put(prefix + b"d", b"4")
        await asyncio.sleep(0.01)
    equal("event", once.result().kv.value, b"4")


async def watch_of_compacted(client, prefix):
    await client.put(prefix + b"a", b"1")
    revision = (await client.put(prefix + b"a", b"2")).header.revision
    await client.compact(revision)
    watch = await client.watch(prefix + b"a", start_revision=1)
    await raises(aetcd.exceptions.RevisionCompactedError, next_events(watch, 1))


async def watch_over(client, prefix, how):
    """The watch fails, and is taken up where it was: no event is lost or comes twice."""
    watch = await client.watch_prefix(prefix)
    last = (await client.put(prefix + b"a", b"1")).header.revision
    equal("events", await next_events(watch, 1), [("PUT", b"a", b"1")])
    await ask(how)
    await raises(Exception, next_events(watch, 1))
    await again(lambda: client.put(prefix + b"b", b"2"))
    await client.delete(prefix + b"a")
    watch = await again(lambda: client.watch_prefix(prefix, start_revision=last + 1))
    equal("events", await next_events(watch, 2), [("PUT", b"b", b"2"), ("DELETE", b"a", b"")])


async def leases(client, prefix):
    lease = await client.lease(300)
    for name in (b"a", b"b"):
        await client.put(prefix + name, name, lease=lease)
    equal("keys", sorted(await lease.keys()), [prefix + b"a", prefix + b"b"])
    equal("granted", await lease.granted_ttl(), 300)
    equal("refreshed", (await lease.refresh()).TTL, 300)
    await lease.revoke()
    equal("left", (await client.get_prefix(prefix)).count, 0)
    equal("TTL when revoked", await lease.remaining_ttl(), -1)


async def lease_expiry(client, prefix):
    watch = await client.watch_prefix(prefix, kind=aetcd.EventKind.DELETE)
    lease = await client.lease(2)
    await client.put(prefix + b"a", b"1", lease=lease)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        equal("TTL", (await lease.refresh()).TTL, 2)
        await asyncio.sleep(0.5)
    equal("kept", (await client.get(prefix + b"a")).value, b"1")
    refreshed = time.monotonic()
    await lease.refresh()
    equal("events", await next_events(watch, 1), [("DELETE", b"a", b"")])
    if time.monotonic() - refreshed < 1.9:
        raise AssertionError("expired early")
    equal("TTL when gone", (await lease.refresh()).TTL, 0)


async def lock(client, prefix):
    held = client.lock(prefix + b"lock", ttl=30)
    equal("acquired", await held.acquire(), True)
    other = client.lock(prefix + b"lock", ttl=30)
    equal("acquired by another", await other.acquire(timeout=0), False)
    waiting = asyncio.create_task(other.acquire(timeout=BOUND_S))
    await asyncio.sleep(0)
    equal("still held", await held.is_acquired(), True)
    equal("released", await held.release(), True)
    equal("acquired then", await waiting, True)
    await other.release()


async def maintenance(client, prefix):
    status = await client.status()
    equal("version", status.version[:2], "3.")
    equal("members", len([m async for m in client.members()]), 1)
    equal("alarms", [a async for a in client.list_alarms()], [])
    await client.defragment()
    file = io.BytesIO()
    await client.snapshot(file)
    body, checksum = file.getvalue()[:-32], file.getvalue()[-32:]
    equal("checksum", checksum, hashlib.sha256(body).digest())


CHECKS = [
    ("put and get", put_and_get), ("ranges", ranges), ("delete", deletes), ("txn", txns), ("watch", watches),
    ("watch of compacted", watch_of_compacted), ("lease", leases), ("lease expiry", lease_expiry), ("lock", lock),
    ("maintenance", maintenance),
    ("watch over a restart", lambda client, prefix: watch_over(client, prefix, "restart")),
    ("watch over a kill", lambda client, prefix: watch_over(client, prefix, "kill")),
]


async def main():
    host, _, port = sys.argv[1].rpartition(":")
    options = {"grpc.max_reconnect_backoff_ms": 200, "grpc.initial_reconnect_backoff_ms": 50}
    failed = False
    for name, check in CHECKS:
        try:
            async with aetcd.Client(host, int(port), options=options) as client:
                await asyncio.wait_for(check(client, name.replace(" ", "-").encode() + b"/"), BOUND_S)
            print("pass " + name, flush=True)
        except Exception as e:  # A check's end is what counts, whatever it was.
            print(f"FAIL {name}: {type(e).__name__}: {e}", flush=True)
            failed = True
    sys.exit(failed)


asyncio.run(main())
