// y [ROWS, N] = x [ROWS, WIDTH] · Wᵀ for a step of many texts, in 16 bits: what decode_product.cu is for few. There a block reads its
// rows of W and hardly anything else; here it reads x as well, which another kernel has only just written, so that the time is that of
// x's way to all multiprocessors. A block has BLOCK_ROWS texts and COLUMNS rows of W. What it needs of W goes to shared memory before
// the kernel ahead has ended, then x at once and as a whole where it fits, through no register: one latency, not one for every few
// features. Warps share the columns (COLUMN_GROUPS) and the features, whose sums are added up at the end in order.
//
// NORM: x is the residual stream with the norm's factors, its squares summed in SQUARES parts, both left by the kernel that added to the
// stream last; the scale of a row is a factor of the sums.
// EPILOGUE: 0 stores floats; 1 adds to floats, the residual stream, and may leave it as the next NORM wants it; 2 is SwiGLU, whose
// first weight is the gate and second the value; along with it the layer's keys and values become those of the token before, and what
// comes after is sent for: memory has little to do from here to the next layer's attention.
// SPLITS: x is what so many parts of a window have gathered, joined here by every block for itself.
#include "decode_ahead.cuh"
#include "decode_kept.cuh"
#include "decode_parts.cuh"
#include "decode_weights.cuh"
#include "packs.cuh"
#include "programmatic.cuh"
#include "tensor_cores.cuh"
#include "warp.cuh"

constexpr int warps = 8, threads = 32 * warps;
constexpr int feature_groups = warps / COLUMN_GROUPS;
constexpr int pack = 8;                                                     // Neighbours: 16 bytes.
constexpr int chunk = 32 * feature_groups;                                  // Features: a warp's are two products of 16.
constexpr int chunk_packs = chunk / pack, pass_rows = threads / chunk_packs; // Of the rows of a chunk that are sent for together.
constexpr int chunks = (WIDTH + chunk - 1) / chunk, stages = STAGES;        // Stages: chunks in shared memory at once.
constexpr int pending_chunks = stages == chunks ? stages - 1 : stages - 2;  // A stage is filled again one chunk later than it could be.
constexpr int row_tiles = BLOCK_ROWS / 16, column_tiles = COLUMNS / COLUMN_GROUPS / 8;   // Of a warp.
// Of a multiprocessor, as far as registers are concerned: kernels overlap.
constexpr int least_blocks = SPLITS ? 1 : row_tiles * column_tiles <= 6 ? 3 : 2;
constexpr int row_blocks = (ROWS + BLOCK_ROWS - 1) / BLOCK_ROWS;
constexpr int output_columns = EPILOGUE == 2 ? COLUMNS / 2 : COLUMNS;
constexpr int lane_columns = (output_columns + 31) / 32;
constexpr int warp_rows = BLOCK_ROWS / warps;                               // Of the block's results, row by row.
constexpr int part_stride = COLUMNS + (COLUMNS / 8 % 2 ? 0 : 8);            // An odd number of 8 floats: 4 rows lie in different banks.
constexpr int tile_bytes = stages * (BLOCK_ROWS + COLUMNS) * chunk * (int)sizeof(ELEMENT);
constexpr int part_bytes = feature_groups * BLOCK_ROWS * part_stride * (int)sizeof(float);   // In place of the tiles, at the end.
constexpr int row_lanes = threads / BLOCK_ROWS, lane_squares = (SQUARES + row_lanes - 1) / row_lanes;
constexpr int kept_width = KEPT_WIDTH > 0 ? KEPT_WIDTH : 1, lane_kept = 4;   // Of the keys that are kept; of keys and values.
constexpr int decay_heads = DECAY_HEADS, decay_rows = 2;                    // Of a block, of a warp.

// Where a pack of a chunk lies: packs of one column in eight rows have different banks.
__device__ __forceinline__ int place(int row, int column) { return row * chunk + (column ^ row % 8) * pack; }

// A row of W, by its number in the block; past the end the last, which nobody writes.
__device__ __forceinline__ const ELEMENT *weight_row(const Weights &weights, int first_column, int index)
{
#if EPILOGUE == 2
    const int n = min(first_column + index % output_columns, weights.ends[0] - 1);
    return (index < output_columns ? weights.first[0] : weights.first[1]) + (long long)n * WIDTH;
#else
    return weights.row(first_column + index);
#endif
}

#if SPLITS
// A block's rows of x from the parts of each head.
__device__ __forceinline__ void join_rows(const float *parts, const Stretch *stretches, int first_row, ELEMENT *x)
{
    for (int i = threadIdx.x; i < BLOCK_ROWS * chunks * chunk_packs; i += threads)
    {
        const int row = i / (chunks * chunk_packs), k = i % (chunks * chunk_packs) * pack;
        float joined[pack] = {};
        if (first_row + row < ROWS && k < WIDTH) join_parts(parts, stretches, (first_row + row) * WIDTH + k, joined);
        store(joined, x + k / chunk * (BLOCK_ROWS * chunk) + place(row, k % chunk / pack));
    }
}
#endif

// The decays' pre-activations: rows of float weights, which a product of 16 bits would round. A block has decay_heads of them.
__device__ __forceinline__ void decays(const float *x, const float *norm, float epsilon, const float *gate, const float *amplitude,
                                       int heads, float *weights, float *y, int stride, int block)
{
    constexpr int lane_features = 4, blocks = (ROWS + warps * decay_rows - 1) / (warps * decay_rows);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int first_head = block / blocks * decay_heads, first_row = (block % blocks * warps + warp) * decay_rows;
    for (int i = threadIdx.x * lane_features; i < decay_heads * WIDTH; i += threads * lane_features)
    {
        const int head = min(first_head + i / WIDTH, 2 * heads - 1);
        const float *row = head < heads ? gate + (long long)head * WIDTH : amplitude + (long long)(head - heads) * WIDTH;
        copy_async_16(weights + i, row + i % WIDTH, true);
    }
    copy_async_commit();
    copy_async_wait<0>();
    __syncthreads();
    wait_for_earlier_kernels();
    let_next_kernel_begin();
    float sums[decay_rows][decay_heads] = {}, squares[decay_rows] = {};
#pragma unroll 6
    for (int round = 0; round < (WIDTH + 32 * lane_features - 1) / (32 * lane_features); round++)
    {
        const int k = (round * 32 + lane) * lane_features, existing = min(k, WIDTH - lane_features);
        float norms[lane_features], values[decay_rows][lane_features];
        load(norm + existing, norms);
#pragma unroll
        for (int r = 0; r < decay_rows; r++) load(x + (long long)min(first_row + r, ROWS - 1) * WIDTH + existing, values[r]);
#pragma unroll
        for (int r = 0; r < decay_rows; r++)
#pragma unroll
            for (int i = 0; i < lane_features; i++)
            {
                values[r][i] = k < WIDTH ? values[r][i] : 0.0f;
                squares[r] = fmaf(values[r][i], values[r][i], squares[r]);
                values[r][i] *= norms[i];
            }
#pragma unroll
        for (int h = 0; h < decay_heads; h++)
        {
            float factors[lane_features];
            load(weights + h * WIDTH + existing, factors);
#pragma unroll
            for (int r = 0; r < decay_rows; r++)
#pragma unroll
                for (int i = 0; i < lane_features; i++) sums[r][h] = fmaf(values[r][i], factors[i], sums[r][h]);
        }
    }
#pragma unroll
    for (int r = 0; r < decay_rows; r++)
    {
        const float scale = 1.f / sqrtf(warp_sum(squares[r]) / WIDTH + epsilon);
#pragma unroll
        for (int h = 0; h < decay_heads; h++)
        {
            const float sum = warp_sum(sums[r][h]);
            if (lane == 0 && first_row + r < ROWS && first_head + h < 2 * heads)
                y[(long long)(first_row + r) * stride + first_head + h] = sum * scale;
        }
    }
}

// y's rows are `stride` apart. After the N columns of the product come 2 `heads` of decays, if any, of `stream` and `norm` in float.
// `kept` and what follows are of a KeptToken. `next_x`, if any, and `next_squares` [blocks of columns, ROWS] are for a NORM. Those of
// `ahead` and what follows are of an Ahead. Blocks: those of rows are neighbours, so that they share their columns' weights.
extern "C" __global__ void __launch_bounds__(threads, least_blocks)
decode_batch_product(const ELEMENT *x, const float *stream, const float *square_parts, const float *partial, const Stretch *stretches,
                     const float *norm, float epsilon, const ELEMENT *first, const ELEMENT *second, const ELEMENT *third,
                     const ELEMENT *fourth, const ELEMENT *fifth, int end_first, int end_second, int end_third, int end_fourth,
                     int end_fifth, const float *gate, const float *amplitude, int heads, OUTPUT *y, int stride, const float *kept,
                     int kept_stride, ELEMENT *previous_keys, ELEMENT *previous_values, const int *idle,
                     const float *next_norm, ELEMENT *next_x, float *next_squares, const char *ahead_first, int ahead_first_bytes,
                     const char *ahead_second, int ahead_second_bytes, const char *ahead_keys, const char *ahead_values,
                     const int2 *ahead_cursors, int capacity, int key_heads, int key_bytes, int ahead_stretches)
{
    DYNAMIC_SHARED(shared);
    ELEMENT *shared_weights = reinterpret_cast<ELEMENT *>(shared);            // [stages, COLUMNS, chunk]
    ELEMENT *shared_x = shared_weights + stages * COLUMNS * chunk;            // [stages, BLOCK_ROWS, chunk]
    float *parts = reinterpret_cast<float *>(shared);                         // [feature_groups, BLOCK_ROWS, part_stride]
    float *scales = reinterpret_cast<float *>(shared + (tile_bytes > part_bytes ? tile_bytes : part_bytes));   // [BLOCK_ROWS]
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int column_group = warp / feature_groups, feature_group = warp % feature_groups;
    const Weights weights = {{first, second, third, fourth, fifth}, {end_first, end_second, end_third, end_fourth, end_fifth}};
    const int columns = EPILOGUE == 2 ? end_first : end_fifth, column_blocks = (columns + output_columns - 1) / output_columns;
#if EPILOGUE == 0
    if (blockIdx.x >= column_blocks * row_blocks)
    {
        decays(stream, norm, epsilon, gate, amplitude, heads, parts, y + columns, stride, blockIdx.x - column_blocks * row_blocks);
        return;
    }
#endif
    const int first_row = blockIdx.x % row_blocks * BLOCK_ROWS, column_block = blockIdx.x / row_blocks;
    const int first_column = column_block * output_columns;

    // A thread's pack of a chunk's rows, some of them.
    const int sent_row = threadIdx.x / chunk_packs, sent_pack = threadIdx.x % chunk_packs;
    constexpr int weight_passes = (COLUMNS + pass_rows - 1) / pass_rows, row_passes = BLOCK_ROWS / pass_rows;
    const ELEMENT *sent_weights[weight_passes], *sent_x[row_passes];
#pragma unroll
    for (int i = 0; i < weight_passes; i++)
        sent_weights[i] = weight_row(weights, first_column, min(sent_row + i * pass_rows, COLUMNS - 1));
#pragma unroll
    for (int i = 0; i < row_passes; i++) sent_x[i] = x + (long long)min(first_row + sent_row + i * pass_rows, ROWS - 1) * WIDTH;
    // To `tile`, from rows that begin at `source`; zeros past WIDTH and where there is no such row.
    const auto send = [&](ELEMENT *tile, int row, const ELEMENT *source, int c, bool exists) {
        const int k = c * chunk + sent_pack * pack;
        const bool is_whole = WIDTH % chunk == 0;
        copy_async_16(tile + place(row, sent_pack), source + (is_whole ? k : min(k, WIDTH - pack)), exists && (is_whole || k < WIDTH));
    };
    const auto send_weights = [&](int c) {
#pragma unroll
        for (int i = 0; i < weight_passes; i++)
        {
            const int row = sent_row + i * pass_rows;
            if ((i + 1) * pass_rows <= COLUMNS || row < COLUMNS)
                send(shared_weights + c % stages * (COLUMNS * chunk), row, sent_weights[i], c, true);
        }
    };
    const auto send_x = [&](int c) {
#pragma unroll
        for (int i = 0; i < row_passes; i++)
        {
            const int row = sent_row + i * pass_rows;
            const bool exists = ROWS % BLOCK_ROWS == 0 || first_row + row < ROWS;
            send(shared_x + c % stages * (BLOCK_ROWS * chunk), row, sent_x[i], c, exists);
        }
    };
#pragma unroll
    for (int c = 0; c < stages; c++) send_weights(c);
#if EPILOGUE == 1
    float before[warp_rows][lane_columns], next_norms[lane_columns];
#pragma unroll
    for (int p = 0; p < lane_columns; p++)
        next_norms[p] = next_x ? next_norm[min(first_column + p * 32 + lane, columns - 1)] : 0.0f;
#elif EPILOGUE == 2
    const Ahead ahead = {{ahead_first, ahead_second}, {ahead_first_bytes, ahead_second_bytes}, ahead_keys, ahead_values, ahead_cursors,
                         capacity, key_heads, key_bytes, ahead_stretches};
    const Errand errand(ahead, ROWS, threads);
#endif

    wait_for_earlier_kernels();
    let_next_kernel_begin();   // One at a time: blocks that wait would take room from those of a kernel between.
#if SPLITS
    join_rows(partial, stretches, first_row, shared_x);   // All of x: as many stages as chunks.
#endif
#pragma unroll
    for (int c = 0; c < stages; c++)
    {
        if (!SPLITS) send_x(c);
        copy_async_commit();
    }
#if EPILOGUE == 1
#pragma unroll
    for (int j = 0; j < warp_rows; j++)
#pragma unroll
        for (int p = 0; p < lane_columns; p++)
        {
            const int row = min(first_row + j * warps + warp, ROWS - 1), n = min(first_column + p * 32 + lane, columns - 1);
            before[j][p] = y[(long long)row * stride + n];
        }
#elif EPILOGUE == 2
    const KeptToken token = {kept, kept_stride, kept_width, previous_keys, previous_values, idle};
    const int first_kept = blockIdx.x * threads + threadIdx.x, all_threads = gridDim.x * threads, kept_end = token.count();
    float keeps[lane_kept];
    bool stays[lane_kept];
    if (kept)
    {
#pragma unroll
        for (int j = 0; j < lane_kept; j++)
        {
            const int i = min(first_kept + j * all_threads, kept_end - 1);
            keeps[j] = token.read(i);
            stays[j] = token.stays(i);
        }
    }
    errand.run();
#endif
#if NORM
    float squares[lane_squares];   // Of a row, every row_lanes-th part.
    const int square_row = threadIdx.x / row_lanes, square_part = threadIdx.x % row_lanes;
#pragma unroll
    for (int i = 0; i < lane_squares; i++)
        squares[i] = square_parts[min(i * row_lanes + square_part, SQUARES - 1) * ROWS + min(first_row + square_row, ROWS - 1)];
#endif

    float sums[row_tiles][column_tiles][4] = {};
    const int first_pack = 4 * feature_group;
#pragma unroll
    for (int c = 0; c < chunks; c++)
    {
        copy_async_wait<pending_chunks>();
        __syncthreads();
        if (c > 0 && c - 1 + stages < chunks)
        {
            send_weights(c - 1 + stages);
            send_x(c - 1 + stages);
        }
        copy_async_commit();
        const ELEMENT *chunk_x = shared_x + c % stages * (BLOCK_ROWS * chunk);
        const ELEMENT *chunk_weights = shared_weights + (c % stages * COLUMNS + column_group * column_tiles * 8) * chunk;
        unsigned a[2][row_tiles][4];
#pragma unroll
        for (int half = 0; half < 2; half++)
#pragma unroll
            for (int m = 0; m < row_tiles; m++)
                ldmatrix_x4(a[half][m], chunk_x + place(m * 16 + lane % 16, first_pack + 2 * half + lane / 16));
#pragma unroll
        for (int tile = 0; tile < column_tiles; tile++)
        {
            unsigned b[4];
            ldmatrix_x4(b, chunk_weights + place(tile * 8 + lane % 8, first_pack + lane / 8));
#pragma unroll
            for (int half = 0; half < 2; half++)
#pragma unroll
                for (int m = 0; m < row_tiles; m++) mma_16x8x16<ELEMENT>(sums[m][tile], a[half][m], b[2 * half], b[2 * half + 1]);
        }
    }

#if NORM
    float row_squares = 0;
#pragma unroll
    for (int i = 0; i < lane_squares; i++) row_squares += i * row_lanes + square_part < SQUARES ? squares[i] : 0.0f;
#pragma unroll
    for (int step = row_lanes / 2; step > 0; step >>= 1) row_squares += __shfl_xor_sync(all_lanes, row_squares, step);
    if (square_part == 0) scales[square_row] = 1.f / sqrtf(row_squares / WIDTH + epsilon);
#endif
    __syncthreads();   // Where chunks lay come the sums of each group of features.
    {
        const int g = lane / 4, t = lane % 4;
        float *part = parts + feature_group * (BLOCK_ROWS * part_stride) + column_group * column_tiles * 8;
#pragma unroll
        for (int m = 0; m < row_tiles; m++)
#pragma unroll
            for (int tile = 0; tile < column_tiles; tile++)
#pragma unroll
                for (int half = 0; half < 2; half++)
                    *reinterpret_cast<float2 *>(part + (m * 16 + half * 8 + g) * part_stride + tile * 8 + 2 * t) =
                        make_float2(sums[m][tile][2 * half], sums[m][tile][2 * half + 1]);
    }
    __syncthreads();
    const auto sum_of = [&](int row, int column) {
        float sum = 0;
#pragma unroll
        for (int i = 0; i < feature_groups; i++) sum += parts[(i * BLOCK_ROWS + row) * part_stride + column];
        return sum;
    };
#pragma unroll
    for (int j = 0; j < warp_rows; j++)
    {
        const int row = j * warps + warp, text = first_row + row;
#if EPILOGUE == 1
        float square = 0;
#endif
#pragma unroll
        for (int p = 0; p < lane_columns; p++)
        {
            const int column = p * 32 + lane, n = first_column + column;
            const bool exists = text < ROWS && column < output_columns && n < columns;
            if (!exists) continue;
            OUTPUT *target = y + (long long)text * stride + n;
            const float scale = NORM ? scales[row] : 1.0f;
#if EPILOGUE == 0
            *target = sum_of(row, column) * scale;
#elif EPILOGUE == 1
            const float value = sum_of(row, column) * scale + before[j][p];
            *target = value;
            if (next_x) next_x[(long long)text * stride + n] = from_float<ELEMENT>(value * next_norms[p]);
            square = fmaf(value, value, square);
#else
            const float gated = sum_of(row, column) * scale, value = sum_of(row, output_columns + column) * scale;
            *target = from_float<OUTPUT>(gated / (1.f + expf(-gated)) * value);
#endif
        }
#if EPILOGUE == 1
        square = warp_sum(square);
        if (next_x && lane == 0 && text < ROWS) next_squares[column_block * ROWS + text] = square;
#endif
    }
#if EPILOGUE == 2
#pragma unroll
    for (int j = 0; j < lane_kept; j++)
    {
        const int i = first_kept + j * all_threads;
        if (i < kept_end && !stays[j]) token.write(i, keeps[j]);
    }
    for (int i = first_kept + lane_kept * all_threads; i < kept_end; i += all_threads)
        if (!token.stays(i)) token.write(i, token.read(i));
#endif
}
