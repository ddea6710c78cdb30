// Reductions over a warp and over a block: a fixed tree, so that the same inputs give the same bits.
#pragma once

constexpr unsigned all_lanes = 0xffffffffu;

template <class T> __device__ __forceinline__ T warp_sum(T x)
{
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) x += __shfl_xor_sync(all_lanes, x, step);
    return x;
}

__device__ __forceinline__ float warp_max(float x)
{
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) x = fmaxf(x, __shfl_xor_sync(all_lanes, x, step));
    return x;
}

// Over all threads of a one-dimensional block; every thread gets the result. `scratch` holds one element a warp and may be
// used again at once.
template <class T> __device__ __forceinline__ T block_sum(T x, T *scratch)
{
    x = warp_sum(x);
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
    __syncthreads();
    T sum = 0;
    for (int warp = 0; warp < (int)(blockDim.x + 31) / 32; warp++) sum += scratch[warp];
    __syncthreads();
    return sum;
}

__device__ __forceinline__ float block_max(float x, float *scratch)
{
    x = warp_max(x);
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = x;
    __syncthreads();
    float most = scratch[0];
    for (int warp = 1; warp < (int)(blockDim.x + 31) / 32; warp++) most = fmaxf(most, scratch[warp]);
    __syncthreads();
    return most;
}
