// The choice of blocks: what each block counts for a query, then the best. Chunks of queries, so that the numbers between the two stay
// few.
//
// Defines: ELEMENT, WARPS (of a block), BLOCKS (of a multiprocessor: for so many registers must suffice), and those of sparse_walk.cuh (compressed).
#include "sparse_walk.cuh"

constexpr int threads = 32 * WARPS;

// The largest x with at least `wanted` of `count` numbers that are not smaller, as bits: floats that are not negative are ordered
// as their bits are.
__device__ __forceinline__ unsigned threshold(const float *numbers, int count, int wanted)
{
    unsigned x = 0;
    for (unsigned bit = 1u << 30; bit > 0; bit >>= 1)
    {
        int reached = 0;
        for (int i = threadIdx.x % 32; i < count; i += 32) reached += __float_as_uint(numbers[i]) >= (x | bit);
        if (warp_sum(reached) >= wanted) x |= bit;
    }
    return x;
}

// importance [B, Hkv, chunk, width]: of the complete blocks before a query's own, the sum over the heads of 2^(score - lse)
extern "C" __global__ void __launch_bounds__(threads, BLOCKS) block_importance(
    const ELEMENT *q, const ELEMENT *pooled, const float *lse, const int4 *documents, float *importance,
    float scale_log2, int first_query, int chunk, int width, int tokens, int positions, int key_rows, int heads, int block_size)
{
    DYNAMIC_SHARED(memory);
    Extents e = {tokens, positions, key_rows, heads, block_size};
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, batch = blockIdx.z, key_head = blockIdx.y;
    int first_token = first_query + (blockIdx.x * WARPS + warp) * queries_per_tile;
    int end_token = min(first_query + chunk, tokens);
    if (first_token >= end_token) return;
    KeptRows<ELEMENT, columns> queries(memory + warp * KeptRows<ELEMENT, columns>::bytes);
    const ELEMENT *head = pooled + e.key(batch, key_head);
    long long stride = e.key_stride();
    for (int part = 0; part < parts; part++)
    {
        Row rows[2] = {
            Row(e, documents, batch, key_head, part, first_token, lane / 4), Row(e, documents, batch, key_head, part, first_token, lane / 4 + 8)};
        const ELEMENT *sources[2];
        float lse_log2[2], *targets[2];
#pragma unroll
        for (int r = 0; r < 2; r++)
        {
            Row &row = rows[r];
            sources[r] = row.token >= 0 ? q + e.query(batch, row.token, row.head) : nullptr;
            lse_log2[r] = row.token >= 0 ? lse[((long long)batch * heads + row.head) * tokens + row.token] * log2_e : INFINITY;
            // The own block is always chosen; a query without a complete block before it needs no numbers (and has no lse).
            if (row.token >= 0) row.end = row.first + max(row.position, 0) / block_size;
            // Whoever writes a query's sum must know its place even if none of the lane's rows is a head.
            int token = first_token + (lane / 4 + 8 * r) / ROW_GROUP;
            targets[r] = token < end_token ? importance + (((long long)batch * (heads / GROUP) + key_head) * chunk + token - first_query) * width : nullptr;
        }
        queries.keep(sources[0], sources[1], HEAD_SIZE);
        Walk walk(e, rows, nullptr, 0);
        // The first of a query's rows is a head of it: its range is the query's.
        Octet<ELEMENT> keys[pieces];
        load_along(keys, head, stride, walk.chunk);
        while (!walk.chunk.is_empty())
        {
            Chunk own = walk.chunk;
            float s[2][4];
            multiply_kept(s, queries, keys);
            walk.advance();
            load_along(keys, head, stride, walk.chunk);
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int n = 0; n < 4; n++) s[i][n] = power_of_two<ELEMENT>(s[i][n] * scale_log2 - lse_log2[n / 2]);
            // Over the rows of a query: those of other lanes, and where it has all sixteen, the lane's two.
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int n = 0; n < 4; n++)
                {
                    if (ROW_GROUP == 16 && n >= 2) continue;
                    if (ROW_GROUP == 16) s[i][n] += s[i][n + 2];
#pragma unroll
                    for (int step = 1; step < min(ROW_GROUP, 8); step *= 2) s[i][n] += __shfl_xor_sync(all_lanes, s[i][n], 4 * step);
                    const Row &row = rows[n / 2];
                    int key = key_of(own, i, n);
                    if (lane / 4 % min(ROW_GROUP, 8) || row.token < 0 || !targets[n / 2] || !row.sees(key)) continue;
                    float *target = targets[n / 2] + key - row.first;
                    *target = part == 0 ? s[i][n] : *target + s[i][n];
                }
        }
    }
}

// chosen [B, Hkv, T, count]: the own block, the one before and the first come before all others, in this order; of equals the lower
// number. A warp a query and key head.
extern "C" __global__ void __launch_bounds__(threads) block_choice(
    const float *importance, const int4 *documents, int *chosen,
    int first_query, int chunk, int width, int tokens, int positions, int key_heads, int block_size, int count)
{
    int lane = threadIdx.x % 32, token = first_query + blockIdx.x * WARPS + threadIdx.x / 32, key_head = blockIdx.y, batch = blockIdx.z;
    if (token >= min(first_query + chunk, tokens)) return;
    int at = positions - tokens + token;
    Document document(documents, batch, at, positions, block_size);
    const float *numbers = importance + (((long long)batch * key_heads + key_head) * chunk + token - first_query) * width;
    int *target = chosen + (((long long)batch * key_heads + key_head) * tokens + token) * count;
    int own = document.start <= at ? (at - document.start) / block_size : -1, placed = 0;
    bool takes_all = own < count;
    // Of the blocks 1 … own - 2.
    int wanted = count - 3, others = own - 2;
    unsigned least = 0xffffffff;
    if (!takes_all && wanted > 0) least = threshold(numbers + 1, others, wanted);
    int above = 0;
    if (!takes_all && wanted > 0)
    {
        for (int i = lane; i < others; i += 32) above += __float_as_uint(numbers[1 + i]) > least;
        above = warp_sum(above);
    }
    int equals = wanted - above; // so many of those at the threshold
    for (int first = 0; first <= own; first += 32)
    {
        int block = first + lane;
        bool is_other = block > 0 && block < own - 1;
        unsigned bits = is_other && !takes_all && wanted > 0 ? __float_as_uint(numbers[block]) : 0;
        bool is_equal = is_other && !takes_all && wanted > 0 && bits == least;
        unsigned equal_lanes = __ballot_sync(all_lanes, is_equal), lower = (1u << lane) - 1;
        bool takes = block <= own &&
            (takes_all || block == own || (block == own - 1 && count > 1) || (block == 0 && count > 2) ||
             (is_other && wanted > 0 && bits > least) || (is_equal && __popc(equal_lanes & lower) < equals));
        equals -= __popc(equal_lanes);
        unsigned taken = __ballot_sync(all_lanes, takes);
        if (takes) target[placed + __popc(taken & lower)] = block;
        placed += __popc(taken);
    }
    for (int i = placed + lane; i < count; i += 32) target[i] = -1;
}
