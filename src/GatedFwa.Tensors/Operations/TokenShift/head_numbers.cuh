// A number for each head of a row, which head_lanes neighbouring lanes have: gates, which a warp makes for many rows at once, and their
// gradients. A warp's part of a row has packs · heads_of_pack heads: those of its first packs, then those of its second packs.
#pragma once
#include "norm_row.cuh"

constexpr int head_lanes = HEAD_SIZE / PACK, heads_of_pack = 32 / head_lanes;

// The gates σ(mix) of ROWS rows, a power of two, in a warp's part of shared memory, made by all its lanes at once. By a load in each row
// a warp would wait for memory at each: what a thread waits for is a group of its loads, not one of them.
template <int ROWS> struct GatesOfRows
{
    static constexpr int heads = packs * heads_of_pack; // Of a warp.
    static constexpr int bytes = THREADS / 32 * ROWS * heads * (int)sizeof(float);
    static constexpr int at_once = 8; // Loads of a lane.

    float *gates; // [ROWS, heads], the warp's own.

    __device__ __forceinline__ GatesOfRows(unsigned char *shared)
        : gates(reinterpret_cast<float *>(shared) + (int)threadIdx.x / 32 * (ROWS * heads)) {}

    // Rows from `first` up to `end`, at most ROWS of them; there is at least one. Around no load is a branch: what does not exist reads
    // the last row or head again.
    __device__ __forceinline__ void fill(const ELEMENT *mix, int stride, int first, int end)
    {
        const int lane = threadIdx.x % 32, warp = threadIdx.x % ROW_THREADS / 32;
        __syncwarp();
        for (int start = 0; start < (end - first) * heads; start += 32 * at_once)
        {
            ELEMENT logits[at_once];
#pragma unroll
            for (int k = 0; k < at_once; k++)
            {
                const int i = start + 32 * k + lane, p = i % heads / heads_of_pack;
                const int head = (p * (ROW_THREADS / 32) + warp) * heads_of_pack + i % heads_of_pack; // Of the row.
                logits[k] = mix[(long long)min(first + i / heads, end - 1) * stride + min(head, WIDTH / HEAD_SIZE - 1)];
            }
#pragma unroll
            for (int k = 0; k < at_once; k++)
            {
                const int i = start + 32 * k + lane, row = first + i / heads;
                if (row < end) gates[(row & (ROWS - 1)) * heads + i % heads] = sigmoid(to_float(logits[k]));
            }
        }
        __syncwarp();
    }

    // Of the heads that this thread's packs lie in.
    __device__ __forceinline__ void read(int row, float (&values)[packs]) const
    {
        const int lane = threadIdx.x % 32;
#pragma unroll
        for (int p = 0; p < packs; p++) values[p] = gates[(row & (ROWS - 1)) * heads + lane / head_lanes + p * heads_of_pack];
    }
};

// Lanes' numbers to their sums over each head, which all its lanes then have.
__device__ __forceinline__ void sum_over_heads(float (&values)[packs])
{
#pragma unroll
    for (int step = head_lanes / 2; step > 0; step >>= 1)
#pragma unroll
        for (int p = 0; p < packs; p++) values[p] += __shfl_xor_sync(all_lanes, values[p], step);
}

// What all lanes of a head have for each of their packs: each lane stores that of every head_lanes-th pack.
__device__ __forceinline__ void store_heads(const float (&values)[packs], ELEMENT *row, bool fresh)
{
#pragma unroll
    for (int first = 0; first < packs; first += head_lanes)
    {
        const int own = first + threadIdx.x % head_lanes;
        float value[1] = {};
#pragma unroll
        for (int p = first; p < packs; p++)
        {
            const float candidate = values[p];
            value[0] = own == p ? candidate : value[0];
        }
        if (own < packs && has_pack(own)) store_or_add(value, row + column_of(own) / HEAD_SIZE, fresh);
    }
}
