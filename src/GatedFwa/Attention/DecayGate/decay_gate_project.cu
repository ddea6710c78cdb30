// The gate's projections (docs/operator.md, "The gate"): x times both weights, in float. The weights are float32: where x is bf16 they
// come to the product in two parts, rounded and remainder, made once for all warps of a block by the threads that sent for them. Bound by
// memory: all but one of the stages, each 64 features of a tile's tokens, are on their way. With few tokens a tile, blocks would read
// more of the weights than of x.
//
// Defines: ELEMENT (bf16 or f16), PROJECTIONS (2 heads, a multiple of 8), TILE_TOKENS (a multiple of 128), STAGES.
#include "elements.cuh"
#include "programmatic.cuh"
#include "tensor_cores.cuh"

constexpr int tile_tokens = TILE_TOKENS, threads = tile_tokens < 256 ? tile_tokens : 256, tile_features = 64, stages = STAGES;
constexpr int warp_tokens = tile_tokens / (threads / 32), sixteens = warp_tokens / 16;
constexpr int columns = PROJECTIONS / 8; // Of products, eight projections each.
constexpr int packs = tile_features / 8; // Of eight features each.

template <class E> constexpr int parts = 1; // Of a weight; float16 has digits enough for one.
template <> constexpr int parts<bf16> = 2;

// Where a row's 16 bytes of number `column` lie, another place in each of eight neighbouring rows: what a warp reads at once comes from
// different banks.
__device__ __forceinline__ int place(int row, int column) { return column ^ (row % 8); }

struct Stage
{
    uint4 x[tile_tokens][packs];
    uint4 weights[PROJECTIONS][2 * packs]; // A pack's eight floats; once they are split, its rounded weights and their remainders.
};

// Calls `body(row, pack)` with the packs of the weights that are this thread's.
template <class Body> __device__ __forceinline__ void each_weight_pack(Body body)
{
#pragma unroll
    for (int first = 0; first < PROJECTIONS * packs; first += threads)
    {
        const int i = first + threadIdx.x;
        if (i < PROJECTIONS * packs) body(i / packs, i % packs);
    }
}

struct Operands
{
    const ELEMENT *x;
    const float *gate, *amplitude;
    int first_token, tokens, features;

    // This thread's share of x and of the weights; zeros where there is nothing.
    __device__ __forceinline__ void send_for(Stage &stage, int turn) const
    {
        const int pack = threadIdx.x % packs, feature = turn * tile_features + 8 * pack;
        const bool inside = feature < features;
#pragma unroll
        for (int k = 0; k < tile_tokens * packs / threads; k++)
        {
            const int row = k * (threads / packs) + threadIdx.x / packs, token = first_token + row;
            const bool valid = inside && token < tokens;
            copy_async_16_of_256(&stage.x[row][place(row, pack)], valid ? x + (long long)token * features + feature : x, valid);
        }
        each_weight_pack([&](int row, int) {
            const float *weight = row < PROJECTIONS / 2 ? gate : amplitude;
            const float *source = weight + (inside ? (long long)(row % (PROJECTIONS / 2)) * features + feature : 0);
#pragma unroll
            for (int half = 0; half < 2; half++) copy_async_16(&stage.weights[row][place(row, 2 * pack + half)], source + 4 * half, inside);
        });
    }
};

// The weights that this thread has sent for, once they have arrived, to what warps multiply by: the rounded ones, then the remainders.
__device__ __forceinline__ void split_weights(Stage &stage)
{
    each_weight_pack([&](int row, int pack) {
        uint4 *first = &stage.weights[row][place(row, 2 * pack)], *second = &stage.weights[row][place(row, 2 * pack + 1)];
        float values[8];
        unsigned rounded[4], remainders[4];
        Pack16<float>::load(reinterpret_cast<float *>(first), values);
        Pack16<float>::load(reinterpret_cast<float *>(second), values + 4);
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            rounded[i] = pack2<ELEMENT>(values[2 * i], values[2 * i + 1]);
            const float2 pair = unpack2<ELEMENT>(rounded[i]);
            remainders[i] = pack2<ELEMENT>(values[2 * i] - pair.x, values[2 * i + 1] - pair.y);
        }
        *first = make_uint4(rounded[0], rounded[1], rounded[2], rounded[3]);
        if constexpr (parts<ELEMENT> == 2) *second = make_uint4(remainders[0], remainders[1], remainders[2], remainders[3]);
    });
}

// x [tokens, features], features a multiple of 8; gate, amplitude [PROJECTIONS / 2, features]; projections [tokens, PROJECTIONS].
extern "C" __global__ void __launch_bounds__(threads)
decay_gate_project(const ELEMENT *x, const float *gate, const float *amplitude, float *projections, int tokens, int features)
{
    DYNAMIC_SHARED(shared);
    Stage *ring = reinterpret_cast<Stage *>(shared);
    const int lane = threadIdx.x % 32, row = lane / 4, quad = lane % 4, matrix = lane / 8, matrix_row = lane % 8;
    const int warp_first = (threadIdx.x / 32) * warp_tokens, first_token = blockIdx.x * tile_tokens;
    const int turns = (features + tile_features - 1) / tile_features;
    const Operands operands = {x, gate, amplitude, first_token, tokens, features};
    overlap();
#pragma unroll
    for (int i = 0; i < stages - 1; i++)
    {
        if (i < turns) operands.send_for(ring[i], i);
        copy_async_commit();
    }

    float sums[sixteens][columns][4] = {}; // Tokens 16 m + row and 8 further, projections 8 column + 2 quad and the next.
    for (int turn = 0; turn < turns; turn++)
    {
        Stage &stage = ring[turn % stages];
        copy_async_wait<stages - 2>();
        split_weights(stage);
        __syncthreads();
        if (turn + stages - 1 < turns) operands.send_for(ring[(turn + stages - 1) % stages], turn + stages - 1);
        copy_async_commit();

        // Two steps of the products at once, for ldmatrix_x4 brings a column's weights for both: four packs.
#pragma unroll
        for (int first = 0; first < packs; first += 4)
        {
            unsigned a[2][sixteens][4];
#pragma unroll
            for (int step = 0; step < 2; step++)
#pragma unroll
                for (int m = 0; m < sixteens; m++)
                {
                    const int token = warp_first + 16 * m + matrix % 2 * 8 + matrix_row;
                    ldmatrix_x4(a[step][m], &stage.x[token][place(token, first + 2 * step + matrix / 2)]);
                }
#pragma unroll
            for (int column = 0; column < columns; column++)
            {
                unsigned b[parts<ELEMENT>][4];
                const int projection = 8 * column + matrix_row;
#pragma unroll
                for (int part = 0; part < parts<ELEMENT>; part++)
                    ldmatrix_x4(b[part], &stage.weights[projection][place(projection, 2 * (first + matrix) + part)]);
#pragma unroll
                for (int step = 0; step < 2; step++)
#pragma unroll
                    for (int part = 0; part < parts<ELEMENT>; part++)
#pragma unroll
                        for (int m = 0; m < sixteens; m++)
                            mma_16x8x16<ELEMENT>(sums[m][column], a[step][m], b[part][2 * step], b[part][2 * step + 1]);
            }
        }
    }

#pragma unroll
    for (int m = 0; m < sixteens; m++)
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
