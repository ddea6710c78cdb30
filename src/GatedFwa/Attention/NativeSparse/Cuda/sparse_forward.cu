// Attention of each query to a list of keys of its own, forward. A warp takes the heads of one query that share a key head; 16 keys
// go past at a time, the next ones on their way.
//
// Defines: ELEMENT, WARPS (of a block), BLOCKS (of a multiprocessor: for so many registers must suffice), and those of sparse_walk.cuh.
#include "online_softmax.cuh"
#include "sparse_walk.cuh"

constexpr int threads = 32 * WARPS;

// chosen [B, Hkv, T, count]; documents [B, S], or none
extern "C" __global__ void __launch_bounds__(threads, BLOCKS) sparse_forward(
    const ELEMENT *q, const ELEMENT *k, const ELEMENT *v, const int *chosen, const int4 *documents, ELEMENT *o, float *lse,
    float scale_log2, int tokens, int positions, int key_rows, int heads, int block_size, int count)
{
    DYNAMIC_SHARED(memory);
    Extents e = {tokens, positions, key_rows, heads, block_size};
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, batch = blockIdx.z;
    int key_head = blockIdx.y / parts, part = blockIdx.y % parts;
    // The last queries see most: they begin first. Neighbours run at the same time.
    int first_token = (gridDim.x - 1 - blockIdx.x) * WARPS + warp;
    if (first_token >= tokens) return;
    Row rows[2] = {
        Row(e, documents, batch, key_head, part, first_token, lane / 4), Row(e, documents, batch, key_head, part, first_token, lane / 4 + 8)};
    KeptRows<ELEMENT, columns> queries(memory + warp * KeptRows<ELEMENT, columns>::bytes);
    ELEMENT *targets[2];
    const ELEMENT *sources[2];
#pragma unroll
    for (int r = 0; r < 2; r++)
    {
        long long offset = e.query(batch, rows[r].token, rows[r].head);
        sources[r] = rows[r].token >= 0 ? q + offset : nullptr;
        targets[r] = rows[r].token >= 0 ? o + offset : nullptr;
    }
    queries.keep(sources[0], sources[1], HEAD_SIZE);
    long long stride = e.key_stride();
    k += e.key(batch, key_head);
    v += e.key(batch, key_head);

    OnlineSoftmax softmax[2];
    float outputs[spans][8][4];
#pragma unroll
    for (int i = 0; i < 32 * spans; i++) outputs[i / 32][i / 4 % 8][i % 4] = 0;

    Octet<ELEMENT> keys[pieces], values[pieces];
    Walk walk(e, rows, chosen + (((long long)batch * (heads / GROUP) + key_head) * tokens + first_token) * count, count);
    load_along(keys, k, stride, walk.chunk);
    while (!walk.chunk.is_empty())
    {
        Chunk chunk = walk.chunk;
        load_across(values, v, stride, chunk);
        float s[2][4];
        multiply_kept(s, queries, keys);
        walk.advance();
        load_along(keys, k, stride, walk.chunk);

        bool masked = chunk.key + 16 > chunk.end;
        float most[2] = {-INFINITY, -INFINITY};
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int n = 0; n < 4; n++)
            {
                s[i][n] *= scale_log2;
                if (masked && key_of(chunk, i, n) >= chunk.end) s[i][n] = -INFINITY;
                most[n / 2] = fmaxf(most[n / 2], s[i][n]);
            }
        float shrink[2];
#pragma unroll
        for (int r = 0; r < 2; r++)
        {
            shrink[r] = softmax[r].raise(row_max(most[r]));
            softmax[r].sum *= shrink[r];
        }
        if (__any_sync(all_lanes, shrink[0] != 1 || shrink[1] != 1))
        {
#pragma unroll
            for (int i = 0; i < 32 * spans; i++) outputs[i / 32][i / 4 % 8][i % 4] *= shrink[i % 4 / 2];
        }
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int n = 0; n < 4; n++)
            {
                s[i][n] = power_of_two<ELEMENT>(s[i][n] - softmax[n / 2].base());
                softmax[n / 2].sum += s[i][n];
            }
#pragma unroll
        for (int m = 0; m < spans; m++) multiply_across(outputs[m], s, values + 4 * m);
    }

    float inverse[2];
#pragma unroll
    for (int r = 0; r < 2; r++)
    {
        float sum = row_sum(softmax[r].sum);
        inverse[r] = sum > 0 ? 1 / sum : sum; // Nothing seen gives 0; a NaN stays one.
        if (targets[r] && lane % 4 == 0)
            lse[((long long)batch * heads + rows[r].head) * tokens + rows[r].token] = sum == 0 ? -INFINITY : (softmax[r].most + log2f(sum)) / log2_e;
    }
#pragma unroll
    for (int m = 0; m < spans; m++) store_across(targets[0], targets[1], outputs[m], inverse[0], inverse[1], 64 * m, HEAD_SIZE, true);
}
