// The two-level prefix of the decay: sums inside chunks of 64 positions, and the totals of chunks. A reader adds totals only of the
// chunks between two positions, so that position 1,000,000 is as exact as position 100. decay_chunk.cuh writes the prefix,
// decay_bias.cuh reads it in two floats a number, and Hopper's kernels in one.
#pragma once

constexpr int chunk_positions = 64;

// The decay from the start of chunk `from` to that of `to`, both among the `count` chunks from `first` on or right after them. Loads have
// no branches between them, so that all are under way together.
template <int count> __device__ __forceinline__ float decay_between_chunks(const float *totals, int first, int from, int to)
{
    float decay = 0;
#pragma unroll
    for (int i = 0; i < count; i++)
    {
        int chunk = first + i;
        decay += chunk >= from && chunk < to ? totals[chunk] : 0;
        decay -= chunk >= to && chunk < from ? totals[chunk] : 0;
    }
    return decay;
}
