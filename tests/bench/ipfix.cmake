# SPDX-License-Identifier: Apache-2.0
add_executable(bench_ipfix ${CMAKE_CURRENT_LIST_DIR}/ipfix.cpp ${CMAKE_CURRENT_LIST_DIR}/ipfix_reader.cpp)
target_link_libraries(bench_ipfix PRIVATE rheo_export_ipfix rheo_ipfix_transport rheo_export rheo_model rheo_base fmt::fmt)
