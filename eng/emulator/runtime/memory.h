// Device memory: host memory that begins in uninitialised state (0xff: NaN) between guards.
#pragma once

#include <cstddef>
#include <string>

namespace emulator
{
void *allocate(size_t bytes); // null: the limit is reached
bool release(void *pointer);
bool is_device_range(const void *pointer, size_t bytes);
size_t memory_limit();
size_t memory_in_use();

// A sentence about an allocation whose guards were overwritten, once; empty if there is none.
std::string find_overrun();
}
