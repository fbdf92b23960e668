// SPDX-License-Identifier: Apache-2.0
// Replies: callers of the bus who wait for an answer. They belong to one connection and are forgotten with
// it: whoever has an answer later finds that nobody waits any more. Main thread.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/base/result.h"
#include "dbus/sdbus.h"

namespace rheo {

/// An Error as clients see it: org.rheo.Rheo1.Error.InvalidArgument and so on, with the sentence.
sdbus::Error bus_error(const Error& error);

class Replies {
 public:
  // Open calls of one caller and of all; more are refused as Busy.
  static constexpr std::size_t kMostOfOne = 16;
  static constexpr std::size_t kMost = 1'024;

  template <class R>
  using Later = std::weak_ptr<R>;

  /// Whether one more call of this sender may wait.
  bool has_room(const std::string& sender) const {
    const auto of_sender =
        std::ranges::count(open_, sender, [](const Open& open) -> const std::string& { return open.sender; });
    return open_.size() < kMost && static_cast<std::size_t>(of_sender) < kMostOfOne;
  }

  template <class... Values>
  Later<sdbus::Result<Values...>> keep(const std::string& sender, sdbus::Result<Values...>&& result) {
    auto kept = std::make_shared<sdbus::Result<Values...>>(std::move(result));
    open_.push_back({sender, kept});
    return kept;
  }

  /// Nobody is answered twice, and nobody who is gone.
  template <class... Values>
  void answer(const Later<sdbus::Result<Values...>>& later, const Values&... values) {
    const auto result = take(later);
    if (!result) return;
    try {
      result->returnResults(values...);
    } catch (const sdbus::Error&) {  // the connection is failing; the caller will see that
      return;
    }
  }

  template <class... Values>
  void refuse(const Later<sdbus::Result<Values...>>& later, const Error& error) {
    const auto result = take(later);
    if (!result) return;
    try {
      result->returnError(bus_error(error));
    } catch (const sdbus::Error&) {  // as above
      return;
    }
  }

 private:
  struct Open {
    std::string sender;
    std::shared_ptr<void> result;
  };

  template <class R>
  std::shared_ptr<R> take(const Later<R>& later) {
    auto result = later.lock();
    if (result) std::erase_if(open_, [&](const Open& open) { return open.result == result; });
    return result;
  }

  std::vector<Open> open_;
};

}  // namespace rheo
