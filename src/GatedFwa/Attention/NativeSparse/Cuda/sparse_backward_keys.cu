// Attention of each query to a list of keys of its own, backward to the keys: a block keeps up to KEYS keys of a block of tokens (or
// pooled rows) and lets only the queries that chose them (or that come late enough to see them) go past, ROWS rows at a time. Long lists
// are cut, and what the pieces leave side by side is added in order.
//
// Defines: ELEMENT, HEAD_SIZE, COLUMNS (the head size rounded up to 16 SPLITS), SPLITS (blocks that share the columns of dk and dv),
// GROUP (heads that share a key head), KEYS, ROWS (that go past at a time), STAGES, SELECTED, PIECE (entries of a list that a block takes).
#include "sparse_terms.cuh"
#include "sparse_tiles.cuh"
#include "warp.cuh"

constexpr int warps = KEYS / 16, threads = 32 * warps, passing_rows = ROWS;
constexpr int stride = row_stride<COLUMNS>, width = COLUMNS / SPLITS;

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

struct Stage
{
    ELEMENT queries[passing_rows * stride], gradients[passing_rows * stride];
    RowTerms terms[passing_rows];
};

struct Shared
{
    ELEMENT keys[KEYS * stride], values[KEYS * stride];
    Stage stage[STAGES];
    int tokens[2][passing_rows]; // of rows under way; -1: none
};

// order: entries of the lists as positions in [B, Hkv, T, choices]; partial [slots, parts of a block, 2, KEYS, D]
extern "C" __global__ void __launch_bounds__(threads) sparse_backward_keys(
    const ELEMENT *q, const ELEMENT *k, const ELEMENT *v, const ELEMENT *gradient, const RowTerms *terms,
    const int *order, const int *starts, const int *pieces, const int *slots, const int4 *table,
    ELEMENT *dk, ELEMENT *dv, int fresh_dk, int fresh_dv, float *partial,
    int lists, int blocks_per_head, int blocks_per_row, int slots_per_head,
    float scale, int tokens, int positions, int key_rows, int heads, int block_size, int choices)
{
    DYNAMIC_SHARED(memory);
    Shared &shared = *reinterpret_cast<Shared *>(memory);
    int part = SELECTED ? blockIdx.y : 0, lane = threadIdx.x % 32, warp_row = threadIdx.x / 32 * 16, first_column = blockIdx.z * width;
    Work work;
    if (SELECTED)
    {
        Lists all = {starts, pieces, slots, table, lists, blocks_per_head, blocks_per_row, block_size, positions};
        if ((int)blockIdx.x >= pieces[lists]) return;
        work = all.piece(blockIdx.x, part);
    }
    else work = pooled_work(table, blockIdx.x, blockIdx.y, slots_per_head, block_size);
    if (work.keys <= 0) return;

    int key_heads = heads / GROUP;
    long long key_stride = (long long)key_heads * HEAD_SIZE;
    long long first_key = ((long long)work.batch * key_rows + work.first) * key_stride + work.key_head * HEAD_SIZE;
    constexpr int pack = Pack16<ELEMENT>::count, packs = COLUMNS / pack; // of a row
    for (int piece = threadIdx.x; piece < KEYS * packs; piece += threads)
    {
        int row = piece / packs, column = piece % packs * pack;
        bool valid = row < work.keys && column < HEAD_SIZE;
        long long offset = valid ? first_key + row * key_stride + column : 0;
        copy_async_16(shared.keys + row * stride + column, k + offset, valid);
        copy_async_16(shared.values + row * stride + column, v + offset, valid);
    }

    // Rows are counted from work.begin: GROUP an entry.
    int rows = (work.end - work.begin) * GROUP, stages = (rows + passing_rows - 1) / passing_rows;
    auto token_of = [&](int stage)
    {
        int row = stage * passing_rows + (int)threadIdx.x;
        if (threadIdx.x >= passing_rows || row >= rows) return -1;
        int entry = work.begin + row / GROUP;
        return SELECTED ? order[entry] / choices % tokens : entry;
    };
    auto bring = [&](int stage)
    {
        if (stage < stages)
        {
            Stage &target = shared.stage[stage % STAGES];
            for (int piece = threadIdx.x; piece < passing_rows * packs; piece += threads)
            {
                int row = piece / packs, column = piece % packs * pack;
                int token = shared.tokens[stage % 2][row], member = (stage * passing_rows + row) % GROUP;
                bool valid = token >= 0 && column < HEAD_SIZE;
                long long offset = valid ? (((long long)work.batch * tokens + token) * heads + work.key_head * GROUP + member) * HEAD_SIZE + column : 0;
                copy_async_16(target.queries + row * stride + column, q + offset, valid);
                copy_async_16(target.gradients + row * stride + column, gradient + offset, valid);
            }
            // Zeros where there is no query: P is 1 then, dO and dS are 0.
            if (threadIdx.x < passing_rows)
            {
                int token = shared.tokens[stage % 2][threadIdx.x], member = (stage * passing_rows + (int)threadIdx.x) % GROUP;
                bool valid = token >= 0;
                copy_async_16(target.terms + threadIdx.x, terms + (valid ? ((long long)work.batch * tokens + token) * heads + work.key_head * GROUP + member : 0), valid);
            }
        }
        copy_async_commit();
    };

    for (int stage = 0; stage < STAGES; stage++)
    {
        if (threadIdx.x < passing_rows) shared.tokens[stage % 2][threadIdx.x] = token_of(stage);
        __syncthreads();
        if (stage < STAGES - 1) bring(stage);
    }

    int needs[2]; // the first position from which on each key is seen
#pragma unroll
    for (int r = 0; r < 2; r++) needs[r] = work.origin - 1 + (warp_row + lane / 4 + 8 * r + 1) * work.unit;
    float scale_log2 = scale * log2_e, key_gradients[width / 8][4], value_gradients[width / 8][4];
#pragma unroll
    for (int i = 0; i < width / 2; i++) key_gradients[i / 4][i % 4] = value_gradients[i / 4][i % 4] = 0;

    for (int index = 0; index < stages; index++)
    {
        copy_async_wait<STAGES - 2>();
        __syncthreads();
        int upcoming = token_of(index + STAGES);
        bring(index + STAGES - 1);
        Stage &stage = shared.stage[index % STAGES];
        float p[passing_rows / 8][4], ds[passing_rows / 8][4]; // a row is a key here, a column a query in one head
        product_of_rows<COLUMNS, passing_rows>(p, shared.keys + warp_row * stride, stage.queries);
#pragma unroll
        for (int c = 0; c < passing_rows / 8; c++)
#pragma unroll
            for (int i = 0; i < 4; i++)
            {
                const RowTerms &row = stage.terms[8 * c + 2 * (lane % 4) + i % 2];
                p[c][i] = row.position >= needs[i / 2] ? power_of_two<ELEMENT>(p[c][i] * scale_log2 - row.lse_log2) : 0;
            }
        product_of_columns<COLUMNS, passing_rows, width>(value_gradients, p, stage.gradients + first_column);
        product_of_rows<COLUMNS, passing_rows>(ds, shared.values + warp_row * stride, stage.gradients);
#pragma unroll
        for (int c = 0; c < passing_rows / 8; c++)
#pragma unroll
            for (int i = 0; i < 4; i++) ds[c][i] = p[c][i] * (ds[c][i] - stage.terms[8 * c + 2 * (lane % 4) + i % 2].delta);
        product_of_columns<COLUMNS, passing_rows, width>(key_gradients, ds, stage.queries + first_column);
        if (threadIdx.x < passing_rows) shared.tokens[(index + STAGES) % 2][threadIdx.x] = upcoming;
    }
    copy_async_wait<0>();

    float *share = partial + ((long long)work.slot * (SELECTED ? gridDim.y : 1) + part) * 2 * KEYS * HEAD_SIZE;
#pragma unroll
    for (int r = 0; r < 2; r++)
    {
        int key = warp_row + lane / 4 + 8 * r;
        if (key >= work.keys) continue;
#pragma unroll
        for (int i = 0; i < width / 8; i++)
        {
            int column = first_column + 8 * i + 2 * (lane % 4);
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
