// SPDX-License-Identifier: Apache-2.0
// Snapshot: publishes an immutable value from one thread to any other.
// A reader keeps what it got for as long as it likes; the writer never waits for it.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

namespace rheo {

template <class T>
class Snapshot {
 public:
  Snapshot() : value_(std::make_shared<const T>()) {}
  explicit Snapshot(T value) : value_(std::make_shared<const T>(std::move(value))) {}

  /// Any thread. Never null.
  std::shared_ptr<const T> get() const {
    const std::scoped_lock lock(mutex_);
    return value_;
  }

  /// The one writer's thread.
  void publish(T value) {
    auto next = std::make_shared<const T>(std::move(value));
    const std::scoped_lock lock(mutex_);
    value_.swap(next);
  }

 private:
  mutable std::mutex mutex_;  // held for a pointer copy: std::atomic<shared_ptr> spins the same way
  std::shared_ptr<const T> value_;
};

}  // namespace rheo
