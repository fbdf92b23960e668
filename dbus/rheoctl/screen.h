// SPDX-License-Identifier: Apache-2.0
// Screen: the whole terminal, borrowed: however its owner ends, short of a kill -9, it is given back as it
// was. The only user of ncurses. One at a time, one thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "daemon/base/result.h"
#include "dbus/rheoctl/top_picture.h"

namespace rheo::ctl {

enum class KeyKind : std::uint8_t {
  none,  // nothing within the time, or nothing that matters here
  character,
  enter,
  erase,
  escape,
  up,
  down,
  page_up,
  page_down,
  home,
  end,
  resize,
  quit,  // a signal asks to end
};

struct Key {
  KeyKind kind = KeyKind::none;
  char character = 0;  // printable ASCII
};

class Screen {
 public:
  /// Fails where standard input or output is no terminal, or one that cannot be drawn on.
  static Result<Screen> take();

  Screen(Screen&& other) noexcept;
  Screen& operator=(Screen&&) = delete;
  ~Screen();

  std::size_t columns() const;
  std::size_t rows() const;

  /// Shows the lines from the top and nothing else; puts the cursor behind line `cursor_line`, if there is
  /// one.
  void draw(const std::vector<PictureLine>& lines, int cursor_line = -1);

  Key wait_for_key(std::chrono::milliseconds most);

 private:
  Screen() = default;

  bool taken_ = true;
};

}  // namespace rheo::ctl
