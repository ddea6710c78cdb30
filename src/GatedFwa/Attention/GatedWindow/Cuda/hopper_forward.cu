// Gated window attention on Hopper, forward. A persistent block takes tiles of 64 queries a warpgroup, in the order of tile_order.cuh, and
// walks the blocks of 128 keys that each sees from the newest to the oldest. The first warpgroup brings: a thread sends for tiles by the
// copy engine, a warp computes biases. The others compute, 64 queries each: the product with one block's values still runs while the
// scores of the next go through their softmax. They take turns in starting products, so that one's softmax runs beside another's products.
//
// The gate costs no arithmetic: a key's bias is three more of its features (column_terms.cuh). The window costs none in the middle
// of a band: only blocks at its ends are masked, and of those that a warpgroup sees half of, half is computed.
//
// Best read from the end: hopper_forward deals the parts, bring_tiles and bring_biases fill the ring of stages, compute empties it.
//
// Defines: ELEMENT, PANELS (head size rounded up to 64, in panels of 64), GROUPS (computing warpgroups), STAGES, HAS_GATE,
// HAS_SEGMENTS. The scale must be positive.
#include "chunk_totals.cuh"
#include "column_terms.cuh"
#include "hopper_walk.cuh"
#include "programmatic.cuh"
#include "tile_order.cuh"

constexpr int rows_per_group = 64;   // queries of a computing warpgroup
constexpr int query_rows = rows_per_group * GROUPS;
constexpr int key_rows = 128, half_rows = key_rows / 2;
constexpr int head_columns = PANELS * 64;
constexpr int row_bytes = 128;       // of a panel
constexpr int key_panel_bytes = key_rows * row_bytes, key_tile_bytes = PANELS * key_panel_bytes;
constexpr int query_panel_bytes = rows_per_group * row_bytes, query_group_bytes = PANELS * query_panel_bytes;
constexpr float log2_e = 1.4426950408889634f, ln_2 = 0.6931471805599453f;
constexpr float most_weight = 8;     // log2 of it: far from where 16 bits end, and rarely reached

struct Shared
{
    unsigned char queries[2][GROUPS][query_group_bytes]; // this tile's and the next's; then outputs
    unsigned char keys[STAGES][key_tile_bytes];
    unsigned char values[STAGES][key_tile_bytes];
    unsigned char bias[STAGES][key_rows * term_bytes]; // in units of q k, relative to the tile's base
    unsigned char ones[ones_bytes];
    Barrier queries_full[2], queries_empty[2];
    Barrier keys_full[STAGES], keys_empty[STAGES], values_full[STAGES], values_empty[STAGES];
};

struct Extents
{
    int tokens, positions, heads, heads_per_key_head, window, tiles_per_sequence, light, strip, tiles; // the last four: TilePlace
};

// The first key that a query sees.
__device__ __forceinline__ int oldest_key(int query, int window, const int *segment_start)
{
    int oldest = max(0, query - window + 1);
    return HAS_SEGMENTS ? max(oldest, segment_start[query]) : oldest;
}

// One tile's place and the blocks of keys that its band touches.
struct QueryTile
{
    int batch, head, first_token, first, last, first_block, last_block;

    __device__ QueryTile(int tile, const Extents &e, const int *segment_start)
    {
        TilePlace place(tile, e.heads, e.tiles_per_sequence, e.light, e.strip, e.tiles);
        first_token = place.index * query_rows;
        head = place.head;
        batch = place.batch;
        int prefix = e.positions - e.tokens;
        first = first_token + prefix;
        last = min(first_token + query_rows, e.tokens) - 1 + prefix;
        last_block = last / key_rows;
        const int *starts = HAS_SEGMENTS ? segment_start + (long long)batch * e.positions : nullptr;
        first_block = min(oldest_key(first, e.window, starts) / key_rows, last_block);
    }

    __device__ __forceinline__ int first_chunk() const { return first / chunk_positions; }

    // The chunk that decays are counted from: in the middle of the tile, where they are smallest, and so most exact.
    __device__ __forceinline__ int base() const { return first_chunk() + GROUPS / 2; }
};

__device__ void bring_tiles(
    Shared &shared, const Extents &e, const int *segment_start, const TensorMap &q, const TensorMap &k, const TensorMap &v)
{
    Ring<STAGES> ring;
    int turn = 0;
    for (int tile = blockIdx.x; tile < e.tiles; tile += gridDim.x, turn++)
    {
        QueryTile at(tile, e, segment_start);
        int buffer = turn % 2, key_head = at.head / e.heads_per_key_head;
        barrier_wait(&shared.queries_empty[buffer], (turn / 2 + 1) % 2);
        barrier_arrive_expect(&shared.queries_full[buffer], GROUPS * query_group_bytes);
        for (int group = 0; group < GROUPS; group++)
            for (int panel = 0; panel < PANELS; panel++)
                copy_tile(
                    shared.queries[buffer][group] + panel * query_panel_bytes, &q, &shared.queries_full[buffer],
                    panel * 64, at.head, at.first_token + group * rows_per_group, at.batch);
        for (int block = at.last_block; block >= at.first_block; block--, ring.next())
        {
            barrier_wait(&shared.keys_empty[ring.stage], ring.phase ^ 1);
            barrier_arrive_expect(&shared.keys_full[ring.stage], key_tile_bytes);
            for (int panel = 0; panel < PANELS; panel++)
                copy_tile(
                    shared.keys[ring.stage] + panel * key_panel_bytes, &k, &shared.keys_full[ring.stage],
                    panel * 64, key_head, block * key_rows, at.batch);
            barrier_wait(&shared.values_empty[ring.stage], ring.phase ^ 1);
            barrier_arrive_expect(&shared.values_full[ring.stage], key_tile_bytes);
            for (int panel = 0; panel < PANELS; panel++)
                copy_tile(
                    shared.values[ring.stage] + panel * key_panel_bytes, &v, &shared.values_full[ring.stage],
                    panel * 64, key_head, block * key_rows, at.batch);
        }
    }
}

// The bias of key j is the decay between the start of the tile's base and j: a sum over a window at most, and exact near the queries
// however long the text is.
// `units` turns a decay into what q k counts in.
__device__ void bring_biases(
    Shared &shared, const Extents &e, const int *segment_start, const float *local, const float *totals, float units)
{
    Ring<STAGES> ring;
    int lane = threadIdx.x % 32, chunks = (e.positions + chunk_positions - 1) / chunk_positions;
    for (int tile = blockIdx.x; tile < e.tiles; tile += gridDim.x)
    {
        QueryTile at(tile, e, segment_start);
        long long row = (long long)at.batch * e.heads + at.head;
        const float *own = local + row * e.positions, *total = totals + row * chunks;
        int chunk = 2 * at.last_block + 1; // the upper one of a block's two
        float offset = decay_between_chunks<GROUPS + 1>(total, at.first_chunk(), at.base(), min(chunk, chunks)); // of `chunk`
        for (int block = at.last_block; block >= at.first_block; block--, ring.next())
        {
            float upper = offset, lower = upper - (chunk - 1 < chunks ? total[chunk - 1] : 0);
            offset = lower - (chunk >= 2 ? total[chunk - 2] : 0);
            chunk -= 2;
            float values[4];
            for (int i = 0; i < 4; i++)
            {
                int j = block * key_rows + i * 32 + lane;
                values[i] = j < e.positions ? units * (own[j] + (i < 2 ? lower : upper)) : 0;
            }
            barrier_wait(&shared.keys_empty[ring.stage], ring.phase ^ 1);
            for (int i = 0; i < 4; i++) set_term(shared.bias[ring.stage], i * 32 + lane, values[i]);
            fence_shared_async();
            barrier_arrive(&shared.keys_full[ring.stage]);
        }
    }
}

// Which half of a block of keys a warpgroup sees anything of: of the block on the diagonal perhaps only the lower one, of the farthest
// only the upper one. Said at compile time: a product in a branch of its own would make the compiler start products one by one.
enum Seen { lower_half = 1, upper_half = 2, whole = 3 };
template <Seen seen> struct Part
{
    static constexpr Seen value = seen;
    static constexpr int first_octet = seen & lower_half ? 0 : 8, end_octet = seen & upper_half ? 16 : 8; // octets of keys
};

// What a thread knows of its two queries, rows `lane / 4` and that + 8 of its warp's 16.
struct Rows
{
    int first[2], last[2]; // visible keys
    float most[2], sum[2]; // of scores in units of q k; of weights over this thread's columns
};

// Scores to weights 2^(s - most); returns what everything summed so far shrinks by. `most` need not be the largest score: as long as
// none is more than 2^most_weight times as heavy, nothing has to shrink.
template <Seen seen>
__device__ __forceinline__ void online_softmax(float (&s)[64], float scale_log2, Rows &rows, float (&shrink)[2])
{
#pragma unroll
    for (int r = 0; r < 2; r++)
    {
        float most = rows.most[r];
#pragma unroll
        for (int c = Part<seen>::first_octet; c < Part<seen>::end_octet; c++)
            most = fmaxf(most, fmaxf(s[4 * c + 2 * r], s[4 * c + 2 * r + 1]));
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
        most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
        if ((most - rows.most[r]) * scale_log2 <= most_weight) most = rows.most[r];
        float base = most == -INFINITY ? 0 : most * scale_log2; // a row that has seen nothing yet
        shrink[r] = exp2_fast(fmaf(rows.most[r], scale_log2, -base));
        rows.most[r] = most;
        float sum = 0;
#pragma unroll
        for (int c = Part<seen>::first_octet; c < Part<seen>::end_octet; c++)
#pragma unroll
            for (int i = 2 * r; i < 2 * r + 2; i++)
            {
                s[4 * c + i] = exp2_fast(fmaf(s[4 * c + i], scale_log2, -base));
                sum += s[4 * c + i];
            }
        rows.sum[r] = rows.sum[r] * shrink[r] + sum;
    }
}

// The first step of a product overwrites what was there. But for half a block the compiler wants to know what it was, all of it: else it
// starts products one by one (C7511).
template <Seen seen> __device__ __forceinline__ void begin_scores(float (&s)[64])
{
    if constexpr (seen == whole) return;
#pragma unroll
    for (int i = 0; i < 64; i++) s[i] = 0;
}

// Turns among the computing warpgroups: the one whose turn it is and the one before it, 256 threads, meet at barrier 4 and after.
__device__ __forceinline__ void wait_turn(int group) { group_sync(4 + group, 256); }
__device__ __forceinline__ void give_turn(int group) { group_arrive(4 + (group + 1) % GROUPS, 256); }

template <int columns>
__device__ __forceinline__ void multiply_scores(
    float (&s)[columns / 2], const Shared &shared, const unsigned char *queries, const unsigned char *keys, const unsigned char *bias)
{
    if (HAS_GATE) begin_at_terms<columns>(s, shared.ones, bias);
#pragma unroll
    for (int step = 0; step < 4 * PANELS; step++)
        product<ELEMENT, columns, 0, 0>(
            s,
            operand(queries + step / 4 * query_panel_bytes + step % 4 * 32),
            operand(keys + step / 4 * key_panel_bytes + step % 4 * 32),
            HAS_GATE || step > 0);
}

template <Seen seen>
__device__ __forceinline__ void start_scores(float (&s)[64], const Shared &shared, const unsigned char *queries, int stage)
{
    constexpr int from = seen == upper_half ? half_rows : 0, columns = seen == whole ? key_rows : half_rows;
    product_fence();
    multiply_scores<columns>(
        reinterpret_cast<float (&)[columns / 2]>(s[from / 2]), shared, queries, shared.keys[stage] + from * row_bytes,
        shared.bias[stage] + from * term_bytes);
    product_commit();
}

template <Seen seen>
__device__ __forceinline__ void start_outputs(float (&o)[head_columns / 2], const unsigned (&p)[8][4], const unsigned char *values)
{
    product_fence();
#pragma unroll
    for (int step = Part<seen>::first_octet / 2; step < Part<seen>::end_octet / 2; step++) // of 16 keys
        product_registers<ELEMENT, head_columns, 1>(o, p[step], operand(values + step * 16 * row_bytes, key_panel_bytes), true);
    product_commit();
}

// Accumulator fragments of 16 columns are operand fragments of 16 columns.
template <Seen seen> __device__ __forceinline__ void pack(unsigned (&p)[8][4], const float (&s)[64])
{
#pragma unroll
    for (int step = Part<seen>::first_octet / 2; step < Part<seen>::end_octet / 2; step++)
#pragma unroll
        for (int i = 0; i < 4; i++) p[step][i] = pack2<ELEMENT>(s[8 * step + 2 * i], s[8 * step + 2 * i + 1]);
}

// The decay from the start of the tile's base to a query.
__device__ __forceinline__ float decay_of(const QueryTile &at, const Extents &e, const float *local, const float *totals, int query)
{
    long long row = (long long)at.batch * e.heads + at.head;
    const float *total = totals + row * ((e.positions + chunk_positions - 1) / chunk_positions);
    int i = min(query, e.positions - 1);
    return local[row * e.positions + i] + decay_between_chunks<GROUPS>(total, at.first_chunk(), at.base(), i / chunk_positions);
}

// A block of keys that only other warpgroups see.
__device__ __forceinline__ void pass_by(Shared &shared, Ring<STAGES> &key_ring, Ring<STAGES> &value_ring, int group)
{
    wait_turn(group);
    give_turn(group);
    barrier_wait(&shared.keys_full[key_ring.stage], key_ring.phase);
    release(&shared.keys_empty[key_ring.stage]);
    key_ring.next();
    barrier_wait(&shared.values_full[value_ring.stage], value_ring.phase);
    release(&shared.values_empty[value_ring.stage]);
    value_ring.next();
}

__device__ void compute(
    Shared &shared, const Extents &e, const int *segment_start, const float *local, const float *totals, float scale_log2,
    const TensorMap &o_map, float *lse)
{
    // Of the whole warp: told so, the compiler keeps branches on it free of divergence.
    int group = __shfl_sync(0xffffffffu, (int)threadIdx.x / 128 - 1, 0), lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
    bool leader = threadIdx.x % 128 == 0;
    Ring<STAGES> key_ring, value_ring;
    if (group == 0) group_arrive(4, 256); // the first turn
    int turn = 0;
    for (int tile = blockIdx.x; tile < e.tiles; tile += gridDim.x, turn++)
    {
        QueryTile at(tile, e, segment_start);
        unsigned char *queries = shared.queries[turn % 2][group];
        float o[head_columns / 2];
        unsigned p[8][4];
        Rows rows;
        float decay[2] = {}; // asked for long before lse needs them
#pragma unroll
        for (int i = 0; i < head_columns / 2; i++) o[i] = 0;
        int own = group * rows_per_group + warp * 16 + lane / 4; // row of the tile
        const int *starts = HAS_SEGMENTS ? segment_start + (long long)at.batch * e.positions : nullptr;
#pragma unroll
        for (int r = 0; r < 2; r++)
        {
            rows.last[r] = at.first + own + 8 * r;
            rows.first[r] = oldest_key(min(rows.last[r], at.last), e.window, starts);
            rows.most[r] = -INFINITY;
            rows.sum[r] = 0;
            if (HAS_GATE) decay[r] = decay_of(at, e, local, totals, rows.last[r]);
        }
        // This warpgroup's own band inside the tile's, empty where its queries lie past the text or see nothing.
        int first = at.first + group * rows_per_group, last = min(first + rows_per_group - 1, at.last);
        int last_block = -1, first_block = 0;
        int earliest = 0, latest_first = 0; // the keys that its first and its last query begin with
        if (first <= at.last)
        {
            earliest = oldest_key(first, e.window, starts);
            first_block = max(earliest / key_rows, at.first_block);
            last_block = min(last / key_rows, at.last_block);
            latest_first = oldest_key(last, e.window, starts);
        }
        bool sees = first_block <= last_block;
        if (!sees) last_block = at.first_block - 1;

        barrier_wait(&shared.queries_full[turn % 2], turn / 2 % 2);
        int block = at.last_block;
        for (; block > last_block; block--) pass_by(shared, key_ring, value_ring, group);
        if (sees)
        {
            float shrink[2];
            const auto weigh = [&](auto seen, float (&s)[64]) { // scores of `block` to weights
                int first_key = block * key_rows;
                if (first_key + key_rows - 1 > first) hide_later<seen.first_octet, seen.end_octet>(s, rows.last, first_key);
                if (first_key < latest_first) hide_earlier<seen.first_octet, seen.end_octet>(s, rows.first, first_key);
                online_softmax<seen.value>(s, scale_log2, rows, shrink);
            };
            const auto first_scores = [&](auto seen) {
                float s[64];
                barrier_wait(&shared.keys_full[key_ring.stage], key_ring.phase);
                begin_scores<seen.value>(s);
                wait_turn(group);
                start_scores<seen.value>(s, shared, queries, key_ring.stage);
                give_turn(group);
                product_wait<0>();
                settle(s);
                release(&shared.keys_empty[key_ring.stage]);
                key_ring.next();
                weigh(seen, s);
                pack<seen.value>(p, s);
            };
            // Scores of `block` beside the outputs of the block before it.
            const auto next_scores = [&](auto seen, auto seen_before) {
                float s[64];
                barrier_wait(&shared.keys_full[key_ring.stage], key_ring.phase);
                begin_scores<seen.value>(s);
                wait_turn(group);
                start_scores<seen.value>(s, shared, queries, key_ring.stage);
                barrier_wait(&shared.values_full[value_ring.stage], value_ring.phase);
                start_outputs<seen_before.value>(o, p, shared.values[value_ring.stage]);
                give_turn(group);
                product_wait<1>();
                settle(s);
                release(&shared.keys_empty[key_ring.stage]);
                key_ring.next();
                weigh(seen, s);
                not_before(rows.sum[0] + rows.sum[1]); // Of all exponentials.
                product_wait<0>();
                settle(o);
                settle(p);
                release(&shared.values_empty[value_ring.stage]);
                value_ring.next();
                if (__any_sync(0xffffffffu, shrink[0] != 1 || shrink[1] != 1))
                {
#pragma unroll
                    for (int i = 0; i < head_columns / 2; i++) o[i] *= shrink[i / 2 % 2];
                }
                pack<seen.value>(p, s);
            };
            const auto last_outputs = [&](auto seen) {
                barrier_wait(&shared.values_full[value_ring.stage], value_ring.phase);
                start_outputs<seen.value>(o, p, shared.values[value_ring.stage]);
                product_wait<0>();
                settle(o);
                settle(p);
                release(&shared.values_empty[value_ring.stage]);
                value_ring.next();
            };

            // Where windows are a multiple of 128, one of both ends of a band is half a block: a warpgroup has half a block's rows.
            bool starts_half = block > first_block && first + rows_per_group - 1 < block * key_rows + half_rows;
            bool ends_half = block - starts_half > first_block && earliest >= first_block * key_rows + half_rows;
            if (starts_half)
            {
                first_scores(Part<lower_half>());
                block--;
                next_scores(Part<whole>(), Part<lower_half>());
            }
            else first_scores(Part<whole>());
            for (block--; block >= first_block + ends_half; block--) next_scores(Part<whole>(), Part<whole>());
            if (ends_half)
            {
                next_scores(Part<upper_half>(), Part<whole>());
                block--;
                last_outputs(Part<upper_half>());
            }
            else last_outputs(Part<whole>());
        }
        for (; block >= at.first_block; block--) pass_by(shared, key_ring, value_ring, group);

        float inverse[2];
#pragma unroll
        for (int r = 0; r < 2; r++)
        {
            float sum = rows.sum[r] + __shfl_xor_sync(0xffffffffu, rows.sum[r], 1);
            sum += __shfl_xor_sync(0xffffffffu, sum, 2);
            inverse[r] = sum > 0 ? 1 / sum : 0;
            int token = at.first_token + own + 8 * r;
            if (lane % 4 == 0 && token < e.tokens)
            {
                long long row = (long long)at.batch * e.heads + at.head;
                lse[row * e.tokens + token] = sum > 0 ? ln_2 * (rows.most[r] * scale_log2 + log2f(sum)) - decay[r] : -INFINITY;
            }
        }

        // The queries have served: their place takes the outputs on the way out.
        int row = warp * 16 + lane % 16;
#pragma unroll
        for (int c = 0; c < head_columns / 16; c++)
        {
            unsigned fragment[4];
#pragma unroll
            for (int i = 0; i < 4; i++)
                fragment[i] = pack2<ELEMENT>(o[8 * c + 2 * i] * inverse[i % 2], o[8 * c + 2 * i + 1] * inverse[i % 2]);
            unsigned offset = swizzle_128(row * row_bytes + c % 4 * 32 + lane / 16 * 16);
            stmatrix_x4(queries + c / 4 * query_panel_bytes + offset, fragment);
        }
        fence_shared_async();
        group_sync(1 + group, 128);
        if (leader)
        {
            for (int panel = 0; panel < PANELS; panel++)
                store_tile(
                    &o_map, queries + panel * query_panel_bytes, panel * 64, at.head, at.first_token + group * rows_per_group, at.batch);
            bulk_commit();
            bulk_wait_read<0>();
            barrier_arrive(&shared.queries_empty[turn % 2]);
        }
    }
    if (leader) bulk_wait<0>();
}

// q, o [B, T, H, D], k, v [B, S, Hkv, D] in boxes of 64 columns; local [B, H, S], totals [B, H, chunks] or neither; segment_start [B, S]
// or none; lse [B, H, T]. The registers of a multiprocessor, 64 K, go from the warpgroup that brings to those that compute.
extern "C" __global__ void __launch_bounds__(128 * (GROUPS + 1), 1) hopper_forward(
    const __grid_constant__ TensorMap q, const __grid_constant__ TensorMap k, const __grid_constant__ TensorMap v,
    const __grid_constant__ TensorMap o, const float *local, const float *totals, const int *segment_start, float *lse, float scale_log2,
    int tokens, int positions, int heads, int heads_per_key_head, int window, int tiles_per_sequence, int light, int strip,
    int tiles)
{
    DYNAMIC_SHARED(memory);
    Shared &shared = *reinterpret_cast<Shared *>(memory);
    Extents e = {tokens, positions, heads, heads_per_key_head, window, tiles_per_sequence, light, strip, tiles};
    if (threadIdx.x == 0)
    {
        for (int i = 0; i < 2; i++)
        {
            barrier_init(&shared.queries_full[i], 1);
            barrier_init(&shared.queries_empty[i], GROUPS);
        }
        for (int i = 0; i < STAGES; i++)
        {
            barrier_init(&shared.keys_full[i], HAS_GATE ? 33 : 1); // the copy engine's thread, and the warp of biases
            barrier_init(&shared.keys_empty[i], GROUPS * 128);
            barrier_init(&shared.values_full[i], 1);
            barrier_init(&shared.values_empty[i], GROUPS * 128);
        }
        barrier_init_fence();
    }
    if (HAS_GATE)
    {
        clear_terms(shared.bias[0], sizeof shared.bias);
        set_ones(shared.ones);
        fence_shared_async();
    }
    __syncthreads();
    wait_for_earlier_kernels();
    let_next_kernel_begin();
    if (threadIdx.x < 128)
    {
        give_registers<GROUPS == 2 ? 24 : 32>();
        if (threadIdx.x == 0) bring_tiles(shared, e, segment_start, q, k, v);
        if (HAS_GATE && threadIdx.x / 32 == 1) bring_biases(shared, e, segment_start, local, totals, log2_e / scale_log2);
    }
    else
    {
        take_registers<GROUPS == 2 ? 240 : 160>();
        compute(shared, e, segment_start, local, totals, scale_log2, o, lse);
    }
}
