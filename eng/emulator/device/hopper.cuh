// The emulator's hopper.cuh: the same functions, done by the runtime.
#pragma once
#include "elements.cuh"
#include "tensor_cores.cuh"

struct __align__(64) TensorMap { unsigned char bytes[128]; };

__device__ __forceinline__ unsigned swizzle_128(unsigned offset) { return offset ^ ((offset >> 3) & 0x70); }

// ---- Barriers ----

typedef unsigned long long Barrier;

__device__ __forceinline__ void barrier_init(Barrier *barrier, unsigned arrivals) { emulator::barrier_init(barrier, arrivals); }
__device__ __forceinline__ void barrier_init_fence() {}
__device__ __forceinline__ void barrier_arrive(Barrier *barrier) { emulator::barrier_arrive(barrier, 0); }
__device__ __forceinline__ void barrier_arrive_expect(Barrier *barrier, unsigned bytes) { emulator::barrier_arrive(barrier, bytes); }
__device__ __forceinline__ void barrier_wait(Barrier *barrier, unsigned parity) { emulator::barrier_wait(barrier, parity); }

__device__ __forceinline__ void group_sync(int id, int threads) { emulator::sync_group(id, threads); }
__device__ __forceinline__ void group_arrive(int id, int threads) { emulator::arrive_group(id, threads); }

__device__ __forceinline__ void fence_shared_async() {}
template <int registers> __device__ __forceinline__ void take_registers() {}
template <int registers> __device__ __forceinline__ void give_registers() {}

// ---- The copy engine ----

__device__ __forceinline__ void copy_tile(void *shared, const TensorMap *map, Barrier *barrier, int c0, int c1, int c2, int c3)
{
    emulator::copy_tile(shared, map, barrier, {c0, c1, c2, c3});
}
__device__ __forceinline__ void store_tile(const TensorMap *map, const void *shared, int c0, int c1, int c2, int c3)
{
    emulator::store_tile(map, shared, {c0, c1, c2, c3});
}
__device__ __forceinline__ void copy_bytes(void *shared, const void *global, unsigned bytes, Barrier *barrier)
{
    emulator::copy_bytes(shared, global, bytes, barrier);
}
__device__ __forceinline__ void copy_bytes_once(void *shared, const void *global, unsigned bytes, Barrier *barrier)
{
    emulator::copy_bytes(shared, global, bytes, barrier);
}
__device__ __forceinline__ void add_bytes(float *global, const void *shared, unsigned bytes) { emulator::add_bytes(global, shared, bytes); }
__device__ __forceinline__ void bulk_commit() { emulator::bulk_commit(); }
template <int pending> __device__ __forceinline__ void bulk_wait_read() { emulator::bulk_wait(pending); }
template <int pending> __device__ __forceinline__ void bulk_wait() { emulator::bulk_wait(pending); }

// ---- Matrix products of a warpgroup ----

__device__ __forceinline__ unsigned long long operand(const void *tile, unsigned panel_bytes = 16)
{
    return (unsigned long long)((shared_address(tile) & 0x3ffff) >> 4) | ((unsigned long long)(panel_bytes >> 4) << 16) |
           (64ull << 32) | (1ull << 62);
}
__device__ __forceinline__ unsigned long long operand_of_step(const void *tile)
{
    return (unsigned long long)((shared_address(tile) & 0x3ffff) >> 4) | (8ull << 16) | (16ull << 32);
}

__device__ __forceinline__ void product_fence() {}
__device__ __forceinline__ void product_commit() { emulator::product_commit(); }
template <int pending> __device__ __forceinline__ void product_wait() { emulator::product_wait(pending); }
__device__ __forceinline__ void not_before(float) {}
template <int count> __device__ __forceinline__ void settle(float (&)[count]) {}
template <int steps> __device__ __forceinline__ void settle(unsigned (&)[steps][4]) {}

template <class E, int N, int transposed_a, int transposed_b>
__device__ __forceinline__ void product(float (&d)[N / 2], unsigned long long a, unsigned long long b, bool accumulate)
{
    emulator::product(d, {EmulatorElement<E>::value, N, transposed_a != 0, transposed_b != 0, nullptr, a, b, accumulate});
}
template <class E, int N, int transposed_b>
__device__ __forceinline__ void product_registers(float (&d)[N / 2], const unsigned (&a)[4], unsigned long long b, bool accumulate)
{
    emulator::product(d, {EmulatorElement<E>::value, N, false, transposed_b != 0, a, 0, b, accumulate});
}

__device__ __forceinline__ void stmatrix_x4(void *row, const unsigned (&r)[4]) { emulator::store_matrices(row, r, false); }
__device__ __forceinline__ void stmatrix_x4_transposed(void *row, const unsigned (&r)[4]) { emulator::store_matrices(row, r, true); }
