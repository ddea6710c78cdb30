// delta comes from outputs that were rounded to 16 bits. The row sums of dS, zero but for that rounding, tell its error: they
// correct it for the pass that keeps keys. Where a tile's error is not small beside what is summed, dq is computed again.
//
// Defines: TILE_ROWS, a multiple of 32.
#include "warp.cuh"

constexpr int threads = TILE_ROWS, warps = threads / 32;
constexpr float negligible = 1.0f / 512; // of the sums of |dS|

// sums, sizes (of dS and |dS| along each row), delta: [B, H, T]; repeat [B * H * tiles]. A block a tile, a thread a row.
extern "C" __global__ void __launch_bounds__(threads) delta_correction(const float *sums, const float *sizes, float *delta, int *repeat, int tokens)
{
    __shared__ float errors[warps], all[warps];
    int token = blockIdx.x * TILE_ROWS + threadIdx.x;
    long long row = (long long)blockIdx.y * tokens + token;
    float error = token < tokens ? sums[row] : 0, size = token < tokens ? sizes[row] : 0;
    if (token < tokens) delta[row] += error;
    error = warp_sum(error * error);
    size = warp_sum(size * size);
    if (threadIdx.x % 32 == 0)
    {
        errors[threadIdx.x / 32] = error;
        all[threadIdx.x / 32] = size;
    }
    __syncthreads();
    if (threadIdx.x > 0) return;
    for (int warp = 1; warp < warps; warp++)
    {
        error += errors[warp];
        size += all[warp];
    }
    repeat[blockIdx.y * gridDim.x + blockIdx.x] = error > negligible * negligible * size;
}
