// SPDX-License-Identifier: Apache-2.0
// Settings of an OTLP exporter: a key, else the environment, else a default; secrets from their places.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "daemon/app/otlp_settings.h"
#include "daemon/app/secret.h"

namespace rheo {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

using Variables = std::map<std::string, std::string>;

Result<OtlpExporterOptions> options_of(const OtlpExportConfig& config, const Variables& variables = {},
                                       const ResourceConfig& resource = {}) {
  static const Snapshot<LinkTable> links;
  static const Snapshot<Listeners> host;
  static const Snapshot<MeteringCounters> metering;
  const auto environment = [&](const std::string& name) {
    const auto found = variables.find(name);
    return found == variables.end() ? "" : found->second;
  };
  return otlp_options(
      config,
      {.resource = resource, .community_id_seed = 3, .links = links, .host = host, .metering = metering},
      environment);
}

OtlpTransportOptions transport(const OtlpExportConfig& config, const Variables& variables = {}) {
  auto options = options_of(config, variables);
  EXPECT_TRUE(options) << options.error().what;
  return options ? options->transport : OtlpTransportOptions{};
}

std::string refusal(const OtlpExportConfig& config, const Variables& variables = {}) {
  const auto options = options_of(config, variables);
  return options ? "not refused" : options.error().what;
}

TEST(OtlpSettings, NothingMeansDefaults) {
  const OtlpTransportOptions options = transport({});
  EXPECT_EQ(options.protocol, OtlpProtocol::grpc);
  EXPECT_EQ(authority(options.endpoint), "localhost:4317");
  EXPECT_FALSE(options.endpoint.tls);
  EXPECT_FALSE(options.gzip);
  EXPECT_EQ(options.timeout, 10s);
  EXPECT_TRUE(options.headers.empty());
  EXPECT_EQ(options_of({})->encoder.community_id_seed, 3);
  EXPECT_EQ(options_of({})->encoder.bucket_ns, 60'000'000'000U);
  EXPECT_EQ(authority(transport({.protocol = OtlpProtocolChoice::http_protobuf}).endpoint), "localhost:4318");
}

const Variables kAll = {{"OTEL_EXPORTER_OTLP_ENDPOINT", "https://env:1/base"},
                        {"OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"},
                        {"OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"},
                        {"OTEL_EXPORTER_OTLP_TIMEOUT", "1500"},
                        {"OTEL_EXPORTER_OTLP_HEADERS", "X-A=1%2C2, b = c "},
                        {"OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca"},
                        {"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/cert"},
                        {"OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key"}};

TEST(OtlpSettings, TheEnvironmentSpeaksWhereAKeyIsMissing) {
  const OtlpTransportOptions options = transport({}, kAll);
  EXPECT_EQ(options.protocol, OtlpProtocol::http_protobuf);
  EXPECT_EQ(options.endpoint.text, "https://env:1/base");
  EXPECT_FALSE(options.endpoint.whole_path);
  EXPECT_TRUE(options.gzip);
  EXPECT_EQ(options.timeout, 1500ms);
  EXPECT_THAT(options.headers, ElementsAre(Pair("b", "c"), Pair("x-a", "1,2")));
  EXPECT_EQ(options.tls.ca_cert, "/ca");
  EXPECT_EQ(options.tls.client_cert, "/cert");
  EXPECT_EQ(options.tls.client_key, "/key");
}

TEST(OtlpSettings, AKeyGoesBeforeTheEnvironment) {
  const OtlpTransportOptions options = transport({.endpoint = "http://file:2",
                                                  .protocol = OtlpProtocolChoice::grpc,
                                                  .compression = CompressionChoice::none,
                                                  .timeout = 2s,
                                                  .headers = {{"a", "1"}},
                                                  .tls_ca_cert = "/own",
                                                  .tls_client_cert = "/own2",
                                                  .tls_client_key = "/own3"},
                                                 kAll);
  EXPECT_EQ(options.protocol, OtlpProtocol::grpc);
  EXPECT_EQ(options.endpoint.text, "http://file:2");
  EXPECT_FALSE(options.gzip);
  EXPECT_EQ(options.timeout, 2s);
  EXPECT_THAT(options.headers, ElementsAre(Pair("a", "1")));
  EXPECT_EQ(options.tls.ca_cert, "/own");
}

TEST(OtlpSettings, TheTracesVariableGoesBeforeTheGeneralOne) {
  Variables variables = kAll;
  variables["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = "http://traces:3/all/of/it";
  variables["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"] = "7";
  const OtlpTransportOptions options = transport({}, variables);
  EXPECT_EQ(options.endpoint.path, "/all/of/it");
  EXPECT_TRUE(options.endpoint.whole_path);
  EXPECT_EQ(options.timeout, 7ms);
}

TEST(OtlpSettings, EachTracesVariableGoesBeforeItsGeneralOne) {
  Variables variables = {{"OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://bad"},
                         {"OTEL_EXPORTER_OTLP_PROTOCOL", "bad"},
                         {"OTEL_EXPORTER_OTLP_COMPRESSION", "bad"},
                         {"OTEL_EXPORTER_OTLP_TIMEOUT", "bad"},
                         {"OTEL_EXPORTER_OTLP_HEADERS", "bad"},
                         {"OTEL_EXPORTER_OTLP_CERTIFICATE", "/bad"},
                         {"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/bad"},
                         {"OTEL_EXPORTER_OTLP_CLIENT_KEY", "/bad"}};
  for (const auto& [name, value] : kAll)
    variables["OTEL_EXPORTER_OTLP_TRACES_" + name.substr(std::string("OTEL_EXPORTER_OTLP_").size())] = value;
  const OtlpTransportOptions traces = transport({}, variables);
  const OtlpTransportOptions general = transport({}, kAll);
  EXPECT_EQ(traces.endpoint.text, general.endpoint.text);
  EXPECT_EQ(traces.protocol, general.protocol);
  EXPECT_EQ(traces.gzip, general.gzip);
  EXPECT_EQ(traces.timeout, general.timeout);
  EXPECT_EQ(traces.headers, general.headers);
  EXPECT_EQ(traces.tls.ca_cert, general.tls.ca_cert);
  EXPECT_EQ(traces.tls.client_cert, general.tls.client_cert);
  EXPECT_EQ(traces.tls.client_key, general.tls.client_key);
}

TEST(OtlpSettings, AnEndpointOfGrpcNeedsNoScheme) {
  EXPECT_TRUE(transport({}, {{"OTEL_EXPORTER_OTLP_ENDPOINT", "h:5"}}).endpoint.tls);
  EXPECT_FALSE(
      transport({}, {{"OTEL_EXPORTER_OTLP_ENDPOINT", "h:5"}, {"OTEL_EXPORTER_OTLP_INSECURE", "true"}})
          .endpoint.tls);
}

TEST(OtlpSettings, ABadVariableIsNamed) {
  EXPECT_THAT(refusal({}, {{"OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"}}),
              HasSubstr("OTEL_EXPORTER_OTLP_PROTOCOL="));
  EXPECT_THAT(refusal({}, {{"OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"}}), HasSubstr("allowed: none, gzip"));
  for (const char* timeout : {"0", "-1", "10s", "600001"})
    EXPECT_THAT(refusal({}, {{"OTEL_EXPORTER_OTLP_TIMEOUT", timeout}}),
                HasSubstr("not a number of milliseconds"));
  for (const char* headers : {"secret", "=secret", "a b=secret", "a=secret%0d%0ab", "grpc-a=secret"}) {
    const std::string said = refusal({}, {{"OTEL_EXPORTER_OTLP_HEADERS", headers}});
    EXPECT_THAT(said, HasSubstr("OTEL_EXPORTER_OTLP_HEADERS: "));
    EXPECT_THAT(said, Not(HasSubstr("secret")));
  }
}

TEST(OtlpSettings, AuthorizationIsAHeader) {
  EXPECT_THAT(transport({.auth_basic = {.value = "Aladdin:open sesame"}}).headers,
              ElementsAre(Pair("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")));
  EXPECT_THAT(transport({.auth_basic = {.value = "a:b"}}).headers,
              Contains(Pair("authorization", "Basic YTpi")));
  EXPECT_THAT(transport({.auth_basic = {.value = "a:bc"}}).headers,
              Contains(Pair("authorization", "Basic YTpiYw==")));
  EXPECT_THAT(transport({.headers = {{"authorization", "other"}}, .auth_bearer = {.value = "token"}}).headers,
              ElementsAre(Pair("authorization", "Bearer token")));
  EXPECT_EQ(refusal({.auth_basic = {.value = "no-colon"}}),
            "auth.basic: not a user name and a password; allowed: USER:PASSWORD");
}

TEST(OtlpSettings, TheResourceIsPutTogether) {
  const Variables variables = {
      {"OTEL_RESOURCE_ATTRIBUTES", "team=net%20ops,service.name=env,host.name=renamed"},
      {"OTEL_SERVICE_NAME", "service"}};
  const auto options = options_of({}, variables, {{{"team", "own"}, {"n", std::int64_t{5}}}});
  ASSERT_TRUE(options);
  std::map<std::string, AttributeValue> attributes;
  for (const OtlpAttribute& one : options->resource)
    EXPECT_TRUE(attributes.emplace(one.key, one.value).second);
  EXPECT_EQ(attributes.at("service.name"), AttributeValue("service"));
  EXPECT_EQ(attributes.at("host.name"), AttributeValue("renamed"));
  EXPECT_EQ(attributes.at("team"), AttributeValue("own"));
  EXPECT_EQ(attributes.at("n"), AttributeValue(std::int64_t{5}));
  EXPECT_EQ(attributes.at("os.type"), AttributeValue("linux"));
  EXPECT_EQ(attributes.at("telemetry.distro.name"), AttributeValue("rheo"));
  EXPECT_EQ(attributes.at("telemetry.distro.version"), AttributeValue(RHEO_VERSION));
}

class SecretTest : public ::testing::Test {
 protected:
  SecretTest() {
    std::string pattern = (fs::temp_directory_path() / "rheo-secret-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~SecretTest() override { fs::remove_all(folder_); }
  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }
  fs::path folder_;
};

TEST_F(SecretTest, IsReadFromItsPlace) {
  EXPECT_EQ(read_secret_value("k", {.value = "v"}, ""), "v");
  EXPECT_EQ(read_secret_value("k", {.file = write("f", "of file \n\r\n")}, ""), "of file");
  EXPECT_EQ(read_secret_value("k", {.credential = "f"}, folder_.string()), "of file");
}

TEST_F(SecretTest, IsRefusedWithoutBeingShown) {
  const auto said = [&](const SecretConfig& secret) {
    const auto read = read_secret_value("auth.bearer", secret, "");
    return read ? "not refused" : read.error().what;
  };
  EXPECT_THAT(said({.file = "/nowhere"}), HasSubstr("auth.bearer_file /nowhere: No such file or directory"));
  EXPECT_THAT(said({.credential = "c"}), HasSubstr("auth.bearer_credential c: no credentials were passed"));
  EXPECT_THAT(said({.file = folder_.string()}), HasSubstr("not a regular file"));
  for (const std::string& text :
       {std::string("two\nlines"), std::string(), std::string(9'000, 'x'), std::string("\xff")}) {
    const std::string sentence = said({.file = write("bad", text)});
    EXPECT_THAT(sentence, HasSubstr("not a secret"));
    EXPECT_THAT(sentence, Not(HasSubstr("lines")));
  }
}

}  // namespace
}  // namespace rheo
