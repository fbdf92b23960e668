// SPDX-License-Identifier: Apache-2.0
#include "netlink/dump.h"

#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <sys/socket.h>

#include <cstring>
#include <exception>
#include <memory>

namespace rheo {
namespace {

constexpr int kAttempts = 5;
constexpr timeval kReceiveDeadline{.tv_sec = 2, .tv_usec = 0};
constexpr std::size_t kReceiveBytes = 64U << 10U;  // the kernel fills at most 32 KiB a datagram of a dump

struct FreeSocket {
  void operator()(nl_sock* socket) const { nl_socket_free(socket); }
};
using Socket = std::unique_ptr<nl_sock, FreeSocket>;

/// What the callbacks of one attempt share.
struct Attempt {
  const DumpReceiver& receiver;
  int refusal = 0;  // errno of an NLMSG_ERROR, or of the NLMSG_DONE of a dump that ended early
  std::exception_ptr thrown;
};

// libnl's own codes say less than the errno they were made of.
std::unexpected<Error> libnl_error(std::string_view doing, int code) {
  if (-code == NLE_AGAIN) return errno_error(doing, ETIMEDOUT);
  if (-code == NLE_NOMEM) return errno_error(doing, ENOBUFS);
  return failure(std::string(doing) + ": " + nl_geterror(code), std::errc::io_error);
}

int take_message(nl_msg* message, void* argument) {
  auto& attempt = *static_cast<Attempt*>(argument);
  const nlmsghdr* const header = nlmsg_hdr(message);
  // An exception (of memory) must not pass through libnl's C frames.
  try {
    attempt.receiver.message({reinterpret_cast<const std::byte*>(header), header->nlmsg_len});
  } catch (...) {
    attempt.thrown = std::current_exception();
    return NL_STOP;
  }
  return NL_OK;
}

int take_refusal(sockaddr_nl*, nlmsgerr* refusal, void* argument) {
  static_cast<Attempt*>(argument)->refusal = -refusal->error;
  return NL_STOP;
}

// libnl does not look at the status that NLMSG_DONE carries.
int take_end(nl_msg* message, void* argument) {
  const nlmsghdr* const header = nlmsg_hdr(message);
  int status = 0;
  if (nlmsg_datalen(header) >= static_cast<int>(sizeof(status)))
    std::memcpy(&status, nlmsg_data(header), sizeof(status));
  if (status < 0) static_cast<Attempt*>(argument)->refusal = -status;
  return NL_OK;
}

Result<Socket> open_socket(int protocol) {
  Socket socket(nl_socket_alloc());
  if (!socket) return errno_error("netlink socket", ENOMEM);
  if (const int code = nl_connect(socket.get(), protocol); code < 0)
    return libnl_error("netlink socket", code);
  nl_socket_set_msg_buf_size(socket.get(), kReceiveBytes);
  if (::setsockopt(nl_socket_get_fd(socket.get()), SOL_SOCKET, SO_RCVTIMEO, &kReceiveDeadline,
                   sizeof(kReceiveDeadline)) != 0)
    return errno_error("netlink socket: receive deadline");
  return socket;
}

/// One attempt on a socket of its own, so that no late answer meets the next question.
/// The value says whether the kernel called the dump consistent.
Result<bool> attempt_dump(const DumpRequest& request, const DumpReceiver& receiver) {
  auto socket = open_socket(request.protocol);
  if (!socket) return forward(std::move(socket));

  Attempt attempt{.receiver = receiver, .refusal = 0, .thrown = nullptr};
  nl_socket_modify_cb(socket->get(), NL_CB_VALID, NL_CB_CUSTOM, take_message, &attempt);
  nl_socket_modify_cb(socket->get(), NL_CB_FINISH, NL_CB_CUSTOM, take_end, &attempt);
  nl_socket_modify_err_cb(socket->get(), NL_CB_CUSTOM, take_refusal, &attempt);

  const int sent = nl_send_simple(socket->get(), request.type, NLM_F_DUMP,
                                  const_cast<std::byte*>(request.payload.data()), request.payload.size());
  if (sent < 0) return libnl_error("netlink request", sent);

  receiver.start();
  const int code = nl_recvmsgs_default(socket->get());
  if (attempt.thrown) std::rethrow_exception(attempt.thrown);
  if (attempt.refusal != 0) return errno_error("netlink dump", attempt.refusal);
  if (code == -NLE_DUMP_INTR) return false;
  if (code < 0) return libnl_error("netlink dump", code);
  return true;
}

}  // namespace

Status dump(const DumpRequest& request, const DumpReceiver& receiver) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    auto consistent = attempt_dump(request, receiver);
    if (!consistent) return forward(std::move(consistent));
    if (*consistent) break;
  }
  return Done{};
}

}  // namespace rheo
