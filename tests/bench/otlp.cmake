# SPDX-License-Identifier: Apache-2.0
add_executable(bench_otlp ${CMAKE_CURRENT_LIST_DIR}/otlp.cpp)
target_link_libraries(bench_otlp PRIVATE rheo_export_otlp rheo_export rheo_model rheo_base rheo_otlp_proto fmt::fmt ZLIB::ZLIB)
