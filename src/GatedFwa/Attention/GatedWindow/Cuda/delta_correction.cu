// delta comes from outputs that were rounded to 16 bits. The row sums of dS, zero but for that rounding, tell its error: they
// correct it for the pass that keeps keys. Where a tile's error is not small beside what is summed, dq is computed again.
#include "packs.cuh"
#include "warp.cuh"

constexpr int rows_per_lane = 4, tile_rows = 32 * rows_per_lane, threads = 256, block_tiles = threads / 32;
constexpr float negligible = 1.0f / 512; // of the sums of |dS|

// Four rows at once where each text begins on 16 bytes; rows beyond the text count as zero.
__device__ __forceinline__ void load_rows(const float *source, int count, bool aligned, float (&values)[rows_per_lane])
{
    if (aligned && count >= rows_per_lane)
    {
        load(source, values);
        return;
    }
#pragma unroll
    for (int i = 0; i < rows_per_lane; i++) values[i] = i < count ? source[i] : 0;
}

// sums, sizes (of dS and |dS| along each row), delta: [B, H, T]; repeat [B * H * tiles]. A warp a tile. Blocks: eight tiles, row of
// B and H.
extern "C" __global__ void __launch_bounds__(threads) delta_correction(
    const float *__restrict__ sums, const float *__restrict__ sizes, float *__restrict__ delta, int *__restrict__ repeat, int tokens,
    int tiles)
{
    const int lane = threadIdx.x % 32, tile = blockIdx.x * block_tiles + threadIdx.x / 32;
    if (tile >= tiles) return;
    const int token = tile * tile_rows + lane * rows_per_lane, count = tokens - token;
    const bool aligned = tokens % rows_per_lane == 0;
    const long long row = (long long)blockIdx.y * tokens + token;
    float error[rows_per_lane], size[rows_per_lane], corrected[rows_per_lane];
    load_rows(sums + row, count, aligned, error);
    load_rows(sizes + row, count, aligned, size);
    load_rows(delta + row, count, aligned, corrected);
    float errors = 0, all = 0;
#pragma unroll
    for (int i = 0; i < rows_per_lane; i++)
    {
        corrected[i] += error[i];
        errors = fmaf(error[i], error[i], errors);
        all = fmaf(size[i], size[i], all);
    }
    if (aligned && count >= rows_per_lane)
    {
        store(corrected, delta + row);
    }
    else
    {
#pragma unroll
        for (int i = 0; i < rows_per_lane; i++)
            if (i < count) delta[row + i] = corrected[i];
    }
    errors = warp_sum(errors);
    all = warp_sum(all);
    if (lane == 0) repeat[(long long)blockIdx.y * tiles + tile] = errors > negligible * negligible * all;
}
