// The checks of etcd3 for Node. See ../run.py for how a restart of the server is asked for.
'use strict';

const assert = require('assert').strict;
const readline = require('readline');
const { Etcd3, EtcdLockFailedError } = require('etcd3');

const BOUND_MS = 60000;
const endpoint = process.argv[2];
const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

// Stops the server, "restart" in order and "kill" not, and starts it again.
async function ask(what) {
  console.log(what);
  assert.equal((await answers.next()).value, 'restarted');
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

// Until the connection is there again.
async function again(call) {
  for (;;) {
    try {
      return await call();
    } catch (e) {
      if (!/UNAVAILABLE|Connection dropped|ECONNREFUSED|ECONNRESET/.test(`${e.name} ${e.message}`)) throw e;
      await sleep(50);
    }
  }
}

async function putAndGet(client) {
  const first = await client.put('a').value('1');
  const second = await client.put('a').value(Buffer.from([0, 255]));
  assert.equal(Number(second.header.revision), Number(first.header.revision) + 1);
  assert.deepEqual(await client.get('a').buffer(), Buffer.from([0, 255]));
  const kv = (await client.get('a').exec()).kvs[0];
  assert.equal(kv.version, '2');
  assert.equal(kv.create_revision, first.header.revision);
  assert.equal(await client.get('a').revision(first.header.revision).string(), '1');
  assert.equal(await client.get('b'), null);
  assert.equal((await client.put('a').value('3').getPrevious()).value.length, 2);
  assert.equal(await client.get('a').serializable(true), '3');
}

async function ranges(client) {
  for (const name of ['c', 'a', 'd', 'b']) await client.put(`k/${name}`).value(`value of ${name}`);
  assert.deepEqual(await client.getAll().prefix('k/').keys(), ['k/a', 'k/b', 'k/c', 'k/d']);
  assert.deepEqual(await client.getAll().inRange({ start: 'k/b', end: 'k/d' }).keys(), ['k/b', 'k/c']);
  assert.deepEqual(await client.getAll().prefix('k/').limit(2).sort('Key', 'Descend').strings(),
    { 'k/d': 'value of d', 'k/c': 'value of c' });
  const page = await client.getAll().prefix('k/').limit(3).exec();
  assert.deepEqual([page.kvs.length, page.count, page.more], [3, '4', true]);
  assert.deepEqual(await client.getAll().prefix('k/').sort('Mod', 'Ascend').keys(), ['k/c', 'k/a', 'k/d', 'k/b']);
  assert.equal(await client.getAll().prefix('k/').count(), 4);
}

async function deletes(client) {
  for (const name of ['a', 'b', 'c']) await client.put(name).value(name);
  assert.equal((await client.delete().key('a').getPrevious())[0].value.toString(), 'a');
  assert.equal((await client.delete().key('a').exec()).deleted, '0');
  assert.equal((await client.delete().all().exec()).deleted, '2');
  assert.equal(await client.getAll().count(), 0);
}

async function txns(client) {
  const create = () => client.if('a', 'Create', '==', 0)
    .then(client.put('a').value('1'), client.put('b').value('2')).else(client.get('a')).commit();
  assert.equal((await create()).succeeded, true);
  const again = await create();
  assert.equal(again.succeeded, false);
  assert.equal(again.responses[0].response_range.kvs[0].value.toString(), '1');
  const all = await client.if('a', 'Value', '==', '1').and('a', 'Version', '>', 0).and('b', 'Mod', '!=', 1)
    .and('b', 'Lease', '==', 0).then(client.delete().all(), client.get('a')).commit();
  assert.equal(all.succeeded, true);
  assert.equal(all.responses[0].response_delete_range.deleted, '2');
  assert.equal(all.responses[1].response_range.kvs.length, 0);
}

async function stm(client) {
  await client.put('counter').value(0);
  await Promise.all([...Array(4)].map(async () => {
    for (let i = 0; i < 10; i++) {
      await client.stm({ retries: 1000 }).transact(async (tx) => {
        const value = await tx.get('counter').number();
        await tx.put('counter').value(value + 1);
      });
    }
  }));
  assert.equal(await client.get('counter').number(), 40);
}

// Events as "put a=1", and a promise of so many.
function collect(watcher) {
  const seen = [];
  let changed = () => {};
  watcher.on('put', (kv) => { seen.push(`put ${kv.key}=${kv.value}`); changed(); });
  watcher.on('delete', (kv) => { seen.push(`delete ${kv.key}`); changed(); });
  return async (...wanted) => {
    while (seen.length < wanted.length) await new Promise((resolve) => { changed = resolve; });
    assert.deepEqual(seen.splice(0, wanted.length), wanted);
  };
}

async function watches(client) {
  const watcher = await client.watch().prefix('').withPreviousKV().create();
  const expect = collect(watcher);
  const first = await client.put('a').value('1');
  await client.delete().key('a');
  await expect('put a=1', 'delete a');
  await watcher.cancel();
  const past = await client.watch().prefix('').startRevision(first.header.revision).create();
  const expectPast = collect(past);
  await client.put('b').value('2');
  await expectPast('put a=1', 'delete a', 'put b=2');
  await past.cancel();
  const deletesOnly = await client.watch().prefix('').startRevision(first.header.revision).only('delete').create();
  await collect(deletesOnly)('delete a');
  await deletesOnly.cancel();
}

// The client takes the watch up again by itself; no event is lost or comes twice.
async function watchOver(client, how) {
  const watcher = await client.watch().prefix('').create();
  const expect = collect(watcher);
  await client.put('a').value('1');
  await expect('put a=1');
  const connected = new Promise((resolve) => watcher.on('connected', resolve));
  await ask(how);
  await again(() => client.put('b').value('2').exec());
  await again(() => client.delete().key('a').exec());
  await connected;
  await expect('put b=2', 'delete a');
  await watcher.cancel();
}

async function leases(client) {
  const lease = client.lease(300);
  await Promise.all(['a', 'b'].map((name) => lease.put(name).value(name)));
  const id = await lease.grant();
  assert.equal((await client.get('a').exec()).kvs[0].lease, id);
  const left = await client.leaseClient.leaseTimeToLive({ ID: id, keys: true });
  assert.deepEqual([left.grantedTTL, left.keys.length], ['300', 2]);
  assert.ok((await client.leaseClient.leaseLeases({})).leases.some((entry) => entry.ID === id));
  await lease.revoke();
  assert.equal(await client.getAll().count(), 0);
}

async function leaseExpiry(client) {
  const watcher = await client.watch().key('a').only('delete').create();
  const expect = collect(watcher);
  const lease = client.lease(2);
  await lease.put('a').value('1');
  const kept = Date.now() + 4000;
  while (Date.now() < kept) {
    assert.equal(await client.get('a'), '1');
    await sleep(200);
  }
  assert.equal((await lease.keepaliveOnce()).TTL, '2');
  lease.release();  // Not revoked: it runs out.
  await expect('delete a');
  await watcher.cancel();
}

async function lock(client) {
  const held = client.lock('lock').ttl(30);
  await held.acquire();
  await assert.rejects(client.lock('lock').acquire(), EtcdLockFailedError);
  await held.release();
  assert.equal(await client.lock('lock').do(() => 'done'), 'done');
}

async function election(client) {
  const contest = client.election('contest', 10);
  const one = contest.campaign('one');
  await one.wait();
  assert.equal(await contest.leader(), 'one');
  const observer = await contest.observe();
  const two = contest.campaign('two');
  await one.proclaim('one again');
  assert.equal(await contest.leader(), 'one again');
  await one.resign();
  await two.wait();
  while (observer.leader() !== 'two') await new Promise((resolve) => observer.once('change', resolve));
  await observer.cancel();
  await two.resign();
}

async function maintenance(client, whole) {
  assert.match((await whole.maintenance.status()).version, /^3\./);
  assert.equal((await whole.cluster.memberList({})).members.length, 1);
  assert.deepEqual((await whole.maintenance.alarm({ action: 'Get' })).alarms, []);
  assert.ok((await whole.maintenance.hash()).hash > 0);
}

const CHECKS = {
  'put and get': putAndGet,
  ranges,
  delete: deletes,
  txn: txns,
  STM: stm,
  watch: watches,
  lease: leases,
  'lease keep-alive and expiry': leaseExpiry,
  lock,
  election,
  maintenance,
  'watch over a restart': (client) => watchOver(client, 'restart'),
  'watch over a kill': (client) => watchOver(client, 'kill'),
};

async function run(name, check) {
  const client = new Etcd3({ hosts: endpoint });
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('not within its time')), BOUND_MS);
  });
  try {
    await Promise.race([check(client.namespace(`${name}/`), client), late]);
    console.log(`pass ${name}`);
    return true;
  } catch (e) {
    console.log(`FAIL ${name}: ${String(e.stack).replace(/\n/g, ' | ')}`);
    return false;
  } finally {
    clearTimeout(timer);
    client.close();
  }
}

(async () => {
  let failed = false;
  for (const [name, check] of Object.entries(CHECKS)) failed = !(await run(name, check)) || failed;
  process.exit(failed ? 1 : 0);
})();
