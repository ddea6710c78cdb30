// The emulator's programmatic.cuh: kernels run one after the other.
#pragma once

__device__ __forceinline__ void wait_for_earlier_kernels() {}
__device__ __forceinline__ void let_next_kernel_begin() {}
__device__ __forceinline__ void overlap() {}
__device__ __forceinline__ void prefetch(const void *, int) {}
__device__ __forceinline__ void prefetch_many(const void *address, int bytes)
{
    if (bytes <= 0 || bytes % 16 != 0 || (unsigned long long)address % 16 != 0) emulator::fail("prefetch_many of %d bytes at %p", bytes, address);
    for (int i = 0; i < bytes; i++) (void)static_cast<const volatile char *>(address)[i]; // Faults where there is nothing.
}
__device__ __forceinline__ uint4 load_once(const void *address) { return *reinterpret_cast<const uint4 *>(address); }
