// Attention of each query to all pooled rows that are complete, backward to the queries: P = 2^(score - lse) and dS = P (dP - delta)
// are formed anew. Defines: those of pooled_tiles.cuh.
#include "pooled_tiles.cuh"

struct Shared
{
    ELEMENT queries[tile_rows * stride], gradients[tile_rows * stride];
    struct
    {
        ELEMENT keys[KEYS * stride], values[KEYS * stride];
    } stage[stages];
};

extern "C" __global__ void __launch_bounds__(threads, BLOCKS) pooled_backward_queries(
    const ELEMENT *q, const ELEMENT *k, const ELEMENT *v, const ELEMENT *gradient, const RowTerms *all_terms, const int4 *documents,
    ELEMENT *dq, int fresh, float scale, int tokens, int positions, int key_rows, int heads, int block_size)
{
    DYNAMIC_SHARED(memory);
    Shared &shared = *reinterpret_cast<Shared *>(memory);
    Extents e = {tokens, positions, key_rows, heads, block_size};
    int lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * warp_rows, batch = blockIdx.z;
    int key_head = blockIdx.y / parts, part = blockIdx.y % parts;
    int first_token = (gridDim.x - 1 - blockIdx.x) * queries_per_block;
    Run run(e, documents, batch, first_token);
    k += e.key(batch, key_head);
    v += e.key(batch, key_head);
    auto bring = [&](int index)
    {
        if (index < run.tiles())
        {
            run.bring(shared.stage[index % stages].keys, k, e, index);
            run.bring(shared.stage[index % stages].values, v, e, index);
        }
        copy_async_commit();
    };
    bring_queries(shared.queries, q, e, batch, key_head, part, first_token);
    bring_queries(shared.gradients, gradient, e, batch, key_head, part, first_token);
    bring(0);

    Row rows[ROW_TILES][2];
    float lse_log2[ROW_TILES][2], delta[ROW_TILES][2], scale_log2 = scale * log2_e, sums[ROW_TILES][columns / 8][4];
#pragma unroll
    for (int tile = 0; tile < ROW_TILES; tile++)
    {
#pragma unroll
        for (int r = 0; r < 2; r++)
        {
            Row &row = rows[tile][r];
            row = Row(e, documents, batch, key_head, part, first_token, warp_row + 16 * tile + lane / 4 + 8 * r);
            RowTerms terms = {INFINITY, 0, 0, 0};
            if (row.token >= 0) terms = all_terms[e.query(batch, row.token, row.head) / HEAD_SIZE];
            lse_log2[tile][r] = terms.lse_log2, delta[tile][r] = terms.delta;
        }
#pragma unroll
        for (int i = 0; i < columns / 2; i++) sums[tile][i / 4][i % 4] = 0;
    }

    for (int index = 0; index < run.tiles(); index++)
    {
        copy_async_wait<0>();
        __syncthreads();
        bring(index + 1);
        const auto &stage = shared.stage[index % stages];
        int first = run.first + index * KEYS;
        float p[ROW_TILES][KEYS / 8][4], ds[ROW_TILES][KEYS / 8][4];
        product_of_rows<columns, KEYS>(p, shared.queries + warp_row * stride, stage.keys);
#pragma unroll
        for (int tile = 0; tile < ROW_TILES; tile++)
#pragma unroll
            for (int i = 0; i < KEYS / 8; i++)
#pragma unroll
                for (int n = 0; n < 4; n++)
                {
                    float x = power_of_two<ELEMENT>(p[tile][i][n] * scale_log2 - lse_log2[tile][n / 2]);
                    p[tile][i][n] = rows[tile][n / 2].sees(first + 8 * i + 2 * (lane % 4) + n % 2) ? x : 0;
                }
        product_of_rows<columns, KEYS>(ds, shared.gradients + warp_row * stride, stage.values);
#pragma unroll
        for (int tile = 0; tile < ROW_TILES; tile++)
#pragma unroll
            for (int i = 0; i < KEYS / 8; i++)
#pragma unroll
                for (int n = 0; n < 4; n++) ds[tile][i][n] = p[tile][i][n] * (ds[tile][i][n] - delta[tile][n / 2]);
        product_of_columns<columns, KEYS, columns>(sums, ds, stage.keys);
    }
    copy_async_wait<0>();

#pragma unroll
    for (int tile = 0; tile < ROW_TILES; tile++)
#pragma unroll
        for (int r = 0; r < 2; r++)
        {
            const Row &row = rows[tile][r];
            if (row.token >= 0) store_row(dq + e.query(batch, row.token, row.head), sums[tile], r, scale, fresh);
        }
}
