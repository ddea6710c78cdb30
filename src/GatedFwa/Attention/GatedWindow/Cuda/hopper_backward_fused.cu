// Gated window attention on Hopper, backward, in one pass over pairs of keys and queries:
//   dS^T = P^T o (V dO^T - delta), dV += P^T dO, dK += dS^T Q, and dQ += dS K.
// A block keeps a tile of keys and walks the queries that see it, the farthest first. What it owes to a tile of queries it adds to
// memory in float, in its turn: tiles of keys add in ascending order, the first stores. Blocks that begin together meet different
// queries at any time, so that turns come by themselves, and the same inputs give the same bits.
//
// Sums of dS along queries and along keys are those of the 16-bit values that the products take, so that their difference, the
// decay's gradient, does not drift however long the text is. `head_errors` (query_gradient.cu) looks at the sums along queries: zero
// but for the rounding of delta. Where they are not small, hopper_backward.cu does the head again.
#define ROWS_ARE_KEYS true
#define FARTHEST_FIRST true
#ifndef SEQUENCES_ABREAST
#define SEQUENCES_ABREAST 4
#endif
#include "hopper_backward.cuh"

constexpr int all_threads = groups * 128;
constexpr int producer_registers = PANELS == 1 ? 40 : 24, consumer_registers = PANELS == 1 ? 232 : 240;
constexpr int dq_columns = head_columns / groups;          // of dQ that a warpgroup makes
constexpr int dq_floats = column_rows * dq_columns;        // in the order of the accumulators (query_gradient.cu)

struct Shared
{
    unsigned char x[ROW_BUFFERS][groups][block_bytes], y[ROW_BUFFERS][groups][block_bytes]; // K, V; then their gradients
    unsigned char cx[STAGES][block_bytes], cy[STAGES][block_bytes];                         // Q, dO
    unsigned char ds[2][groups][panel_bytes];                                               // dS^T: 64 keys of each warpgroup, 64 queries
    float dq[groups][dq_floats], sums[groups][column_rows];                                        // on their way to memory
    float score_start[STAGES][column_rows], gradient_start[STAGES][column_rows];
    Barrier rows_full[ROW_BUFFERS], rows_empty[ROW_BUFFERS], columns_full[STAGES], columns_empty[STAGES];
    Barrier ds_full[2], ds_empty[2], dq_full, dq_empty;
};

struct QuerySums
{
    float *dq, *sums; // [B, H, blocks, groups, dq_floats], [B, H, blocks, groups, 64]
    int *turns;       // [B, H, blocks]: tiles of keys that have added; 0 at the start
};

// The first tile of keys that queries of a block see.
__device__ __forceinline__ int first_key_tile(const Problem &p, int batch, int block)
{
    int oldest = max(0, max(block * column_rows, p.prefix()) - p.window + 1);
    if (HAS_SEGMENTS) oldest = max(oldest, p.segment_start[(long long)(batch + 1) * p.positions - 1]);
    return oldest / tile_rows;
}

// One thread brings dQ to memory.
__device__ void add_queries(Shared &shared, const Problem &p, const QuerySums &to)
{
    Ring<1> staged;
    for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x)
    {
        RowTile at(tile, p);
        for (int n = 0; n < at.heads_met(p); n++)
            for (int i = 0; i < at.blocks(); i++, staged.next())
            {
                int block = at.block(i), turn = at.first / tile_rows - first_key_tile(p, at.batch, block);
                long long slot = ((long long)at.batch * p.heads + at.head(p, n)) * p.chunks() + block;
                float *dq = to.dq + slot * groups * dq_floats, *sums = to.sums + slot * groups * column_rows;
                barrier_wait(&shared.dq_full, staged.phase);
                if (turn > 0)
                {
                    wait_for_turn(to.turns + slot, turn);
                    add_bytes(dq, shared.dq, sizeof shared.dq);
                    add_bytes(sums, shared.sums, sizeof shared.sums);
                }
                else
                {
                    store_bytes(dq, shared.dq, sizeof shared.dq);
                    store_bytes(sums, shared.sums, sizeof shared.sums);
                }
                bulk_commit();
                bulk_wait_read<0>();
                barrier_arrive(&shared.dq_empty);
                bulk_wait<0>();
                pass_turn(to.turns + slot, turn + 1);
            }
    }
}

// dS^T of this warpgroup's keys, for the products that make dQ of all keys.
__device__ __forceinline__ void share_gradients(unsigned char *ds, const unsigned (&gradients)[4][4])
{
    int lane = threadIdx.x % 32, row = threadIdx.x / 32 % 4 * 16 + lane % 16;
#pragma unroll
    for (int step = 0; step < 4; step++) stmatrix_x4(ds + swizzle_128(row * row_bytes + step * 32 + lane / 16 * 16), gradients[step]);
}

// Adds the sums over 64 keys to `sums`: of the warp's queries, lane / 4 and that + 8 of 16, in elements 0 and 2.
__device__ __forceinline__ void sum_over_keys(float (&sums)[4], const unsigned char *ds)
{
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
    const unsigned ones = pack2<ELEMENT>(1, 1);
#pragma unroll
    for (int step = 0; step < 4; step++)
    {
        unsigned fragment[4];
        int key = step * 16 + lane / 16 * 8 + lane % 8, query = warp * 16 + lane / 8 % 2 * 8;
        ldmatrix_x4_transposed(fragment, ds + swizzle_128(key * row_bytes + query * 2));
        mma_16x8x16<ELEMENT>(sums, fragment, ones, ones);
    }
}

// A warpgroup's part of dQ, over all keys of the tile, one block behind: the other warpgroup shares its dS meanwhile, and the two
// need not work in step.
struct QueryPart
{
    Shared &shared;
    int group;
    Ring<2> written, read; // halves of shared.ds
    Ring<1> staged;

    // Where this warpgroup's dS of a block goes, once nobody reads what lay there.
    __device__ __forceinline__ unsigned char *next_share()
    {
        barrier_wait(&shared.ds_empty[written.stage], written.phase ^ 1);
        return shared.ds[written.stage][group];
    }

    __device__ __forceinline__ void shares()
    {
        fence_shared_async();
        release(&shared.ds_full[written.stage]);
        written.next();
    }

    // The product, of the block that was shared first of those not yet read.
    __device__ __forceinline__ void begin(float (&dq)[dq_columns / 2], const unsigned char (&x)[groups][block_bytes]) const
    {
        product_fence();
#pragma unroll
        for (int step = 0; step < 4 * groups; step++)
        {
            int rows = step % 4 * 16 * row_bytes, columns = group * dq_columns;
            product<ELEMENT, dq_columns, 1, 1>(
                dq,
                operand(shared.ds[read.stage][step / 4] + rows),
                operand(x[step / 4] + columns / 64 * panel_bytes + columns % 64 * 2 + rows),
                step > 0);
        }
        product_commit();
    }

    __device__ __forceinline__ void await() const { barrier_wait(&shared.ds_full[read.stage], read.phase); }

    // Along queries, over this warpgroup's own keys; while the product runs.
    __device__ __forceinline__ void sum(float (&sums)[4]) const
    {
        sums[0] = sums[1] = sums[2] = sums[3] = 0;
        sum_over_keys(sums, shared.ds[read.stage][group]);
    }

    // After the product's wait.
    __device__ __forceinline__ void stage(float (&dq)[dq_columns / 2], const float (&sums)[4])
    {
        settle(dq);
        release(&shared.ds_empty[read.stage]);
        read.next();
        barrier_wait(&shared.dq_empty, staged.phase ^ 1);
        staged.next();
        float4 *target = reinterpret_cast<float4 *>(shared.dq[group]) + threadIdx.x % 128;
#pragma unroll
        for (int c = 0; c < dq_columns / 8; c++) target[128 * c] = make_float4(dq[4 * c], dq[4 * c + 1], dq[4 * c + 2], dq[4 * c + 3]);
        if (threadIdx.x % 4 == 0)
        {
            int query = threadIdx.x / 32 % 4 * 16 + threadIdx.x % 32 / 4;
            shared.sums[group][query] = sums[0];
            shared.sums[group][query + 8] = sums[2];
        }
        fence_shared_async();
        barrier_arrive(&shared.dq_full);
    }

    // All of it, with nothing else under way.
    __device__ __forceinline__ void make(const unsigned char (&x)[groups][block_bytes])
    {
        float dq[dq_columns / 2], sums[4];
        await();
        begin(dq, x);
        sum(sums);
        product_wait<0>();
        stage(dq, sums);
    }
};

// A block that only the other warpgroup sees.
__device__ __forceinline__ void pass_with_dq(Shared &shared, QueryPart &queries, const unsigned char (&x)[groups][block_bytes], const Ring<STAGES> &columns, bool is_first)
{
    const unsigned zeros[4][4] = {};
    pass_by(shared, columns);
    share_gradients(queries.next_share(), zeros);
    queries.shares();
    if (!is_first) queries.make(x);
}

__device__ void compute(Shared &shared, const Problem &p, float scale, float *sizes, const TensorMap &dk_map, const TensorMap &dv_map)
{
    int group = __shfl_sync(0xffffffffu, (int)threadIdx.x / 128 - 1, 0), lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
    int own = group * rows_per_group + warp * 16 + lane / 4; // row of the tile
    bool leader = threadIdx.x % 128 == 0;
    Ring<ROW_BUFFERS> row_ring;
    Ring<STAGES> columns;
    QueryPart queries{shared, group};
    for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x)
    {
        RowTile at(tile, p);
        Rows rows;
        set_visible(rows, p, at, own);
        Seen seen(p, at, group);
        int own_begin = seen.begin(at), own_end = seen.end(at);

        barrier_wait(&shared.rows_full[row_ring.stage], row_ring.phase);
        const unsigned char(&x)[groups][block_bytes] = shared.x[row_ring.stage];
        unsigned char *x_tile = shared.x[row_ring.stage][group], *y_tile = shared.y[row_ring.stage][group];
        float dk[head_columns / 2], dv[head_columns / 2];
#pragma unroll
        for (int i = 0; i < head_columns / 2; i++)
        {
            dk[i] = dv[i] = 0;
        }

        for (int n = 0; n < at.heads_met(p); n++)
        {
            load_rows(rows, p, at, at.head(p, n), own);
            float size = 0;
            int i = 0;
            for (; i < own_begin; i++, columns.next()) pass_with_dq(shared, queries, x, columns, i == 0);
            unsigned weights[4][4] = {}, gradients[4][4] = {};
            int before = -1; // the stage whose products for dV and dK are still running
            for (; i < own_end; i++, columns.next())
            {
                int first_column = at.block(i) * column_rows, stage = columns.stage;
                float s[32], g[32];
                barrier_wait(&shared.columns_full[stage], columns.phase);
                load_starts(s, shared.score_start[stage]);
                product_fence();
                multiply_rows(s, x_tile, shared.cx[stage], true);
                product_commit();
                product_wait<0>();
                settle(s);
                settle(weights);
                settle(gradients);
                if (before >= 0) release(&shared.columns_empty[before]);
                if (!seen.by_all(first_column)) hide(s, rows, first_column);
#pragma unroll
                for (int j = 0; j < 32; j++) s[j] = exp2_fast(fmaf(s[j], p.scale_log2, rows.bias[j / 2 % 2]));
                pack(weights, s);

                load_starts(g, shared.gradient_start[stage]);
                product_fence();
                multiply_rows(g, y_tile, shared.cy[stage], true);
                product_commit();
                product_wait<0>();
                settle(g);
#pragma unroll
                for (int j = 0; j < 16; j++)
                {
                    float2 weight = unpack2<ELEMENT>(weights[j / 4][j % 4]);
                    unsigned packed = pack2<ELEMENT>(g[2 * j] * weight.x, g[2 * j + 1] * weight.y);
                    float2 pair = unpack2<ELEMENT>(packed);
                    rows.sum[j % 2] += pair.x + pair.y;
                    size += fabsf(pair.x) + fabsf(pair.y);
                    gradients[j / 4][j % 4] = packed;
                }
                share_gradients(queries.next_share(), gradients);
                queries.shares();

                // The first block has none before it: what the product makes then is thrown away, no branch around it.
                float dq[dq_columns / 2], sums[4];
                if (i > 0) queries.await();
                queries.begin(dq, x);
                product_fence();
                multiply(dv, weights, shared.cy[stage]);
                multiply(dk, gradients, shared.cx[stage]);
                product_commit();
                before = stage;
                if (i > 0) queries.sum(sums);
                product_wait<1>();
                if (i > 0) queries.stage(dq, sums);
            }
            product_wait<0>();
            settle(weights);
            settle(gradients);
            if (before >= 0) release(&shared.columns_empty[before]);
            for (; i < at.blocks(); i++, columns.next()) pass_with_dq(shared, queries, x, columns, i == 0);
            if (at.blocks() > 0) queries.make(x);
            if (p.sums) store_sums(rows, p, at, at.head(p, n), own);
            size = warp_sum(size);
            long long head = (long long)at.batch * p.heads + at.head(p, n);
            if (lane == 0) sizes[(head * p.tiles_per_sequence + at.first / tile_rows) * (4 * groups) + 4 * group + warp] = size;
        }

        settle(dk);
        settle(dv);
        group_sync(1 + groups, all_threads); // Nobody reads K any more.
        stage_gradient(x_tile, dk, scale);
        stage_gradient(y_tile, dv, 1);
        fence_shared_async();
        group_sync(1 + group, 128);
        if (leader)
        {
            for (int panel = 0; panel < PANELS; panel++)
            {
                store_tile(&dk_map, x_tile + panel * panel_bytes, panel * 64, at.row_head, at.first + group * rows_per_group, at.batch);
                store_tile(&dv_map, y_tile + panel * panel_bytes, panel * 64, at.row_head, at.first + group * rows_per_group, at.batch);
            }
            bulk_commit();
            bulk_wait_read<0>();
            barrier_arrive(&shared.rows_empty[row_ring.stage]);
        }
        row_ring.next();
    }
    if (leader) bulk_wait<0>();
}

extern "C" __global__ void __launch_bounds__(128 * (groups + 1), 1) hopper_backward_fused(
    const __grid_constant__ TensorMap q, const __grid_constant__ TensorMap k, const __grid_constant__ TensorMap v, const __grid_constant__ TensorMap upstream,
    const __grid_constant__ TensorMap dk, const __grid_constant__ TensorMap dv, float *dq, float *row_sums, int *turns,
    const float *local, const float *totals, const float *lse, const float *delta, const int *segment_start, const int *segment_end, float *column_sums, float *sizes,
    float scale, float scale_log2, int tokens, int positions, int heads, int key_heads, int window, int tiles_per_sequence, int tiles)
{
    DYNAMIC_SHARED(memory);
    Shared &shared = *reinterpret_cast<Shared *>(memory);
    Problem p = {local, totals, lse, delta, segment_start, segment_end, column_sums, nullptr, scale_log2, tokens, positions, heads, key_heads, window, tiles_per_sequence, tiles};
    if (threadIdx.x == 0)
    {
        for (int i = 0; i < ROW_BUFFERS; i++)
        {
            barrier_init(&shared.rows_full[i], 1);
            barrier_init(&shared.rows_empty[i], groups);
        }
        for (int i = 0; i < STAGES; i++)
        {
            barrier_init(&shared.columns_full[i], 33);
            barrier_init(&shared.columns_empty[i], groups * 4);
        }
        for (int i = 0; i < 2; i++)
        {
            barrier_init(&shared.ds_full[i], groups * 4);
            barrier_init(&shared.ds_empty[i], groups * 4);
        }
        barrier_init(&shared.dq_full, all_threads);
        barrier_init(&shared.dq_empty, 1);
        barrier_init_fence();
    }
    __syncthreads();
    if (threadIdx.x < 128)
    {
        give_registers<producer_registers>();
        if (threadIdx.x == 0) bring_tiles(shared, p, k, v, q, upstream);
        if (threadIdx.x / 32 == 1) bring_column_starts(shared, p);
        if (threadIdx.x == 64) add_queries(shared, p, QuerySums{dq, row_sums, turns});
    }
    else
    {
        take_registers<consumer_registers>();
        compute(shared, p, scale, sizes, dk, dv);
    }
}
