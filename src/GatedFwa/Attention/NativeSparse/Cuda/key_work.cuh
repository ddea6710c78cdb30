// Which keys a block of threads keeps in the backward pass, which queries go past them, and where the sums go.
//
// Defines: ELEMENT, HEAD_SIZE, KEYS (that a block keeps), SELECTED (or compressed), PIECE (entries of a list that a block takes).
#pragma once
#include "packs.cuh"

// What a block of threads works on.
struct Work
{
    int batch, key_head, first, keys; // rows of k
    int origin, unit;                 // the query at position p sees the first (p + 1 - origin) / unit of the keys
    int begin, end;                   // of the list, or of the queries
    int slot;                         // of its share of the sums; -1: it writes them itself
};

// Where the keys of a list lie: lists are blocks, of one key head after the other.
struct Lists
{
    const int *starts, *pieces, *slots; // [lists + 1]: where each list, its pieces and its slots begin
    const int4 *blocks;                 // batch, start and end of the document, first position; or none
    int count, blocks_per_head, blocks_per_row, block_size, positions;

    // The keys of a list that a block keeps which takes the `part`th KEYS of them.
    __device__ Work keys_of(int list, int part) const
    {
        Work work;
        int block = list % blocks_per_head, end = positions;
        work.key_head = list / blocks_per_head;
        if (blocks)
        {
            int4 entry = blocks[block];
            work.batch = entry.x, end = entry.z, work.first = entry.w;
        }
        else work.batch = block / blocks_per_row, work.first = block % blocks_per_row * block_size;
        end = min(end, work.first + block_size);
        work.first += part * KEYS;
        work.keys = min(end - work.first, KEYS);
        work.origin = work.first, work.unit = 1;
        return work;
    }

    __device__ Work piece(int index, int part) const
    {
        int list = 0, last = count; // pieces[list] <= index < pieces[last]
        while (last - list > 1)
        {
            int middle = (list + last) / 2;
            if (pieces[middle] <= index) list = middle;
            else last = middle;
        }
        Work work = keys_of(list, part);
        int piece = index - pieces[list];
        work.begin = starts[list] + piece * PIECE;
        work.end = min(starts[list + 1], work.begin + PIECE);
        work.slot = slots[list + 1] > slots[list] ? slots[list] + piece : -1;
        return work;
    }
};

// From the host: batch, first row, rows, origin, first and end query, slot (of a key head), -
__device__ __forceinline__ Work pooled_work(const int4 *table, int index, int key_head, int slots, int unit)
{
    int4 keys = table[2 * index], queries = table[2 * index + 1];
    return {keys.x, key_head, keys.y, keys.z, keys.w, unit, queries.x, queries.y, queries.z < 0 ? -1 : key_head * slots + queries.z};
}

// What this block of threads works on; `part` of a block of keys.
__device__ __forceinline__ Work own_work(const Lists &lists, int part, int slots_per_head)
{
    if (!SELECTED) return pooled_work(lists.blocks, blockIdx.x, blockIdx.y, slots_per_head, lists.block_size);
    Work none = {};
    return (int)blockIdx.x < lists.pieces[lists.count] ? lists.piece(blockIdx.x, part) : none;
}

// Rows `key` and `key` + 8 of a lane's accumulators: to its share, or where there is none, to the gradients.
template <int width>
__device__ __forceinline__ void store_shares(
    const Work &work, const float (&key_gradients)[width / 8][4], const float (&value_gradients)[width / 8][4], float scale,
    int key, int first_column, ELEMENT *dk, ELEMENT *dv, int fresh_dk, int fresh_dv, float *share, long long first_key, long long key_stride)
{
#pragma unroll
    for (int r = 0; r < 2; r++, key += 8)
    {
        if (key >= work.keys) continue;
#pragma unroll
        for (int i = 0; i < width / 8; i++)
        {
            int column = first_column + 8 * i + 2 * (threadIdx.x % 4);
            if (column >= HEAD_SIZE) continue;
            float key_pair[2] = {key_gradients[i][2 * r] * scale, key_gradients[i][2 * r + 1] * scale};
            float value_pair[2] = {value_gradients[i][2 * r], value_gradients[i][2 * r + 1]};
            if (work.slot >= 0)
            {
                float *target = share + key * HEAD_SIZE + column;
                store(key_pair, target);
                store(value_pair, target + KEYS * HEAD_SIZE);
                continue;
            }
            long long target = first_key + key * key_stride + column;
            if (dk) store_or_add(key_pair, dk + target, fresh_dk);
            if (dv) store_or_add(value_pair, dv + target, fresh_dv);
        }
    }
}
