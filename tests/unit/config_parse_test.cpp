// SPDX-License-Identifier: Apache-2.0
// Mistakes in rheo.toml: each is reported, with its line, the value and what is allowed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "daemon/config/keys.h"
#include "daemon/config/parse_config.h"

namespace rheo {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

IpPrefix prefix(std::string_view text) {
  const auto parsed = parse_ip_prefix(text);
  return parsed ? *parsed : IpPrefix{};
}

std::vector<std::string> complaints(std::string_view toml) {
  std::vector<std::string> texts;
  for (const Complaint& complaint : parse_config(toml, "f").complaints)
    texts.push_back(complaint_text(complaint));
  return texts;
}

TEST(ConfigParse, NothingMeansDefaults) {
  const ParsedConfig parsed = parse_config("");
  EXPECT_THAT(parsed.complaints, IsEmpty());
  EXPECT_EQ(parsed.config, Config{});
}

TEST(ConfigParse, EverySettingIsRead) {
  const ParsedConfig parsed = parse_config(R"(
[daemon]
run_directory = "/tmp/run"
pin_directory = "/tmp/pin"
state_directory = "/tmp/state"
log_level = "debug"
shutdown_timeout = "3s"
[interfaces]
include = ["eth*", "wg0"]
exclude = []
direction = { "eth*" = "ingress", wg0 = "egress" }
netns = ["blue", "a.b", "blue"]
[datapath]
hook = "clsact"
tcx_order = "last"
tc_priority = 7
flow_cache_rows = 64
evicted_ring = 65536
fragments = 1
drain_interval = "50ms"
[tunnels]
vxlan_ports = []
geneve_ports = [1]
wireguard_ports = [65535, 2]
gre = false
ipip = false
[flow]
max_record_interval = "1m30s"
generic_timeout = "1h"
icmp_timeout = "24h"
tcp_timeout = "1ms"
tcp_fin_timeout = "2s"
tcp_rst_timeout = "3s"
udp_timeout = "4s"
deduplicate = "none"
community_id_seed = 65535
max_flows = 100000000
outbox_records = 1024
[classes]
internal = []
office = ["10.1.0.0/16", "2001:db8::/32"]
k8sPod.prefixes = ["::ffff:10.244.0.0/112"]
abnormal.black = ["192.0.2.1"]
[classes.partners-2]
prefixes = ["192.0.2.0/24"]
file = "/p"
[classes.abnormal.white]
file = "/w"
[export.json.a-b_9]
enabled = false
path = "-"
queue = 1024
max_batch_size = 7
max_batch_interval = "250ms"
[export.ipfix.c]
enabled = false
endpoint = "tls://[2001:db8::1]:5000"
observation_domain = 0
biflow = "split"
elements = "full"
elements_add = ["flowId"]
elements_remove = ["ipVersion", "minimumTTL"]
pen = 7
template_refresh = "1s"
template_refresh_messages = 0
rate_limit = 9
max_message_size = 512
dscp = 63
source_address = "2001:db8::2"
tls_ca_cert = "/ca"
tls_client_cert = "/cert"
tls_client_key = "/key"
tls_server_name = "collector.example"
tls_insecure_skip_verify = true
rotation_size = "1MiB"
rotation_interval = "1h"
rotation_keep = 3
queue = 1024
max_batch_size = 8
max_batch_interval = "5ms"
[export.otlp.t]
enabled = false
endpoint = "https://h:1/base"
protocol = "http/protobuf"
compression = "gzip"
timeout = "3s"
headers = { X-Scope-OrgID = "t 1", b = "" }
auth.basic = "user:word"
trace_id_bucket = "1h"
max_export_timeout = "2m"
max_queue_size = 2048
spool = "1MiB"
metrics_interval = "10s"
max_batch_size = 8
max_batch_interval = "5ms"
max_concurrent_exports = 3
[export.otlp.t.tls]
ca_cert = "/ca"
client_cert = "/cert"
client_key = "/key"
insecure_skip_verify = true
[export.otlp.u]
auth.basic_file = "/basic"
[export.otlp.v]
auth_basic_credential = "basic"
[export.otlp.w]
auth.bearer = "token"
[export.otlp.x]
auth_bearer_file = "/bearer"
[export.otlp.y]
auth_bearer_credential = "bearer"
[resource]
deployment.environment.name = "x"
"service.name" = "s"
n = -1
r = 1.5
b = true
l = ["a", "b"]
)");
  ASSERT_THAT(parsed.complaints, IsEmpty());
  const Config expected{
      .daemon = {"/tmp/run", "/tmp/pin", "/tmp/state", LogLevel::debug, 3s},
      .interfaces = {.include = {"eth*", "wg0"},
                     .exclude = {},
                     .direction = {{"eth*", DirectionChoice::ingress}, {"wg0", DirectionChoice::egress}},
                     .netns = {"blue", "a.b"}},
      .datapath = {HookChoice::clsact, TcxOrderChoice::last, 7, 64, 65'536, 1, 50ms},
      .tunnels = {{}, {1}, {65'535, 2}, false, false},
      .flow = {90s, 1h, 24h, 1ms, 2s, 3s, 4s, DeduplicateChoice::none, 65'535, 100'000'000, 1'024},
      .classes = {.classes = {{"internal", {}},
                              {"office", {{prefix("10.1.0.0/16"), prefix("2001:db8::/32")}}},
                              {"k8sPod", {{prefix("10.244.0.0/16")}}},
                              {"partners-2", {{prefix("192.0.2.0/24")}, "/p"}}},
                  .black = {{prefix("192.0.2.1")}},
                  .white = {{}, "/w"}},
      .resource = {{{"deployment.environment.name", "x"},
                    {"service.name", "s"},
                    {"n", std::int64_t{-1}},
                    {"r", 1.5},
                    {"b", true},
                    {"l", std::vector<std::string>{"a", "b"}}}},
      .exporters = {.json = {{"a-b_9", {"-", 1'024, 7, 250ms, false}}},
                    .ipfix = {{"c",
                               {"tls://[2001:db8::1]:5000",
                                0,
                                BiflowChoice::split,
                                ElementsChoice::full,
                                {"flowId"},
                                {"ipVersion", "minimumTTL"},
                                7,
                                1s,
                                0,
                                9,
                                512,
                                63,
                                "2001:db8::2",
                                "/ca",
                                "/cert",
                                "/key",
                                "collector.example",
                                true,
                                1U << 20U,
                                1h,
                                3,
                                1'024,
                                8,
                                5ms,
                                false}}},
                    .otlp = {{"t",
                              {"https://h:1/base",
                               OtlpProtocolChoice::http_protobuf,
                               CompressionChoice::gzip,
                               3s,
                               {{"x-scope-orgid", "t 1"}, {"b", ""}},
                               {"user:word", "", ""},
                               {},
                               "/ca",
                               "/cert",
                               "/key",
                               true,
                               1h,
                               1U << 20U,
                               10s,
                               2min,
                               2'048,
                               8,
                               5ms,
                               3,
                               false}},
                             {"u", {.auth_basic = {.file = "/basic"}}},
                             {"v", {.auth_basic = {.credential = "basic"}}},
                             {"w", {.auth_bearer = {.value = "token"}}},
                             {"x", {.auth_bearer = {.file = "/bearer"}}},
                             {"y", {.auth_bearer = {.credential = "bearer"}}}}},
  };
  EXPECT_EQ(parsed.config, expected);
}

struct Mistake {
  const char* toml;
  const char* complaint;
};

const Mistake kMistakes[] = {
    {"[daemon]\nrun_directory = \"run\"",
     "f:2: daemon.run_directory = \"run\": not a directory's name; allowed: an absolute path"},
    {"[daemon]\npin_directory = 1",
     "f:2: daemon.pin_directory = 1: not a directory's name; allowed: an absolute path"},
    {"[daemon]\nlog_level = \"loud\"",
     "f:2: daemon.log_level = \"loud\": unknown; allowed: \"error\", \"warning\", \"notice\", \"info\", "
     "\"debug\""},
    {"[daemon]\nshutdown_timeout = \"0s\"",
     "f:2: daemon.shutdown_timeout = \"0s\": out of range; allowed: 100ms to 10m, such as \"10s\""},
    {"[interfaces]\ninclude = []",
     "f:2: interfaces.include = [...]: 0 entries; allowed: 1 to 256 names, shell patterns, "
     "/regular expressions/ or kind:KIND, of 1 to 64 characters, such as [\"eth*\"]"},
    {"[interfaces]\nexclude = [\"\"]",
     "f:2: interfaces.exclude = [...]: \"\" is not a name; allowed: 0 to 256 names, shell patterns, "
     "/regular expressions/ or kind:KIND, of 1 to 64 characters, such as [\"eth*\"]"},
    {"[interfaces]\nexclude = [\"/[/\"]",
     "f:2: interfaces.exclude = [...]: \"/[/\" is not a regular expression (Invalid regular expression); "
     "allowed: 0 to 256 names, shell patterns, /regular expressions/ or kind:KIND, of 1 to 64 characters, "
     "such "
     "as [\"eth*\"]"},
    {"[interfaces]\ninclude = [\"kind:VETH\"]",
     "f:2: interfaces.include = [...]: \"kind:VETH\" is not a kind of interface, such as kind:veth; allowed: "
     "1 "
     "to 256 names, shell patterns, /regular expressions/ or kind:KIND, of 1 to 64 characters, such as "
     "[\"eth*\"]"},
    {"[interfaces]\nnetns = \"blue\"",
     "f:2: interfaces.netns = \"blue\": not \"auto\" and not an array; allowed: \"auto\", or up to 255 names "
     "in "
     "/run/netns of 1 to 255 bytes without \"/\", such as [\"blue\"]"},
    {"[interfaces]\nnetns = [\"..\"]",
     "f:2: interfaces.netns = [...]: \"..\" is not a network namespace's name; allowed: \"auto\", or up to "
     "255 names "
     "in /run/netns of 1 to 255 bytes without \"/\", such as [\"blue\"]"},
    {"[interfaces]\ndirection = { lo = \"up\" }",
     "f:2: interfaces.direction = {...}: lo = \"up\": unknown; allowed: \"both\", \"ingress\", \"egress\""},
    {"[datapath]\nhook = \"xdp\"",
     "f:2: datapath.hook = \"xdp\": unknown; allowed: \"auto\", \"tcx\", \"clsact\""},
    {"[datapath]\ntcx_order = \"before\"",
     "f:2: datapath.tcx_order = \"before\": unknown; allowed: \"first\", \"last\""},
    {"[datapath]\ntc_priority = 49152",
     "f:2: datapath.tc_priority = 49152: out of range; allowed: 1 to 49151"},
    {"[datapath]\nflow_cache_rows = 63",
     "f:2: datapath.flow_cache_rows = 63: out of range; allowed: 64 to 16777216"},
    {"[datapath]\nevicted_ring = \"48MiB\"",
     "f:2: datapath.evicted_ring = \"48MiB\": not a power of two; allowed: powers of two from 64KiB to 1GiB"},
    {"[datapath]\nevicted_ring = \"32MB\"",
     "f:2: datapath.evicted_ring = \"32MB\": not a size; allowed: powers of two from 64KiB to 1GiB"},
    {"[datapath]\nevicted_ring = -1",
     "f:2: datapath.evicted_ring = -1: not a size; allowed: powers of two from 64KiB to 1GiB"},
    {"[datapath]\nfragments = 0", "f:2: datapath.fragments = 0: out of range; allowed: 1 to 1048576"},
    {"[datapath]\ndrain_interval = \"49ms\"",
     "f:2: datapath.drain_interval = \"49ms\": out of range; allowed: 50ms to 1m, such as \"1s\""},
    {"[datapath]\nowners = 1", "f:2: datapath.owners = 1: neither true nor false"},
    {"[datapath]\ncommand_lines = 1", "f:2: datapath.command_lines = 1: neither true nor false"},
    {"[datapath]\ncontainer_names = \"yes\"",
     "f:2: datapath.container_names = \"yes\": neither true nor false"},
    {"[datapath]\ntcp = \"off\"", "f:2: datapath.tcp = \"off\": neither true nor false"},
    {"[tunnels]\nvxlan_ports = 4789",
     "f:2: tunnels.vxlan_ports = 4789: not an array; allowed: up to 8 ports from 1 to 65535, such as [4789]"},
    {"[tunnels]\ngeneve_ports = [1,2,3,4,5,6,7,8,9]",
     "f:2: tunnels.geneve_ports = [...]: 9 ports; allowed: up to 8 ports from 1 to 65535, such as [4789]"},
    {"[tunnels]\nwireguard_ports = [65536]",
     "f:2: tunnels.wireguard_ports = [...]: 65536 is not a port; allowed: up to 8 ports from 1 to 65535, "
     "such as [4789]"},
    {"[tunnels]\ngre = \"yes\"", "f:2: tunnels.gre = \"yes\": neither true nor false"},
    {"[tunnels]\nipip = 1", "f:2: tunnels.ipip = 1: neither true nor false"},
    {"[export.json.a]\nenabled = 1\npath = \"-\"", "f:2: export.json.a.enabled = 1: neither true nor false"},
    {"[export.ipfix.a]\nenabled = 1\nendpoint = \"udp://192.0.2.1\"",
     "f:2: export.ipfix.a.enabled = 1: neither true nor false"},
    {"[export.otlp.a]\nenabled = 1\n", "f:2: export.otlp.a.enabled = 1: neither true nor false"},
    {"[flow]\nmax_record_interval = 60",
     "f:2: flow.max_record_interval = 60: not a duration; allowed: 1ms to 24h, such as \"1m\""},
    {"[flow]\ngeneric_timeout = \"25h\"",
     "f:2: flow.generic_timeout = \"25h\": out of range; allowed: 1ms to 24h, such as \"30s\""},
    {"[flow]\nicmp_timeout = true",
     "f:2: flow.icmp_timeout = true: not a duration; allowed: 1ms to 24h, such as \"10s\""},
    {"[flow]\ntcp_timeout = \"20 parsecs\"",
     "f:2: flow.tcp_timeout = \"20 parsecs\": not a duration; allowed: 1ms to 24h, such as \"20s\""},
    {"[flow]\ntcp_fin_timeout = 2026-01-02",
     "f:2: flow.tcp_fin_timeout = 2026-01-02: not a duration; allowed: 1ms to 24h, such as \"5s\""},
    {"[flow]\ntcp_rst_timeout = 1.5",
     "f:2: flow.tcp_rst_timeout = 1.5: not a duration; allowed: 1ms to 24h, such as \"5s\""},
    {"[flow]\nudp_timeout = \"\"",
     "f:2: flow.udp_timeout = \"\": not a duration; allowed: 1ms to 24h, such as \"1m\""},
    {"[flow]\ndeduplicate = \"all\"",
     "f:2: flow.deduplicate = \"all\": unknown; allowed: \"first-interface\", \"none\""},
    {"[flow]\ncommunity_id_seed = -1", "f:2: flow.community_id_seed = -1: out of range; allowed: 0 to 65535"},
    {"[flow]\nmax_flows = \"1M\"", "f:2: flow.max_flows = \"1M\": not an integer; allowed: 1 to 100000000"},
    {"[flow]\noutbox_records = 1025",
     "f:2: flow.outbox_records = 1025: not a power of two; allowed: powers of two from 1024 to 16777216"},
    {"[export.json.a]\npath = \"-\"\nqueue = 100",
     "f:1: export.json.a.queue = 100: out of range; allowed: 1024 to 65536 (flow.outbox_records), 0 for all "
     "of "
     "these"},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\nqueue = 4096\n[flow]\noutbox_records = 2048",
     "f:1: export.ipfix.a.queue = 4096: out of range; allowed: 1024 to 2048 (flow.outbox_records), 0 for all "
     "of "
     "these"},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\nqueue = 20000000",
     "f:3: export.ipfix.a.queue = 20000000: out of range; allowed: 0 to 16777216"},
    {"[export.json.a]\npath = \"flows.json\"",
     "f:2: export.json.a.path = \"flows.json\": no place to write to; allowed: the absolute path of a file, "
     "\"-\" for standard output, \"journal\""},
    {"[export.json.a]\npath = \"-\"\nmax_batch_size = 0",
     "f:3: export.json.a.max_batch_size = 0: out of range; allowed: 1 to 65536"},
    {"[export.json.a]\npath = \"-\"\nmax_batch_interval = \"2m\"",
     "f:3: export.json.a.max_batch_interval = \"2m\": out of range; allowed: 1ms to 1m, such as \"1s\""},
    {"\n[export.json.a]\n",
     "f:2: export.json.a: no path; allowed: the absolute path of a file, \"-\" for standard output, "
     "\"journal\""},
    {"[export.json.a]\npath=\"/x\"\n[export.json.b]\npath=\"/x\"",
     "f:3: export.json.b.path = \"/x\": export.json.a writes there; allowed: one exporter for each path"},
    {"[export.json.\"A b\"]\npath = \"-\"",
     "f:1: export.json.A b: not a name; allowed: 1 to 32 of a-z, 0-9, \"_\" and \"-\""},
    {"[flow]\ntcp_timout = \"20s\"", "f:2: flow.tcp_timout: unknown key; did you mean \"tcp_timeout\"?"},
    {"[interfaces]\nzzz = 1",
     "f:2: interfaces.zzz: unknown key; allowed: include, exclude, direction, netns"},
    {"[flwo]\n", "f:1: flwo: unknown key; did you mean \"flow\"?"},
    {"[export.jsn.x]\n", "f:1: export.jsn: unknown key; did you mean \"json\"?"},
    {"flow = 1", "f:1: flow = 1: not a table; allowed: [flow] and keys below it"},
    {"[export]\njson = \"x\"",
     "f:2: export.json = \"x\": not a table; allowed: [export.json] and keys below it"},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\nobservation_domain = 4294967296",
     "f:3: export.ipfix.a.observation_domain = 4294967296: out of range; allowed: 0 to 4294967295"},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\nbiflow = \"both\"",
     "f:3: export.ipfix.a.biflow = \"both\": unknown; allowed: \"rfc5103\", \"split\""},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\nelements = \"all\"",
     "f:3: export.ipfix.a.elements = \"all\": unknown; allowed: \"compact\", \"standard\", \"full\""},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\nelements_add = \"flowId\"",
     "f:3: export.ipfix.a.elements_add = \"flowId\": not an array; allowed: up to 256 names of 1 to 64 "
     "letters and digits"},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\npen = 0",
     "f:3: export.ipfix.a.pen = 0: out of range; allowed: 1 to 4294967295"},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\ntemplate_refresh = \"10ms\"",
     "f:3: export.ipfix.a.template_refresh = \"10ms\": out of range; allowed: 1s to 24h, such as \"5m\""},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\ntemplate_refresh_messages = -1",
     "f:3: export.ipfix.a.template_refresh_messages = -1: out of range; allowed: 0 to 1000000000"},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\nrate_limit = 100000001",
     "f:3: export.ipfix.a.rate_limit = 100000001: out of range; allowed: 0 to 100000000"},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\nmax_message_size = 65536",
     "f:3: export.ipfix.a.max_message_size = 65536: out of range; allowed: 0 to 65535"},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\ndscp = 64",
     "f:3: export.ipfix.a.dscp = 64: out of range; allowed: 0 to 63"},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\nsource_address = \"eth0\"",
     "f:3: export.ipfix.a.source_address = \"eth0\": not an address; allowed: an IPv4 or IPv6 address, \"\" "
     "for the route's"},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\ntls_ca_cert = \"ca.pem\"",
     "f:3: export.ipfix.a.tls_ca_cert = \"ca.pem\": not a file's name; allowed: an absolute path, \"\" for "
     "none"},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\ntls_client_cert = 1",
     "f:3: export.ipfix.a.tls_client_cert = 1: not a file's name; allowed: an absolute path, \"\" for none"},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\ntls_client_key = \"key.pem\"",
     "f:3: export.ipfix.a.tls_client_key = \"key.pem\": not a file's name; allowed: an absolute path, \"\" "
     "for none"},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\ntls_server_name = \"a b\"",
     "f:3: export.ipfix.a.tls_server_name = \"a b\": not a host; allowed: a name, an IPv4 or IPv6 address, "
     "\"\" for none"},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\ntls_insecure_skip_verify = 1",
     "f:3: export.ipfix.a.tls_insecure_skip_verify = 1: neither true nor false"},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\nrotation_size = \"1025GiB\"",
     "f:3: export.ipfix.a.rotation_size = \"1025GiB\": out of range; allowed: 0B to 1024GiB"},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\nrotation_interval = \"8761h\"",
     "f:3: export.ipfix.a.rotation_interval = \"8761h\": out of range; allowed: 0s to 8760h, such as \"0s\""},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\nrotation_keep = 0",
     "f:3: export.ipfix.a.rotation_keep = 0: out of range; allowed: 1 to 10000"},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\nmax_batch_size = 0",
     "f:3: export.ipfix.a.max_batch_size = 0: out of range; allowed: 1 to 65536"},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\nmax_batch_interval = \"61s\"",
     "f:3: export.ipfix.a.max_batch_interval = \"61s\": out of range; allowed: 1ms to 1m, such as \"1s\""},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\nelements_remove = [\"a b\"]",
     "f:3: export.ipfix.a.elements_remove = [...]: \"a b\" is not a name; allowed: up to 256 names of 1 to "
     "64 "
     "letters and digits"},
    {"[export.otlp.a]\nendpoint = \"host:4317\"",
     "f:2: export.otlp.a.endpoint = (not shown): not an endpoint; allowed: http:// or https:// and "
     "HOST:PORT, "
     "\"\" for the environment's or localhost"},
    {"[export.otlp.a]\nprotocol = \"http/json\"",
     "f:2: export.otlp.a.protocol = \"http/json\": unknown; allowed: \"grpc\", \"http/protobuf\""},
    {"[export.otlp.a]\ncompression = \"zstd\"",
     "f:2: export.otlp.a.compression = \"zstd\": unknown; allowed: \"none\", \"gzip\""},
    {"[export.otlp.a]\ntimeout = \"9ms\"",
     "f:2: export.otlp.a.timeout = \"9ms\": out of range; allowed: 10ms to 10m, such as \"10s\""},
    {"[export.otlp.a]\nheaders = { \"grpc-x\" = \"secret\" }",
     "f:2: export.otlp.a.headers = (not shown): grpc-x is not a header's name; allowed: a table of up to 32 "
     "names "
     "(letters, digits, \"-\", \"_\", \".\") and strings of printable ASCII"},
    {"[export.otlp.a]\nheaders = { x = \"secret\\r\\nInjected: 1\" }",
     "f:2: export.otlp.a.headers = (not shown): x is not printable ASCII; allowed: a table of up to 32 names "
     "(letters, digits, \"-\", \"_\", \".\") and strings of printable ASCII"},
    {"[export.otlp.a]\nauth.basic = [\"secret\"]",
     "f:2: export.otlp.a.auth.basic = (not shown): not a secret; allowed: a string of up to 8192 printable "
     "ASCII "
     "characters, \"\" for none"},
    {"[export.otlp.a]\nauth.basic_file = \"x\"",
     "f:2: export.otlp.a.auth.basic_file = \"x\": not a file's name; allowed: an absolute path, \"\" for "
     "none"},
    {"[export.otlp.a]\nauth.basic_credential = \"/x\"",
     "f:2: export.otlp.a.auth.basic_credential = \"/x\": not a credential's name; allowed: a file's name "
     "without a "
     "path, \"\" for none"},
    {"[export.otlp.a]\nauth.bearer = 5",
     "f:2: export.otlp.a.auth.bearer = (not shown): not a secret; allowed: a string of up to 8192 printable "
     "ASCII "
     "characters, \"\" for none"},
    {"[export.otlp.a]\nauth.bearer_file = 5",
     "f:2: export.otlp.a.auth.bearer_file = 5: not a file's name; allowed: an absolute path, \"\" for none"},
    {"[export.otlp.a]\nauth.bearer_credential = \"..\"",
     "f:2: export.otlp.a.auth.bearer_credential = \"..\": not a credential's name; allowed: a file's name "
     "without a "
     "path, \"\" for none"},
    {"[export.otlp.a]\nauth.bearer = \"x\"\nauth.bearer_file = \"/x\"",
     "f:1: export.otlp.a: auth.bearer in more than one place; allowed: one of auth.bearer, auth.bearer_file "
     "and "
     "auth.bearer_credential"},
    {"[export.otlp.a]\nauth.bearer = \"x\"\nauth.basic = \"a:b\"",
     "f:1: export.otlp.a: auth.basic and auth.bearer; allowed: one of them"},
    {"[export.otlp.a.tls]\nca_cert = \"x\"",
     "f:2: export.otlp.a.tls.ca_cert = \"x\": not a file's name; allowed: an absolute path, \"\" for none"},
    {"[export.otlp.a.tls]\nca = \"x\"",
     "f:2: export.otlp.a.tls.ca: unknown key; allowed: ca_cert, client_cert, client_key, "
     "insecure_skip_verify"},
    {"[export.otlp.a]\ntls_ca_cert = \"/x\"\ntls.ca_cert = \"/x\"",
     "f:3: export.otlp.a.tls.ca_cert: set twice, with \".\" and with \"_\"; allowed: once"},
    {"[export.json.a]\npath = \"-\"\ntls.ca_cert = \"/x\"",
     "f:3: export.json.a.tls: unknown key; allowed: enabled, path, queue, max_batch_size, "
     "max_batch_interval"},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\ntls.ca_cert = \"x\"",
     "f:3: export.ipfix.a.tls.ca_cert = \"x\": not a file's name; allowed: an absolute path, \"\" for none"},
    {"[export.otlp.a]\ntls.ca_cert = \"x\"",
     "f:2: export.otlp.a.tls.ca_cert = \"x\": not a file's name; allowed: an absolute path, \"\" for none"},
    {"[export.otlp.a]\ntls.client_cert = \"x\"",
     "f:2: export.otlp.a.tls.client_cert = \"x\": not a file's name; allowed: an absolute path, \"\" for "
     "none"},
    {"[export.otlp.a]\ntls.client_key = \"x\"",
     "f:2: export.otlp.a.tls.client_key = \"x\": not a file's name; allowed: an absolute path, \"\" for "
     "none"},
    {"[export.otlp.a]\ntls.insecure_skip_verify = \"no\"",
     "f:2: export.otlp.a.tls.insecure_skip_verify = \"no\": neither true nor false"},
    {"[export.otlp.a]\ntrace_id_bucket = \"0s\"",
     "f:2: export.otlp.a.trace_id_bucket = \"0s\": out of range; allowed: 1s to 24h, such as \"1m\""},
    {"[export.otlp.a]\nmax_export_timeout = \"25h\"",
     "f:2: export.otlp.a.max_export_timeout = \"25h\": out of range; allowed: 0s to 24h, such as \"0s\""},
    {"[export.otlp.a]\nmax_queue_size = 0",
     "f:2: export.otlp.a.max_queue_size = 0: out of range; allowed: 1024 to 16777216"},
    {"[export.otlp.a]\nspool = \"much\"",
     "f:2: export.otlp.a.spool = \"much\": not a size; allowed: 0B to 1024GiB"},
    {"[daemon]\nstate_directory = \"var\"",
     "f:2: daemon.state_directory = \"var\": not a directory's name; allowed: an absolute path"},
    {"[export.otlp.a]\nmetrics_interval = 10",
     "f:2: export.otlp.a.metrics_interval = 10: not a duration; allowed: 0s to 24h, such as \"0s\""},
    {"[export.otlp.a]\nmax_batch_size = 65537",
     "f:2: export.otlp.a.max_batch_size = 65537: out of range; allowed: 1 to 65536"},
    {"[export.otlp.a]\nmax_concurrent_exports = 17",
     "f:2: export.otlp.a.max_concurrent_exports = 17: out of range; allowed: 1 to 16"},
    {"[export.otlp.a]\nmax_batch_interval = \"61s\"",
     "f:2: export.otlp.a.max_batch_interval = \"61s\": out of range; allowed: 1ms to 1m, such as \"2s\""},
    {"[resource]\nx = 2026-01-02",
     "f:2: resource.x = 2026-01-02: not an attribute's value; allowed: a string of up to 1024 bytes, a "
     "number, true, "
     "false, or an array of up to 64 strings"},
    {"[resource]\n\"a\\u0001\" = 1", "f:2: resource.a?: not a name; allowed: 1 to 64 printable characters"},
    {"[export.ipfix.a]\nendpoint = \"192.0.2.1:4739\"",
     "f:2: export.ipfix.a.endpoint = \"192.0.2.1:4739\": not an endpoint; allowed: udp://, tcp://, tls://, "
     "dtls:// or sctp:// and HOST:PORT, file: and an absolute path"},
    {"[export.ipfix.a]\n",
     "f:1: export.ipfix.a: no endpoint; allowed: one such as \"udp://192.0.2.1:4739\" or "
     "\"file:/var/log/rheo/flows.ipfix\""},
    {"[export.ipfix.a]\nendpoint = \"udp://h\"\n[export.ipfix.b]\nendpoint = \"udp://h\"",
     "f:3: export.ipfix.b.endpoint = \"udp://h\": export.ipfix.a writes there; allowed: one exporter for "
     "each "
     "endpoint"},
    {"[classes]\ninternal = [\"10.0.0.1/8\"]",
     "f:2: classes.internal = [...]: \"10.0.0.1/8\" has bits behind the prefix; allowed: \"10.0.0.0/8\", or "
     "another number of bits"},
    {"[classes.a]\nprefixes = [\"office\"]",
     "f:2: classes.a.prefixes = [...]: \"office\" is no prefix; allowed: an IPv4 or IPv6 address, and \"/\" "
     "and its bits, such as \"10.1.0.0/16\" or \"2001:db8::/32\""},
    {"[classes.a]\nprefixes = [7]",
     "f:2: classes.a.prefixes = [...]: 7 is no prefix; allowed: a string such as \"10.1.0.0/16\""},
    {"[classes.a]\nfile = \"x\"",
     "f:2: classes.a.file = \"x\": not a file's name; allowed: an absolute path, \"\" for none"},
    {"[classes.a]\nfiles = \"/x\"", "f:2: classes.a.files: unknown key; did you mean \"file\"?"},
    {"classes.a = \"10.0.0.0/8\"",
     "f:1: classes.a = \"10.0.0.0/8\": not a table; allowed: [classes.a] and "
     "keys below it"},
    {"classes.external = []",
     "f:1: classes.external: this class is of all addresses that no other has; allowed: others"},
    {"classes.\"a b\" = []",
     "f:1: classes.a b: not a name; allowed: 1 to 32 letters, digits, \"_\" and \"-\""},
    {"classes.abnormal = []",
     "f:1: classes.abnormal = [...]: not a table; allowed: [classes.abnormal] and keys below it"},
    {"classes.abnormal.gray = []", "f:1: classes.abnormal.gray: unknown key; allowed: black, white"},
    {"classes.abnormal.black.prefixes = \"10.0.0.0/8\"",
     "f:1: classes.abnormal.black.prefixes = \"10.0.0.0/8\": not an array; allowed: prefixes such as "
     "[\"10.1.0.0/16\", \"2001:db8::/32\"], [] for none"},
    {"classes.abnormal.black.file = 7",
     "f:1: classes.abnormal.black.file = 7: not a file's name; allowed: an absolute path, \"\" for none"},
    {"classes.abnormal.white.prefixes = [\"10.0.0.0/99\"]",
     "f:1: classes.abnormal.white.prefixes = [...]: \"10.0.0.0/99\" is no prefix; allowed: an IPv4 or IPv6 "
     "address, and \"/\" and its bits, such as \"10.1.0.0/16\" or \"2001:db8::/32\""},
    {"classes.abnormal.white.file = \"x\"",
     "f:1: classes.abnormal.white.file = \"x\": not a file's name; allowed: an absolute path, \"\" for none"},
    {"[[flow]]\n", "f:1: flow = [...]: not a table; allowed: [flow] and keys below it"},
};

TEST(ConfigParse, EachMistakeHasItsSentence) {
  for (const Mistake& mistake : kMistakes)
    EXPECT_THAT(complaints(mistake.toml), ElementsAre(mistake.complaint)) << mistake.toml;
}

// A key whose range is never exceeded here would be a key whose range is not tested.
TEST(ConfigParse, EveryKeyHasAMistake) {
  for (std::string name : config_key_names()) {
    if (const auto at = name.find("NAME"); at != std::string::npos) name.replace(at, 4, "a");
    EXPECT_TRUE(std::any_of(std::begin(kMistakes), std::end(kMistakes),
                            [&](const Mistake& mistake) {
                              return std::string_view(mistake.complaint).find(": " + name + " = ") !=
                                     std::string_view::npos;
                            }))
        << "no mistake in kMistakes for " << name;
  }
}

TEST(ConfigParse, EveryMistakeOfAFileIsReportedAndItsGoodKeysRead) {
  const ParsedConfig parsed =
      parse_config("[flow]\ntcp_timeout = 1\nudp_timeout = \"7s\"\nmax_flows = 0\n[x]\n");
  EXPECT_THAT(parsed.complaints, SizeIs(3));
  EXPECT_EQ(parsed.config.flow.udp_timeout, 7s);
  EXPECT_EQ(parsed.config.flow.tcp_timeout, 20s);
}

TEST(ConfigParse, LaterFilesOverrideKeysMergeTablesAndReplaceArrays) {
  const std::vector<ConfigText> files = {
      {"a",
       "[flow]\ntcp_timeout = \"1s\"\nudp_timeout = \"2s\"\n[interfaces]\ninclude = [\"a\", "
       "\"b\"]\n[export.json.x]\nmax_batch_size = 5\n"},
      {"b", "flow.tcp_timeout = \"9s\"\n[interfaces]\ninclude = [\"c\"]\n[export.json.x]\npath = \"-\"\n"},
  };
  const ParsedConfig parsed = parse_config(files);
  EXPECT_THAT(parsed.complaints, IsEmpty());
  EXPECT_EQ(parsed.config.flow.tcp_timeout, 9s);
  EXPECT_EQ(parsed.config.flow.udp_timeout, 2s);
  EXPECT_THAT(parsed.config.interfaces.include, ElementsAre("c"));
  EXPECT_EQ(parsed.config.exporters.json.at("x"), (JsonExportConfig{"-", 0, 5, 1s}));
}

TEST(ConfigParse, ComplaintsNameTheFileTheyAreAbout) {
  const std::vector<ConfigText> files = {{"a", "[export.json.x]\n"}, {"b", "\n[flow]\nx = 1\n"}};
  const ParsedConfig parsed = parse_config(files);
  ASSERT_THAT(parsed.complaints, SizeIs(2));
  EXPECT_THAT(complaint_text(parsed.complaints[0]), HasSubstr("b:3: flow.x"));
  EXPECT_THAT(complaint_text(parsed.complaints[1]), HasSubstr("a:1: export.json.x: no path"));
}

TEST(ConfigParse, TooManyExporters) {
  std::string toml;
  for (int i = 0; i < 17; ++i)
    toml += "[export.json.e" + std::to_string(i) + "]\npath = \"/" + std::to_string(i) + "\"\n";
  EXPECT_THAT(complaints(toml), ElementsAre("f:33: export.json.e16: too many exporters; allowed: 16"));
}

TEST(ConfigParse, HostileTextIsOneComplaint) {
  std::string dotted;
  while (dotted.size() < kMaxConfigBytes - 10) dotted += "a.";
  const std::string cases[] = {
      dotted + "a = 1",
      "[" + dotted + "a]",
      "a = " + std::string(100'000, '['),
      std::string("[flow]\n\0tcp_timeout = 1", 23),
      "[flow]\n# \xff\xfe\n",
      "[flow]\ntcp_timeout = \"\xc3\x28\"\n",
      "[flow\n",
      "[@]\n",
      "\xc6\x9a",
      "[flow]\n=1\n",
      "[flow]\ntcp_timeout = \n",
      "[flow]\n[flow]\n",
      std::string(kMaxConfigBytes + 1, '#'),
  };
  for (const std::string& toml : cases) EXPECT_THAT(complaints(toml), SizeIs(1)) << toml.substr(0, 30);
  EXPECT_THAT(complaints("\n\n[flow\n")[0], HasSubstr("f:3: not TOML: "));
}

TEST(ConfigParse, ComplaintsStayShortAndPrintable) {
  const auto texts =
      complaints("\"" + std::string(5'000, 'k') + "\\u001b\" = 1\n[flow]\ntcp_timeout = \"\\u001b[31m\"");
  ASSERT_THAT(texts, SizeIs(2));
  for (const std::string& text : texts) {
    EXPECT_LT(text.size(), 200U);
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
  }
}

}  // namespace
}  // namespace rheo
