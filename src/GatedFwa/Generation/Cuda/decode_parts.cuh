// Attention in parts, as ring_decode.cu leaves them for the product that joins them: floats [texts * heads, SPLITS, HEAD_SIZE], and what
// weighs them, [texts * heads, SPLITS].
#pragma once
#include "packs.cuh"
#include "stretch.cuh"

#if SPLITS
// Neighbours of one head's outputs, from element `first` of [texts, heads * HEAD_SIZE] on.
template <int pack>
__device__ __forceinline__ void join_parts(const float *parts, const Stretch *stretches, int first, float (&joined)[pack])
{
    const int first_part = first / HEAD_SIZE * SPLITS;
    float values[SPLITS][pack], factor[SPLITS];
    Stretch weights[SPLITS];
#pragma unroll
    for (int s = 0; s < SPLITS; s++)
    {
        load(parts + (long long)(first_part + s) * HEAD_SIZE + first % HEAD_SIZE, values[s]);
        weights[s] = stretches[first_part + s];
    }
    const float share = 1.f / join<SPLITS>(weights, 1, factor).sum;
#pragma unroll
    for (int s = 0; s < SPLITS; s++)
#pragma unroll
        for (int j = 0; j < pack; j++) joined[j] = fmaf(factor[s] * share, values[s][j], joined[j]);
}
#endif
