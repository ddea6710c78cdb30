// What pieces of the keys' work left side by side. Defines: those of key_work.cuh.
#include "key_work.cuh"

// Adds the shares of lists that were cut, in order: a block of threads a list and part of its keys (or a tile of pooled rows, whose
// table says batch, first row, rows, first slot and slots).
extern "C" __global__ void __launch_bounds__(256) sparse_key_sums(
    const int *starts, const int *pieces, const int *slots, const int4 *table,
    ELEMENT *dk, ELEMENT *dv, int fresh_dk, int fresh_dv, const float *partial,
    int lists, int blocks_per_head, int blocks_per_row, int slots_per_head, int positions, int key_rows, int key_heads, int block_size)
{
    Work work;
    int first, count, part = SELECTED ? blockIdx.y : 0, block_parts = SELECTED ? gridDim.y : 1;
    if (SELECTED)
    {
        Lists all = {starts, pieces, slots, table, lists, blocks_per_head, blocks_per_row, block_size, positions};
        first = slots[blockIdx.x], count = slots[blockIdx.x + 1] - first;
        work = all.keys_of(blockIdx.x, part);
    }
    else
    {
        int4 keys = table[2 * blockIdx.x], own = table[2 * blockIdx.x + 1];
        work.batch = keys.x, work.first = keys.y, work.keys = keys.z, work.key_head = blockIdx.y;
        first = blockIdx.y * slots_per_head + own.x, count = own.y;
    }
    if (count == 0) return;
    constexpr int packs = HEAD_SIZE / 8;
    for (int i = threadIdx.x; i < 2 * work.keys * packs; i += blockDim.x)
    {
        int of_values = i / (work.keys * packs), key = i / packs % work.keys, column = i % packs * 8;
        float sum[8] = {};
        for (int slot = first; slot < first + count; slot++)
        {
            float share[8];
            load(partial + ((((long long)slot * block_parts + part) * 2 + of_values) * KEYS + key) * HEAD_SIZE + column, share);
#pragma unroll
            for (int n = 0; n < 8; n++) sum[n] += share[n];
        }
        long long target = (((long long)work.batch * key_rows + work.first + key) * key_heads + work.key_head) * HEAD_SIZE + column;
        if (!of_values && dk) store_or_add(sum, dk + target, fresh_dk);
        if (of_values && dv) store_or_add(sum, dv + target, fresh_dv);
    }
}
