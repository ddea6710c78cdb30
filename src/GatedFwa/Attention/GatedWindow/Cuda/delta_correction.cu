// delta comes from outputs that were rounded to 16 bits. The row sums of dS, zero but for that rounding, tell its error: they
// correct it for the pass that keeps keys. Where a tile's error is not small beside what is summed, dq is computed again.
//
// Defines: TILE_ROWS, a multiple of 32.
#include "programmatic.cuh"
#include "warp.cuh"

constexpr int rows_per_lane = TILE_ROWS / 32, threads = 256, block_tiles = threads / 32;
constexpr float negligible = 1.0f / 512; // of the sums of |dS|

// sums, sizes (of dS and |dS| along each row), delta: [B, H, T]; repeat [B * H * tiles]. A warp a tile. Blocks: eight tiles, row of
// B and H.
extern "C" __global__ void __launch_bounds__(threads) delta_correction(
    const float *sums, const float *sizes, float *delta, int *repeat, int tokens, int tiles)
{
    wait_for_earlier_kernels();
    let_next_kernel_begin();
    const int lane = threadIdx.x % 32, tile = blockIdx.x * block_tiles + threadIdx.x / 32;
    if (tile >= tiles) return;
    float error[rows_per_lane], size[rows_per_lane], corrected[rows_per_lane], errors = 0, all = 0;
    const long long row = (long long)blockIdx.y * tokens;
#pragma unroll // all loads under way together
    for (int i = 0; i < rows_per_lane; i++)
    {
        const int token = tile * TILE_ROWS + i * 32 + lane;
        error[i] = token < tokens ? sums[row + token] : 0;
        size[i] = token < tokens ? sizes[row + token] : 0;
        corrected[i] = token < tokens ? delta[row + token] + error[i] : 0;
    }
#pragma unroll
    for (int i = 0; i < rows_per_lane; i++)
    {
        const int token = tile * TILE_ROWS + i * 32 + lane;
        if (token < tokens) delta[row + token] = corrected[i];
        errors = fmaf(error[i], error[i], errors);
        all = fmaf(size[i], size[i], all);
    }
    errors = warp_sum(errors);
    all = warp_sum(all);
    if (lane == 0) repeat[(long long)blockIdx.y * tiles + tile] = errors > negligible * negligible * all;
}
