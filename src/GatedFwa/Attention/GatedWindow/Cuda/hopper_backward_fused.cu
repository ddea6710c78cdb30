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
#include "hopper_backward.cuh"

constexpr int all_threads = groups * 128, staged_sums = 64;
constexpr bool overlaps = PANELS == 1; // dK's product runs on while the next scores are made: registers must allow it
constexpr int panel_floats = 64 * 64; // of dQ: 64 queries, 64 features, in the order of the accumulators (query_gradient.cu)

struct Shared
{
    unsigned char x[ROW_BUFFERS][groups][block_bytes], y[ROW_BUFFERS][groups][block_bytes]; // K, V; then their gradients
    unsigned char cx[STAGES][block_bytes], cy[STAGES][block_bytes];                         // Q, dO
    unsigned char ds[2][groups][panel_bytes];                                               // dS^T: 64 keys of each warpgroup, 64 queries
    float dq[groups][panel_floats], sums[groups][staged_sums];                              // on their way to memory
    float score_start[STAGES][column_rows], gradient_start[STAGES][column_rows];
    Barrier rows_full[ROW_BUFFERS], rows_empty[ROW_BUFFERS], columns_full[STAGES], columns_empty[STAGES], dq_full[groups], dq_empty[groups];
};

// Which panel of dQ a warpgroup makes of a block: its own of two, or the only one at every second block.
__device__ __forceinline__ bool makes_dq(int group, unsigned block_count) { return PANELS == 2 || block_count % 2 == group; }
__device__ __forceinline__ int dq_panel(int group) { return PANELS == 2 ? group : 0; }

struct QuerySums
{
    float *dq, *sums; // [B, H, blocks, PANELS, 64 * 64], [B, H, blocks, 64]
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
    Ring<1> staged[groups];
    unsigned count = 0;
    for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x)
    {
        RowTile at(tile, p);
        for (int n = 0; n < at.heads_met(p); n++)
            for (int i = 0; i < at.blocks(); i++, count++)
            {
                int block = at.block(i), turn = at.first / tile_rows - first_key_tile(p, at.batch, block);
                long long slot = ((long long)at.batch * p.heads + at.head(p, n)) * p.chunks() + block;
                bool has_turn = turn == 0;
#pragma unroll
                for (int group = 0; group < groups; group++)
                {
                    if (!makes_dq(group, count)) continue;
                    barrier_wait(&shared.dq_full[group], staged[group].phase);
                    staged[group].next();
                    if (!has_turn) wait_for_turn(to.turns + slot, turn);
                    has_turn = true;
                    float *dq = to.dq + (slot * PANELS + dq_panel(group)) * panel_floats, *sums = to.sums + slot * staged_sums;
                    if (turn > 0)
                    {
                        add_bytes(dq, shared.dq[group], sizeof shared.dq[group]);
                        if (dq_panel(group) == 0) add_bytes(sums, shared.sums[group], sizeof shared.sums[group]);
                    }
                    else
                    {
                        store_bytes(dq, shared.dq[group], sizeof shared.dq[group]);
                        if (dq_panel(group) == 0) store_bytes(sums, shared.sums[group], sizeof shared.sums[group]);
                    }
                }
                bulk_commit();
                bulk_wait_read<0>();
#pragma unroll
                for (int group = 0; group < groups; group++)
                    if (makes_dq(group, count)) barrier_arrive(&shared.dq_empty[group]);
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

struct Compute
{
    Shared &shared;
    const Problem &p;
    int group, lane, warp;
    Ring<1> staged;
    unsigned count = 0; // of blocks met

    __device__ Compute(Shared &shared, const Problem &p)
        : shared(shared), p(p), group(__shfl_sync(0xffffffffu, (int)threadIdx.x / 128 - 1, 0)), lane(threadIdx.x % 32), warp(threadIdx.x / 32 % 4) {}

    // All warpgroups have shared their dS of this block.
    __device__ __forceinline__ void meet() const { group_sync(1 + groups, all_threads); }

    // dQ of a block from the keys of the warpgroups that see it; x holds K.
    __device__ __forceinline__ void begin_dq(float (&dq)[32], const unsigned char (&x)[groups][block_bytes], const bool (&sees)[groups])
    {
        bool adds = false;
        product_fence();
#pragma unroll
        for (int from = 0; from < groups; from++)
        {
            if (!sees[from]) continue;
#pragma unroll
            for (int step = 0; step < 4; step++)
            {
                int rows = step * 16 * row_bytes;
                product<ELEMENT, 64, 1, 1>(
                    dq, operand(shared.ds[count % 2][from] + rows), operand(x[from] + dq_panel(group) * panel_bytes + rows), adds || step > 0);
            }
            adds = true;
        }
        product_commit();
    }

    // Nothing runs any more.
    __device__ __forceinline__ void finish(unsigned (&gradients)[4][4], int &before) const
    {
        product_wait<0>();
        settle(gradients);
        if (before >= 0) release(&shared.columns_empty[before]);
        before = -1;
    }

    // After the products' wait.
    __device__ __forceinline__ void stage_dq(float (&dq)[32], const bool (&sees)[groups])
    {
        settle(dq);
        float sums[4] = {};
        if (dq_panel(group) == 0)
        {
#pragma unroll
            for (int from = 0; from < groups; from++)
                if (sees[from]) sum_over_keys(sums, shared.ds[count % 2][from]);
        }
        barrier_wait(&shared.dq_empty[group], staged.phase ^ 1);
        staged.next();
        float4 *target = reinterpret_cast<float4 *>(shared.dq[group]) + threadIdx.x % 128;
#pragma unroll
        for (int c = 0; c < 8; c++) target[128 * c] = make_float4(dq[4 * c], dq[4 * c + 1], dq[4 * c + 2], dq[4 * c + 3]);
        if (dq_panel(group) == 0 && lane % 4 == 0)
        {
            shared.sums[group][warp * 16 + lane / 4] = sums[0];
            shared.sums[group][warp * 16 + lane / 4 + 8] = sums[2];
        }
        fence_shared_async();
        barrier_arrive(&shared.dq_full[group]);
    }

    __device__ void run(float scale, float *sizes, const TensorMap &dk_map, const TensorMap &dv_map);
};

__device__ void Compute::run(float scale, float *sizes, const TensorMap &dk_map, const TensorMap &dv_map)
{
    int own = group * rows_per_group + warp * 16 + lane / 4; // row of the tile
    bool leader = threadIdx.x % 128 == 0;
    Ring<ROW_BUFFERS> row_ring;
    Ring<STAGES> columns;
    for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x)
    {
        RowTile at(tile, p);
        Rows rows;
        set_visible(rows, p, at, own);
        Seen seen(p, at, group);
        int own_begin = seen.begin(at), own_end = seen.end(at), begins[groups], ends[groups];
#pragma unroll
        for (int g = 0; g < groups; g++)
        {
            Seen its(p, at, g);
            begins[g] = its.begin(at);
            ends[g] = its.end(at);
        }

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
            unsigned weights[4][4] = {}, gradients[4][4] = {};
            int before = -1; // the stage whose product for dK is still running
            for (int i = 0; i < at.blocks(); i++, columns.next(), count++)
            {
                int first_column = at.block(i) * column_rows, stage = columns.stage;
                const bool sees[groups] = {begins[0] <= i && i < ends[0], begins[1] <= i && i < ends[1]};
                float dq[32];
                barrier_wait(&shared.columns_full[stage], columns.phase);
                if (i < own_begin || i >= own_end)
                {
                    finish(gradients, before);
                    meet();
                    if (makes_dq(group, count))
                    {
                        begin_dq(dq, x, sees);
                        product_wait<0>();
                        stage_dq(dq, sees);
                    }
                    release(&shared.columns_empty[stage]);
                    continue;
                }

                float s[32], g[32];
                load_starts(s, shared.score_start[stage]);
                load_starts(g, shared.gradient_start[stage]);
                product_fence();
                multiply_rows(s, x_tile, shared.cx[stage], true);
                product_commit();
                multiply_rows(g, y_tile, shared.cy[stage], true);
                product_commit();
                product_wait<1>();
                settle(s);
                settle(gradients);
                if (before >= 0) release(&shared.columns_empty[before]);
                if (!seen.by_all(first_column)) hide(s, rows, first_column);
#pragma unroll
                for (int j = 0; j < 32; j++) s[j] = exp2_fast(fmaf(s[j], p.scale_log2, rows.bias[j / 2 % 2]));
                pack(weights, s);
                product_fence();
                multiply(dv, weights, shared.cy[stage]);
                product_commit();
                product_wait<1>();
                settle(g);
#pragma unroll
                for (int j = 0; j < 32; j++) g[j] *= s[j];
                pack(gradients, g);
#pragma unroll
                for (int j = 0; j < 16; j++)
                {
                    float2 pair = unpack2<ELEMENT>(gradients[j / 4][j % 4]);
                    rows.sum[j % 2] += pair.x + pair.y;
                    size += fabsf(pair.x) + fabsf(pair.y);
                }
                share_gradients(shared.ds[count % 2][group], gradients);
                fence_shared_async();
                meet();
                if (makes_dq(group, count)) begin_dq(dq, x, sees);
                product_fence();
                multiply(dk, gradients, shared.cx[stage]);
                product_commit();
                before = stage;
                product_wait<1>();
                settle(weights);
                if (makes_dq(group, count)) stage_dq(dq, sees);
                if (!overlaps) finish(gradients, before);
            }
            finish(gradients, before);
            if (p.sums) store_sums(rows, p, at, at.head(p, n), own);
            size = warp_sum(size);
            long long head = (long long)at.batch * p.heads + at.head(p, n);
            if (lane == 0) sizes[(head * p.tiles_per_sequence + at.first / tile_rows) * (4 * groups) + 4 * group + warp] = size;
        }

        settle(dk);
        settle(dv);
        meet(); // Nobody reads K any more.
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
        for (int i = 0; i < groups; i++)
        {
            barrier_init(&shared.dq_full[i], 128);
            barrier_init(&shared.dq_empty[i], 1);
        }
        barrier_init_fence();
    }
    __syncthreads();
    if (threadIdx.x < 128)
    {
        give_registers<24>();
        if (threadIdx.x == 0) bring_tiles(shared, p, k, v, q, upstream);
        if (threadIdx.x / 32 == 1) bring_column_starts(shared, p);
        if (threadIdx.x == 64) add_queries(shared, p, QuerySums{dq, row_sums, turns});
    }
    else
    {
        take_registers<240>();
        Compute(shared, p).run(scale, sizes, dk, dv);
    }
}
