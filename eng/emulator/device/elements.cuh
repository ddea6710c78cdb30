// The emulator's elements.cuh: the same functions, conversions in plain C++.
#pragma once
#include "numbers.h"

#define DYNAMIC_SHARED(name) unsigned char *name = emulator::dynamic_shared

struct bf16 { unsigned short bits; };
struct f16 { unsigned short bits; };

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bf16 x) { return emulator::bf16_to_float(x.bits); }
__device__ __forceinline__ float to_float(f16 x) { return emulator::f16_to_float(x.bits); }

template <class E> __device__ __forceinline__ E from_float(float x);
template <> __device__ __forceinline__ float from_float<float>(float x) { return x; }
template <> __device__ __forceinline__ bf16 from_float<bf16>(float x) { return {emulator::float_to_bf16(x)}; }
template <> __device__ __forceinline__ f16 from_float<f16>(float x) { return {emulator::float_to_f16(x)}; }

template <class E> __device__ __forceinline__ unsigned pack2(float first, float second)
{
    return unsigned(from_float<E>(first).bits) | unsigned(from_float<E>(second).bits) << 16;
}

template <class E> __device__ __forceinline__ float2 unpack2(unsigned pair)
{
    return make_float2(to_float(E{(unsigned short)(pair & 0xffff)}), to_float(E{(unsigned short)(pair >> 16)}));
}

template <class E> struct Pack16
{
    static constexpr int count = 16 / sizeof(E);

    static __device__ __forceinline__ void load(const E *source, float *values)
    {
        check(source);
        for (int i = 0; i < count; i++) values[i] = to_float(source[i]);
    }

    static __device__ __forceinline__ void store(const float *values, E *target)
    {
        check(target);
        for (int i = 0; i < count; i++) target[i] = from_float<E>(values[i]);
    }

private:
    static void check(const void *address)
    {
        if (reinterpret_cast<size_t>(address) % 16 != 0) emulator::fail("Pack16: %p is no multiple of 16", address);
    }
};

__device__ __forceinline__ float exp2_fast(float x) { return exp2f(x); }
