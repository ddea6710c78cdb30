// Which rows a warp works on and which keys go past them: 16 rows are the heads that share a key head, of one query or of a few
// neighbours; the keys are the tokens of the blocks that a query chose, or the means of all blocks that are complete.
//
// Defines: HEAD_SIZE, GROUP (heads that share a key head), ROW_GROUP (rows that a query takes of 16, a divisor), SELECTED (or
// compressed).
#pragma once
#include "direct_operands.cuh"
#include "sparse_documents.cuh"
#include "sparse_terms.cuh"

constexpr int columns = (HEAD_SIZE + 31) / 32 * 32, octets = columns / 32, spans = (HEAD_SIZE + 63) / 64;
constexpr int pieces = 2 * octets > 4 * spans ? 2 * octets : 4 * spans; // octets of a lane of 16 keys, along or across
constexpr int parts = (GROUP + ROW_GROUP - 1) / ROW_GROUP;              // of a query with more than 16 heads a key head
constexpr int queries_per_tile = 16 / ROW_GROUP;
static_assert(!SELECTED || queries_per_tile == 1, "each query has a list of its own");

struct Extents
{
    int tokens, positions, key_rows, heads, block_size; // key_rows: S, or C

    __device__ __forceinline__ int prefix() const { return positions - tokens; }
    __device__ __forceinline__ long long query_stride() const { return (long long)heads * HEAD_SIZE; }
    __device__ __forceinline__ long long key_stride() const { return (long long)(heads / GROUP) * HEAD_SIZE; }
    __device__ __forceinline__ long long query(int batch, int token, int head) const
    {
        return (((long long)batch * tokens + token) * heads + head) * HEAD_SIZE;
    }
    __device__ __forceinline__ long long key(int batch, int key_head) const { return (long long)batch * key_rows * key_stride() + key_head * HEAD_SIZE; }
};

// One of the two rows of which a lane holds accumulators.
struct Row
{
    int token, head;   // -1: no query
    int first, end;    // of the keys that it sees, where they are one run
    int own, position; // the document's first position, and the query's in it; -1: padding

    __device__ __forceinline__ Row(const Extents &e, const int4 *documents, int batch, int key_head, int part, int first_token, int index)
    {
        token = first_token + index / ROW_GROUP;
        int member = part * ROW_GROUP + index % ROW_GROUP;
        head = key_head * GROUP + member;
        first = 0, end = 0x7fffffff, own = 0, position = -1; // Whatever a row sees that is none, nobody reads.
        bool is_query = token < e.tokens && member < GROUP;
        if (is_query)
        {
            int at = e.prefix() + token;
            Document document(documents, batch, at, e.positions, e.block_size);
            position = document.start <= at ? at - document.start : -1;
            own = document.start;
            first = document.first_pooled;
            end = first + (position + 1) / e.block_size;
        }
        else token = -1;
    }

    __device__ __forceinline__ bool sees(int key) const { return key >= first && key < end; }
};

// 16 keys: rows of k from `key` on, those before `end`.
struct Chunk
{
    int key = 0, end = 0;

    __device__ __forceinline__ bool is_empty() const { return key >= end; }
};

// The keys of a warp's rows, 16 at a time.
struct Walk
{
    Chunk chunk;

#if SELECTED
    const int *next_choice;
    int left, start, position, block_size, upcoming;

    __device__ __forceinline__ Walk(const Extents &e, const Row (&rows)[2], const int *choices, int count)
    {
        // All rows are of one query, and the first is there.
        start = __shfl_sync(all_lanes, rows[0].own, 0);
        position = __shfl_sync(all_lanes, rows[0].position, 0);
        block_size = e.block_size, next_choice = choices, left = count;
        upcoming = position >= 0 ? *next_choice : -1;
        next_run();
    }

    __device__ __forceinline__ void next_run()
    {
        chunk.key = chunk.end = 0;
        if (upcoming < 0) return;
        int block = upcoming * block_size;
        chunk.key = start + block;
        chunk.end = start + min(block + block_size, position + 1);
        upcoming = --left > 0 ? *++next_choice : -1;
    }
#else
    int first, end; // of this lane's rows; a row of another document may have another run
    int other_first, other_end;

    __device__ __forceinline__ Walk(const Extents &, const Row (&rows)[2], const int *, int)
    {
        first = rows[0].first, end = rows[0].token < 0 ? 0 : rows[0].end;
        other_first = rows[1].first, other_end = rows[1].token < 0 ? 0 : rows[1].end;
        chunk.key = -1;
        next_run();
    }

    // The run after the one that begins at chunk.key: of the rows that see something, the next first key and its last end.
    __device__ __forceinline__ void next_run(int before = -1)
    {
        int next = min(end > first && first > before ? first : 0x7fffffff, other_end > other_first && other_first > before ? other_first : 0x7fffffff);
        for (int step = 16; step > 0; step >>= 1) next = min(next, __shfl_xor_sync(all_lanes, next, step));
        int last = max(first == next ? end : 0, other_first == next ? other_end : 0);
        for (int step = 16; step > 0; step >>= 1) last = max(last, __shfl_xor_sync(all_lanes, last, step));
        chunk.key = next == 0x7fffffff ? 0 : next;
        chunk.end = next == 0x7fffffff ? 0 : last;
    }
#endif

    __device__ __forceinline__ void advance()
    {
        chunk.key += 16;
        if (chunk.key < chunk.end) return;
#if SELECTED
        next_run();
#else
        if constexpr (queries_per_tile == 1) chunk.key = chunk.end = 0;
        else next_run(chunk.end - 1); // Runs of documents lie one after the other.
#endif
    }
};

// Lane (g, t) takes columns 32 j + 8 t … of keys g and g + 8: what multiply_along reads.
template <class E> __device__ __forceinline__ void load_along(Octet<E> (&x)[pieces], const E *head, long long stride, Chunk chunk)
{
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < 2; i++)
    {
        int key = chunk.key + 8 * i + lane / 4;
        const E *row = head + key * stride + 8 * (lane % 4);
#pragma unroll
        for (int j = 0; j < octets; j++) x[i * octets + j].load(row + 32 * j, key < chunk.end && 32 * j + 8 * (lane % 4) < HEAD_SIZE);
    }
}

// Lane (g, t) takes columns 64 m + 8 g … of keys 2 t, 2 t + 1, 2 t + 8, 2 t + 9: what multiply_across reads.
template <class E> __device__ __forceinline__ void load_across(Octet<E> (&x)[pieces], const E *head, long long stride, Chunk chunk)
{
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < 4; i++)
    {
        int key = chunk.key + 2 * (lane % 4) + i % 2 + 8 * (i / 2);
        const E *row = head + key * stride + 8 * (lane / 4);
#pragma unroll
        for (int m = 0; m < spans; m++) x[4 * m + i].load(row + 64 * m, key < chunk.end && 64 * m + 8 * (lane / 4) < HEAD_SIZE);
    }
}

// s [16, 16] = rows keys^T
template <class E>
__device__ __forceinline__ void multiply_kept(float (&s)[2][4], const KeptRows<E, columns> &rows, const Octet<E> (&keys)[pieces])
{
#pragma unroll
    for (int i = 0; i < 2; i++) s[i][0] = s[i][1] = s[i][2] = s[i][3] = 0;
#pragma unroll
    for (int j = 0; j < octets; j++)
    {
        Octet<E> a0 = rows(j, 0), a1 = rows(j, 1);
        multiply_along(s[0], a0, a1, keys[j]);
        multiply_along(s[1], a0, a1, keys[octets + j]);
    }
}

// The key that element n of accumulator i of a lane stands for.
__device__ __forceinline__ int key_of(Chunk chunk, int i, int n) { return chunk.key + 8 * i + 2 * (threadIdx.x % 4) + n % 2; }

// Whether every row sees every key of a chunk: nothing to mask.
__device__ __forceinline__ bool is_whole(const Row (&rows)[2], Chunk chunk)
{
    if (chunk.key + 16 > chunk.end) return false;
    if (SELECTED) return true;
    return __all_sync(all_lanes, rows[0].sees(chunk.key) && rows[0].sees(chunk.key + 15) && rows[1].sees(chunk.key) && rows[1].sees(chunk.key + 15));
}

__device__ __forceinline__ bool is_visible(const Row &row, Chunk chunk, int key) { return SELECTED ? key < chunk.end : row.sees(key); }
