# SPDX-License-Identifier: Apache-2.0
# What every target of ours is compiled with: link `rheo_options`.
add_library(rheo_options INTERFACE)
target_include_directories(rheo_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(rheo_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
                       -Wno-sign-conversion -Wnon-virtual-dtor -Woverloaded-virtual)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  # LIBBPF_OPTS is C that g++ takes for its own.
  target_compile_options(rheo_options INTERFACE -Wno-gnu-statement-expression-from-macro-expansion
                         -Wno-c99-extensions -Wno-missing-designated-field-initializers)
endif()
if(RHEO_FAULT_POINTS)
  target_compile_definitions(rheo_options INTERFACE RHEO_FAULT_POINTS)
endif()
if(RHEO_FUZZERS)
  # Coverage of everything, not of the fuzzers' own files alone: it is what libFuzzer is led by.
  target_compile_options(rheo_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(RHEO_SANITIZE)
  target_compile_options(rheo_options INTERFACE -fsanitize=${RHEO_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(rheo_options INTERFACE -fsanitize=${RHEO_SANITIZE})
endif()

# One room of the architecture: a static library that sees only what it links.
#   rheo_room(NAME SOURCES a.cpp … LINKS rheo_base …)
function(rheo_room name)
  cmake_parse_arguments(room "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(${name} STATIC ${room_SOURCES})
  target_link_libraries(${name} PUBLIC rheo_options ${room_LINKS} PRIVATE ${room_PRIVATE_LINKS})
endfunction()
