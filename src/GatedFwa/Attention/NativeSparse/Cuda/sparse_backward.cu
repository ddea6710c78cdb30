// Attention of each query to a list of keys of its own, backward to the queries: P = 2^(score - lse) and dS = P (dP - delta) are formed
// anew, along the walk of the forward pass.
//
// Defines: ELEMENT, WARPS (of a block), BLOCKS (of a multiprocessor: for so many registers must suffice), and those of sparse_walk.cuh.
#include "sparse_walk.cuh"

constexpr int threads = 32 * WARPS;

// o, gradient [B, T, H, D], lse [B, H, T] → terms [B, T, H], a warp a row
extern "C" __global__ void __launch_bounds__(256) sparse_terms(
    const ELEMENT *o, const ELEMENT *gradient, const float *lse, RowTerms *terms, long long rows, int tokens, int positions, int heads)
{
    constexpr int pack = Pack16<ELEMENT>::count;
    long long row = (long long)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (row >= rows) return;
    float sum = 0;
    for (int d = threadIdx.x % 32 * pack; d < HEAD_SIZE; d += 32 * pack)
    {
        float a[pack], b[pack];
        load(o + row * HEAD_SIZE + d, a);
        load(gradient + row * HEAD_SIZE + d, b);
#pragma unroll
        for (int i = 0; i < pack; i++) sum = fmaf(a[i], b[i], sum);
    }
    sum = warp_sum(sum);
    if (threadIdx.x % 32) return;
    int token = (int)(row / heads % tokens);
    long long batch = row / heads / tokens;
    float logarithm = lse[(batch * heads + row % heads) * tokens + token];
    // A query that sees nothing gives nothing.
    terms[row] = {logarithm == -INFINITY ? INFINITY : logarithm * log2_e, sum, positions - tokens + token, 0};
}

extern "C" __global__ void __launch_bounds__(threads, BLOCKS) sparse_backward_queries(
    const ELEMENT *q, const ELEMENT *k, const ELEMENT *v, const ELEMENT *gradient, const RowTerms *all_terms, const int *chosen,
    const int4 *documents, ELEMENT *dq, int fresh, float scale, int tokens, int positions, int key_rows, int heads, int block_size, int count)
{
    DYNAMIC_SHARED(memory);
    Extents e = {tokens, positions, key_rows, heads, block_size};
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, batch = blockIdx.z;
    int key_head = blockIdx.y / parts, part = blockIdx.y % parts;
    int first_token = (gridDim.x - 1 - blockIdx.x) * WARPS + warp;
    if (first_token >= tokens) return;
    Row rows[2] = {
        Row(e, documents, batch, key_head, part, first_token, lane / 4), Row(e, documents, batch, key_head, part, first_token, lane / 4 + 8)};
    constexpr int bytes = KeptRows<ELEMENT, columns>::bytes;
    KeptRows<ELEMENT, columns> queries(memory + 2 * warp * bytes), gradients(memory + (2 * warp + 1) * bytes);
    ELEMENT *targets[2];
    const ELEMENT *sources[2], *upstream[2];
    float lse_log2[2], delta[2];
#pragma unroll
    for (int r = 0; r < 2; r++)
    {
        bool is_query = rows[r].token >= 0;
        long long offset = e.query(batch, rows[r].token, rows[r].head);
        sources[r] = is_query ? q + offset : nullptr;
        upstream[r] = is_query ? gradient + offset : nullptr;
        targets[r] = is_query ? dq + offset : nullptr;
        RowTerms terms = {INFINITY, 0, 0, 0};
        if (is_query) terms = all_terms[offset / HEAD_SIZE];
        lse_log2[r] = terms.lse_log2, delta[r] = terms.delta;
    }
    queries.keep(sources[0], sources[1], HEAD_SIZE);
    gradients.keep(upstream[0], upstream[1], HEAD_SIZE);
    long long stride = e.key_stride();
    k += e.key(batch, key_head);
    v += e.key(batch, key_head);
    float scale_log2 = scale * log2_e, sums[spans][8][4];
#pragma unroll
    for (int i = 0; i < 32 * spans; i++) sums[i / 32][i / 4 % 8][i % 4] = 0;

    Walk walk(e, rows, chosen + (((long long)batch * (heads / GROUP) + key_head) * tokens + first_token) * count, count);
    // Two sets of registers change parts: `a` brings the keys along and across, `b` the values; then the other way round.
    auto step = [&](Octet<ELEMENT> (&a)[pieces], Octet<ELEMENT> (&b)[pieces])
    {
        Chunk chunk = walk.chunk;
        walk.advance();
        float p[2][4], ds[2][4];
        multiply_kept(p, queries, a);
        load_across(a, k, stride, chunk);
        multiply_kept(ds, gradients, b);
        load_along(b, k, stride, walk.chunk);
        bool masked = chunk.key + 16 > chunk.end;
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int n = 0; n < 4; n++)
            {
                float x = power_of_two<ELEMENT>(p[i][n] * scale_log2 - lse_log2[n / 2]);
                if (masked && key_of(chunk, i, n) >= chunk.end) x = 0;
                ds[i][n] = x * (ds[i][n] - delta[n / 2]);
            }
#pragma unroll
        for (int m = 0; m < spans; m++) multiply_across(sums[m], ds, a + 4 * m);
        load_along(a, v, stride, walk.chunk);
    };
    Octet<ELEMENT> even[pieces], odd[pieces];
    load_along(even, k, stride, walk.chunk);
    load_along(odd, v, stride, walk.chunk);
    while (!walk.chunk.is_empty())
    {
        step(even, odd);
        if (walk.chunk.is_empty()) break;
        step(odd, even);
    }
#pragma unroll
    for (int m = 0; m < spans; m++) store_across(targets[0], targets[1], sums[m], scale, scale, 64 * m, HEAD_SIZE, fresh);
}
