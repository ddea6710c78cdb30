// y [ROWS, N] = norm(x) [ROWS, WIDTH] · Wᵀ for so many columns that a GPU full of warps has several turns: the scores of a vocabulary.
// Each warp has eight rows of W at a time to itself, all features, so that none waits for another: it multiplies what has arrived
// while more of W is on its way, of the next columns too. x lies in shared memory, rounded to 16 bits after the factors of its norm;
// the scale of a row, known once for all columns, is a factor of the sums.
#include "packs.cuh"
#include "programmatic.cuh"
#include "tensor_cores.cuh"
#include "warp.cuh"

constexpr int warps = 8, threads = 32 * warps;
constexpr int tile_columns = 8;
constexpr int lane_features = 8;                   // Neighbours: 16 bytes.
constexpr int step_features = 4 * lane_features;   // Of a warp at a time: eight rows of W by four lanes.
constexpr int steps = (WIDTH + step_features - 1) / step_features;
constexpr int steps_at_once = steps < 8 ? steps : 8;
constexpr int stages = (steps + steps_at_once - 1) / steps_at_once;   // Of eight columns.
// An odd number of 64 bytes, so that the rows that eight lanes read together lie in different banks.
constexpr int row_features = (steps | 1) * step_features;
constexpr int packs_at_once = 4, pack_distance = 32 * lane_features;   // Of a lane, of x.
constexpr int x_rows = ROWS > 8 ? 16 : 8;          // Of the 16 that the tensor cores take.

// What a warp has on its way: steps_at_once steps of eight columns.
struct Stage
{
    uint4 words[steps_at_once];

    __device__ __forceinline__ void load(const ELEMENT *weight, int columns, int tile, int stage)
    {
        const int lane = threadIdx.x % 32, n = min(tile * tile_columns + lane / 4, columns - 1);
        const ELEMENT *row = weight + (long long)n * WIDTH;
#pragma unroll
        for (int s = 0; s < steps_at_once; s++)
        {
            const int k = (stage * steps_at_once + s) * step_features + lane % 4 * lane_features;
            words[s] = *reinterpret_cast<const uint4 *>(row + min(k, WIDTH - lane_features)); // Past WIDTH x is zero.
        }
    }
};

extern "C" __global__ void __launch_bounds__(threads, 2)
decode_scores(const float *x, const float *norm, float epsilon, const ELEMENT *weight, int columns, float *y)
{
    DYNAMIC_SHARED(shared);
    ELEMENT *inputs = reinterpret_cast<ELEMENT *>(shared);   // [ROWS, row_features], zeros past WIDTH.
    __shared__ float scales[ROWS];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int tiles = (columns + tile_columns - 1) / tile_columns, stride = gridDim.x * warps;
    let_next_kernel_begin();
    int tile = blockIdx.x * warps + warp;
    Stage next;
    if (tile < tiles) next.load(weight, columns, tile, 0);
    wait_for_earlier_kernels();

    for (int row = warp; row < ROWS; row += warps)
    {
        float squares = 0;
        for (int first = lane * lane_features; first < row_features; first += packs_at_once * pack_distance)
        {
            float values[packs_at_once][lane_features], factors[packs_at_once][lane_features];
#pragma unroll
            for (int p = 0; p < packs_at_once; p++)
            {
                const int k = min(first + p * pack_distance, WIDTH - lane_features);
                load(x + row * WIDTH + k, values[p]);
                load(norm + k, factors[p]);
            }
#pragma unroll
            for (int p = 0; p < packs_at_once; p++)
            {
                const int k = first + p * pack_distance;
#pragma unroll
                for (int i = 0; i < lane_features; i++)
                {
                    const float value = k < WIDTH ? values[p][i] : 0.0f;
                    squares = fmaf(value, value, squares);
                    values[p][i] = value * factors[p][i];
                }
                if (k < row_features) store(values[p], inputs + row * row_features + k);
            }
        }
        squares = warp_sum(squares);
        if (lane == 0) scales[row] = 1.f / sqrtf(squares / WIDTH + epsilon);
    }
    __syncthreads();

    const ELEMENT *input = inputs + g * row_features + t * lane_features;
    for (; tile < tiles; tile += stride)
    {
        float sums[4] = {};
#pragma unroll
        for (int stage = 0; stage < stages; stage++)
        {
            const Stage now = next;
            if (stage + 1 < stages) next.load(weight, columns, tile, stage + 1);
            else if (tile + stride < tiles) next.load(weight, columns, tile + stride, 0);
#pragma unroll
            for (int s = 0; s < steps_at_once; s++)
            {
                const int step = stage * steps_at_once + s;
                if (step >= steps) continue;
                // Sums do not mind the order of features: a lane's eight neighbours stand where two products of 16 want theirs.
                uint4 a[2] = {};
#pragma unroll
                for (int half = 0; half < x_rows / 8; half++)
                    if (half * 8 + g < ROWS)
                        a[half] = *reinterpret_cast<const uint4 *>(input + half * 8 * row_features + step * step_features);
                const unsigned first[4] = {a[0].x, a[1].x, a[0].y, a[1].y}, second[4] = {a[0].z, a[1].z, a[0].w, a[1].w};
                mma_16x8x16<ELEMENT>(sums, first, now.words[s].x, now.words[s].y);
                mma_16x8x16<ELEMENT>(sums, second, now.words[s].z, now.words[s].w);
            }
        }
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            const int row = i / 2 * 8 + g, n = tile * tile_columns + 2 * t + i % 2;
            if (row < ROWS && n < columns) y[(long long)row * columns + n] = sums[i] * scales[row];
        }
    }
}
