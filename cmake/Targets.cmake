# How this project makes targets. Each target sees only its own folder and those of the targets it
# links: the include path of a target holds nothing but a link to its own folder, so an include that
# the link dependencies do not allow fails to build.

# One private include root for a folder: <build>/include/<target>/<folder> -> <source>/<folder>.
function(mortise_include_root target folder)
  set(root ${CMAKE_BINARY_DIR}/include/${target})
  get_filename_component(parent ${root}/${folder} DIRECTORY)
  file(MAKE_DIRECTORY ${parent})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${folder} ${root}/${folder} SYMBOLIC)
  set(MORTISE_INCLUDE_ROOT ${root} PARENT_SCOPE)
endfunction()

set(MORTISE_STD_HEADERS <algorithm> <atomic> <chrono> <cstdint> <cstring> <functional> <map> <memory>
    <mutex> <optional> <span> <string> <string_view> <thread> <unordered_map> <utility> <vector>)

# Few precompiled headers for many targets: one for each target would take longer to compile than it saves.
#   library        what is linked into a server or a tool
#   client         the same, where most files speak gRPC; proto makes it
#   test           test programs
#   client_test    test programs that speak gRPC; proto makes it
# Executables are compiled with other flags than libraries, so libraries and programs cannot share one.
function(mortise_pch name)
  cmake_parse_arguments(ARG "TEST" "" "HEADERS;DEPS" ${ARGN})
  set(source ${CMAKE_BINARY_DIR}/pch/${name}.cc)
  if(ARG_TEST)
    file(WRITE ${source} "int main() {}\n")
    add_executable(mortise_pch_${name} ${source})
    set_target_properties(mortise_pch_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/pch)
    target_compile_options(mortise_pch_${name} PRIVATE ${MORTISE_TEST_OPTIONS})
  else()
    file(WRITE ${source} "")
    add_library(mortise_pch_${name} STATIC ${source})
  endif()
  target_link_libraries(mortise_pch_${name} PRIVATE ${ARG_DEPS})
  target_precompile_headers(mortise_pch_${name} PRIVATE ${ARG_HEADERS} ${MORTISE_STD_HEADERS})
endfunction()

# Test programs run for moments and are compiled often; what they link is optimized as ever, but for stubs. At this level the
# compiler's flow analysis reports false positives.
set(MORTISE_TEST_OPTIONS -O1 -Wno-array-bounds -Wno-maybe-uninitialized -Wno-stringop-overflow)

if(MORTISE_PCH)
  mortise_pch(library)
  mortise_pch(test TEST HEADERS <gtest/gtest.h> <gmock/gmock.h> DEPS GTest::gtest GTest::gmock)
endif()

# Gives a library the precompiled header, of the kind that is named or `library`.
function(mortise_precompile target)
  set(kind library)
  if(ARGC GREATER 1)
    set(kind ${ARGV1})
  endif()
  get_target_property(type ${target} TYPE)
  if(MORTISE_PCH AND NOT type STREQUAL "EXECUTABLE")
    target_precompile_headers(${target} REUSE_FROM mortise_pch_${kind})
  endif()
endfunction()

# mortise_host_library(wal SOURCES a.cc b.cc DEPS mortise_host_base ...)
# makes mortise_host_wal out of host/wal.
function(mortise_host_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  set(target mortise_host_${name})
  add_library(${target} STATIC ${ARG_SOURCES})
  mortise_include_root(${target} host/${name})
  target_include_directories(${target} PUBLIC ${MORTISE_INCLUDE_ROOT})
  target_link_libraries(${target} PUBLIC ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
  mortise_precompile(${target})
endfunction()

# mortise_plugin(backend_lmdb SOURCES ... DEPS ...) makes plugins/backend_lmdb.so. A plugin sees the
# SDK and its own folder, nothing of the host.
function(mortise_plugin name)
  cmake_parse_arguments(ARG "" "FOLDER" "SOURCES;DEPS" ${ARGN})
  if(NOT ARG_FOLDER)
    set(ARG_FOLDER plugins/${name})
  endif()
  add_library(${name} MODULE ${ARG_SOURCES})
  mortise_include_root(${name} ${ARG_FOLDER})
  target_include_directories(${name} PRIVATE ${MORTISE_INCLUDE_ROOT})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  target_link_options(${name} PRIVATE -Wl,--exclude-libs,ALL -Wl,--no-undefined)
  if(MORTISE_SANITIZE)
    target_link_options(${name} PRIVATE -Wl,-z,undefs)
  endif()
  set_target_properties(${name} PROPERTIES PREFIX ""
                        LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/plugins)
endfunction()

# Gives a program that serves tests alone its options and a precompiled header of the kinds for tests.
function(mortise_test_program target kind)
  target_link_libraries(${target} PRIVATE GTest::gtest)  # The header was compiled with its definitions.
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_compile_options(${target} PRIVATE ${MORTISE_TEST_OPTIONS})
  if(MORTISE_PCH)
    target_precompile_headers(${target} REUSE_FROM mortise_pch_${kind})
  endif()
endfunction()

# mortise_test(wal_test SOURCES wal_test.cc DEPS mortise_host_wal [TIMEOUT s] [ENV A=b ...] [CLIENT])
# CLIENT: it speaks gRPC.
# The name is the ctest name; the program runs with the test's source folder as working directory, so
# that testdata/ is found.
function(mortise_test name)
  cmake_parse_arguments(ARG "CLIENT" "TIMEOUT" "SOURCES;DEPS;ENV;ARGS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main Threads::Threads)
  if(ARG_CLIENT)
    mortise_test_program(${name} client_test)
  else()
    mortise_test_program(${name} test)
  endif()
  add_test(NAME ${name} COMMAND ${name} ${ARG_ARGS} WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT}
    ENVIRONMENT "MORTISE_BUILD_DIR=${CMAKE_BINARY_DIR};MORTISE_SOURCE_DIR=${CMAKE_SOURCE_DIR};${ARG_ENV}")
  if(ARG_LABELS)
    set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}")
  endif()
endfunction()
