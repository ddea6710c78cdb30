// Softmax over keys that come in blocks, in log2 units: the largest score so far and the sum of 2^(score - largest).
#pragma once
#include "elements.cuh"

struct OnlineSoftmax
{
    float most = -INFINITY;
    float sum = 0;

    // Takes the largest score of a block; what was summed so far shrinks by the result.
    __device__ __forceinline__ float raise(float most_of_block)
    {
        float before = most;
        most = fmaxf(most, most_of_block);
        return exp2_fast(before - base());
    }

    // What is taken from a score: finite even while nothing was visible, so that -inf gives a weight of 0 and no NaN.
    __device__ __forceinline__ float base() const { return most == -INFINITY ? 0 : most; }
};

// The four lanes that share a row of an accumulator fragment.
__device__ __forceinline__ float row_max(float x)
{
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

__device__ __forceinline__ float row_sum(float x)
{
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}
