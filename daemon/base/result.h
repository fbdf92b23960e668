// SPDX-License-Identifier: Apache-2.0
// Result: what a function returns that is expected to be able to fail.
// Plain values, any thread.
#pragma once

#include <cerrno>
#include <expected>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace rheo {

/// Why something expected to be able to fail did fail.
struct Error {
  std::error_code code;
  std::string what;

  /// The same error, one step further out: "eth0: Operation not permitted"
  /// becomes "attach: eth0: Operation not permitted".
  Error within(std::string_view doing) && {
    what.insert(0, std::string(doing) + ": ");
    return std::move(*this);
  }
};

template <class T>
using Result = std::expected<T, Error>;

/// The value of a success that has nothing to tell.
struct Done {};
using Status = Result<Done>;

/// An Error from a positive errno value: "DOING: No such file or directory".
inline std::unexpected<Error> errno_error(std::string_view doing, int number = errno) {
  const std::error_code code(number, std::system_category());
  return std::unexpected(Error{code, std::string(doing) + ": " + code.message()});
}

/// An Error in words only, for what has no errno.
inline std::unexpected<Error> failure(std::string what, std::errc code = std::errc::invalid_argument) {
  return std::unexpected(Error{std::make_error_code(code), std::move(what)});
}

/// `return forward(result, "attach");` hands the error of any Result on, with what was being done.
template <class T>
std::unexpected<Error> forward(Result<T>&& result, std::string_view doing) {
  return std::unexpected(std::move(result).error().within(doing));
}

template <class T>
std::unexpected<Error> forward(Result<T>&& result) {
  return std::unexpected(std::move(result).error());
}

}  // namespace rheo
