# SPDX-License-Identifier: Apache-2.0
add_executable(bench_classes ${CMAKE_CURRENT_LIST_DIR}/classes.cpp)
target_link_libraries(bench_classes PRIVATE rheo_model rheo_base)
