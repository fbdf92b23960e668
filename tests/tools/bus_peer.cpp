// SPDX-License-Identifier: Apache-2.0
// bus_peer NAME KEY…: a service on the system bus that does nothing but answer. It owns the name, and every
// method GetStatistics called on /org/rheo/Rheo1 returns a dictionary of these keys with numbers, as rheod's
// does: for benchmarks, another service that as many clients ask as often. Until it is killed.
#include <fmt/core.h>
#include <systemd/sd-bus.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>

namespace {

using Keys = std::span<char*>;

int answer(sd_bus_message* call, void* data, sd_bus_error* /*error*/) {
  sd_bus_message* reply = nullptr;
  int result = ::sd_bus_message_new_method_return(call, &reply);
  if (result >= 0) result = ::sd_bus_message_open_container(reply, 'a', "{st}");
  for (char* const key : *static_cast<const Keys*>(data)) {
    if (result >= 0) result = ::sd_bus_message_append(reply, "{st}", key, std::uint64_t{1'234'567});
  }
  if (result >= 0) result = ::sd_bus_message_close_container(reply);
  if (result >= 0) result = ::sd_bus_send(nullptr, reply, nullptr);
  ::sd_bus_message_unref(reply);
  return result;
}

int serve(const char* name, Keys keys) {
  const sd_bus_vtable methods[] = {
      SD_BUS_VTABLE_START(0),
      SD_BUS_METHOD("GetStatistics", "", "a{st}", answer, SD_BUS_VTABLE_UNPRIVILEGED),
      SD_BUS_VTABLE_END,
  };
  sd_bus* bus = nullptr;
  int result = ::sd_bus_open_system(&bus);
  if (result >= 0)
    result =
        ::sd_bus_add_object_vtable(bus, nullptr, "/org/rheo/Rheo1", "org.rheo.Rheo1.Manager", methods, &keys);
  if (result >= 0) result = ::sd_bus_request_name(bus, name, 0);
  while (result >= 0) {
    result = ::sd_bus_process(bus, nullptr);
    if (result == 0) result = ::sd_bus_wait(bus, UINT64_MAX);
    if (result == -EINTR) result = 0;
  }
  return result;
}

}  // namespace

int main(int argc, char* argv[]) {
  if (argc < 2) {
    fmt::print(stderr, "bus_peer NAME KEY...: no name\n");
    return EXIT_FAILURE;
  }
  const int result = serve(argv[1], Keys(argv + 2, argv + argc));
  fmt::print(stderr, "bus_peer: {}\n", std::strerror(-result));
  return EXIT_FAILURE;
}
