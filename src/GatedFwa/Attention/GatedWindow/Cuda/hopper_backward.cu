// Gated window attention on Hopper, backward. One text for two passes, neither of which adds what another block has added:
//   rows are keys:    dS^T = P^T o (V dO^T - delta), dV += P^T dO, dK += dS^T Q, over the queries that see a tile of keys;
//   rows are queries: dS   = P o (dO V^T - delta),   dQ += dS K,               over the keys that a tile of queries sees.
// A tile of rows stays; blocks of 64 of the others, the columns, stream past from the nearest to the farthest: where rows are keys, those
// of each query head that reads them. The first warpgroup brings: a thread sends for tiles by the copy engine, two warps bring the terms
// (bias, lse, delta) of columns and of rows. The others compute, 64 rows each, and start a block's scores while the product with dS of the
// block before still runs.
//
// What belongs to a column alone (its bias, lse) is where the accumulators of scores begin, so the gate costs no arithmetic here either.
// delta is taken away afterwards: accumulators of two products at once that begin at something made compilers start the products one by
// one (C7515, C7517).
//
// Best read from the end, as hopper_forward.cu.
//
// Defines: ELEMENT, PANELS (head size rounded up to 64, in panels of 64), GROUPS (computing warpgroups), STAGES, ROW_BUFFERS,
// ROWS_ARE_KEYS, HAS_GATE, HAS_SEGMENTS. The scale must be positive.
#include "chunk_totals.cuh"
#include "hopper_products.cuh"
#include "hopper_walk.cuh"
#include "programmatic.cuh"
#include "tile_order.cuh"

constexpr int groups = GROUPS, rows_per_group = 64, tile_rows = groups * rows_per_group;
// Queries have lse and delta, both sides have biases where there is a gate.
constexpr bool has_column_terms = ROWS_ARE_KEYS || HAS_GATE, has_row_terms = !ROWS_ARE_KEYS || HAS_GATE;
// Both gradients of a large head leave registers for one operand, P or dS, but not for both at once.
constexpr bool shares_operands = ROWS_ARE_KEYS && PANELS > 1;
constexpr float log2_e = 1.4426950408889634f;

struct Shared
{
    unsigned char x[ROW_BUFFERS][groups][block_bytes], y[ROW_BUFFERS][groups][block_bytes]; // K, V or Q, dO; then their gradients
    unsigned char cx[STAGES][block_bytes], cy[STAGES][block_bytes];                         // Q, dO or K, V
    float column_bias[STAGES][column_rows], column_delta[STAGES][column_rows]; // in units of q k: where scores begin; of dP
    float row_bias[tile_rows], row_delta[ROWS_ARE_KEYS ? 1 : tile_rows];       // in log2; of dP
    Barrier rows_full[ROW_BUFFERS], rows_empty[ROW_BUFFERS], columns_full[STAGES], columns_empty[STAGES], terms_full, terms_empty;
};

struct Problem
{
    const float *local, *totals, *lse, *delta; // [B, H, S], [B, H, chunks], twice [B, H, T]
    const int *segment_start, *segment_end;    // [B, S]
    float *sums, *sizes;                       // of dS along each row, [B, H, S] or [B, H, T]; of |dS| where rows are queries
    const int *repeat;                         // rows are queries: which tiles to compute, [B, H, tiles]; null for all
    float scale_log2;
    int tokens, positions, heads, key_heads, window, tiles_per_sequence, light, strip, tiles; // the last four: TilePlace

    __device__ int prefix() const { return positions - tokens; }
    __device__ TilePlace place(int tile) const
    {
        TilePlace place(tile, ROWS_ARE_KEYS ? key_heads : heads, tiles_per_sequence, light, strip, tiles);
        if (ROWS_ARE_KEYS) place.index = tiles_per_sequence - 1 - place.index; // the last keys are seen by few
        return place;
    }
    __device__ bool skips(TilePlace at) const
    {
        return !ROWS_ARE_KEYS && repeat && !repeat[(at.batch * heads + at.head) * tiles_per_sequence + at.index];
    }
    // Whether this block has no tile to compute: all threads look at once, one flag each.
    __device__ bool skips_all() const
    {
        if (ROWS_ARE_KEYS || !repeat) return false;
        int wanted = 0;
        for (long long tile = blockIdx.x + (long long)threadIdx.x * gridDim.x; tile < tiles; tile += (long long)blockDim.x * gridDim.x)
            wanted |= !skips(place((int)tile));
        return !__syncthreads_or(wanted);
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

// A tile's place and the blocks of columns that it meets, in the order of their distance from it.
struct RowTile
{
    int batch, row_head, first; // a key head or a query head; position of the first row
    int nearest, farthest;      // blocks of 64 positions

    __device__ RowTile(int tile, const Problem &p)
    {
        TilePlace place = p.place(tile);
        first = (ROWS_ARE_KEYS ? 0 : p.prefix()) + place.index * tile_rows;
        row_head = place.head;
        batch = place.batch;
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

    __device__ int first_chunk() const { return first / chunk_positions; }

    // The chunk that decays are counted from: in the middle of the tile, where they are smallest, and so most exact.
    __device__ int base() const { return first_chunk() + groups / 2; }

    __device__ int heads_met(const Problem &p) const { return ROWS_ARE_KEYS ? p.heads / p.key_heads : 1; }
    __device__ int head(const Problem &p, int n) const { return ROWS_ARE_KEYS ? row_head * heads_met(p) + n : row_head; }
    __device__ int blocks() const { return ROWS_ARE_KEYS ? farthest - nearest + 1 : nearest - farthest + 1; }
    __device__ int block(int n) const { return ROWS_ARE_KEYS ? nearest + n : nearest - n; }
};

__device__ void bring_tiles(
    Shared &shared, const Problem &p, const TensorMap &x, const TensorMap &y, const TensorMap &cx, const TensorMap &cy)
{
    Ring<ROW_BUFFERS> rows;
    Ring<STAGES> columns;
    for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x)
    {
        if (p.skips(p.place(tile))) continue;
        RowTile at(tile, p);
        int row = ROWS_ARE_KEYS ? at.first : at.first - p.prefix();
        barrier_wait(&shared.rows_empty[rows.stage], rows.phase ^ 1);
        barrier_arrive_expect(&shared.rows_full[rows.stage], 2 * groups * block_bytes);
        for (int group = 0; group < groups; group++)
            for (int panel = 0; panel < PANELS; panel++)
            {
                copy_tile(
                    shared.x[rows.stage][group] + panel * panel_bytes, &x, &shared.rows_full[rows.stage],
                    panel * 64, at.row_head, row + group * rows_per_group, at.batch);
                copy_tile(
                    shared.y[rows.stage][group] + panel * panel_bytes, &y, &shared.rows_full[rows.stage],
                    panel * 64, at.row_head, row + group * rows_per_group, at.batch);
            }
        for (int n = 0; n < at.heads_met(p); n++)
            for (int i = 0; i < at.blocks(); i++, columns.next())
            {
                int head = ROWS_ARE_KEYS ? at.head(p, n) : at.row_head / (p.heads / p.key_heads);
                int column = at.block(i) * column_rows - (ROWS_ARE_KEYS ? p.prefix() : 0);
                barrier_wait(&shared.columns_empty[columns.stage], columns.phase ^ 1);
                barrier_arrive_expect(&shared.columns_full[columns.stage], 2 * block_bytes);
                for (int panel = 0; panel < PANELS; panel++)
                {
                    copy_tile(
                        shared.cx[columns.stage] + panel * panel_bytes, &cx, &shared.columns_full[columns.stage],
                        panel * 64, head, column, at.batch);
                    copy_tile(
                        shared.cy[columns.stage] + panel * panel_bytes, &cy, &shared.columns_full[columns.stage],
                        panel * 64, head, column, at.batch);
                }
            }
        rows.next();
    }
}

// The decay from the tile's base to a chunk on the way outwards: exact near the rows however long the text is.
struct ChunkOffset
{
    const float *totals;
    int at, chunks;
    float sum = 0;

    __device__ ChunkOffset(const float *totals, int base, int chunks) : totals(totals), at(base), chunks(chunks) {}
    __device__ float move_to(int chunk)
    {
        for (; at < chunk; at++) sum += at < chunks ? totals[at] : 0;
        for (; at > chunk; at--) sum -= at <= chunks ? totals[at - 1] : 0;
        return sum;
    }
};

__device__ void bring_column_terms(Shared &shared, const Problem &p)
{
    Ring<STAGES> columns;
    int lane = threadIdx.x % 32;
    float units = log2_e / p.scale_log2; // scores begin in units of q k
    for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x)
    {
        if (p.skips(p.place(tile))) continue;
        RowTile at(tile, p);
        for (int n = 0; n < at.heads_met(p); n++)
        {
            long long row = (long long)at.batch * p.heads + at.head(p, n);
            ChunkOffset offset(p.totals + row * p.chunks(), at.base(), p.chunks());
            for (int i = 0; i < at.blocks(); i++, columns.next())
            {
                float decay = HAS_GATE ? offset.move_to(at.block(i)) : 0, biases[2], deltas[2];
                for (int half = 0; half < 2; half++)
                {
                    int position = at.block(i) * column_rows + half * 32 + lane, token = position - p.prefix();
                    float own = HAS_GATE && position < p.positions ? p.local[row * p.positions + position] + decay : 0;
                    deltas[half] = 0;
                    if (ROWS_ARE_KEYS)
                    {
                        bool inside = token >= 0 && token < p.tokens;
                        float lse = inside ? p.lse[row * p.tokens + token] : 0;
                        biases[half] = lse > -INFINITY ? -units * (own + lse) : 0;
                        deltas[half] = inside ? p.delta[row * p.tokens + token] : 0;
                    }
                    else biases[half] = units * own;
                }
                barrier_wait(&shared.columns_empty[columns.stage], columns.phase ^ 1);
                for (int half = 0; half < 2; half++)
                {
                    shared.column_bias[columns.stage][half * 32 + lane] = biases[half];
                    shared.column_delta[columns.stage][half * 32 + lane] = deltas[half];
                }
                barrier_arrive(&shared.columns_full[columns.stage]);
            }
        }
    }
}

// Rows have a bias and a delta of their own: asked for by a warp that has the time, while the tile before is being computed.
__device__ void bring_row_terms(Shared &shared, const Problem &p)
{
    unsigned phase = 0;
    int lane = threadIdx.x % 32;
    for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x)
    {
        if (p.skips(p.place(tile))) continue;
        RowTile at(tile, p);
        for (int n = 0; n < at.heads_met(p); n++, phase ^= 1)
        {
            long long row = (long long)at.batch * p.heads + at.head(p, n);
            float bias[tile_rows / 32], delta[tile_rows / 32];
#pragma unroll // all loads under way together
            for (int i = 0; i < tile_rows / 32; i++)
            {
                int position = at.first + i * 32 + lane, token = position - p.prefix();
                float decay = 0;
                if (HAS_GATE && position < p.positions)
                    decay = p.local[row * p.positions + position] +
                            decay_between_chunks<groups>(
                                p.totals + row * p.chunks(), at.first_chunk(), at.base(), position / chunk_positions);
                bias[i] = log2_e * decay;
                delta[i] = 0;
                if (ROWS_ARE_KEYS) continue;
                bool inside = token < p.tokens;
                float lse = inside ? p.lse[row * p.tokens + token] : 0;
                bias[i] = lse > -INFINITY ? -log2_e * (decay + lse) : 0;
                delta[i] = inside ? p.delta[row * p.tokens + token] : 0;
            }
            barrier_wait(&shared.terms_empty, phase ^ 1);
#pragma unroll
            for (int i = 0; i < tile_rows / 32; i++)
            {
                shared.row_bias[i * 32 + lane] = bias[i];
                if (!ROWS_ARE_KEYS) shared.row_delta[i * 32 + lane] = delta[i];
            }
            barrier_arrive(&shared.terms_full);
        }
    }
}

// What a thread knows of its two rows, `lane / 4` and that + 8 of its warp's 16.
struct Rows
{
    int first[2], last[2];   // visible columns
    float bias[2], delta[2]; // in log2; in units of dP
    float sum[2], size[2];   // of dS and |dS| over this thread's columns
};

__device__ __forceinline__ void begin_scores(float (&s)[32], const float *bias)
{
    const float2 *own = reinterpret_cast<const float2 *>(bias) + threadIdx.x % 4;
#pragma unroll
    for (int c = 0; c < 8; c++)
    {
        float2 b = own[4 * c];
        s[4 * c] = s[4 * c + 2] = b.x;
        s[4 * c + 1] = s[4 * c + 3] = b.y;
    }
}

// A block of columns that only other warpgroups see.
__device__ __forceinline__ void pass_by(Shared &shared, const Ring<STAGES> &columns)
{
    barrier_wait(&shared.columns_full[columns.stage], columns.phase);
    release(&shared.columns_empty[columns.stage]);
}

// A row's bias and delta, for the next of the heads met.
__device__ __forceinline__ void take_row_terms(Rows &rows, Shared &shared, unsigned &phase, int own)
{
    if constexpr (has_row_terms) barrier_wait(&shared.terms_full, phase);
#pragma unroll
    for (int r = 0; r < 2; r++)
    {
        rows.sum[r] = rows.size[r] = 0;
        rows.bias[r] = has_row_terms ? shared.row_bias[own + 8 * r] : 0;
        rows.delta[r] = ROWS_ARE_KEYS ? 0 : shared.row_delta[own + 8 * r];
    }
    if constexpr (has_row_terms) release(&shared.terms_empty);
    phase ^= 1;
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
        float sum = sum_of_four(rows.sum[r]), size = ROWS_ARE_KEYS ? 0 : sum_of_four(rows.size[r]);
        int length = ROWS_ARE_KEYS ? p.positions : p.tokens, at_row = at.first + own + 8 * r - (ROWS_ARE_KEYS ? 0 : p.prefix());
        if (threadIdx.x % 4 != 0 || at_row >= length) continue;
        p.sums[row * length + at_row] = sum;
        if (!ROWS_ARE_KEYS) p.sizes[row * length + at_row] = size;
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

__device__ void compute(Shared &shared, const Problem &p, float scale, const TensorMap &dx_map, const TensorMap &dy_map)
{
    int group = __shfl_sync(0xffffffffu, (int)threadIdx.x / 128 - 1, 0), lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
    int own = group * rows_per_group + warp * 16 + lane / 4; // row of the tile
    bool leader = threadIdx.x % 128 == 0;
    Ring<ROW_BUFFERS> row_ring;
    Ring<STAGES> columns;
    unsigned terms_phase = 0;
    for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x)
    {
        if (p.skips(p.place(tile))) continue;
        RowTile at(tile, p);
        Rows rows;
#pragma unroll
        for (int r = 0; r < 2; r++)
        {
            int position = at.first + own + 8 * r;
            rows.first[r] = 1;
            rows.last[r] = 0;
            if (position >= p.positions) continue;
            if (ROWS_ARE_KEYS)
            {
                rows.first[r] = max(position, p.prefix());
                rows.last[r] = latest_query(p, at.batch, position);
            }
            else
            {
                rows.first[r] = oldest_key(p, at.batch, position);
                rows.last[r] = position;
            }
        }

        // Columns that some row of this warpgroup sees, and those that all of them see.
        int first = at.first + group * rows_per_group, last = min(first + rows_per_group, p.positions) - 1;
        int seen_first = 1, seen_last = 0, clear_first = 1, clear_last = 0;
        if (first <= last)
        {
            if (ROWS_ARE_KEYS)
            {
                seen_first = max(first, p.prefix());
                seen_last = latest_query(p, at.batch, last);
                clear_first = max(last, p.prefix());
                clear_last = latest_query(p, at.batch, first);
            }
            else
            {
                seen_first = oldest_key(p, at.batch, first);
                seen_last = last;
                clear_first = oldest_key(p, at.batch, last);
                clear_last = first;
            }
        }

        clear_last -= column_rows - 1; // of a block's first column

        barrier_wait(&shared.rows_full[row_ring.stage], row_ring.phase);
        unsigned char *x_tile = shared.x[row_ring.stage][group], *y_tile = shared.y[row_ring.stage][group];
        float dx[head_columns / 2], dy[head_columns / 2];
#pragma unroll
        for (int i = 0; i < head_columns / 2; i++)
        {
            dx[i] = dy[i] = 0;
        }

        // Of the tile's blocks those that this warpgroup works on; the others it lets pass.
        int blocks = at.blocks(), own_first = blocks, own_end = blocks;
        if (seen_first <= seen_last)
        {
            own_first = max(0, ROWS_ARE_KEYS ? seen_first / column_rows - at.nearest : at.nearest - seen_last / column_rows);
            own_end = min(blocks, (ROWS_ARE_KEYS ? seen_last / column_rows - at.nearest : at.nearest - seen_first / column_rows) + 1);
            own_first = min(own_first, blocks);
        }

        for (int n = 0; n < at.heads_met(p); n++)
        {
            take_row_terms(rows, shared, terms_phase, own);
            unsigned weights[4][4] = {}, own_gradients[4][4] = {};
            unsigned (&gradients)[4][4] = shares_operands ? weights : own_gradients;
            int i = 0, before = -1; // the stage whose products are still running
            for (; i < own_first; i++, columns.next()) pass_by(shared, columns);
            // Counted on: what is computed anew would want the registers of running products.
            int first_column = at.block(own_first) * column_rows;
            for (; i < own_end; i++, first_column += ROWS_ARE_KEYS ? column_rows : -column_rows, columns.next())
            {
                int stage = columns.stage;
                barrier_wait(&shared.columns_full[stage], columns.phase);
                float s[32], g[32];
                if (has_column_terms) begin_scores(s, shared.column_bias[stage]);
                product_fence();
                multiply_rows(s, x_tile, shared.cx[stage], has_column_terms);
                product_commit();
                multiply_rows(g, y_tile, shared.cy[stage], false);
                product_commit();
                product_wait<1>();
                settle(s);
                settle(weights);
                settle(gradients);
                if (before >= 0) release(&shared.columns_empty[before]);
                if (first_column < clear_first) hide_earlier<0, 8>(s, rows.first, first_column);
                if (first_column > clear_last) hide_later<0, 8>(s, rows.last, first_column);
#pragma unroll
                for (int j = 0; j < 32; j++) s[j] = exp2_fast(fmaf(s[j], p.scale_log2, rows.bias[j / 2 % 2]));
                if constexpr (ROWS_ARE_KEYS)
                {
                    pack(weights, s);
                    product_fence();
                    multiply(dy, weights, shared.cy[stage]);
                    product_commit();
                    product_wait<1>();
                }
                else
                {
                    settle(s);
                    not_before(s[31]); // The last of the weights.
                    product_wait<0>();
                }
                settle(g);
                const float2 *delta = reinterpret_cast<const float2 *>(shared.column_delta[ROWS_ARE_KEYS ? stage : 0]) + lane % 4;
#pragma unroll
                for (int c = 0; c < 8; c++)
                {
                    float2 two = ROWS_ARE_KEYS ? delta[4 * c] : float2();
#pragma unroll
                    for (int j = 4 * c; j < 4 * c + 4; j++)
                    {
                        g[j] = (g[j] - (!ROWS_ARE_KEYS ? rows.delta[j / 2 % 2] : j % 2 ? two.y : two.x)) * s[j];
                        rows.sum[j / 2 % 2] += g[j];
                        if (!ROWS_ARE_KEYS) rows.size[j / 2 % 2] += fabsf(g[j]);
                    }
                }
                if constexpr (shares_operands)
                {
                    not_before(rows.sum[0] + rows.sum[1]); // Of dS, the last one too.
                    product_wait<0>();
                    settle(weights);
                }
                pack(gradients, g);
                product_fence();
                multiply(dx, gradients, shared.cx[stage]);
                product_commit();
                before = stage;
            }
            product_wait<0>();
            settle(dx);
            settle(dy);
            settle(weights);
            settle(gradients);
            if (before >= 0) release(&shared.columns_empty[before]);
            for (; i < blocks; i++, columns.next()) pass_by(shared, columns);
            if (p.sums) store_sums(rows, p, at, at.head(p, n), own);
        }

        stage_gradient(x_tile, dx, scale);
        if constexpr (ROWS_ARE_KEYS) stage_gradient(y_tile, dy, 1);
        fence_shared_async();
        group_sync(1 + group, 128);
        if (leader)
        {
            int row = first - (ROWS_ARE_KEYS ? 0 : p.prefix());
            for (int panel = 0; panel < PANELS; panel++)
            {
                store_tile(&dx_map, x_tile + panel * panel_bytes, panel * 64, at.row_head, row, at.batch);
                if (ROWS_ARE_KEYS) store_tile(&dy_map, y_tile + panel * panel_bytes, panel * 64, at.row_head, row, at.batch);
            }
            bulk_commit();
            bulk_wait_read<0>();
            barrier_arrive(&shared.rows_empty[row_ring.stage]);
        }
        row_ring.next();
    }
    if (leader) bulk_wait<0>();
}

// x, y, cx, cy, dx and dy as in Shared, [B, T, H, D] or [B, S, Hkv, D] in boxes of 64 columns; the rest as in Problem. Registers go from
// the warpgroup that brings to those that compute.
extern "C" __global__ void __launch_bounds__(128 * (groups + 1), 1) hopper_backward(
    const __grid_constant__ TensorMap x, const __grid_constant__ TensorMap y,
    const __grid_constant__ TensorMap cx, const __grid_constant__ TensorMap cy,
    const __grid_constant__ TensorMap dx, const __grid_constant__ TensorMap dy,
    const float *local, const float *totals, const float *lse, const float *delta, const int *segment_start, const int *segment_end,
    float *sums, float *sizes, const int *repeat, float scale, float scale_log2,
    int tokens, int positions, int heads, int key_heads, int window, int tiles_per_sequence, int light, int strip, int tiles)
{
    DYNAMIC_SHARED(memory);
    Shared &shared = *reinterpret_cast<Shared *>(memory);
    Problem p = {local, totals, lse, delta, segment_start, segment_end, sums, sizes, repeat, scale_log2,
                 tokens, positions, heads, key_heads, window, tiles_per_sequence, light, strip, tiles};
    wait_for_earlier_kernels();
    let_next_kernel_begin();
    if (p.skips_all()) return;
    if (threadIdx.x == 0)
    {
        for (int i = 0; i < ROW_BUFFERS; i++)
        {
            barrier_init(&shared.rows_full[i], 1);
            barrier_init(&shared.rows_empty[i], groups);
        }
        for (int i = 0; i < STAGES; i++)
        {
            barrier_init(&shared.columns_full[i], has_column_terms ? 33 : 1); // the copy engine's thread, and the warp of terms
            barrier_init(&shared.columns_empty[i], groups * 128);
        }
        barrier_init(&shared.terms_full, 32);
        barrier_init(&shared.terms_empty, groups * 128);
        barrier_init_fence();
    }
    __syncthreads();
    if (threadIdx.x < 128)
    {
        give_registers<groups == 2 ? 24 : 32>();
        if (threadIdx.x == 0) bring_tiles(shared, p, x, y, cx, cy);
        if (has_column_terms && threadIdx.x / 32 == 1) bring_column_terms(shared, p);
        if (has_row_terms && threadIdx.x / 32 == 2) bring_row_terms(shared, p);
    }
    else
    {
        take_registers<groups == 2 ? 240 : 160>();
        compute(shared, p, scale, dx, dy);
    }
}
