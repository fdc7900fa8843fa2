// The bytes that go between members: what real members write is read and written the same, and
// nothing that comes can do harm.
#include "host/peer/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "host/peer/framing.h"

namespace mortise::peer {
namespace {

using raft::Entry;
using raft::Message;
using raft::MessageType;
using Next = StreamDecoder::Next;

// Written by raft 3.7.0.
constexpr const char* kApp =
    "080310edb09e9cd8e8bc5418cdd2918bd2b881cf8e012007280630ac023a0a100718ad0222037075743a051007"
    "18ae023a0b0801100718af022202080140ab02";
constexpr const char* kHeartbeat = "0808100218012007400562080100000000000000";
constexpr const char* kReject = "08041002180120072803300950015804";
constexpr const char* kSnap =
    "08071002180120074a190a027b7d12130a0c08010802100318012004280110e8071806";
// Every scalar and an empty snapshot, as older members write them.
constexpr const char* kOldVote =
    "08051002180120072800300040004a0a12080a0228001000180050005800621043616d706169676e5472616e7366"
    "65726800";

std::string from_hex(std::string_view hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return out;
}

std::string to_hex(std::string_view bytes) {
  std::string out;
  char buffer[3];
  for (unsigned char c : bytes) {
    std::snprintf(buffer, sizeof buffer, "%02x", c);
    out += buffer;
  }
  return out;
}

raft::EntryRef entry(uint64_t term, uint64_t index, std::string data,
                     raft::EntryType type = raft::EntryType::kNormal) {
  return std::make_shared<const Entry>(Entry{term, index, type, std::move(data)});
}

Message app() {
  Message m;
  m.type = MessageType::kApp;
  m.to = 0xa8f3458387986d;
  m.from = 0x8e9e05c52164694d;
  m.term = 7;
  m.log_term = 6;
  m.index = 300;
  m.commit = 299;
  m.entries = {entry(7, 301, "put"), entry(7, 302, ""),
               entry(7, 303, "\x08\x01", raft::EntryType::kConfChange)};
  return m;
}

Message snap() {
  Message m;
  m.type = MessageType::kSnap;
  m.to = 2;
  m.from = 1;
  m.term = 7;
  raft::Snapshot snapshot;
  snapshot.index = 1000;
  snapshot.term = 6;
  snapshot.data = "{}";
  snapshot.conf_state = {{1, 2}, {3}, {1}, {4}, true};
  m.snapshot = std::make_shared<const raft::Snapshot>(snapshot);
  return m;
}

std::string encode(const Message& m) {
  std::string out;
  append_message(m, &out);
  EXPECT_EQ(out.size(), message_size(m));
  return out;
}

Message decode(std::string_view bytes) {
  auto m = decode_message(bytes);
  EXPECT_TRUE(m.ok()) << m.status().message();
  return m.ok() ? m.value() : Message();
}

TEST(Codec, WritesWhatRaft37Writes) {
  EXPECT_EQ(to_hex(encode(app())), kApp);
  EXPECT_EQ(to_hex(encode(snap())), kSnap);
  Message heartbeat;
  heartbeat.type = MessageType::kHeartbeat;
  EXPECT_EQ(to_hex(encode(heartbeat)), "0808");
  heartbeat.to = 2;
  heartbeat.from = 1;
  heartbeat.term = 7;
  heartbeat.commit = 5;
  heartbeat.context = std::string("\x01\0\0\0\0\0\0\0", 8);
  EXPECT_EQ(to_hex(encode(heartbeat)), kHeartbeat);
}

TEST(Codec, ReadsWhatRaft37Writes) {
  Message m = decode(from_hex(kApp));
  ASSERT_EQ(m.entries.size(), 3u);
  EXPECT_EQ(m.entries[0]->data, "put");
  EXPECT_EQ(m.entries[2]->type, raft::EntryType::kConfChange);
  for (const char* hex : {kApp, kHeartbeat, kReject, kSnap}) {
    EXPECT_EQ(to_hex(encode(decode(from_hex(hex)))), hex);
  }
  m = decode(from_hex(kReject));
  EXPECT_TRUE(m.reject);
  EXPECT_EQ(m.reject_hint, 4u);
  m = decode(from_hex(kSnap));
  ASSERT_TRUE(m.snapshot);
  EXPECT_EQ(m.snapshot->conf_state, snap().snapshot->conf_state);
  EXPECT_EQ(m.snapshot->data, "{}");
}

TEST(Codec, ReadsWhatOlderMembersWrite) {
  Message m = decode(from_hex(kOldVote));
  EXPECT_EQ(m.type, MessageType::kVote);
  EXPECT_EQ(m.context, "CampaignTransfer");
  EXPECT_FALSE(m.snapshot);
  EXPECT_FALSE(m.reject);
  EXPECT_EQ(m.commit, 0u);
}

TEST(Codec, SkipsUnknownFieldsAndRefusesUnknownTypes) {
  EXPECT_EQ(decode(from_hex("0808"
                            "a83f05"
                            "b23f03616263"))
                .type,
            MessageType::kHeartbeat);
  for (const char* hex : {"", "0800", "080a", "080c", "0813", "08ff01"}) {
    EXPECT_FALSE(decode_message(from_hex(hex)).ok()) << hex;
  }
  EXPECT_FALSE(decode_message(from_hex("08033a020803")).ok()) << "an entry of type 3";
}

TEST(Codec, TakesPackedIds) {
  Message m =
      decode(from_hex("08074a0a1208"
                      "0a040a0201021005"));
  ASSERT_TRUE(m.snapshot);
  EXPECT_THAT(m.snapshot->conf_state.voters, testing::ElementsAre(1, 2));
}

// Every message of a stream, in pieces of `piece` bytes.
std::vector<Message> read_stream(StreamType type, std::string_view bytes, size_t piece) {
  StreamDecoder decoder(type, 2, 1);
  std::vector<Message> out;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    decoder.input()->append(bytes.substr(at, piece));
    Message m;
    Next next;
    while ((next = decoder.next(&m)) == Next::kMessage) out.push_back(m);
    EXPECT_EQ(next, Next::kMore) << decoder.error().message();
  }
  return out;
}

std::string joined(const OutBatch& batch) {
  std::vector<std::string_view> pieces;
  batch.pieces(&pieces);
  std::string out;
  for (auto piece : pieces) out += piece;
  EXPECT_EQ(out.size(), batch.size());
  return out;
}

Message append_at(uint64_t term, uint64_t log_term, uint64_t index, int entries, size_t size) {
  Message m;
  m.type = MessageType::kApp;
  m.from = 1;
  m.to = 2;
  m.term = term;
  m.log_term = log_term;
  m.index = index;
  m.commit = index;
  for (int i = 1; i <= entries; ++i) {
    m.entries.push_back(entry(term, index + i, std::string(size, static_cast<char>('a' + i))));
  }
  return m;
}

TEST(Framing, MsgAppV2KeepsStateAndLeavesOutWhatIsKnown) {
  const std::vector<Message> sent = {
      append_at(5, 4, 10, 2, 3),  // Another term before it: in full.
      append_at(5, 5, 12, 3, 3),  // Goes on: entries only.
      append_at(5, 5, 15, 0, 0),  // Nothing but a commit index.
      append_at(5, 5, 15, 2, 40 << 10),
      append_at(5, 5, 12, 1, 3),  // Again from further back: in full.
      append_at(6, 5, 13, 1, 3)};
  StreamEncoder encoder(StreamType::kMsgAppV2);
  OutBatch batch;
  std::string kinds;
  for (const Message& m : sent) {
    const size_t before = batch.size();
    encoder.encode(m, &batch);
    kinds += std::to_string(joined(batch)[before]);
  }
  encoder.encode_heartbeat(&batch);
  EXPECT_EQ(kinds, "211122");
  const std::string bytes = joined(batch);
  for (size_t piece : {size_t{1}, size_t{7}, size_t{65536}, bytes.size()}) {
    auto got = read_stream(StreamType::kMsgAppV2, bytes, piece);
    ASSERT_EQ(got.size(), sent.size() + 1);
    for (size_t i = 0; i < sent.size(); ++i) EXPECT_EQ(encode(got[i]), encode(sent[i])) << i;
    EXPECT_TRUE(is_link_heartbeat(got.back()));
  }
}

TEST(Framing, MessagesFollowEachOther) {
  StreamEncoder encoder(StreamType::kMessage);
  OutBatch batch;
  encoder.encode(app(), &batch);
  encoder.encode_heartbeat(&batch);
  encoder.encode(app(), &batch);
  for (size_t piece : {1, 9, 1000}) {
    auto got = read_stream(StreamType::kMessage, joined(batch), piece);
    ASSERT_EQ(got.size(), 3u);
    EXPECT_EQ(to_hex(encode(got[0])), kApp);
    EXPECT_TRUE(is_link_heartbeat(got[1]));
  }
}

TEST(Framing, RefusesLengthsBeyondTheLimit) {
  for (auto [type, head] : {std::pair(StreamType::kMessage, std::string()),
                            std::pair(StreamType::kMsgAppV2, std::string("\x02")),
                            std::pair(StreamType::kMsgAppV2, std::string("\x01"))}) {
    StreamDecoder decoder(type, 2, 1);
    *decoder.input() = head;
    append_big_endian(kMessageBytesMax + 1, decoder.input());
    Message m;
    EXPECT_EQ(decoder.next(&m), Next::kBad);
    EXPECT_EQ(decoder.next(&m), Next::kBad);
  }
  StreamDecoder decoder(StreamType::kMsgAppV2, 2, 1);
  *decoder.input() = "\x07";
  Message m;
  EXPECT_EQ(decoder.next(&m), Next::kBad);
  EXPECT_EQ(decoder.error().message(), "failed to parse type 7 in msgappv2 stream");
}

// Whatever comes is read to its end or refused; sanitizers look on.
TEST(Framing, DamagedStreamsDoNoHarm) {
  std::mt19937_64 random(20211);
  OutBatch batch;
  StreamEncoder encoder(StreamType::kMsgAppV2);
  for (int i = 0; i < 20; ++i) encoder.encode(append_at(5, 5, i * 2, 2, 20), &batch);
  const std::string app_stream = joined(batch);
  OutBatch other;
  StreamEncoder plain(StreamType::kMessage);
  for (int i = 0; i < 10; ++i) plain.encode(i % 2 ? app() : snap(), &other);
  const std::string message_stream = joined(other);
  for (int round = 0; round < 20000; ++round) {
    const bool is_app = round % 2 == 0;
    std::string bytes = is_app ? app_stream : message_stream;
    for (uint64_t n = 1 + random() % 3; n > 0; --n) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    bytes.resize(random() % bytes.size());
    StreamDecoder decoder(is_app ? StreamType::kMsgAppV2 : StreamType::kMessage, 2, 1);
    decoder.input()->append(bytes);
    Message m;
    size_t count = 0;
    while (decoder.next(&m) == Next::kMessage) {
      encode(m);
      ASSERT_LT(++count, bytes.size() + 1);
    }
  }
}

}  // namespace
}  // namespace mortise::peer
