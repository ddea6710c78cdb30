// Gated window attention in float32, forward and backward: the plain path that need only be right. A block keeps ROWS queries (or
// keys) of one head and lets blocks of ROWS keys (or queries) go past; eight threads share a row. Sums are formed within a block
// first and then added up, so that a row over 100,000 keys is as exact as a short one; biases are differences of
// doubles, so that both backward kernels form the same bits whatever they are counted from.
//
// Defines: HEAD_SIZE, ROWS (a divisor of 64), HAS_GATE.
#include "elements.cuh"
#include "decay_bias.cuh"
#include "mask.cuh"
#include "visible_blocks.cuh"

constexpr int lanes = 8, threads = lanes * ROWS, per_lane = ROWS / lanes;
constexpr int columns_per_lane = HEAD_SIZE / lanes, stride = HEAD_SIZE + 1;

struct Extents
{
    float scale;
    int tokens, positions, rows_of_heads, heads, group, window;

    __device__ int prefix() const { return positions - tokens; }
    __device__ long long query_stride() const { return (long long)heads * HEAD_SIZE; }
    __device__ long long key_stride() const { return (long long)(heads / group) * HEAD_SIZE; }
    // Rows are counted in positions, those of queries too.
    __device__ long long query(int batch, int head) const { return ((long long)batch * tokens - prefix()) * query_stride() + head * HEAD_SIZE; }
    __device__ long long key(int batch, int head) const { return (long long)batch * positions * key_stride() + head * HEAD_SIZE; }
    __device__ long long statistic(int batch, int head) const { return ((long long)batch * heads + head) * tokens - prefix(); }
};

// Rows [first, first + ROWS) of one head; zeros outside [begin, end).
__device__ void copy_rows(float *tile, const float *head, long long row_stride, int first, int begin, int end)
{
    for (int i = threadIdx.x; i < ROWS * HEAD_SIZE; i += threads)
    {
        int row = i / HEAD_SIZE, column = i % HEAD_SIZE;
        bool valid = first + row >= begin && first + row < end;
        tile[row * stride + column] = valid ? head[(first + row) * row_stride + column] : 0;
    }
}

// The order of the sum does not depend on who asks: both backward kernels form the same bits.
__device__ __forceinline__ float dot(const float *a, const float *b)
{
    float sum = 0;
#pragma unroll 8
    for (int d = 0; d < HEAD_SIZE; d++) sum = fmaf(a[d], b[d], sum);
    return sum;
}

template <class T> __device__ __forceinline__ T lane_sum(T x)
{
    for (int step = 1; step < lanes; step *= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}

__device__ __forceinline__ float lane_max(float x)
{
    for (int step = 1; step < lanes; step *= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
    return x;
}

// Scores in log2 units and what follows from them.
__device__ __forceinline__ float score(float product, float scale, double key, double row)
{
    return fmaf(product, scale * (float)decay_log2_e, HAS_GATE ? (float)(key - row) : 0);
}

__device__ __forceinline__ float score_gradient(float p, float dp, float delta) { return p * (dp - delta); }

// The part of a tile that this block keeps.
__device__ __forceinline__ Tile own_part(const int *tile_list, int first_tile, int tiles_per_row, int positions)
{
    constexpr int parts = Tile::size / ROWS;
    Tile tile(blockIdx.x / parts, tile_list, first_tile, tiles_per_row, positions);
    tile.first += blockIdx.x % parts * ROWS;
    return tile;
}

struct ForwardShared
{
    double key_decay[ROWS];
    float queries[ROWS * stride], keys[ROWS * stride]; // or values
    float weights[ROWS * (ROWS + 1)];
};

extern "C" __global__ void __launch_bounds__(threads) float32_forward(
    const float *q, const float *k, const float *v, const float *local, const float *totals, float *o, float *lse,
    const int *tile_list, int first_tile, int tiles_per_row, float scale,
    int tokens, int positions, int rows_of_heads, int heads, int group, int window)
{
    DYNAMIC_SHARED(memory);
    ForwardShared &shared = *reinterpret_cast<ForwardShared *>(memory);
    Extents e = {scale, tokens, positions, rows_of_heads, heads, group, window};
    Tile tile = own_part(tile_list, first_tile, tiles_per_row, positions);
    int first_row = max(tile.first, e.prefix()), end_row = min(tile.first + ROWS, tile.end);
    if (first_row >= end_row) return;
    int head = blockIdx.y, own = threadIdx.x / lanes, lane = threadIdx.x % lanes, row = tile.first + own;
    bool is_query = row >= first_row && row < end_row;
    const float *keys = k + e.key(tile.batch, head / group), *values = v + e.key(tile.batch, head / group);
    copy_rows(shared.queries, q + e.query(tile.batch, head), e.query_stride(), tile.first, first_row, end_row);

    DecayPrefix prefix(local, totals, positions, rows_of_heads, tile.batch * heads + head);
    DecayWalk walk(tile.first), row_walk(tile.first);
    double row_decay = 0;
    if (HAS_GATE && is_query) row_decay = row_walk.sum(prefix, row);

    float most = -INFINITY, outputs[columns_per_lane] = {};
    double total = 0;
    int last = block_start(end_row - 1, ROWS, tile.start), first = block_start(first_visible_key(first_row, window, tile.start), ROWS, tile.start);
    for (int block = last; block >= first; block -= ROWS)
    {
        __syncthreads();
        copy_rows(shared.keys, keys, e.key_stride(), block, tile.start, tile.end);
        if (HAS_GATE && threadIdx.x < ROWS)
            shared.key_decay[threadIdx.x] = block + (int)threadIdx.x < tile.end ? walk.sum(prefix, block + threadIdx.x) : 0;
        __syncthreads();
        float s[per_lane], most_of_block = -INFINITY;
        for (int n = 0; n < per_lane; n++)
        {
            int key = lane + n * lanes;
            float x = score(dot(shared.queries + own * stride, shared.keys + key * stride), scale, shared.key_decay[key], row_decay);
            s[n] = is_visible(row, block + key, window) ? x : -INFINITY;
            most_of_block = fmaxf(most_of_block, s[n]);
        }
        float before = most;
        most = fmaxf(most, lane_max(most_of_block));
        float base = most == -INFINITY ? 0 : most, shrink = exp2f(before - base);
        double sum = 0;
        for (int n = 0; n < per_lane; n++)
        {
            float p = exp2f(s[n] - base);
            sum += p;
            shared.weights[own * (ROWS + 1) + lane + n * lanes] = p;
        }
        total = total * shrink + sum;
        __syncthreads();
        copy_rows(shared.keys, values, e.key_stride(), block, tile.start, tile.end);
        __syncthreads();
        for (int n = 0; n < columns_per_lane; n++)
        {
            float of_block = 0;
            for (int j = 0; j < ROWS; j++) of_block = fmaf(shared.weights[own * (ROWS + 1) + j], shared.keys[j * stride + lane + n * lanes], of_block);
            outputs[n] = fmaf(outputs[n], shrink, of_block);
        }
    }

    total = lane_sum(total);
    if (!is_query) return;
    float *target = o + e.query(tile.batch, head) + row * e.query_stride();
    for (int n = 0; n < columns_per_lane; n++) target[lane + n * lanes] = (float)(outputs[n] / total);
    if (lane == 0) lse[e.statistic(tile.batch, head) + row] = (float)(most / decay_log2_e + log(total));
}

struct BackwardShared
{
    double passing_decay[ROWS];
    float kept[2][ROWS * stride], passing[2][ROWS * stride];
    float weights[ROWS * (ROWS + 1)], gradients[ROWS * (ROWS + 1)];
    float lse_log2[ROWS], delta[ROWS];
};

// A lane's columns of `sums` += weights [own, ROWS] rows, the block's sum first.
__device__ __forceinline__ void add_product(float (&sums)[columns_per_lane], const float *weights, const float *rows, int lane)
{
    for (int n = 0; n < columns_per_lane; n++)
    {
        float of_block = 0;
        for (int i = 0; i < ROWS; i++) of_block = fmaf(weights[i], rows[i * stride + lane + n * lanes], of_block);
        sums[n] += of_block;
    }
}

__device__ __forceinline__ void store(float *target, const float (&sums)[columns_per_lane], float factor, int lane, bool add)
{
    for (int n = 0; n < columns_per_lane; n++)
    {
        float *element = target + lane + n * lanes, x = sums[n] * factor;
        *element = add ? *element + x : x;
    }
}

extern "C" __global__ void __launch_bounds__(threads) float32_backward_keys(
    const float *q, const float *k, const float *v, const float *gradient, const float *lse, const float *delta,
    const float *local, const float *totals, float *dk, float *dv, int add_dk, int add_dv, double *column_sums,
    const int *tile_list, int first_tile, int tiles_per_row, float scale,
    int tokens, int positions, int rows_of_heads, int heads, int group, int window)
{
    DYNAMIC_SHARED(memory);
    BackwardShared &shared = *reinterpret_cast<BackwardShared *>(memory);
    Extents e = {scale, tokens, positions, rows_of_heads, heads, group, window};
    Tile tile = own_part(tile_list, first_tile, tiles_per_row, positions);
    if (tile.first >= tile.end) return;
    int key_head = blockIdx.y, own = threadIdx.x / lanes, lane = threadIdx.x % lanes, key = tile.first + own;
    int end_key = min(tile.first + ROWS, tile.end);
    int first_query = max(tile.first, e.prefix()), end_query = end_of_seeing_rows(end_key, window, tile.end);
    long long key_offset = e.key(tile.batch, key_head);
    copy_rows(shared.kept[0], k + key_offset, e.key_stride(), tile.first, tile.first, tile.end);
    copy_rows(shared.kept[1], v + key_offset, e.key_stride(), tile.first, tile.first, tile.end);

    float key_gradients[columns_per_lane] = {}, value_gradients[columns_per_lane] = {};
    for (int member = 0; member < group; member++)
    {
        int head = key_head * group + member;
        DecayPrefix prefix(local, totals, positions, rows_of_heads, tile.batch * heads + head);
        DecayWalk walk(tile.first), key_walk(tile.first);
        double key_decay = 0;
        if (HAS_GATE && key < tile.end) key_decay = key_walk.sum(prefix, key);
        double sum = 0;
        for (int block = block_start(first_query, ROWS, tile.start); block < end_query; block += ROWS)
        {
            __syncthreads();
            copy_rows(shared.passing[0], q + e.query(tile.batch, head), e.query_stride(), block, first_query, end_query);
            copy_rows(shared.passing[1], gradient + e.query(tile.batch, head), e.query_stride(), block, first_query, end_query);
            if (threadIdx.x < ROWS)
            {
                int row = block + threadIdx.x;
                bool is_query = row >= first_query && row < end_query;
                if (HAS_GATE) shared.passing_decay[threadIdx.x] = is_query ? walk.sum(prefix, row) : 0;
                shared.lse_log2[threadIdx.x] = is_query ? (float)(lse[e.statistic(tile.batch, head) + row] * decay_log2_e) : INFINITY;
                shared.delta[threadIdx.x] = is_query ? delta[e.statistic(tile.batch, head) + row] : 0;
            }
            __syncthreads();
            for (int n = 0; n < per_lane; n++)
            {
                int i = lane + n * lanes;
                float x = score(dot(shared.passing[0] + i * stride, shared.kept[0] + own * stride), scale, key_decay, shared.passing_decay[i]);
                float p = is_visible(block + i, key, window) ? exp2f(x - shared.lse_log2[i]) : 0;
                float ds = score_gradient(p, dot(shared.passing[1] + i * stride, shared.kept[1] + own * stride), shared.delta[i]);
                shared.weights[own * (ROWS + 1) + i] = p;
                shared.gradients[own * (ROWS + 1) + i] = ds;
                sum += ds;
            }
            __syncwarp(); // A row's lanes are of one warp.
            add_product(value_gradients, shared.weights + own * (ROWS + 1), shared.passing[1], lane);
            add_product(key_gradients, shared.gradients + own * (ROWS + 1), shared.passing[0], lane);
        }
        sum = lane_sum(sum);
        if (column_sums && lane == 0 && key < tile.end) column_sums[((long long)tile.batch * heads + head) * positions + key] = sum;
    }
    if (key >= tile.end) return;
    if (dk) store(dk + key_offset + key * e.key_stride(), key_gradients, scale, lane, add_dk);
    if (dv) store(dv + key_offset + key * e.key_stride(), value_gradients, 1, lane, add_dv);
}

extern "C" __global__ void __launch_bounds__(threads) float32_backward_queries(
    const float *q, const float *k, const float *v, const float *gradient, const float *lse, const float *delta,
    const float *local, const float *totals, float *dq, int add_dq, double *row_sums,
    const int *tile_list, int first_tile, int tiles_per_row, float scale,
    int tokens, int positions, int rows_of_heads, int heads, int group, int window)
{
    DYNAMIC_SHARED(memory);
    BackwardShared &shared = *reinterpret_cast<BackwardShared *>(memory);
    Extents e = {scale, tokens, positions, rows_of_heads, heads, group, window};
    Tile tile = own_part(tile_list, first_tile, tiles_per_row, positions);
    int first_row = max(tile.first, e.prefix()), end_row = min(tile.first + ROWS, tile.end);
    if (first_row >= end_row) return;
    int head = blockIdx.y, own = threadIdx.x / lanes, lane = threadIdx.x % lanes, row = tile.first + own;
    bool is_query = row >= first_row && row < end_row;
    copy_rows(shared.kept[0], q + e.query(tile.batch, head), e.query_stride(), tile.first, first_row, end_row);
    copy_rows(shared.kept[1], gradient + e.query(tile.batch, head), e.query_stride(), tile.first, first_row, end_row);
    long long statistic = e.statistic(tile.batch, head) + row, key_offset = e.key(tile.batch, head / group);
    float lse_log2 = is_query ? (float)(lse[statistic] * decay_log2_e) : INFINITY, own_delta = is_query ? delta[statistic] : 0;

    DecayPrefix prefix(local, totals, positions, rows_of_heads, tile.batch * heads + head);
    DecayWalk walk(tile.first), row_walk(tile.first);
    double row_decay = 0;
    if (HAS_GATE && is_query) row_decay = row_walk.sum(prefix, row);

    float query_gradients[columns_per_lane] = {};
    double sum = 0;
    int last = block_start(end_row - 1, ROWS, tile.start), first = block_start(first_visible_key(first_row, window, tile.start), ROWS, tile.start);
    for (int block = last; block >= first; block -= ROWS)
    {
        __syncthreads();
        copy_rows(shared.passing[0], k + key_offset, e.key_stride(), block, tile.start, tile.end);
        copy_rows(shared.passing[1], v + key_offset, e.key_stride(), block, tile.start, tile.end);
        if (HAS_GATE && threadIdx.x < ROWS)
            shared.passing_decay[threadIdx.x] = block + (int)threadIdx.x < tile.end ? walk.sum(prefix, block + threadIdx.x) : 0;
        __syncthreads();
        for (int n = 0; n < per_lane; n++)
        {
            int j = lane + n * lanes;
            float x = score(dot(shared.kept[0] + own * stride, shared.passing[0] + j * stride), scale, shared.passing_decay[j], row_decay);
            float p = is_visible(row, block + j, window) ? exp2f(x - lse_log2) : 0;
            float ds = score_gradient(p, dot(shared.kept[1] + own * stride, shared.passing[1] + j * stride), own_delta);
            shared.gradients[own * (ROWS + 1) + j] = ds;
            sum += ds;
        }
        __syncwarp();
        add_product(query_gradients, shared.gradients + own * (ROWS + 1), shared.passing[0], lane);
    }
    sum = lane_sum(sum);
    if (!is_query) return;
    if (row_sums && lane == 0) row_sums[statistic] = sum;
    if (dq) store(dq + e.query(tile.batch, head) + row * e.query_stride(), query_gradients, scale, lane, add_dq);
}
