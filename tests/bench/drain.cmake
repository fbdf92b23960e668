# SPDX-License-Identifier: Apache-2.0
add_executable(bench_drain ${CMAKE_CURRENT_LIST_DIR}/drain.cpp)
target_link_libraries(bench_drain PRIVATE rheo_datapath rheo_flow)
