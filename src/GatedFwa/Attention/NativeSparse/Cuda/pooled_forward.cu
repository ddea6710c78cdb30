// Attention of each query to all pooled rows that are complete, forward. Defines: those of pooled_tiles.cuh.
#include "online_softmax.cuh"
#include "pooled_tiles.cuh"

struct Shared
{
    ELEMENT queries[tile_rows * stride];
    struct
    {
        ELEMENT keys[KEYS * stride], values[KEYS * stride];
    } stage[stages];
};

// documents [B, S], or none
extern "C" __global__ void __launch_bounds__(threads, BLOCKS) pooled_forward(
    const ELEMENT *q, const ELEMENT *k, const ELEMENT *v, const int4 *documents, ELEMENT *o, float *lse,
    float scale_log2, int tokens, int positions, int key_rows, int heads, int block_size)
{
    DYNAMIC_SHARED(memory);
    Shared &shared = *reinterpret_cast<Shared *>(memory);
    Extents e = {tokens, positions, key_rows, heads, block_size};
    int lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * warp_rows, batch = blockIdx.z;
    int key_head = blockIdx.y / parts, part = blockIdx.y % parts;
    // The last queries see most: they begin first.
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
    bring(0);

    Row rows[ROW_TILES][2];
    OnlineSoftmax softmax[ROW_TILES][2];
    float outputs[ROW_TILES][columns / 8][4];
#pragma unroll
    for (int tile = 0; tile < ROW_TILES; tile++)
    {
#pragma unroll
        for (int r = 0; r < 2; r++) rows[tile][r] = Row(e, documents, batch, key_head, part, first_token, warp_row + 16 * tile + lane / 4 + 8 * r);
#pragma unroll
        for (int i = 0; i < columns / 2; i++) outputs[tile][i / 4][i % 4] = 0;
    }

    for (int index = 0; index < run.tiles(); index++)
    {
        copy_async_wait<0>();
        __syncthreads();
        bring(index + 1);
        const auto &stage = shared.stage[index % stages];
        int first = run.first + index * KEYS;
        float s[ROW_TILES][KEYS / 8][4];
        product_of_rows<columns, KEYS>(s, shared.queries + warp_row * stride, stage.keys);
#pragma unroll
        for (int tile = 0; tile < ROW_TILES; tile++)
        {
            Row(&own)[2] = rows[tile];
            bool is_whole = own[0].sees_all(first, KEYS) && own[1].sees_all(first, KEYS);
            bool masked = !__all_sync(all_lanes, is_whole);
            float most[2] = {-INFINITY, -INFINITY};
#pragma unroll
            for (int i = 0; i < KEYS / 8; i++)
#pragma unroll
                for (int n = 0; n < 4; n++)
                {
                    float &x = s[tile][i][n];
                    x *= scale_log2;
                    if (masked && !own[n / 2].sees(first + 8 * i + 2 * (lane % 4) + n % 2)) x = -INFINITY;
                    most[n / 2] = fmaxf(most[n / 2], x);
                }
            float shrink[2];
#pragma unroll
            for (int r = 0; r < 2; r++)
            {
                shrink[r] = softmax[tile][r].raise(row_max(most[r]));
                softmax[tile][r].sum *= shrink[r];
            }
            if (__any_sync(all_lanes, shrink[0] != 1 || shrink[1] != 1))
            {
#pragma unroll
                for (int i = 0; i < columns / 2; i++) outputs[tile][i / 4][i % 4] *= shrink[i % 4 / 2];
            }
#pragma unroll
            for (int i = 0; i < KEYS / 8; i++)
#pragma unroll
                for (int n = 0; n < 4; n++)
                {
                    float &x = s[tile][i][n];
                    x = power_of_two<ELEMENT>(x - softmax[tile][n / 2].base());
                    softmax[tile][n / 2].sum += x;
                }
        }
        product_of_columns<columns, KEYS, columns>(outputs, s, stage.values);
    }
    copy_async_wait<0>();

#pragma unroll
    for (int tile = 0; tile < ROW_TILES; tile++)
#pragma unroll
        for (int r = 0; r < 2; r++)
        {
            float sum = row_sum(softmax[tile][r].sum);
            const Row &row = rows[tile][r];
            if (row.token < 0) continue;
            // Nothing seen gives 0; a NaN stays one.
            store_row(o + e.query(batch, row.token, row.head), outputs[tile], r, sum > 0 ? 1 / sum : sum, true);
            if (lane % 4) continue;
            float most = softmax[tile][r].most;
            lse[((long long)batch * heads + row.head) * tokens + row.token] = sum == 0 ? -INFINITY : (most + log2f(sum)) / log2_e;
        }
}
