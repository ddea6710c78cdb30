// The gate's way back through its projections (docs/operator.md, "The gate"): the gradients of x, of both weights and of the bias.
// `upstream` [tokens, PROJECTIONS] is the gradient of the projections, PROJECTIONS = 2 heads.
//
// Defines: for decay_gate_products PROJECTIONS and ELEMENT; for decay_gate_sum LANES (elements of a weight that are one access of a
// thread, 1 or 4).
#include "packs.cuh"
#include "programmatic.cuh"
#include "tensor_cores.cuh"
#include "warp.cuh"

#ifdef PROJECTIONS
// dx = upstream weights, and of the weights' gradient upstreamᵀ x what a block's tokens add, so that x is read once while dx is
// written. Bound by memory: both products are done beside the copying. A block has 128 features, a warp 32 of them, and walks tiles of
// 32 tokens, three of which are on their way.
constexpr int threads = 128, block_features = 128, warp_features = 32, tile_tokens = 32, stages = 4;
constexpr int sixteens = (PROJECTIONS + 15) / 16; // Rows and steps of the tensor cores' products; what is beyond PROJECTIONS is 0.
// Eight elements more a row: eight rows of a fragment lie in different banks.
constexpr int x_stride = block_features + 8, upstream_stride = 16 * sixteens + 8;

struct Stage
{
    ELEMENT x[tile_tokens][x_stride];
    ELEMENT upstream[tile_tokens][upstream_stride];
};

struct Operands
{
    const ELEMENT *x, *upstream;
    int tokens, features, first_feature;

    // Whole tiles; zeros where there is nothing.
    __device__ __forceinline__ void send_for_x(Stage &stage, int tile) const
    {
        constexpr int packs = block_features / 8;
#pragma unroll
        for (int k = 0; k < tile_tokens * packs / threads; k++)
        {
            const int i = k * threads + threadIdx.x, row = i / packs, column = (i % packs) * 8, feature = first_feature + column;
            const long long token = (long long)tile * tile_tokens + row;
            const bool valid = token < tokens && feature < features;
            copy_async_16(&stage.x[row][column], valid ? x + token * features + feature : x, valid);
        }
    }

    __device__ __forceinline__ void send_for_upstream(Stage &stage, int tile) const
    {
        constexpr int packs = 2 * sixteens;
        for (int i = threadIdx.x; i < tile_tokens * packs; i += threads)
        {
            const int row = i / packs, column = (i % packs) * 8;
            const long long token = (long long)tile * tile_tokens + row;
            const bool valid = token < tokens && column < PROJECTIONS;
            copy_async_16(&stage.upstream[row][column], valid ? upstream + token * PROJECTIONS + column : upstream, valid);
        }
    }
};

// x, dx [tokens, features], gate, amplitude [PROJECTIONS / 2, features]; parts [gridDim.y, PROJECTIONS, features] in float. Blocks:
// 128 features, and every gridDim.y-th tile. Follows decay_gate_backward and may overlap it: x and the weights were there before that.
extern "C" __global__ void __launch_bounds__(threads, 4)
decay_gate_products(const ELEMENT *__restrict__ x, const ELEMENT *upstream, const float *__restrict__ gate,
                    const float *__restrict__ amplitude, ELEMENT *__restrict__ dx, float *__restrict__ parts, int add, int tokens,
                    int features)
{
    DYNAMIC_SHARED(shared);
    Stage *ring = reinterpret_cast<Stage *>(shared);
    const int lane = threadIdx.x % 32, row = lane / 4, quad = lane % 4, matrix = lane / 8, matrix_row = lane % 8;
    const int warp_first = (threadIdx.x / 32) * warp_features, first_feature = blockIdx.x * block_features;
    const int tiles = (tokens + tile_tokens - 1) / tile_tokens;
    const Operands operands = {x, upstream, tokens, features, first_feature};
    const auto tile_of = [&](int turn) { return (int)(blockIdx.y + turn * gridDim.y); };
    let_next_kernel_begin();
#pragma unroll
    for (int i = 0; i < stages - 1; i++)
        if (tile_of(i) < tiles) operands.send_for_x(ring[i], tile_of(i));

    // Columns of dx's product are dealt so that a lane has eight neighbours: column `row` of product j is feature 8 (row / 2) + 2j +
    // row % 2.
    unsigned w[sixteens][4][2];
#pragma unroll
    for (int s = 0; s < sixteens; s++)
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int half = 0; half < 2; half++)
            {
                const int feature = first_feature + warp_first + 8 * (row / 2) + 2 * j + row % 2;
                const int projection = 16 * s + 8 * half + 2 * quad; // It and the next are of one weight: heads are a multiple of 4.
                const bool valid = projection < PROJECTIONS && feature < features;
                const float *weight = projection < PROJECTIONS / 2 ? gate : amplitude;
                const float *source = weight + (valid ? (long long)(projection % (PROJECTIONS / 2)) * features + feature : 0);
                const unsigned pair = pack2<ELEMENT>(source[0], source[features]);
                w[s][j][half] = valid ? pair : 0;
            }

    wait_for_earlier_kernels();
#pragma unroll
    for (int i = 0; i < stages - 1; i++)
    {
        if (tile_of(i) < tiles) operands.send_for_upstream(ring[i], tile_of(i));
        copy_async_commit();
    }

    float sums[sixteens][4][4] = {};
    for (int turn = 0; tile_of(turn) < tiles; turn++)
    {
        copy_async_wait<stages - 2>();
        __syncthreads();
        const int tile = tile_of(turn), later = tile_of(turn + stages - 1);
        if (later < tiles)
        {
            Stage &free = ring[(turn + stages - 1) % stages];
            operands.send_for_x(free, later);
            operands.send_for_upstream(free, later);
        }
        copy_async_commit();

        const Stage &stage = ring[turn % stages];
#pragma unroll
        for (int first = 0; first < tile_tokens; first += 16)
        {
            unsigned across[sixteens][4];
#pragma unroll
            for (int s = 0; s < sixteens; s++)
                ldmatrix_x4_transposed(across[s], &stage.upstream[first + matrix / 2 * 8 + matrix_row][16 * s + matrix % 2 * 8]);
#pragma unroll
            for (int half = 0; half < 2; half++)
            {
                unsigned b[4];
                ldmatrix_x4_transposed(b, &stage.x[first + matrix % 2 * 8 + matrix_row][warp_first + 16 * half + matrix / 2 * 8]);
#pragma unroll
                for (int s = 0; s < sixteens; s++)
                {
                    mma_16x8x16<ELEMENT>(sums[s][2 * half], across[s], b[0], b[1]);
                    mma_16x8x16<ELEMENT>(sums[s][2 * half + 1], across[s], b[2], b[3]);
                }
            }

            float product[4][4] = {};
#pragma unroll
            for (int s = 0; s < sixteens; s++)
            {
                unsigned a[4];
                ldmatrix_x4(a, &stage.upstream[first + matrix % 2 * 8 + matrix_row][16 * s + matrix / 2 * 8]);
#pragma unroll
                for (int j = 0; j < 4; j++) mma_16x8x16<ELEMENT>(product[j], a, w[s][j][0], w[s][j][1]);
            }
#pragma unroll
            for (int half = 0; half < 2; half++)
            {
                const long long token = (long long)tile * tile_tokens + first + 8 * half + row;
                const int feature = first_feature + warp_first + 8 * quad;
                if (token >= tokens || feature >= features) continue;
                float values[8];
#pragma unroll
                for (int k = 0; k < 8; k++) values[k] = product[k / 2][2 * half + k % 2];
                store_or_add(values, dx + token * features + feature, !add);
            }
        }
    }

#pragma unroll
    for (int s = 0; s < sixteens; s++)
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int half = 0; half < 2; half++)
            {
                const int projection = 16 * s + 8 * half + row, feature = first_feature + warp_first + 8 * j + 2 * quad;
                if (projection >= PROJECTIONS || feature >= features) continue;
                float *target = parts + ((long long)blockIdx.y * PROJECTIONS + projection) * features + feature;
                *reinterpret_cast<float2 *>(target) = make_float2(sums[s][j][2 * half], sums[s][j][2 * half + 1]);
            }
}
#else

constexpr int sum_threads = 256, shares = sum_threads / 32, loads_at_once = 4;
constexpr int stores_gate = 1, stores_amplitude = 2, stores_bias = 4;

// What blocks left side by side, always added in the same order. parts [count, 2, elements] -> gate, amplitude [elements], either of
// which may be null; bias_sums [tiles, heads] -> bias [heads]. Where `stores` says so, they are set, not added to. Blocks: 32 LANES
// elements each, then a head each.
extern "C" __global__ void __launch_bounds__(sum_threads)
decay_gate_sum(const float *parts, int count, int elements, float *gate, float *amplitude, const float *bias_sums, int tiles, int heads,
               float *bias, int stores)
{
    __shared__ float shared_sums[2][shares][32 * LANES];
    __shared__ double scratch[shares];
    wait_for_earlier_kernels();
    const int weight_blocks = (elements + 32 * LANES - 1) / (32 * LANES), lane = threadIdx.x % 32, share = threadIdx.x / 32;
    if ((int)blockIdx.x >= weight_blocks)
    {
        const int head = blockIdx.x - weight_blocks;
        double sum = 0;
        for (int tile = threadIdx.x; tile < tiles; tile += sum_threads) sum += bias_sums[(long long)tile * heads + head];
        sum = block_sum(sum, scratch);
        if (threadIdx.x == 0) bias[head] = stores & stores_bias ? (float)sum : bias[head] + (float)sum;
        return;
    }

    const int element = (blockIdx.x * 32 + lane) * LANES;
    const float *source = parts + min(element, elements - LANES);
    float sums[2][LANES] = {};
    for (int first = share; first < count; first += shares * loads_at_once)
    {
        float part[loads_at_once][2][LANES];
#pragma unroll
        for (int i = 0; i < loads_at_once; i++)
#pragma unroll
            for (int weight = 0; weight < 2; weight++)
                load(source + (2ll * min(first + i * shares, count - 1) + weight) * elements, part[i][weight]);
#pragma unroll
        for (int i = 0; i < loads_at_once; i++)
#pragma unroll
            for (int k = 0; k < 2 * LANES; k++)
                sums[k / LANES][k % LANES] += first + i * shares < count ? part[i][k / LANES][k % LANES] : 0;
    }
#pragma unroll
    for (int k = 0; k < 2 * LANES; k++) shared_sums[k / LANES][share][lane * LANES + k % LANES] = sums[k / LANES][k % LANES];
    __syncthreads();
    if (share != 0 || element >= elements) return;
    // By one thread, one after the other: gate and amplitude may be one tensor.
#pragma unroll
    for (int weight = 0; weight < 2; weight++)
    {
        float *target = weight == 0 ? gate : amplitude;
        if (!target) continue;
        float sum[LANES] = {};
#pragma unroll
        for (int i = 0; i < shares; i++)
#pragma unroll
            for (int k = 0; k < LANES; k++) sum[k] += shared_sums[weight][i][lane * LANES + k];
        store_or_add(sum, target + element, stores & (weight == 0 ? stores_gate : stores_amplitude));
    }
}
#endif
