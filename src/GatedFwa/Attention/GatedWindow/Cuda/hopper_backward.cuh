// What the backward kernels for Hopper share. A tile of 128 rows stays, 64 to a warpgroup; tiles of 64 others, the columns, stream
// past. What belongs to a column alone (its bias, lse, delta) is where the accumulators of a product begin, so the gate costs no
// arithmetic here either.
//
// Defines: ELEMENT, PANELS, STAGES, ROW_BUFFERS, ROWS_ARE_KEYS, FARTHEST_FIRST, HAS_GATE, HAS_SEGMENTS. The scale must be positive.
// `Shared` below is each kernel's own.
#pragma once
#include "hopper.cuh"
#include "warp.cuh"

constexpr int groups = 2, rows_per_group = 64, tile_rows = groups * rows_per_group, column_rows = 64;
constexpr int chunk_positions = 64; // of the two-level prefix, and a tile of columns
constexpr int head_columns = PANELS * 64, row_bytes = 128;
constexpr int panel_bytes = 64 * row_bytes, block_bytes = PANELS * panel_bytes; // 64 rows of all panels
constexpr bool has_column_scores = ROWS_ARE_KEYS || HAS_GATE;
constexpr bool ascending = ROWS_ARE_KEYS != FARTHEST_FIRST; // the order in which blocks of columns are met
constexpr float log2_e = 1.4426950408889634f;

struct Problem
{
    const float *local, *totals, *lse, *delta; // [B, H, S], [B, H, chunks], twice [B, H, T]
    const int *segment_start, *segment_end;    // [B, S]
    float *sums;                               // of dS along each row, [B, H, S] or [B, H, T]
    const int *only;                           // [B, Hkv]: which heads to compute; null for all
    float scale_log2;
    int tokens, positions, heads, key_heads, window, tiles_per_sequence, tiles;

    __device__ int prefix() const { return positions - tokens; }
    __device__ int group_size() const { return heads / key_heads; }
    __device__ bool skips(int tile) const
    {
        int sequence = tile / tiles_per_sequence;
        return only && !only[ROWS_ARE_KEYS ? sequence : sequence / heads * key_heads + sequence % heads / group_size()];
    }
    __device__ int chunks() const { return (positions + chunk_positions - 1) / chunk_positions; }
};

// The first key that a query sees, and the last query that sees a key.
__device__ __forceinline__ int oldest_key(const Problem &p, int batch, int query)
{
    int oldest = max(0, query - p.window + 1);
    return HAS_SEGMENTS ? max(oldest, p.segment_start[(long long)batch * p.positions + query]) : oldest;
}
__device__ __forceinline__ int latest_query(const Problem &p, int batch, int key)
{
    long long latest = min((long long)key + p.window, (long long)p.positions) - 1;
    return HAS_SEGMENTS ? min((int)latest, p.segment_end[(long long)batch * p.positions + key] - 1) : (int)latest;
}

// A tile's place and the blocks of columns that it meets, in the order of their distance from it or, FARTHEST_FIRST, the other way.
struct RowTile
{
    int batch, row_head, first; // a key head or a query head; position of the first row
    int nearest, farthest;      // blocks of 64 positions

    __device__ RowTile(int tile, const Problem &p)
    {
        int sequence = tile / p.tiles_per_sequence, row_heads = ROWS_ARE_KEYS ? p.key_heads : p.heads;
        first = (ROWS_ARE_KEYS ? 0 : p.prefix()) + tile % p.tiles_per_sequence * tile_rows;
        row_head = sequence % row_heads;
        batch = sequence / row_heads;
        int last = min(first + tile_rows, p.positions) - 1;
        if (ROWS_ARE_KEYS)
        {
            nearest = max(first, p.prefix()) / column_rows;
            int latest = latest_query(p, batch, last);
            farthest = latest < p.prefix() ? nearest - 1 : latest / column_rows;
        }
        else
        {
            nearest = last / column_rows;
            farthest = oldest_key(p, batch, first) / column_rows;
        }
    }

    __device__ int heads_met(const Problem &p) const { return ROWS_ARE_KEYS ? p.group_size() : 1; }
    __device__ int head(const Problem &p, int n) const { return ROWS_ARE_KEYS ? row_head * heads_met(p) + n : row_head; }
    __device__ int blocks() const { return ROWS_ARE_KEYS ? farthest - nearest + 1 : nearest - farthest + 1; }
    __device__ int block(int n) const { return (FARTHEST_FIRST ? farthest : nearest) + (ascending ? n : -n); }
    __device__ int count_to(int column) const { return abs(column / column_rows - block(0)); }
};

template <int count> struct Ring
{
    int stage = 0;
    unsigned phase = 0;
    __device__ void next()
    {
        if (++stage == count) { stage = 0; phase ^= 1; }
    }
};

template <class Shared>
__device__ void bring_tiles(Shared &shared, const Problem &p, const TensorMap &x, const TensorMap &y, const TensorMap &cx, const TensorMap &cy)
{
    Ring<ROW_BUFFERS> rows;
    Ring<STAGES> columns;
    for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x)
    {
        if (p.skips(tile)) continue;
        RowTile at(tile, p);
        int row = ROWS_ARE_KEYS ? at.first : at.first - p.prefix();
        barrier_wait(&shared.rows_empty[rows.stage], rows.phase ^ 1);
        barrier_arrive_expect(&shared.rows_full[rows.stage], 2 * groups * block_bytes);
        for (int group = 0; group < groups; group++)
            for (int panel = 0; panel < PANELS; panel++)
            {
                copy_tile(shared.x[rows.stage][group] + panel * panel_bytes, &x, &shared.rows_full[rows.stage], panel * 64, at.row_head, row + group * rows_per_group, at.batch);
                copy_tile(shared.y[rows.stage][group] + panel * panel_bytes, &y, &shared.rows_full[rows.stage], panel * 64, at.row_head, row + group * rows_per_group, at.batch);
            }
        for (int n = 0; n < at.heads_met(p); n++)
            for (int i = 0; i < at.blocks(); i++, columns.next())
            {
                int head = ROWS_ARE_KEYS ? at.head(p, n) : at.row_head / p.group_size();
                int column = at.block(i) * column_rows - (ROWS_ARE_KEYS ? p.prefix() : 0);
                barrier_wait(&shared.columns_empty[columns.stage], columns.phase ^ 1);
                barrier_arrive_expect(&shared.columns_full[columns.stage], 2 * block_bytes);
                for (int panel = 0; panel < PANELS; panel++)
                {
                    copy_tile(shared.cx[columns.stage] + panel * panel_bytes, &cx, &shared.columns_full[columns.stage], panel * 64, head, column, at.batch);
                    copy_tile(shared.cy[columns.stage] + panel * panel_bytes, &cy, &shared.columns_full[columns.stage], panel * 64, head, column, at.batch);
                }
            }
        rows.next();
    }
}

// The decay from one chunk of a head to another, by a whole warp: summed anew each time, so exact near the rows however long the
// text is.
__device__ __forceinline__ float decay_between(const float *totals, int from, int to)
{
    float sum = 0;
    for (int chunk = min(from, to) + threadIdx.x % 32; chunk < max(from, to); chunk += 32) sum += totals[chunk];
    sum = warp_sum(sum);
    return from <= to ? sum : -sum;
}

template <class Shared> __device__ void bring_column_starts(Shared &shared, const Problem &p)
{
    Ring<STAGES> columns;
    int lane = threadIdx.x % 32;
    float units = log2_e / p.scale_log2; // scores begin in units of q k
    for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x)
    {
        if (p.skips(tile)) continue;
        RowTile at(tile, p);
        for (int n = 0; n < at.heads_met(p); n++)
        {
            long long row = (long long)at.batch * p.heads + at.head(p, n);
            const float *totals = p.totals + row * p.chunks();
            for (int i = 0; i < at.blocks(); i++, columns.next())
            {
                float decay = HAS_GATE ? decay_between(totals, at.first / chunk_positions, at.block(i)) : 0, scores[2], gradients[2];
                for (int half = 0; half < 2; half++)
                {
                    int position = at.block(i) * column_rows + half * 32 + lane, token = position - p.prefix();
                    float own = HAS_GATE && position < p.positions ? p.local[row * p.positions + position] + decay : 0;
                    gradients[half] = 0;
                    if (ROWS_ARE_KEYS)
                    {
                        bool inside = token >= 0 && token < p.tokens;
                        float lse = inside ? p.lse[row * p.tokens + token] : 0;
                        scores[half] = lse > -INFINITY ? -units * (own + lse) : 0;
                        gradients[half] = inside ? -p.delta[row * p.tokens + token] : 0;
                    }
                    else scores[half] = units * own;
                }
                barrier_wait(&shared.columns_empty[columns.stage], columns.phase ^ 1);
                for (int half = 0; half < 2; half++)
                {
                    shared.score_start[columns.stage][half * 32 + lane] = scores[half];
                    shared.gradient_start[columns.stage][half * 32 + lane] = gradients[half];
                }
                barrier_arrive(&shared.columns_full[columns.stage]);
            }
        }
    }
}

// What a thread knows of its two rows, `lane / 4` and that + 8 of its warp's 16.
struct Rows
{
    int first[2], last[2];              // visible columns
    float bias[2], start[2];            // log2 units; where dP begins
    float sum[2];                       // of dS over this thread's columns
};

__device__ __forceinline__ void set_visible(Rows &rows, const Problem &p, const RowTile &at, int own)
{
#pragma unroll
    for (int r = 0; r < 2; r++)
    {
        int position = at.first + own + 8 * r;
        rows.first[r] = 1;
        rows.last[r] = 0;
        if (position >= p.positions) continue;
        rows.first[r] = ROWS_ARE_KEYS ? max(position, p.prefix()) : oldest_key(p, at.batch, position);
        rows.last[r] = ROWS_ARE_KEYS ? latest_query(p, at.batch, position) : position;
    }
}

// Columns that some row of a warpgroup sees, and those that all of them see.
struct Seen
{
    int first = 1, last = 0, clear_first = 1, clear_last = 0;

    __device__ Seen(const Problem &p, const RowTile &at, int group)
    {
        int first_row = at.first + group * rows_per_group, last_row = min(first_row + rows_per_group, p.positions) - 1;
        if (first_row > last_row) return;
        first = ROWS_ARE_KEYS ? max(first_row, p.prefix()) : oldest_key(p, at.batch, first_row);
        last = ROWS_ARE_KEYS ? latest_query(p, at.batch, last_row) : last_row;
        clear_first = ROWS_ARE_KEYS ? max(last_row, p.prefix()) : oldest_key(p, at.batch, last_row);
        clear_last = ROWS_ARE_KEYS ? latest_query(p, at.batch, first_row) : first_row;
    }

    __device__ bool by_all(int first_column) const { return first_column >= clear_first && first_column + column_rows - 1 <= clear_last; }

    // The blocks of a tile's that hold such columns, counted as RowTile::block does.
    __device__ int begin(const RowTile &at) const { return first <= last ? at.count_to(ascending ? first : last) : at.blocks(); }
    __device__ int end(const RowTile &at) const { return first <= last ? at.count_to(ascending ? last : first) + 1 : at.blocks(); }
};

__device__ __forceinline__ void hide(float (&s)[32], const Rows &rows, int first_column)
{
    int column = first_column + 2 * (threadIdx.x % 4);
#pragma unroll
    for (int i = 0; i < 32; i++)
    {
        int at = column + i / 4 * 8 + i % 2, r = i / 2 % 2;
        if (at < rows.first[r] || at > rows.last[r]) s[i] = -INFINITY;
    }
}

__device__ __forceinline__ void load_starts(float (&d)[32], const float *starts)
{
    const float2 *own = reinterpret_cast<const float2 *>(starts) + threadIdx.x % 4;
#pragma unroll
    for (int c = 0; c < 8; c++)
    {
        float2 start = own[4 * c];
        d[4 * c] = d[4 * c + 2] = start.x;
        d[4 * c + 1] = d[4 * c + 3] = start.y;
    }
}

// Accumulator fragments of 16 columns are operand fragments of 16 columns.
__device__ __forceinline__ void pack(unsigned (&p)[4][4], const float (&s)[32])
{
#pragma unroll
    for (int step = 0; step < 4; step++)
#pragma unroll
        for (int i = 0; i < 4; i++) p[step][i] = pack2<ELEMENT>(s[8 * step + 2 * i], s[8 * step + 2 * i + 1]);
}

// d (+)= rows columns^T. Both lie in shared memory: with the rows in registers, products of a later block went wrong on the
// machine (docs/log.md), and this was no slower.
__device__ __forceinline__ void multiply_rows(float (&d)[32], const unsigned char *rows, const unsigned char *columns, bool accumulate)
{
#pragma unroll
    for (int step = 0; step < 4 * PANELS; step++)
    {
        int at = step / 4 * panel_bytes + step % 4 * 32;
        product<ELEMENT, column_rows, 0, 0>(d, operand(rows + at), operand(columns + at), accumulate || step > 0);
    }
}

// d += p columns
__device__ __forceinline__ void multiply(float (&d)[head_columns / 2], const unsigned (&p)[4][4], const unsigned char *columns)
{
#pragma unroll
    for (int step = 0; step < 4; step++)
        product_registers<ELEMENT, head_columns, 1>(d, p[step], operand(columns + step * 16 * row_bytes, panel_bytes), true);
}

__device__ __forceinline__ void release(Barrier *empty)
{
    __syncwarp();
    if (threadIdx.x % 32 == 0) barrier_arrive(empty);
}

// A block of columns that the other warpgroup sees.
template <class Shared> __device__ __forceinline__ void pass_by(Shared &shared, const Ring<STAGES> &columns)
{
    barrier_wait(&shared.columns_full[columns.stage], columns.phase);
    release(&shared.columns_empty[columns.stage]);
}

// A row's bias and where its dP begins, for one head.
__device__ __forceinline__ void load_rows(Rows &rows, const Problem &p, const RowTile &at, int head, int own)
{
    long long row = (long long)at.batch * p.heads + head;
    int base = at.first / chunk_positions;
#pragma unroll
    for (int r = 0; r < 2; r++)
    {
        int position = at.first + own + 8 * r, token = position - p.prefix();
        float decay = 0;
        if (HAS_GATE && position < p.positions)
        {
            decay = p.local[row * p.positions + position];
            for (int chunk = base; chunk < position / chunk_positions; chunk++) decay += p.totals[row * p.chunks() + chunk];
        }
        rows.sum[r] = rows.start[r] = 0;
        rows.bias[r] = log2_e * decay;
        if (ROWS_ARE_KEYS) continue;
        bool inside = token < p.tokens;
        float lse = inside ? p.lse[row * p.tokens + token] : 0;
        rows.bias[r] = lse > -INFINITY ? -log2_e * (decay + lse) : 0;
        rows.start[r] = inside ? -p.delta[row * p.tokens + token] : 0;
    }
}

// Over the four threads that share a row.
__device__ __forceinline__ float sum_of_four(float x)
{
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

__device__ __forceinline__ void store_sums(const Rows &rows, const Problem &p, const RowTile &at, int head, int own)
{
    long long row = (long long)at.batch * p.heads + head;
#pragma unroll
    for (int r = 0; r < 2; r++)
    {
        float sum = sum_of_four(rows.sum[r]);
        int length = ROWS_ARE_KEYS ? p.positions : p.tokens, at_row = at.first + own + 8 * r - (ROWS_ARE_KEYS ? 0 : p.prefix());
        if (threadIdx.x % 4 != 0 || at_row >= length) continue;
        p.sums[row * length + at_row] = sum;
    }
}

// 64 rows of a gradient to shared memory, in the operand's place.
__device__ __forceinline__ void stage_gradient(unsigned char *tile, const float (&d)[head_columns / 2], float scale)
{
    int lane = threadIdx.x % 32, row = threadIdx.x / 32 % 4 * 16 + lane % 16;
#pragma unroll
    for (int c = 0; c < head_columns / 16; c++)
    {
        unsigned fragment[4];
#pragma unroll
        for (int i = 0; i < 4; i++) fragment[i] = pack2<ELEMENT>(d[8 * c + 2 * i] * scale, d[8 * c + 2 * i + 1] * scale);
        stmatrix_x4(tile + c / 4 * panel_bytes + swizzle_128(row * row_bytes + c % 4 * 32 + lane / 16 * 16), fragment);
    }
}
