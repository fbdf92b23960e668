// SPDX-License-Identifier: Apache-2.0
#include "dbus/rheoctl/screen.h"

// Functions, not macros: macros break names in scopes.
#define NCURSES_NOMACROS
#include <curses.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace rheo::ctl {
namespace {

volatile std::sig_atomic_t asked_to_end = 0;

void ask_to_end(int /*signal*/) { asked_to_end = 1; }

void catch_signals() {
  // Without SA_RESTART: whoever waits for a key is woken.
  struct sigaction action{};
  action.sa_handler = ask_to_end;
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) ::sigaction(number, &action, nullptr);
}

/// There is nobody at the terminal any more, and getch() does not wait.
bool is_gone() {
  pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  return ::poll(&input, 1, 0) > 0 && (input.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
}

attr_t attribute_of(LineStyle style) {
  if (style == LineStyle::bold) return A_BOLD;
  return style == LineStyle::reverse ? A_REVERSE : A_NORMAL;
}

Key key_of(int code) {
  switch (code) {
    case KEY_UP:
      return {KeyKind::up};
    case KEY_DOWN:
      return {KeyKind::down};
    case KEY_PPAGE:
      return {KeyKind::page_up};
    case KEY_NPAGE:
      return {KeyKind::page_down};
    case KEY_HOME:
      return {KeyKind::home};
    case KEY_END:
      return {KeyKind::end};
    case KEY_RESIZE:
      return {KeyKind::resize};
    case KEY_ENTER:
    case '\n':
    case '\r':
      return {KeyKind::enter};
    case KEY_BACKSPACE:
    case 0x7f:
    case 0x08:
      return {KeyKind::erase};
    case 0x1b:
      return {KeyKind::escape};
    default:
      break;
  }
  if (code >= 0x20 && code < 0x7f) return {KeyKind::character, static_cast<char>(code)};
  return {};
}

}  // namespace

Result<Screen> Screen::take() {
  if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDOUT_FILENO) == 0)
    return failure("flows top: standard input and output must be a terminal; see rheoctl flows list");
  std::setlocale(LC_ALL, "");
  SCREEN* screen = ::newterm(nullptr, stdout, stdin);
  if (screen == nullptr) {
    const char* term = std::getenv("TERM");
    return failure("flows top: TERM is \"" + std::string(term != nullptr ? term : "") +
                   "\", a terminal that cannot be drawn on; see rheoctl flows list");
  }
  catch_signals();
  ::set_escdelay(50);
  ::cbreak();
  ::noecho();
  ::nonl();
  ::keypad(stdscr, TRUE);
  ::leaveok(stdscr, FALSE);
  ::curs_set(0);
  return Screen();
}

Screen::Screen(Screen&& other) noexcept : taken_(std::exchange(other.taken_, false)) {}

Screen::~Screen() {
  if (!taken_) return;
  ::curs_set(1);
  ::endwin();
}

std::size_t Screen::columns() const { return static_cast<std::size_t>(std::max(getmaxx(stdscr), 1)); }
std::size_t Screen::rows() const { return static_cast<std::size_t>(std::max(getmaxy(stdscr), 1)); }

void Screen::draw(const std::vector<PictureLine>& lines, int cursor_line) {
  ::erase();
  int cursor_column = 0;
  for (std::size_t row = 0; row < lines.size() && row < rows(); ++row) {
    ::attrset(static_cast<int>(attribute_of(lines[row].style)));
    ::mvaddstr(static_cast<int>(row), 0, lines[row].text.c_str());
    if (std::cmp_equal(row, cursor_line)) cursor_column = getcurx(stdscr);
  }
  ::attrset(A_NORMAL);
  ::curs_set(cursor_line >= 0 ? 1 : 0);
  if (cursor_line >= 0) ::move(cursor_line, cursor_column);
  ::refresh();
}

Key Screen::wait_for_key(std::chrono::milliseconds most) {
  if (asked_to_end != 0) return {KeyKind::quit};
  ::timeout(static_cast<int>(most.count()));
  const int code = ::getch();
  if (asked_to_end != 0) return {KeyKind::quit};
  if (code == ERR) return is_gone() ? Key{KeyKind::quit} : Key{};
  return key_of(code);
}

}  // namespace rheo::ctl
