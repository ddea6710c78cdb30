// How the two-level prefix of the decay (chunk_totals.cuh) is written. Each number is two floats: the second, what the first rounds
// off, lies a whole array behind.
//
// A block of 256 threads has a chunk of 16 heads. It reads alpha, whose heads are neighbours, into a tile and writes sums, whose
// positions are: both in whole sectors.
//
// Defines: MOST_DECAY.
#pragma once
#include "chunk_totals.cuh"
#include "elements.cuh"
#include "segmented_sum.cuh"
#include "warp.cuh"

constexpr int tile_heads = 16;
constexpr int tile_threads = 256;
constexpr int lanes_per_head = tile_threads / tile_heads;
constexpr int positions_per_lane = chunk_positions / lanes_per_head;
// 66: four heads further is eight banks further, so the eight positions and four quads of a warp meet in no bank.
constexpr int tile_stride = chunk_positions + 2;

// A token's decay in a sum: more cuts the past off as well as infinity does, and would blur what follows it (DecayGatePrefix.MostDecay).
constexpr float most_decay = MOST_DECAY;

// Not fminf: NaN must stay NaN.
__device__ __forceinline__ float decay_in_sum(float decay) { return decay > most_decay ? most_decay : decay; }

__device__ __forceinline__ void split(double x, float &high, float &low)
{
    high = (float)x;
    low = (float)(x - high);
}

// Which chunk a block has: blocks are chunk, 16 heads, batch.
struct DecayChunk
{
    int positions, heads, start, count, first_head, head_count;

    __device__ __forceinline__ DecayChunk(int positions, int heads)
        : positions(positions), heads(heads), start(blockIdx.x * chunk_positions), count(min(chunk_positions, positions - start)),
          first_head(blockIdx.y * tile_heads), head_count(min(tile_heads, heads - first_head))
    {
    }

    // tile [heads][positions]: what the block's threads have filled in before a barrier. local [2, B, heads, positions], totals
    // [2, B, heads, chunks]. Where segments are given (segment_start [B, positions]), sums start anew at each: the differences that
    // a reader forms lie inside one, and a NaN stays in its document.
    template <bool segmented>
    __device__ __forceinline__ void write_sums(
        const float (&tile)[tile_heads][tile_stride], const int *segment_start, float *local, float *totals) const
    {
        // 16 lanes a head, four positions a lane, in double: a strong decay early in a chunk must not blur the weak ones after it.
        const int head = threadIdx.x / lanes_per_head, lane = threadIdx.x % lanes_per_head, first = lane * positions_per_lane;
        SegmentedSum sums[positions_per_lane], before = {0, 0};
#pragma unroll
        for (int i = 0; i < positions_per_lane; i++)
        {
            const int t = first + i;
            SegmentedSum own = {0, 0};
            if (head < head_count && t < count) own.value = tile[head][t];
            if (segmented && t < count)
                own.restarts = segment_start[(long long)blockIdx.z * positions + start + t] >= start + t;
            sums[i] = before = before + own;
        }
#pragma unroll
        for (int step = 1; step < lanes_per_head; step <<= 1)
        {
            const SegmentedSum other = up<segmented>(before, step);
            if (lane >= step) before = other + before;
        }
        const double total = __shfl_sync(all_lanes, before.value, lanes_per_head - 1, lanes_per_head);
        before = up<segmented>(before, 1);
        if (lane == 0) before = {0, 0};
        if (head >= head_count) return;

        float high[positions_per_lane], low[positions_per_lane];
#pragma unroll
        for (int i = 0; i < positions_per_lane; i++) split((before + sums[i]).value, high[i], low[i]);
        const long long row = (long long)blockIdx.z * heads + first_head + head, rows = (long long)gridDim.z * heads;
        float *target = local + row * positions + start + first;
        if (positions % positions_per_lane == 0)
        {
            if (first < count)
            {
                Pack16<float>::store(high, target);
                Pack16<float>::store(low, target + rows * positions);
            }
        }
        else
        {
#pragma unroll
            for (int i = 0; i < positions_per_lane; i++)
            {
                if (first + i >= count) continue;
                target[i] = high[i];
                target[rows * positions + i] = low[i];
            }
        }
        if (lane == 0)
        {
            split(total, high[0], low[0]);
            totals[row * gridDim.x + blockIdx.x] = high[0];
            totals[(rows + row) * gridDim.x + blockIdx.x] = low[0];
        }
    }

  private:
    template <bool segmented> static __device__ __forceinline__ SegmentedSum up(SegmentedSum sum, int lanes)
    {
        SegmentedSum other = {__shfl_up_sync(all_lanes, sum.value, lanes, lanes_per_head), 0};
        if (segmented) other.restarts = __shfl_up_sync(all_lanes, sum.restarts, lanes, lanes_per_head);
        return other;
    }
};
