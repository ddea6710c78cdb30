// N neighbours in registers, as floats: what one thread of a kernel that is bound by memory works on.
#pragma once
#include "elements.cuh"

// 16 bytes at a time where N of them are whole 16 bytes (then the address must be a multiple of 16), else one by one.
template <int N, class T> __device__ __forceinline__ void load(const T *source, float (&values)[N])
{
    if constexpr (N * sizeof(T) % 16 == 0)
    {
#pragma unroll
        for (int i = 0; i < N; i += Pack16<T>::count) Pack16<T>::load(source + i, values + i);
    }
    else
    {
#pragma unroll
        for (int i = 0; i < N; i++) values[i] = to_float(source[i]);
    }
}

template <int N, class T> __device__ __forceinline__ void store(const float (&values)[N], T *target)
{
    if constexpr (N * sizeof(T) % 16 == 0)
    {
#pragma unroll
        for (int i = 0; i < N; i += Pack16<T>::count) Pack16<T>::store(values + i, target + i);
    }
    else
    {
#pragma unroll
        for (int i = 0; i < N; i++) target[i] = from_float<T>(values[i]);
    }
}

// target += values.
template <int N, class T> __device__ __forceinline__ void add(const float (&values)[N], T *target)
{
    float sum[N];
    load(target, sum);
#pragma unroll
    for (int i = 0; i < N; i++) sum[i] += values[i];
    store(sum, target);
}

// Stores where the accumulator is fresh, else adds.
template <int N, class T> __device__ __forceinline__ void store_or_add(const float (&values)[N], T *target, bool fresh)
{
    if (fresh) store(values, target);
    else add(values, target);
}

// Walks a tensor of any number of elements: `body(width, first)` is called with as many neighbours as fit 16 bytes of T, and for the
// last few of the tensor one at a time; `width` is a Width<N>.
template <int N> struct Width { static constexpr int count = N; };

template <class T, class Body> __device__ __forceinline__ void each_pack(long long count, Body body)
{
    constexpr int N = Pack16<T>::count;
    long long first = N * ((long long)blockIdx.x * blockDim.x + threadIdx.x);
    if (first + N <= count)
    {
        body(Width<N>(), first);
        return;
    }
    for (long long i = first; i < count; i++) body(Width<1>(), i);
}

__device__ __forceinline__ float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }
