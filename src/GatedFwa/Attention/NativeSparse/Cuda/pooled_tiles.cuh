// Attention to all pooled rows that are complete: a block of threads takes the heads that share a key head of a few neighbouring
// queries, which see nearly the same pooled rows. These go past through shared memory, KEYS at a time, the next ones on their way.
//
// Defines: ELEMENT, WARPS, ROW_TILES (of 16 rows that a warp has), KEYS, BLOCKS (of a multiprocessor: for so many registers must
// suffice), and those of sparse_rows.cuh.
#pragma once
#include "sparse_rows.cuh"
#include "sparse_tiles.cuh"

constexpr int threads = 32 * WARPS, warp_rows = 16 * ROW_TILES, tile_rows = WARPS * warp_rows, queries_per_block = tile_rows / ROW_GROUP;
constexpr int columns = (HEAD_SIZE + 15) / 16 * 16, stride = row_stride<columns>, stages = 2;

// The pooled rows that any query of a block of threads sees: those of documents lie one after the other.
struct Run
{
    int first = 0x7fffffff, end = 0;

    __device__ __forceinline__ Run(const Extents &e, const int4 *documents, int batch, int first_token)
    {
        for (int query = threadIdx.x % 32; query < queries_per_block; query += 32)
        {
            Row row(e, documents, batch, 0, 0, first_token, query * ROW_GROUP);
            if (row.token < 0 || row.end <= row.first) continue;
            first = min(first, row.first), end = max(end, row.end);
        }
        for (int step = 16; step > 0; step >>= 1)
        {
            first = min(first, __shfl_xor_sync(all_lanes, first, step));
            end = max(end, __shfl_xor_sync(all_lanes, end, step));
        }
    }

    __device__ __forceinline__ int tiles() const { return end > first ? (end - first + KEYS - 1) / KEYS : 0; }

    // Sends for a tile of a key head's rows.
    __device__ __forceinline__ void bring(ELEMENT *tile, const ELEMENT *head, const Extents &e, int index) const
    {
        copy_rows<columns, KEYS, threads>(tile, head, e.key_stride(), HEAD_SIZE, first + index * KEYS, first, end);
    }
};

// The rows of a block of threads; zeros where there is no query.
__device__ __forceinline__ void bring_queries(
    ELEMENT *tile, const ELEMENT *q, const Extents &e, int batch, int key_head, int part, int first_token)
{
    constexpr int pack = Pack16<ELEMENT>::count, packs = columns / pack;
    for (int piece = threadIdx.x; piece < tile_rows * packs; piece += threads)
    {
        int row = piece / packs, column = piece % packs * pack;
        int token = first_token + row / ROW_GROUP, member = part * ROW_GROUP + row % ROW_GROUP;
        bool valid = token < e.tokens && member < GROUP && column < HEAD_SIZE;
        copy_async_16(tile + row * stride + column, q + (valid ? e.query(batch, token, key_head * GROUP + member) + column : 0), valid);
    }
}

// Two neighbours of a row in global memory.
__device__ __forceinline__ void store_two(ELEMENT *target, float first, float second, bool fresh)
{
    if constexpr (sizeof(ELEMENT) == 2) store_pair(target, first, second, !fresh);
    else
    {
        float pair[2] = {first, second};
        store_or_add(pair, target, fresh);
    }
}

// The accumulators of one row of a lane (r = 0) or of the other.
__device__ __forceinline__ void store_row(ELEMENT *row, const float (&x)[columns / 8][4], int r, float factor, bool fresh)
{
#pragma unroll
    for (int i = 0; i < columns / 8; i++)
    {
        int column = 8 * i + 2 * (threadIdx.x % 4);
        if (column < HEAD_SIZE) store_two(row + column, x[i][2 * r] * factor, x[i][2 * r + 1] * factor, fresh);
    }
}
