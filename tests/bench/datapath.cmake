# SPDX-License-Identifier: Apache-2.0
rheo_bpf_object(datapath_bench ${CMAKE_CURRENT_LIST_DIR}/bpf/datapath_bench.bpf.c ${PROJECT_BINARY_DIR}/tests/bench)
add_executable(bench_datapath ${CMAKE_CURRENT_LIST_DIR}/datapath.cpp)
add_dependencies(bench_datapath rheo_bpf_datapath_bench)
target_include_directories(bench_datapath SYSTEM PRIVATE ${PROJECT_BINARY_DIR}/tests/bench)
target_link_libraries(bench_datapath PRIVATE rheo_options PkgConfig::LIBBPF fmt::fmt)
