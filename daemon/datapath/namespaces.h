// SPDX-License-Identifier: Apache-2.0
// Namespaces: the network namespaces that programs are attached in, by the numbers that their rows and pins
// have; 0 is the one we live in. A number is marked in the pin directory, so that the next process gives it
// to the same namespace again. The main thread's.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/base/netns.h"
#include "daemon/base/result.h"
#include "daemon/datapath/pin_directory.h"
#include "daemon/datapath/pin_names.h"

namespace rheo {

class Namespaces {
 public:
  /// `pins` must outlive this.
  explicit Namespaces(const PinDirectory& pins) : pins_(&pins) {}

  /// Its number from now on: that of an earlier process, else the one that has been free the longest. Fails
  /// where all 255 are in use.
  Result<std::uint8_t> open(const std::string& name, std::shared_ptr<const Netns> netns);

  /// The number is free.
  void close(std::uint8_t number);

  /// Does the work there, while we wait here; no_such_device: nothing has the number.
  Status run(std::uint8_t number, const std::function<void()>& work) const;

  /// The name, and "" for our own.
  std::string name(std::uint8_t number) const;

  std::vector<std::uint8_t> numbers() const;  // of all that are open, and our own

  /// Those that an earlier process has marked, that are not open and still have their name: opens them. Marks
  /// of others are removed.
  std::vector<std::uint8_t> open_marked();

 private:
  struct Open {
    std::string name;
    std::shared_ptr<const Netns> netns;
    NetnsMark mark;
  };

  std::vector<NetnsMark> marks() const;
  std::uint8_t number_for(const NetnsMark& wanted) const;

  const PinDirectory* pins_;
  std::map<std::uint8_t, Open> open_;
  std::array<std::uint64_t, 256> freed_{};  // when, in closings; 0: never used
  std::uint64_t closings_ = 0;
};

}  // namespace rheo
