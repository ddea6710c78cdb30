// The emulator's tensor_cores.cuh: the same functions, done by the runtime once the whole warp has called.
#pragma once
#include "elements.cuh"

__device__ __forceinline__ unsigned shared_address(const void *pointer) { return emulator::shared_offset(pointer); }

template <class E> struct EmulatorElement;
template <> struct EmulatorElement<bf16> { static constexpr emulator::Element value = emulator::Element::bf16; };
template <> struct EmulatorElement<f16> { static constexpr emulator::Element value = emulator::Element::f16; };

__device__ __forceinline__ void ldmatrix_x4(unsigned (&r)[4], const void *row) { emulator::load_matrices(r, row, false); }
__device__ __forceinline__ void ldmatrix_x4_transposed(unsigned (&r)[4], const void *row) { emulator::load_matrices(r, row, true); }

template <class E>
__device__ __forceinline__ void mma_16x8x16(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1)
{
    emulator::multiply_16x8x16(EmulatorElement<E>::value, d, a, b0, b1);
}

__device__ __forceinline__ void copy_async_16(void *shared, const void *global, bool valid) { emulator::copy_async(shared, global, valid); }
__device__ __forceinline__ void copy_async_16_of_256(void *shared, const void *global, bool valid) { copy_async_16(shared, global, valid); }
__device__ __forceinline__ void copy_async_commit() { emulator::copy_async_commit(); }
template <int pending> __device__ __forceinline__ void copy_async_wait() { emulator::copy_async_wait(pending); }
