// delta comes from outputs that were rounded to 16 bits. The row sums of dS, zero but for that rounding, tell its error: they
// correct it for the pass that keeps keys. Where a tile's error is not small beside what is summed, dq is computed again.

constexpr int tile_rows = 128, threads = tile_rows;
constexpr float negligible = 1.0f / 512; // of the sums of |dS|

// sums, sizes (of dS and |dS| along each row), delta: [B, H, T]; repeat [B * H * tiles]. A block a tile, a thread a row.
extern "C" __global__ void __launch_bounds__(threads) delta_correction(const float *sums, const float *sizes, float *delta, int *repeat, int tokens)
{
    __shared__ float errors[threads], all[threads];
    int token = blockIdx.x * tile_rows + threadIdx.x;
    long long row = (long long)blockIdx.y * tokens + token;
    float error = token < tokens ? sums[row] : 0, size = token < tokens ? sizes[row] : 0;
    if (token < tokens) delta[row] += error;
    errors[threadIdx.x] = error * error;
    all[threadIdx.x] = size * size;
    for (int step = threads / 2; step > 0; step /= 2)
    {
        __syncthreads();
        if (threadIdx.x < step)
        {
            errors[threadIdx.x] += errors[threadIdx.x + step];
            all[threadIdx.x] += all[threadIdx.x + step];
        }
    }
    if (threadIdx.x == 0) repeat[blockIdx.y * gridDim.x + blockIdx.x] = errors[0] > negligible * negligible * all[0];
}
