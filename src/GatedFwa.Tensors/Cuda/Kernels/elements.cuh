// What a number is: bf16 and f16 in memory, float in every register. Needs no header of the CUDA toolkit.
#pragma once

#define DYNAMIC_SHARED(name) extern __shared__ __align__(1024) unsigned char name[]

#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#endif

struct bf16 { unsigned short bits; };
struct f16 { unsigned short bits; };

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bf16 x) { return __uint_as_float((unsigned)x.bits << 16); }
__device__ __forceinline__ float to_float(f16 x)
{
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
    return y;
}

template <class E> __device__ __forceinline__ E from_float(float x);
template <> __device__ __forceinline__ float from_float<float>(float x) { return x; }
template <> __device__ __forceinline__ bf16 from_float<bf16>(float x)
{
    bf16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}
template <> __device__ __forceinline__ f16 from_float<f16>(float x)
{
    f16 y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

// Two neighbours in one register, the first in the low half: what the tensor cores read. There is no pair of floats: the general
// case is for branches that a kernel for float compiles and never takes.
template <class E> __device__ __forceinline__ unsigned pack2(float, float) { return 0; }
template <> __device__ __forceinline__ unsigned pack2<bf16>(float first, float second)
{
    unsigned pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
}
template <> __device__ __forceinline__ unsigned pack2<f16>(float first, float second)
{
    unsigned pair;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
}

template <class E> __device__ __forceinline__ float2 unpack2(unsigned pair)
{
    E first, second;
    first.bits = (unsigned short)(pair & 0xffff);
    second.bits = (unsigned short)(pair >> 16);
    return make_float2(to_float(first), to_float(second));
}

// 16 bytes of elements: the widest access of a thread. Addresses must be multiples of 16.
template <class E> struct Pack16
{
    static constexpr int count = 16 / sizeof(E);

    static __device__ __forceinline__ void load(const E *source, float *values)
    {
        uint4 raw = *reinterpret_cast<const uint4 *>(source);
        const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            if constexpr (sizeof(E) == 4)
                values[i] = __uint_as_float(words[i]);
            else
            {
                float2 pair = unpack2<E>(words[i]);
                values[2 * i] = pair.x;
                values[2 * i + 1] = pair.y;
            }
        }
    }

    static __device__ __forceinline__ void store(const float *values, E *target)
    {
        unsigned words[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            if constexpr (sizeof(E) == 4)
                words[i] = __float_as_uint(values[i]);
            else
                words[i] = pack2<E>(values[2 * i], values[2 * i + 1]);
        }
        *reinterpret_cast<uint4 *>(target) = make_uint4(words[0], words[1], words[2], words[3]);
    }
};

// 2^x in one instruction, 2 ulp; 2^(-inf) = 0.
__device__ __forceinline__ float exp2_fast(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
