# SPDX-License-Identifier: Apache-2.0
add_executable(bench_json ${CMAKE_CURRENT_LIST_DIR}/json.cpp)
target_link_libraries(bench_json PRIVATE rheo_export rheo_model rheo_base)
