# SPDX-License-Identifier: Apache-2.0
add_executable(bench_owners ${CMAKE_CURRENT_LIST_DIR}/owners.cpp)
target_link_libraries(bench_owners PRIVATE rheo_base fmt::fmt)
