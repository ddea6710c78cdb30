// The emulator's programmatic.cuh: kernels run one after the other.
#pragma once

__device__ __forceinline__ void wait_for_earlier_kernels() {}
__device__ __forceinline__ void let_next_kernel_begin() {}
__device__ __forceinline__ void prefetch(const void *, int) {}
__device__ __forceinline__ uint4 load_once(const void *address) { return *reinterpret_cast<const uint4 *>(address); }
