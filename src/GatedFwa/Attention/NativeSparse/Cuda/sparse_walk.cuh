// Which keys go past the rows of a warp: 16 rows are the heads that share a key head, of one query; the keys are the tokens of the
// blocks that it chose. Defines: those of sparse_rows.cuh, ROW_GROUP being 16.
#pragma once
#include "direct_operands.cuh"
#include "sparse_rows.cuh"

constexpr int columns = (HEAD_SIZE + 31) / 32 * 32, octets = columns / 32, spans = (HEAD_SIZE + 63) / 64;
constexpr int pieces = 2 * octets > 4 * spans ? 2 * octets : 4 * spans; // octets of a lane of 16 keys, along or across
static_assert(ROW_GROUP == 16, "each query has a list of its own");

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

    __device__ __forceinline__ void advance()
    {
        chunk.key += 16;
        if (chunk.key >= chunk.end) next_run();
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
