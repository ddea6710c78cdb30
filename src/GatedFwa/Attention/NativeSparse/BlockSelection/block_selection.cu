// The choice of blocks: what each block counts for a query, then the best. Chunks of queries, so that the numbers between the two stay
// few.
//
// Defines: those of pooled_tiles.cuh.
#include "pooled_tiles.cuh"

constexpr int key_tiles = KEYS / 16;

struct Shared
{
    ELEMENT queries[tile_rows * stride], keys[stages][KEYS * stride];
};

// An x, as bits, with less than `wanted` of `count` numbers above it and at least as many from it on, or with exactly as many above
// it: floats that are not negative are ordered as their bits are.
__device__ __forceinline__ unsigned threshold(const float *numbers, int count, int wanted)
{
    unsigned x = 0;
    for (unsigned bit = 1u << 30; bit > 0; bit >>= 1)
    {
        int reached = 0;
#pragma unroll 4
        for (int i = threadIdx.x % 32; i < count; i += 32) reached += __float_as_uint(numbers[i]) >= (x | bit);
        reached = warp_sum(reached);
        if (reached == wanted) return (x | bit) - 1;
        if (reached > wanted) x |= bit;
    }
    return x;
}

// importance [B, Hkv, chunk, width]: of the complete blocks before a query's own, the sum over the heads of 2^(score - lse). Keys are
// the rows of the product here and heads its columns, so that most of the sum lies in a lane.
extern "C" __global__ void __launch_bounds__(threads, BLOCKS) block_importance(
    const ELEMENT *q, const ELEMENT *pooled, const float *lse, const int4 *documents, float *importance,
    float scale_log2, int first_query, int chunk, int width, int tokens, int positions, int key_rows, int heads, int block_size)
{
    DYNAMIC_SHARED(memory);
    Shared &shared = *reinterpret_cast<Shared *>(memory);
    Extents e = {tokens, positions, key_rows, heads, block_size};
    int lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * warp_rows, batch = blockIdx.z, key_head = blockIdx.y;
    int first_token = first_query + (gridDim.x - 1 - blockIdx.x) * queries_per_block, end_token = min(first_query + chunk, tokens);
    Run run(e, documents, batch, first_token);
    pooled += e.key(batch, key_head);
    importance += ((long long)batch * (heads / GROUP) + key_head) * chunk * width;
    for (int part = 0; part < parts; part++)
    {
        if (part > 0) __syncthreads();
        bring_queries(shared.queries, q, e, batch, key_head, part, first_token);
        auto bring = [&](int index)
        {
            if (index < run.tiles()) run.bring(shared.keys[index % stages], pooled, e, index);
            copy_async_commit();
        };
        bring(0);
        float lse_log2[warp_rows / 8][2];
        int first_keys[warp_rows / 8][2], end_keys[warp_rows / 8][2]; // that count, of the query of a column
#pragma unroll
        for (int i = 0; i < warp_rows / 8; i++)
#pragma unroll
            for (int n = 0; n < 2; n++)
            {
                int column = warp_row + 8 * i + 2 * (lane % 4) + n;
                Row row(e, documents, batch, key_head, part, first_token, column);
                lse_log2[i][n] = row.token >= 0 ? lse[((long long)batch * heads + row.head) * tokens + row.token] * log2_e : INFINITY;
                // Whoever writes a query's sum knows its place even where this column is no head: a query's first is one.
                Row query(e, documents, batch, key_head, 0, first_token, column / ROW_GROUP * ROW_GROUP);
                // The own block is always chosen; a query without a complete block before it needs no numbers (and has no lse).
                bool counts = query.token >= 0 && query.token < end_token;
                first_keys[i][n] = query.first, end_keys[i][n] = counts ? query.first + max(query.position, 0) / block_size : 0;
            }

        for (int index = 0; index < run.tiles(); index++)
        {
            copy_async_wait<0>();
            __syncthreads();
            bring(index + 1);
            float s[key_tiles][warp_rows / 8][4];
            product_of_rows<columns, warp_rows>(s, shared.keys[index % stages], shared.queries + warp_row * stride);
#pragma unroll
            for (int tile = 0; tile < key_tiles; tile++)
#pragma unroll
                for (int half = 0; half < 2; half++)
#pragma unroll
                    for (int i = 0; i < warp_rows / 8; i += ROW_GROUP == 16 ? 2 : 1)
                    {
                        int key = run.first + index * KEYS + 16 * tile + 8 * half + lane / 4;
                        float x[2];
#pragma unroll
                        for (int n = 0; n < 2; n++)
                        {
                            x[n] = power_of_two<ELEMENT>(s[tile][i][2 * half + n] * scale_log2 - lse_log2[i][n]);
                            if constexpr (ROW_GROUP == 16)
                                x[n] += power_of_two<ELEMENT>(s[tile][i + 1][2 * half + n] * scale_log2 - lse_log2[i + 1][n]);
                        }
                        if (ROW_GROUP >= 2) x[0] += x[1];
                        if (ROW_GROUP >= 4) x[0] += __shfl_xor_sync(all_lanes, x[0], 1);
                        if (ROW_GROUP >= 8) x[0] += __shfl_xor_sync(all_lanes, x[0], 2);
                        constexpr int lanes = ROW_GROUP >= 8 ? 4 : ROW_GROUP == 4 ? 2 : 1; // that share a query
#pragma unroll
                        for (int n = 0; n < (ROW_GROUP == 1 ? 2 : 1); n++)
                        {
                            if (lane % lanes || key < first_keys[i][n] || key >= end_keys[i][n]) continue;
                            int token = first_token + (warp_row + 8 * i + 2 * (lane % 4) + n) / ROW_GROUP;
                            float *target = importance + (long long)(token - first_query) * width + key - first_keys[i][n];
                            *target = part == 0 ? x[n] : *target + x[n];
                        }
                    }
        }
        copy_async_wait<0>();
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
