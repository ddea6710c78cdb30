// A softmax of a part of the keys, and how parts become one: those of a block's warps, and those of blocks.
#pragma once
#include "elements.cuh"
#include "warp.cuh"

constexpr double log2_e = 1.4426950408889634;

// What a stretch of keys gives: weights are 2^(score - highest), scores relative to the stretch's newest key.
struct Stretch
{
    double decay;  // Sum of its alphas.
    float highest; // Of the scores, in units of log 2.
    float sum;     // Of the weights.
};

__device__ __forceinline__ float minus_infinity() { return __uint_as_float(0xff800000u); }

// 2^(score - highest), 0 where nothing was seen.
__device__ __forceinline__ float weight_of(float score, float highest)
{
    return highest == minus_infinity() ? 0.0f : exp2_fast(score - highest);
}

// For lane i: the sum over the lanes before it, and over all in `total`. Infinity stays infinity: nothing is subtracted.
__device__ __forceinline__ double sum_before(double x, double &total)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int step = 1; step < 32; step <<= 1)
    {
        const double other = __shfl_up_sync(all_lanes, x, step);
        if (lane >= step) x += other;
    }
    total = __shfl_sync(all_lanes, x, 31);
    x = __shfl_up_sync(all_lanes, x, 1);
    return lane == 0 ? 0 : x;
}

// Stretches that follow one another, newest first and `distance` apart, as one; factor[i] is what i's sums of values are multiplied by.
template <int N> __device__ __forceinline__ Stretch join(const Stretch *stretches, int distance, float (&factor)[N])
{
    Stretch all;
    all.decay = 0;
    all.highest = minus_infinity();
    all.sum = 0;
#pragma unroll
    for (int i = 0; i < N; i++)
    {
        factor[i] = stretches[i * distance].highest - (float)(all.decay * log2_e);
        all.highest = fmaxf(all.highest, factor[i]);
        all.decay += stretches[i * distance].decay;
    }
#pragma unroll
    for (int i = 0; i < N; i++)
    {
        factor[i] = weight_of(factor[i], all.highest);
        all.sum = fmaf(factor[i], stretches[i * distance].sum, all.sum);
    }
    return all;
}
