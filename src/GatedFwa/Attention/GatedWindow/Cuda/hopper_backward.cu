// Gated window attention on Hopper, backward, in two passes, neither of which adds what another block has added:
//   rows are keys:    dS^T = P^T o (V dO^T - delta), dV += P^T dO, dK += dS^T Q, over the queries that see a tile of keys;
//   rows are queries: dS   = P o (dO V^T - delta),   dQ += dS K,               over the keys that a tile of queries sees.
// They serve heads whose delta must be corrected first (hopper_backward_fused.cu says when).
#include "hopper_backward.cuh"

struct Shared
{
    unsigned char x[ROW_BUFFERS][groups][block_bytes], y[ROW_BUFFERS][groups][block_bytes]; // K, V or Q, dO; then their gradients
    unsigned char cx[STAGES][block_bytes], cy[STAGES][block_bytes];                         // Q, dO or K, V
    float score_start[STAGES][column_rows], gradient_start[STAGES][column_rows];
    Barrier rows_full[ROW_BUFFERS], rows_empty[ROW_BUFFERS], columns_full[STAGES], columns_empty[STAGES];
};

__device__ void compute(Shared &shared, const Problem &p, float scale, const TensorMap &dx_map, const TensorMap &dy_map)
{
    int group = __shfl_sync(0xffffffffu, (int)threadIdx.x / 128 - 1, 0), lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
    int own = group * rows_per_group + warp * 16 + lane / 4; // row of the tile
    bool leader = threadIdx.x % 128 == 0;
    Ring<ROW_BUFFERS> row_ring;
    Ring<STAGES> columns;
    for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x)
    {
        if (p.skips(tile)) continue;
        RowTile at(tile, p);
        Rows rows;
        set_visible(rows, p, at, own);
        Seen seen(p, at, group);

        barrier_wait(&shared.rows_full[row_ring.stage], row_ring.phase);
        unsigned char *x_tile = shared.x[row_ring.stage][group], *y_tile = shared.y[row_ring.stage][group];
        float dx[head_columns / 2], dy[head_columns / 2];
#pragma unroll
        for (int i = 0; i < head_columns / 2; i++)
        {
            dx[i] = dy[i] = 0;
        }

        int blocks = at.blocks(), own_first = seen.begin(at), own_end = seen.end(at); // the others it lets pass
        for (int n = 0; n < at.heads_met(p); n++)
        {
            load_rows(rows, p, at, at.head(p, n), own);
            unsigned weights[4][4] = {}, gradients[4][4] = {};
            int i = 0, before = -1; // the stage whose products are still running
            for (; i < own_first; i++, columns.next()) pass_by(shared, columns);
            for (; i < own_end; i++, columns.next())
            {
                int first_column = at.block(i) * column_rows, stage = columns.stage;
                barrier_wait(&shared.columns_full[stage], columns.phase);
                float s[32], g[32];
                if (has_column_scores) load_starts(s, shared.score_start[stage]);
                if (ROWS_ARE_KEYS) load_starts(g, shared.gradient_start[stage]);
                else
                {
#pragma unroll
                    for (int j = 0; j < 32; j++) g[j] = rows.start[j / 2 % 2];
                }
                product_fence();
                multiply_rows(s, x_tile, shared.cx[stage], has_column_scores);
                product_commit();
                multiply_rows(g, y_tile, shared.cy[stage], true);
                product_commit();
                product_wait<1>();
                settle(s);
                settle(weights);
                settle(gradients);
                if (before >= 0) release(&shared.columns_empty[before]);
                if (!seen.by_all(first_column)) hide(s, rows, first_column);
#pragma unroll
                for (int j = 0; j < 32; j++) s[j] = exp2_fast(fmaf(s[j], p.scale_log2, rows.bias[j / 2 % 2]));
                if constexpr (ROWS_ARE_KEYS)
                {
                    pack(weights, s);
                    product_fence();
                    multiply(dy, weights, shared.cy[stage]);
                    product_commit();
                    product_wait<1>();
                }
                else product_wait<0>();
                settle(g);
#pragma unroll
                for (int j = 0; j < 32; j++)
                {
                    g[j] *= s[j];
                    rows.sum[j / 2 % 2] += g[j];
                }
                pack(gradients, g);
                product_fence();
                multiply(dx, gradients, shared.cx[stage]);
                product_commit();
                before = stage;
            }
            product_wait<0>();
            settle(dx);
            settle(dy);
            settle(weights);
            settle(gradients);
            if (before >= 0) release(&shared.columns_empty[before]);
            for (; i < blocks; i++, columns.next()) pass_by(shared, columns);
            if (p.sums) store_sums(rows, p, at, at.head(p, n), own);
        }

        stage_gradient(x_tile, dx, scale);
        if constexpr (ROWS_ARE_KEYS) stage_gradient(y_tile, dy, 1);
        fence_shared_async();
        group_sync(1 + group, 128);
        if (leader)
        {
            int row = at.first + group * rows_per_group - (ROWS_ARE_KEYS ? 0 : p.prefix());
            for (int panel = 0; panel < PANELS; panel++)
            {
                store_tile(&dx_map, x_tile + panel * panel_bytes, panel * 64, at.row_head, row, at.batch);
                if (ROWS_ARE_KEYS) store_tile(&dy_map, y_tile + panel * panel_bytes, panel * 64, at.row_head, row, at.batch);
            }
            bulk_commit();
            bulk_wait_read<0>();
            barrier_arrive(&shared.rows_empty[row_ring.stage]);
        }
        row_ring.next();
    }
    if (leader) bulk_wait<0>();
}

extern "C" __global__ void __launch_bounds__(128 * (groups + 1), 1) hopper_backward(
    const __grid_constant__ TensorMap x, const __grid_constant__ TensorMap y, const __grid_constant__ TensorMap cx, const __grid_constant__ TensorMap cy,
    const __grid_constant__ TensorMap dx, const __grid_constant__ TensorMap dy,
    const float *local, const float *totals, const float *lse, const float *delta, const int *segment_start, const int *segment_end, float *sums, const int *only,
    float scale, float scale_log2, int tokens, int positions, int heads, int key_heads, int window, int tiles_per_sequence, int tiles)
{
    DYNAMIC_SHARED(memory);
    Shared &shared = *reinterpret_cast<Shared *>(memory);
    Problem p = {local, totals, lse, delta, segment_start, segment_end, sums, only, scale_log2, tokens, positions, heads, key_heads, window, tiles_per_sequence, tiles};
    if (threadIdx.x == 0)
    {
        for (int i = 0; i < ROW_BUFFERS; i++)
        {
            barrier_init(&shared.rows_full[i], 1);
            barrier_init(&shared.rows_empty[i], groups);
        }
        for (int i = 0; i < STAGES; i++)
        {
            barrier_init(&shared.columns_full[i], has_column_scores ? 33 : 1);
            barrier_init(&shared.columns_empty[i], groups * 4);
        }
        barrier_init_fence();
    }
    __syncthreads();
    if (threadIdx.x < 128)
    {
        give_registers<24>();
        if (threadIdx.x == 0) bring_tiles(shared, p, x, y, cx, cy);
        if (has_column_scores && threadIdx.x / 32 == 1) bring_column_starts(shared, p);
    }
    else
    {
        take_registers<240>();
        compute(shared, p, scale, dx, dy);
    }
}
