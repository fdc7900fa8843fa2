import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

import io.etcd.jetcd.ByteSequence;
import io.etcd.jetcd.Client;
import io.etcd.jetcd.Election;
import io.etcd.jetcd.KeyValue;
import io.etcd.jetcd.Watch;
import io.etcd.jetcd.election.CampaignResponse;
import io.etcd.jetcd.election.LeaderKey;
import io.etcd.jetcd.election.LeaderResponse;
import io.etcd.jetcd.kv.GetResponse;
import io.etcd.jetcd.kv.TxnResponse;
import io.etcd.jetcd.lock.LockResponse;
import io.etcd.jetcd.op.Cmp;
import io.etcd.jetcd.op.CmpTarget;
import io.etcd.jetcd.op.Op;
import io.etcd.jetcd.options.CompactOption;
import io.etcd.jetcd.options.DeleteOption;
import io.etcd.jetcd.options.GetOption;
import io.etcd.jetcd.options.LeaseOption;
import io.etcd.jetcd.options.PutOption;
import io.etcd.jetcd.options.WatchOption;
import io.etcd.jetcd.support.CloseableClient;
import io.etcd.jetcd.support.Observers;
import io.etcd.jetcd.watch.WatchEvent;

/** The checks of jetcd. See ../run.py for how a restart of the server is asked for. */
public final class Main {
  private static final long BOUND_S = 60;
  private static final BufferedReader INPUT =
      new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));

  private interface Body {
    void run(Client client, String prefix) throws Exception;
  }

  private static final class Check {
    final String name;
    final Body body;

    Check(String name, Body body) {
      this.name = name;
      this.body = body;
    }
  }

  private static final List<Check> CHECKS = Arrays.asList(
      new Check("put and get", Main::putAndGet),
      new Check("ranges", Main::ranges),
      new Check("delete", Main::deletes),
      new Check("txn", Main::txns),
      new Check("watch", Main::watches),
      new Check("watch of compacted", Main::watchOfCompacted),
      new Check("lease", Main::leases),
      new Check("lease keep-alive and expiry", Main::leaseExpiry),
      new Check("lock by txn and lease", Main::lockByTxn),
      new Check("lock", Main::lock),
      new Check("election", Main::election),
      new Check("maintenance", Main::maintenance),
      new Check("watch over a restart", (client, prefix) -> watchOver(client, prefix, "restart")),
      new Check("watch over a kill", (client, prefix) -> watchOver(client, prefix, "kill")));

  public static void main(String[] arguments) {
    boolean failed = false;
    for (Check check : CHECKS) {
      try (Client client = Client.builder().endpoints("http://" + arguments[0])
          .retryMaxDuration(Duration.ofSeconds(BOUND_S)).build()) {
        check.body.run(client, check.name.replace(' ', '-') + "/");
        System.out.println("pass " + check.name);
      } catch (Exception | AssertionError e) {
        System.out.println("FAIL " + check.name + ": " + e);
        failed = true;
      }
      System.out.flush();
    }
    System.exit(failed ? 1 : 0);
  }

  private static ByteSequence bytes(String text) {
    return ByteSequence.from(text, StandardCharsets.UTF_8);
  }

  private static String text(ByteSequence bytes) {
    return bytes.toString(StandardCharsets.UTF_8);
  }

  private static <T> T wait(CompletableFuture<T> future) throws Exception {
    return future.get(BOUND_S, TimeUnit.SECONDS);
  }

  private static void equal(String what, Object value, Object wanted) {
    if (!value.equals(wanted)) {
      throw new AssertionError(what + ": " + value + " instead of " + wanted);
    }
  }

  /** Stops the server, "restart" in order and "kill" not, and starts it again. */
  private static void ask(String what) throws IOException {
    System.out.println(what);
    System.out.flush();
    equal("the driver's answer", String.valueOf(INPUT.readLine()), "restarted");
  }

  private static String names(GetResponse response) {
    List<String> out = new ArrayList<>();
    for (KeyValue kv : response.getKvs()) {
      String key = text(kv.getKey());
      out.add(key.substring(key.lastIndexOf('/') + 1));
    }
    return String.join(" ", out);
  }

  private static GetOption.Builder prefix() {
    return GetOption.builder().isPrefix(true);
  }

  private static GetResponse list(Client client, String prefix, GetOption.Builder option)
      throws Exception {
    return wait(client.getKVClient().get(bytes(prefix), option.build()));
  }

  private static long put(Client client, String key, String value) throws Exception {
    return wait(client.getKVClient().put(bytes(key), bytes(value))).getHeader().getRevision();
  }

  private static void putAndGet(Client client, String prefix) throws Exception {
    long first = put(client, prefix + "a", "1");
    PutOption withPrevious = PutOption.builder().withPrevKV().build();
    KeyValue previous = wait(client.getKVClient().put(bytes(prefix + "a"), bytes("2"), withPrevious))
        .getPrevKv();
    equal("previous value", text(previous.getValue()), "1");
    KeyValue kv = wait(client.getKVClient().get(bytes(prefix + "a"))).getKvs().get(0);
    equal("value", text(kv.getValue()), "2");
    equal("version", kv.getVersion(), 2L);
    equal("created", kv.getCreateRevision(), first);
    equal("modified", kv.getModRevision(), first + 1);
    GetResponse old = list(client, prefix + "a", GetOption.builder().withRevision(first));
    equal("old value", text(old.getKvs().get(0).getValue()), "1");
    equal("a key that is not there", wait(client.getKVClient().get(bytes(prefix + "b"))).getCount(), 0L);
  }

  private static void ranges(Client client, String prefix) throws Exception {
    for (String name : new String[] {"c", "a", "d", "b"}) {
      put(client, prefix + name, "value of " + name);
    }
    equal("prefix", names(list(client, prefix, prefix())), "a b c d");
    GetOption.Builder range = GetOption.builder().withRange(bytes(prefix + "d"));
    equal("range", names(list(client, prefix + "b", range)), "b c");
    GetResponse page = list(client, prefix, prefix().withLimit(3));
    equal("page", names(page), "a b c");
    equal("more", page.isMore(), true);
    equal("count", page.getCount(), 4L);
    equal("by time", names(list(client, prefix, prefix().withSortField(GetOption.SortTarget.MOD)
        .withSortOrder(GetOption.SortOrder.ASCEND))), "c a d b");
    GetResponse keys = list(client, prefix, prefix().withKeysOnly(true).withSerializable(true));
    equal("keys only", text(keys.getKvs().get(0).getValue()), "");
    GetResponse count = list(client, prefix, prefix().withCountOnly(true));
    equal("count only", count.getCount() + " " + count.getKvs().size(), "4 0");
    long revision = page.getKvs().get(0).getModRevision();
    equal("since", names(list(client, prefix, prefix().withMinModRevision(revision))), "a b d");
  }

  private static void deletes(Client client, String prefix) throws Exception {
    for (String name : new String[] {"a", "b", "c"}) {
      put(client, prefix + name, name);
    }
    DeleteOption withPrevious = DeleteOption.builder().withPrevKV(true).build();
    equal("previous value", text(wait(client.getKVClient().delete(bytes(prefix + "a"), withPrevious))
        .getPrevKvs().get(0).getValue()), "a");
    equal("deleted", wait(client.getKVClient().delete(bytes(prefix + "a"))).getDeleted(), 0L);
    DeleteOption all = DeleteOption.builder().isPrefix(true).build();
    equal("deleted", wait(client.getKVClient().delete(bytes(prefix), all)).getDeleted(), 2L);
    equal("left", list(client, prefix, prefix()).getCount(), 0L);
  }

  private static TxnResponse create(Client client, String key, String value, PutOption option)
      throws Exception {
    return wait(client.getKVClient().txn()
        .If(new Cmp(bytes(key), Cmp.Op.EQUAL, CmpTarget.createRevision(0)))
        .Then(Op.put(bytes(key), bytes(value), option))
        .Else(Op.get(bytes(key), GetOption.DEFAULT)).commit());
  }

  private static void txns(Client client, String prefix) throws Exception {
    String a = prefix + "a";
    equal("created", create(client, a, "1", PutOption.DEFAULT).isSucceeded(), true);
    TxnResponse again = create(client, a, "2", PutOption.DEFAULT);
    equal("created again", again.isSucceeded(), false);
    equal("else", text(again.getGetResponses().get(0).getKvs().get(0).getValue()), "1");
    Op.TxnOp inner = Op.txn(new Cmp[] {new Cmp(bytes(a), Cmp.Op.GREATER, CmpTarget.version(0))},
        new Op[] {Op.put(bytes(prefix + "b"), bytes("inner"), PutOption.DEFAULT)}, new Op[0]);
    TxnResponse outer = wait(client.getKVClient().txn()
        .If(new Cmp(bytes(a), Cmp.Op.EQUAL, CmpTarget.value(bytes("1"))),
            new Cmp(bytes(a), Cmp.Op.LESS, CmpTarget.modRevision(1L << 40)))
        .Then(inner, Op.delete(bytes(a), DeleteOption.DEFAULT)).commit());
    equal("all compares", outer.isSucceeded(), true);
    equal("inner txn", outer.getTxnResponses().get(0).isSucceeded(), true);
    equal("keys", names(list(client, prefix, prefix())), "b");
  }

  /** What a watch brings, as "PUT a=1", in a queue. */
  private static final class Events implements AutoCloseable {
    final BlockingQueue<String> seen = new LinkedBlockingQueue<>();
    final BlockingQueue<String> errors = new LinkedBlockingQueue<>();
    final Watch.Watcher watcher;

    Events(Client client, String prefix, WatchOption.Builder option) throws Exception {
      CompletableFuture<Boolean> created = new CompletableFuture<>();
      WatchOption all = option.isPrefix(true).withCreateNotify(true).build();
      watcher = client.getWatchClient().watch(bytes(prefix), all, response -> {
        created.complete(true);
        for (WatchEvent event : response.getEvents()) {
          String key = text(event.getKeyValue().getKey());
          seen.add(event.getEventType() + " " + key.substring(prefix.length()) + "="
              + text(event.getKeyValue().getValue()));
        }
      }, error -> {
        errors.add(error.getMessage());
        created.complete(false);
      });
      Main.wait(created);
    }

    void expect(String... wanted) throws Exception {
      for (String event : wanted) {
        equal("event", String.valueOf(seen.poll(BOUND_S, TimeUnit.SECONDS)), event);
      }
    }

    @Override
    public void close() {
      watcher.close();
    }
  }

  private static void watches(Client client, String prefix) throws Exception {
    long first;
    try (Events events = new Events(client, prefix, WatchOption.builder().withPrevKV(true))) {
      first = put(client, prefix + "a", "1");
      wait(client.getKVClient().delete(bytes(prefix + "a")));
      events.expect("PUT a=1", "DELETE a=");
    }
    try (Events events = new Events(client, prefix, WatchOption.builder().withRevision(first))) {
      put(client, prefix + "b", "2");
      events.expect("PUT a=1", "DELETE a=", "PUT b=2");
    }
    WatchOption.Builder noPut = WatchOption.builder().withRevision(first).withNoPut(true);
    try (Events events = new Events(client, prefix, noPut)) {
      events.expect("DELETE a=");
    }
  }

  private static void watchOfCompacted(Client client, String prefix) throws Exception {
    put(client, prefix + "a", "1");
    long revision = put(client, prefix + "a", "2");
    CompactOption physical = CompactOption.builder().withCompactPhysical(true).build();
    wait(client.getKVClient().compact(revision, physical));
    try (Events events = new Events(client, prefix, WatchOption.builder().withRevision(1))) {
      equal("error", String.valueOf(events.errors.poll(BOUND_S, TimeUnit.SECONDS)),
          "etcdserver: mvcc: required revision has been compacted");
    }
  }

  /**
   * The client says that the connection is lost, and takes the watch up again by itself; no event is
   * lost or comes twice.
   */
  private static void watchOver(Client client, String prefix, String how) throws Exception {
    try (Events events = new Events(client, prefix, WatchOption.builder())) {
      put(client, prefix + "a", "1");
      events.expect("PUT a=1");
      ask(how);
      equal("the watch says so", events.errors.poll(BOUND_S, TimeUnit.SECONDS) != null, true);
      PutOption retry = PutOption.builder().withAutoRetry().build();
      wait(client.getKVClient().put(bytes(prefix + "b"), bytes("2"), retry));
      wait(client.getKVClient().delete(bytes(prefix + "a")));
      events.expect("PUT b=2", "DELETE a=");
    }
  }

  private static PutOption leased(long lease) {
    return PutOption.builder().withLeaseId(lease).build();
  }

  private static void leases(Client client, String prefix) throws Exception {
    long lease = wait(client.getLeaseClient().grant(300)).getID();
    for (String name : new String[] {"a", "b"}) {
      wait(client.getKVClient().put(bytes(prefix + name), bytes(name), leased(lease)));
    }
    LeaseOption withKeys = LeaseOption.builder().withAttachedKeys().build();
    equal("keys", wait(client.getLeaseClient().timeToLive(lease, withKeys)).getKeys().size(), 2);
    wait(client.getLeaseClient().revoke(lease));
    equal("left", list(client, prefix, prefix()).getCount(), 0L);
    equal("TTL when revoked",
        wait(client.getLeaseClient().timeToLive(lease, LeaseOption.DEFAULT)).getTTL(), -1L);
  }

  private static void leaseExpiry(Client client, String prefix) throws Exception {
    try (Events events = new Events(client, prefix, WatchOption.builder().withNoPut(true))) {
      long lease = wait(client.getLeaseClient().grant(2)).getID();
      wait(client.getKVClient().put(bytes(prefix + "a"), bytes("1"), leased(lease)));
      BlockingQueue<Long> answers = new LinkedBlockingQueue<>();
      CloseableClient kept = client.getLeaseClient().keepAlive(lease,
          Observers.observer(response -> answers.add(response.getTTL())));
      long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(4);
      while (System.nanoTime() < end) {
        equal("TTL", answers.poll(BOUND_S, TimeUnit.SECONDS), 2L);
      }
      equal("kept", names(list(client, prefix, prefix())), "a");
      kept.close();
      events.expect("DELETE a=");
    }
  }

  private static void lockByTxn(Client client, String prefix) throws Exception {
    String key = prefix + "lock";
    long holder = wait(client.getLeaseClient().grant(30)).getID();
    long other = wait(client.getLeaseClient().grant(30)).getID();
    equal("taken", create(client, key, "one", leased(holder)).isSucceeded(), true);
    equal("taken twice", create(client, key, "two", leased(other)).isSucceeded(), false);
    try (Events events = new Events(client, prefix, WatchOption.builder().withNoPut(true))) {
      wait(client.getLeaseClient().revoke(holder));
      events.expect("DELETE lock=");
    }
    equal("taken then", create(client, key, "two", leased(other)).isSucceeded(), true);
  }

  private static void lock(Client client, String prefix) throws Exception {
    ByteSequence name = bytes(prefix + "lock");
    long one = wait(client.getLeaseClient().grant(30)).getID();
    long two = wait(client.getLeaseClient().grant(30)).getID();
    ByteSequence held = wait(client.getLockClient().lock(name, one)).getKey();
    CompletableFuture<LockResponse> waiting = client.getLockClient().lock(name, two);
    while (list(client, prefix, prefix()).getCount() < 2) {
      Thread.sleep(10);
    }
    equal("locked by two", waiting.isDone(), false);
    wait(client.getLockClient().unlock(held));
    ByteSequence next = wait(waiting).getKey();
    // The lock of a lease that ends is free.
    wait(client.getLeaseClient().revoke(two));
    equal("its key", wait(client.getKVClient().get(next)).getCount(), 0L);
    wait(client.getLockClient().lock(name, one));
  }

  private static void election(Client client, String prefix) throws Exception {
    ByteSequence name = bytes(prefix + "contest");
    long one = wait(client.getLeaseClient().grant(30)).getID();
    long two = wait(client.getLeaseClient().grant(30)).getID();
    LeaderKey leader = wait(client.getElectionClient().campaign(name, one, bytes("one"))).getLeader();
    BlockingQueue<String> seen = new LinkedBlockingQueue<>();
    client.getElectionClient().observe(name, new Election.Listener() {
      @Override
      public void onNext(LeaderResponse response) {
        seen.add(text(response.getKv().getValue()));
      }

      @Override
      public void onError(Throwable error) {
        seen.add(error.toString());
      }

      @Override
      public void onCompleted() {}
    });
    equal("observed", seen.poll(BOUND_S, TimeUnit.SECONDS), "one");
    CompletableFuture<CampaignResponse> waiting =
        client.getElectionClient().campaign(name, two, bytes("two"));
    wait(client.getElectionClient().proclaim(leader, bytes("one again")));
    equal("observed", seen.poll(BOUND_S, TimeUnit.SECONDS), "one again");
    equal("leader", text(wait(client.getElectionClient().leader(name)).getKv().getValue()),
        "one again");
    wait(client.getElectionClient().resign(leader));
    wait(waiting);
    equal("observed", seen.poll(BOUND_S, TimeUnit.SECONDS), "two");
  }

  private static void maintenance(Client client, String prefix) throws Exception {
    String endpoint = text(bytes("http://")) + client.getClusterClient().listMember()
        .get(BOUND_S, TimeUnit.SECONDS).getMembers().get(0).getClientURIs().get(0).getAuthority();
    equal("version", wait(client.getMaintenanceClient().statusMember(endpoint)).getVersion()
        .substring(0, 2), "3.");
    equal("alarms", wait(client.getMaintenanceClient().listAlarms()).getAlarms().size(), 0);
    wait(client.getMaintenanceClient().defragmentMember(endpoint));
    int hash = wait(client.getMaintenanceClient().hashKV(endpoint, 0)).getHash();
    equal("hash again", wait(client.getMaintenanceClient().hashKV(endpoint, 0)).getHash(), hash);
    ByteArrayOutputStream file = new ByteArrayOutputStream();
    wait(client.getMaintenanceClient().snapshot(file));
    byte[] all = file.toByteArray();
    byte[] body = Arrays.copyOf(all, all.length - 32);
    byte[] checksum = Arrays.copyOfRange(all, all.length - 32, all.length);
    equal("checksum", Arrays.equals(MessageDigest.getInstance("SHA-256").digest(body), checksum), true);
  }
}
