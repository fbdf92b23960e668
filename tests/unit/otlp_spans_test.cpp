// SPDX-License-Identifier: Apache-2.0
// What a span says: read back by protobuf, held against the record as JSON, the tables of fields,
// rheo-otlp(5), a golden file for each kind, and protoc with the schema that is installed.
#include "tests/unit/otlp_spans.h"

#include <gmock/gmock.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "daemon/model/trace_id.h"
#include "export/flow_fields.h"
#include "export/json/encode_json.h"
#include "export/otlp/span_fields.h"
#include "tests/tools/server_record.h"

namespace {
std::atomic<std::size_t> allocations = 0;
}  // namespace

// Every allocation of this program is counted.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  void* const memory = std::malloc(size);
  if (memory == nullptr) std::abort();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace rheo::test {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;

std::string read(const fs::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

google::protobuf::Struct json_of(const FlowRecord& record) {
  std::string line;
  const LinkTable table = links_with_mac();
  const AddressClasses known = classes();
  append_json(line, record, {.links = table, .classes = &known});
  google::protobuf::Struct object;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(line, &object).ok()) << line;
  return object;
}

std::vector<std::string> strings_of(const google::protobuf::ListValue& list) {
  std::vector<std::string> texts;
  for (const auto& value : list.values()) texts.push_back(value.string_value());
  return texts;
}

std::vector<std::string> strings_of(const AnyValue& value) {
  std::vector<std::string> texts;
  for (const auto& one : value.array_value().values()) texts.push_back(one.string_value());
  return texts;
}

void expect_same(const google::protobuf::Value& json, const AnyValue& value, const std::string& name) {
  if (json.has_string_value()) {
    ASSERT_EQ(value.value_case(), AnyValue::kStringValue) << name;
    EXPECT_EQ(value.string_value(), json.string_value()) << name;
  } else if (json.has_number_value()) {
    ASSERT_EQ(value.value_case(), AnyValue::kIntValue) << name;
    EXPECT_EQ(value.int_value(), static_cast<std::int64_t>(json.number_value())) << name;
  } else {
    ASSERT_EQ(value.value_case(), AnyValue::kArrayValue) << name;
    EXPECT_EQ(strings_of(value), strings_of(json.list_value())) << name;
  }
}

bool is_span_field(const std::string& name) {
  return std::ranges::any_of(kSpanFields, [&](const FlowField& field) { return field.name == name; });
}

TEST(OtlpSpan, SaysWhatTheJsonLineSaysAndItsOwnFields) {
  for (const Kind& kind : kinds()) {
    const google::protobuf::Struct json = json_of(kind.record);
    const AddressClasses known = classes();
    std::map<std::string, AnyValue> attributes = attributes_of(span_of(kind.record, {}, &known));
    for (const auto& [name, value] : json.fields()) {
      if (name == "start" || name == "end") continue;
      ASSERT_TRUE(attributes.contains(name)) << kind.name << ": " << name;
      expect_same(value, attributes.at(name), std::string(kind.name) + ": " + name);
      attributes.erase(name);
    }
    for (const auto& [name, value] : attributes) {
      EXPECT_TRUE(is_span_field(name)) << kind.name << ": " << name;
      EXPECT_EQ(value.value_case(), AnyValue::kStringValue) << name;
      EXPECT_NE(value.string_value(), "") << name;
    }
  }
}

TEST(OtlpSpan, EveryFieldOfItsOwnTableIsInOneKind) {
  std::set<std::string> seen;
  std::vector<Kind> all = kinds();
  all.push_back({"answered with a reason", icmp_record()});
  all.back().record.reverse.icmp_type = 3;
  all.back().record.reverse.icmp_code = 3;
  for (const Kind& kind : all)
    for (const auto& [name, value] : attributes_of(span_of(kind.record))) seen.insert(name);
  for (const FlowField& field : kSpanFields)
    EXPECT_TRUE(seen.contains(std::string(field.name))) << field.name;
}

TEST(OtlpSpan, OwnFieldsHaveTheirWords) {
  auto tcp = attributes_of(span_of(tcp_record()));
  EXPECT_EQ(tcp.at("flow.direction").string_value(), "forward");
  EXPECT_EQ(tcp.at("flow.ip.dscp.name").string_value(), "ef");
  EXPECT_EQ(tcp.at("flow.ip.ecn.name").string_value(), "non-ect");
  EXPECT_EQ(tcp.at("network.interface.mac").string_value(), "02:00:00:00:00:99");
  auto icmp = attributes_of(span_of(icmp_record()));
  EXPECT_EQ(icmp.at("flow.direction").string_value(), "unknown");
  EXPECT_EQ(icmp.at("flow.icmp.type.name").string_value(), "echo");
  EXPECT_EQ(icmp.at("flow.reverse.icmp.type.name").string_value(), "echo_reply");
  auto icmp6 = attributes_of(span_of(icmp6_record()));
  EXPECT_EQ(icmp6.at("flow.icmp.type.name").string_value(), "destination_unreachable");
  EXPECT_EQ(icmp6.at("flow.icmp.code.name").string_value(), "port_unreachable");
  EXPECT_FALSE(icmp6.contains("flow.reverse.icmp.type.id"));
  auto ipip = attributes_of(span_of(ipip_record()));
  EXPECT_EQ(ipip.at("ipip.network.type").string_value(), "ipv4");
  EXPECT_EQ(ipip.at("ipip.network.transport").string_value(), "ipip");
  EXPECT_EQ(ipip.at("ipip.source.address").string_value(), "203.0.113.1");
  EXPECT_EQ(ipip.at("ipip.destination.address").string_value(), "203.0.113.2");
  EXPECT_FALSE(attributes_of(span_of(fullest_record())).contains("ipip.source.address"));
}

TEST(OtlpSpan, NameWindowAndIds) {
  FlowRecord record = tcp_record();
  const Span span = span_of(record);
  EXPECT_EQ(span.name(), "flow_ipv4_tcp");
  EXPECT_EQ(span_of(icmp6_record()).name(), "flow_ipv6_icmpv6");
  EXPECT_EQ(span.start_time_unix_nano(), record.start_ns);
  EXPECT_EQ(span.end_time_unix_nano(), record.end_ns);
  EXPECT_EQ(span.trace_id().size(), 16U);
  EXPECT_EQ(span.span_id().size(), 8U);
  EXPECT_EQ(span.parent_span_id(), "");
  EXPECT_EQ(span_of(record).span_id(), span.span_id());
  record.sequence = 2;
  EXPECT_EQ(span_of(record).trace_id(), span.trace_id());
  EXPECT_NE(span_of(record).span_id(), span.span_id());
}

TEST(OtlpSpan, KindTellsWhichEndIsHere) {
  const FlowRecord record = tcp_record();
  Listeners host;
  EXPECT_EQ(span_of(record, host).kind(), Span::SPAN_KIND_INTERNAL);
  host.local_addresses = {record.source};
  EXPECT_EQ(span_of(record, host).kind(), Span::SPAN_KIND_CLIENT);
  host.local_addresses = {record.destination};
  EXPECT_EQ(span_of(record, host).kind(), Span::SPAN_KIND_SERVER);
  host.local_addresses = {record.source, record.destination};
  EXPECT_EQ(span_of(record, host).kind(), Span::SPAN_KIND_INTERNAL);
}

TEST(OtlpSpan, ExtremesStayWhole) {
  FlowRecord r = fullest_record();
  r.flow_id = ~0ULL;
  r.sequence = ~0U;
  r.link = ~0U;
  r.flow_start_ns = r.start_ns = r.end_ns = ~0ULL;
  r.forward.delta = r.forward.total = {~0ULL >> 1U, ~0ULL >> 1U, ~0ULL >> 1U};
  r.reverse.delta = r.reverse.total = r.forward.delta;
  r.mpls_top_label = r.tunnel_id = r.flow_label = ~0U;
  r.vlan = r.inner_vlan = 0xffff;
  r.source = r.destination = r.outer_source = r.outer_destination =
      address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
  LinkTable table;
  table[~0U].name = table[~0U].netns_name = std::string(100, '\xff') + "eth0";  // not UTF-8
  table[~0U].mac.fill(0xff);
  SpanEncoder encoder(encoder_options());
  const Request request = parse(encoder.encode(std::span(&r, 1), {.links = table, .host = {}}));
  auto attributes = attributes_of(request.resource_spans(0).scope_spans(0).spans(0));
  EXPECT_EQ(attributes.at("flow.bytes.delta").int_value(), INT64_MAX);
  EXPECT_LE(attributes.at("network.interface.name").string_value().size(), 64U);
  EXPECT_LE(attributes.at("network.interface.netns.name").string_value().size(), 64U);
}

// The memory grows with the first batch, and then no more.
TEST(OtlpSpan, NothingIsAllocatedForASpan) {
  SpanEncoder encoder(encoder_options());
  const LinkTable table = links_with_mac();
  std::vector<FlowRecord> records(5'000);
  for (std::size_t i = 0; i < records.size(); ++i) records[i] = testing::server_record(i, i % 2 == 0);
  encoder.encode(records, {.links = table, .host = {}});
  const Listeners host;
  const std::size_t before = allocations;
  const auto bytes = encoder.encode(records, {.links = table, .host = host});
  EXPECT_LT(allocations - before, 100U);  // the interface's attributes, once a batch
  EXPECT_EQ(parse(bytes).resource_spans(0).scope_spans(0).spans_size(), 5'000);
}

TEST(OtlpRequest, ResourceAndScopeStandBeforeTheSpans) {
  const std::string resource =
      encode_resource({{"service.name", "rheo"},
                       {"n", std::int64_t{-5}},
                       {"r", 0.5},
                       {"b", true},
                       {"host.ip", std::vector<std::string>{"192.0.2.1", "2001:db8::1"}},
                       {"bad", std::string("a\xff") + "b"}});
  SpanEncoder encoder(encoder_options());
  const std::vector<FlowRecord> none;
  const Request empty = parse(encoder.encode(none, {.links = {}, .host = {}, .resource = resource}));
  const auto& spans = empty.resource_spans(0);
  std::map<std::string, AnyValue> attributes;
  for (const auto& one : spans.resource().attributes()) attributes[one.key()] = one.value();
  EXPECT_EQ(attributes.at("service.name").string_value(), "rheo");
  EXPECT_EQ(attributes.at("n").int_value(), -5);
  EXPECT_EQ(attributes.at("r").double_value(), 0.5);
  EXPECT_TRUE(attributes.at("b").bool_value());
  EXPECT_THAT(strings_of(attributes.at("host.ip")), ElementsAre("192.0.2.1", "2001:db8::1"));
  EXPECT_EQ(attributes.at("bad").string_value(),
            "a\xef\xbf\xbd"
            "b");
  EXPECT_EQ(spans.scope_spans(0).scope().name(), "rheo");
  EXPECT_EQ(spans.scope_spans(0).scope().version(), "1.2.3");
  EXPECT_EQ(spans.scope_spans(0).scope().attributes(0).key(), "flow.schema.version");
}

// Lengths of every number of octets, on both sides of each border.
TEST(OtlpRequest, OfEverySizeIsWhole) {
  SpanEncoder encoder(encoder_options());
  const LinkTable table = links();
  const Listeners host;
  std::vector<FlowRecord> records;
  for (const std::size_t size : {1U, 2U, 12U, 13U, 14U, 200U, 1'700U, 1'800U, 1'900U}) {
    records.resize(size, tcp_record());
    const Request request = parse(encoder.encode(records, {.links = table, .host = host}));
    EXPECT_EQ(request.resource_spans(0).scope_spans(0).spans_size(), static_cast<int>(size));
  }
}

TEST(OtlpRequest, EndsBeforeItsLimit) {
  SpanEncoder encoder(encoder_options());
  const LinkTable table = links();
  const std::vector<FlowRecord> records(100, tcp_record());
  const std::size_t all = encoder.encode(records, {.links = table, .host = {}}).size();
  EXPECT_EQ(encoder.encoded(), 100U);
  for (const std::size_t limit : {all + 200, all, all / 2, all / 50, std::size_t{1}}) {
    const auto bytes = encoder.encode(records, {.links = table, .host = {}, .limit = limit});
    EXPECT_EQ(parse(bytes).resource_spans(0).scope_spans(0).spans_size(),
              static_cast<int>(encoder.encoded()));
    EXPECT_TRUE(bytes.size() <= limit || encoder.encoded() == 1) << limit;
    const double expected = limit == all / 2 ? 50.0 : static_cast<double>(encoder.encoded());
    EXPECT_NEAR(static_cast<double>(encoder.encoded()), expected, 2.0);
  }
}

// RHEO_WRITE_GOLDEN=1 in the environment writes the files anew, for somebody to read the difference.
TEST(OtlpGolden, EveryKindIsAsItsFile) {
  for (const Kind& kind : kinds()) {
    std::string text;
    google::protobuf::TextFormat::PrintToString(span_of(kind.record), &text);
    const fs::path path =
        fs::path(RHEO_SOURCE_DIR) / "tests/golden/expected" / ("otlp_" + std::string(kind.name) + ".txtpb");
    if (::getenv("RHEO_WRITE_GOLDEN") != nullptr) std::ofstream(path) << text;
    EXPECT_EQ(text, read(path)) << path;
  }
}

/// Where a packaged schema lies, or ours.
std::string schema_folder() {
  for (const char* folder : {"/usr/include", "/usr/share/opentelemetry-proto"})
    if (fs::exists(fs::path(folder) / "opentelemetry/proto/collector/trace/v1/trace_service.proto"))
      return folder;
  return RHEO_SOURCE_DIR "/export/otlp/proto";
}

TEST(OtlpGolden, ProtocReadsTheSame) {
  std::string folder = (fs::temp_directory_path() / "rheo-otlp-XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  std::vector<FlowRecord> records;
  for (const Kind& kind : kinds()) records.push_back(kind.record);
  SpanEncoder encoder(encoder_options());
  const LinkTable table = links_with_mac();
  const auto bytes =
      encoder.encode(records, {.links = table, .host = {}, .resource = encode_resource({{"k", "v"}})});
  std::ofstream(folder + "/request", std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  const std::string command = "protoc -I " + schema_folder() +
                              " --decode opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest"
                              " opentelemetry/proto/collector/trace/v1/trace_service.proto <" +
                              folder + "/request >" + folder + "/text 2>" + folder + "/errors";
  EXPECT_EQ(std::system(command.c_str()), 0) << read(folder + "/errors");
  EXPECT_EQ(read(folder + "/errors"), "");
  std::string expected;
  google::protobuf::TextFormat::PrintToString(parse(bytes), &expected);
  const std::string text = read(folder + "/text");
  EXPECT_EQ(text, expected);
  // What it does not know it prints as numbers.
  EXPECT_FALSE(std::regex_search(text, std::regex("\\n *[0-9]+[:{ ]")));
  fs::remove_all(folder);
}

TEST(TraceId, IsTheHashOfCommunityIdAndBucket) {
  const std::string id = "1:0P2efmXB/uDoXRowRLGHJ5G1DOM=";
  const std::span<const char, kCommunityIdSize> text(id.data(), kCommunityIdSize);
  // As Python's hashlib has it, of the text and (1767323045000000006 // 60000000000).to_bytes(8, "big").
  const TraceId trace = trace_id(text, 1'767'323'045'000'000'006, kMinuteNs);
  EXPECT_EQ(trace, (TraceId{0x4e, 0x9c, 0x82, 0xce, 0x46, 0x53, 0xd9, 0xdd, 0x85, 0xf3, 0x30, 0xf9, 0x50,
                            0x2d, 0x8c, 0x98}));
  EXPECT_EQ(trace, trace_id(text, 1'767'323'099'999'999'999, kMinuteNs));
  EXPECT_NE(trace, trace_id(text, 1'767'323'100'000'000'000, kMinuteNs));
  EXPECT_NE(host_key("a"), host_key("b"));
}

TEST(TraceId, IsOneFromBothEnds) {
  FlowRecord client = tcp_record();
  FlowRecord server = tcp_record();
  server.flow_id = 99;
  server.flow_start_ns += 5'000'000;  // later on the wire
  server.link = 7;
  std::swap(server.source, server.destination);  // taken for the initiator by mistake
  std::swap(server.source_port_be, server.destination_port_be);
  EXPECT_EQ(span_of(client).trace_id(), span_of(server).trace_id());
  EXPECT_NE(span_of(client).span_id(), span_of(server).span_id());
}

std::string man_page() { return read(RHEO_SOURCE_DIR "/man/rheo-otlp.5.scd"); }

TEST(OtlpManPage, HasEveryFieldAsTheTableHasItAndNoOther) {
  const std::string page = man_page();
  for (const FlowField& field : kSpanFields) {
    const std::string entry =
        "\n*" + std::string(field.name) + "* (string)\n\t" + std::string(field.meaning) + "\n";
    EXPECT_NE(page.find(entry), std::string::npos) << "rheo-otlp(5) lacks" << entry;
  }
  std::size_t fields = 0;
  const std::size_t end = page.find("# RESOURCE");
  for (std::size_t at = page.find("# ATTRIBUTES"); (at = page.find("\n*", at + 1)) < end;) ++fields;
  EXPECT_EQ(fields, kSpanFieldCount);
}

}  // namespace
}  // namespace rheo::test
