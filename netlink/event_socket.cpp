// SPDX-License-Identifier: Apache-2.0
#include "netlink/event_socket.h"

#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <sys/socket.h>

#include <exception>

namespace rheo {
namespace {

constexpr int kRoom = 4 << 20;                     // bytes; some 2,000 messages about links
constexpr std::size_t kReceiveBytes = 64U << 10U;  // one message, of a link with many virtual functions
constexpr int kDatagramsAtOnce = 4'096;
constexpr int kDiscards = 16;

/// What the callback of one drain() works with.
struct Drain {
  const EventSocket::TakeMessage& message;
  std::exception_ptr thrown;
};

int take_message(nl_msg* message, void* argument) {
  auto& drain = *static_cast<Drain*>(argument);
  const nlmsghdr* const header = nlmsg_hdr(message);
  // An exception (of memory) must not pass through libnl's C frames.
  try {
    drain.message({reinterpret_cast<const std::byte*>(header), header->nlmsg_len});
  } catch (...) {
    drain.thrown = std::current_exception();
    return NL_STOP;
  }
  return NL_OK;
}

std::unexpected<Error> libnl_error(int code) {
  return failure(std::string("netlink events: ") + nl_geterror(code), std::errc::io_error);
}

}  // namespace

void EventSocket::Free::operator()(nl_sock* socket) const { nl_socket_free(socket); }

Result<EventSocket> EventSocket::join(int protocol, std::initializer_list<int> groups) {
  EventSocket events;
  events.socket_.reset(nl_socket_alloc());
  nl_sock* const socket = events.socket_.get();
  if (socket == nullptr) return errno_error("netlink events", ENOMEM);
  nl_socket_disable_seq_check(socket);  // what nobody asked for has no number
  if (const int code = nl_connect(socket, protocol); code < 0) return libnl_error(code);
  if (const int code = nl_socket_set_nonblocking(socket); code < 0) return libnl_error(code);
  nl_socket_set_msg_buf_size(socket, kReceiveBytes);
  if (::setsockopt(nl_socket_get_fd(socket), SOL_SOCKET, SO_RCVBUFFORCE, &kRoom, sizeof kRoom) != 0)
    ::setsockopt(nl_socket_get_fd(socket), SOL_SOCKET, SO_RCVBUF, &kRoom, sizeof kRoom);
  for (const int group : groups)
    if (const int code = nl_socket_add_membership(socket, group); code < 0) return libnl_error(code);
  return events;
}

int EventSocket::fd() const { return nl_socket_get_fd(socket_.get()); }

Result<bool> EventSocket::follow(const TakeMessage& message) {
  const auto received = drain(message);
  if (!received) return std::unexpected(received.error());
  if (*received == Received::overflowed) {
    ++overruns_;
    out_of_step_ = true;
  }
  return out_of_step_ ? discard() : Result<bool>(false);
}

Result<EventSocket::Received> EventSocket::drain(const TakeMessage& message) {
  Drain drain{.message = message, .thrown = nullptr};
  nl_socket_modify_cb(socket_.get(), NL_CB_VALID, NL_CB_CUSTOM, take_message, &drain);
  for (int datagram = 0; datagram < kDatagramsAtOnce; ++datagram) {
    const int code = nl_recvmsgs_default(socket_.get());
    if (drain.thrown) std::rethrow_exception(drain.thrown);
    if (code == -NLE_AGAIN) return Received::all;
    if (code == -NLE_NOMEM || code == -NLE_MSG_TRUNC) return Received::overflowed;  // ENOBUFS is NLE_NOMEM
    if (code < 0) return libnl_error(code);
  }
  return Received::some;
}

/// False: so many came meanwhile that others should have their turn.
Result<bool> EventSocket::discard() {
  for (int round = 0; round < kDiscards; ++round) {
    const auto received = drain([](std::span<const std::byte> /*message*/) {});
    if (!received) return std::unexpected(received.error());
    if (*received == Received::all) return true;
  }
  return false;
}

}  // namespace rheo
