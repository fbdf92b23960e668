# SPDX-License-Identifier: Apache-2.0
# Every library and tool that we do not write; each has one owner among the rooms.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
pkg_check_modules(LIBBPF REQUIRED IMPORTED_TARGET libbpf>=1.1)
pkg_check_modules(LIBSYSTEMD REQUIRED IMPORTED_TARGET libsystemd)
pkg_check_modules(LIBNL REQUIRED IMPORTED_TARGET libnl-3.0 libnl-route-3.0)
pkg_check_modules(TOMLPLUSPLUS REQUIRED IMPORTED_TARGET tomlplusplus)
pkg_check_modules(NETTLE REQUIRED IMPORTED_TARGET nettle)
pkg_check_modules(LIBFIXBUF REQUIRED IMPORTED_TARGET libfixbuf>=2.4)
pkg_check_modules(GLIB REQUIRED IMPORTED_TARGET glib-2.0)  # libfixbuf calls it without linking it
pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET openssl>=3.0)
pkg_check_modules(GRPC REQUIRED IMPORTED_TARGET grpc++>=1.51)
pkg_check_modules(LIBCURL REQUIRED IMPORTED_TARGET libcurl>=7.85)
pkg_check_modules(NCURSES REQUIRED IMPORTED_TARGET ncursesw)
pkg_check_modules(SDBUS REQUIRED IMPORTED_TARGET sdbus-c++>=1.2)
find_package(ZLIB REQUIRED)
find_package(nlohmann_json 3.10 REQUIRED)
find_program(RHEO_XML2CPP sdbus-c++-xml2cpp REQUIRED)

# BPF programs are compiled by clang whatever compiles the rest.
find_program(RHEO_BPF_CLANG NAMES clang-14 clang-19 clang-18 clang REQUIRED)
# Ubuntu 24.04 has in /usr/sbin a script that looks for the bpftool of the running kernel, which no build's root has: any
# kernel's will do.
file(GLOB tools_of_kernels /usr/lib/linux-tools/*)
find_program(RHEO_BPFTOOL NAMES bpftool HINTS ${tools_of_kernels} PATHS /usr/sbin /sbin REQUIRED)
