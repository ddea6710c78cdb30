// The gate's projections (docs/operator.md, "The gate"): x times both weights, in float. The weights stay float32: where x is bf16
// they come to the product in two parts, rounded and remainder, which a warp makes as it reads them. Bound by memory: all but one of
// the stages, each a tile's 64 features, are on their way. Fewer tokens a tile, and blocks would read more of the weights than of x.
//
// Defines: ELEMENT (bf16 or f16), PROJECTIONS (2 heads, a multiple of 8), TILE_TOKENS (a multiple of 32), STAGES.
#include "programmatic.cuh"
#include "tensor_cores.cuh"

constexpr int tile_tokens = TILE_TOKENS, warp_tokens = 32, threads = tile_tokens / warp_tokens * 32, tile_features = 64, stages = STAGES;
constexpr int columns = PROJECTIONS / 8;
// Eight elements more a row: what a warp reads at once lies in different banks.
constexpr int stride = tile_features + 8;

template <class E> constexpr bool needs_remainder = false;
template <> constexpr bool needs_remainder<bf16> = true;

struct Stage
{
    ELEMENT x[tile_tokens][stride];
    float weights[PROJECTIONS][stride];
};

struct Operands
{
    const ELEMENT *x;
    const float *gate, *amplitude;
    int first_token, tokens, features;

    // Zeros where there is nothing.
    __device__ __forceinline__ void send_for(Stage &stage, int turn) const
    {
        constexpr int x_packs = tile_features / 8, weight_packs = tile_features / 4;
#pragma unroll
        for (int k = 0; k < tile_tokens * x_packs / threads; k++)
        {
            const int i = k * threads + threadIdx.x, row = i / x_packs, column = (i % x_packs) * 8;
            const int token = first_token + row, feature = turn * tile_features + column;
            const bool valid = token < tokens && feature < features;
            copy_async_16(&stage.x[row][column], valid ? x + (long long)token * features + feature : x, valid);
        }
#pragma unroll
        for (int k = 0; k < (PROJECTIONS * weight_packs + threads - 1) / threads; k++)
        {
            const int i = k * threads + threadIdx.x, row = i / weight_packs, column = (i % weight_packs) * 4;
            if (row >= PROJECTIONS) break;
            const int feature = turn * tile_features + column;
            const float *weight = row < PROJECTIONS / 2 ? gate : amplitude;
            const long long first = (long long)(row % (PROJECTIONS / 2)) * features;
            copy_async_16(&stage.weights[row][column], feature < features ? weight + first + feature : weight, feature < features);
        }
    }
};

// x [tokens, features], features a multiple of 8; gate, amplitude [PROJECTIONS / 2, features]; projections [tokens, PROJECTIONS].
extern "C" __global__ void __launch_bounds__(threads)
decay_gate_project(const ELEMENT *__restrict__ x, const float *__restrict__ gate, const float *__restrict__ amplitude,
                   float *__restrict__ projections, int tokens, int features)
{
    DYNAMIC_SHARED(shared);
    Stage *ring = reinterpret_cast<Stage *>(shared);
    const int lane = threadIdx.x % 32, row = lane / 4, quad = lane % 4, matrix = lane / 8, matrix_row = lane % 8;
    const int warp_first = (threadIdx.x / 32) * warp_tokens, first_token = blockIdx.x * tile_tokens;
    const int turns = (features + tile_features - 1) / tile_features;
    const Operands operands = {x, gate, amplitude, first_token, tokens, features};
    let_next_kernel_begin();
#pragma unroll
    for (int i = 0; i < stages - 1; i++)
    {
        if (i < turns) operands.send_for(ring[i], i);
        copy_async_commit();
    }

    float sums[2][columns][4] = {};
    for (int turn = 0; turn < turns; turn++)
    {
        copy_async_wait<stages - 2>();
        __syncthreads();
        if (turn + stages - 1 < turns) operands.send_for(ring[(turn + stages - 1) % stages], turn + stages - 1);
        copy_async_commit();

        const Stage &stage = ring[turn % stages];
#pragma unroll
        for (int first = 0; first < tile_features; first += 16)
        {
            unsigned a[2][4];
#pragma unroll
            for (int m = 0; m < 2; m++)
                ldmatrix_x4(a[m], &stage.x[warp_first + 16 * m + matrix % 2 * 8 + matrix_row][first + matrix / 2 * 8]);
#pragma unroll
            for (int column = 0; column < columns; column++)
            {
                const float *weights = &stage.weights[8 * column + row][first + 2 * quad];
                const float2 w[2] = {*reinterpret_cast<const float2 *>(weights), *reinterpret_cast<const float2 *>(weights + 8)};
                unsigned b[2], remainders[2];
#pragma unroll
                for (int half = 0; half < 2; half++)
                {
                    b[half] = pack2<ELEMENT>(w[half].x, w[half].y);
                    const float2 rounded = unpack2<ELEMENT>(b[half]);
                    remainders[half] = pack2<ELEMENT>(w[half].x - rounded.x, w[half].y - rounded.y);
                }
#pragma unroll
                for (int m = 0; m < 2; m++)
                {
                    mma_16x8x16<ELEMENT>(sums[m][column], a[m], b[0], b[1]);
                    if constexpr (needs_remainder<ELEMENT>)
                        mma_16x8x16<ELEMENT>(sums[m][column], a[m], remainders[0], remainders[1]);
                }
            }
        }
    }

#pragma unroll
    for (int m = 0; m < 2; m++)
#pragma unroll
        for (int column = 0; column < columns; column++)
#pragma unroll
            for (int half = 0; half < 2; half++)
            {
                const int token = first_token + warp_first + 16 * m + 8 * half + row;
                if (token >= tokens) continue;
                float *target = projections + (long long)token * PROJECTIONS + 8 * column + 2 * quad;
                *reinterpret_cast<float2 *>(target) = make_float2(sums[m][column][2 * half], sums[m][column][2 * half + 1]);
            }
}
