// The two-level prefix of a decay that no gate has summed up already.
//
// Defines: MOST_DECAY, LANES (heads that are one access of a thread: 4, or 1 where their number is no multiple of it), HAS_SEGMENTS.
#include "decay_chunk.cuh"
#include "packs.cuh"
#include "programmatic.cuh"

// alpha [B, S, H] -> local [2, B, H, S], totals [2, B, H, chunks]. Blocks: chunk, 16 heads, batch.
extern "C" __global__ void __launch_bounds__(tile_threads) decay_prefix(
    const float *alpha, float *local, float *totals, const int *segment_start, int positions, int heads)
{
    __shared__ float tile[tile_heads][tile_stride];
    overlap();
    const DecayChunk chunk(positions, heads);
    const int accesses = chunk.head_count / LANES;
    for (int i = threadIdx.x; i < chunk.count * accesses; i += tile_threads)
    {
        const int t = i / accesses, head = (i % accesses) * LANES;
        float decay[LANES];
        load(alpha + ((long long)blockIdx.z * positions + chunk.start + t) * heads + chunk.first_head + head, decay);
#pragma unroll
        for (int lane = 0; lane < LANES; lane++) tile[head + lane][t] = decay_in_sum(decay[lane]);
    }
    __syncthreads();
    chunk.write_sums<HAS_SEGMENTS>(tile, segment_start, local, totals);
}
