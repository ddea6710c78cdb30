// y [ROWS, N] = x [ROWS, WIDTH] · Wᵀ for the few rows of a decoding step, whose time is that of reading W. A block has COLUMNS rows of
// W; its warps share the features, each 32 at a time, and their sums are added up at the end in order. W is on its way before the
// kernel that writes x has ended.
//
// NORM: x is the float residual stream, and the product is that of its RMSNorm. The scale of a row is a factor of the sums, known by the
// time they are.
// EPILOGUE: 0 stores floats; 1 adds to floats, the residual stream; 2 is SwiGLU, whose first weight is the gate and second the value;
// along with it the layer's keys and values, which its attention has read by then, become those of the token before.
// SPLITS: x is what so many parts of a window have gathered, joined here by every block for itself, in shared memory.
// More than 16 rows come in float only; decode_batch_product.cu is for those of 16 bits.
#include "decode_kept.cuh"
#include "decode_parts.cuh"
#include "decode_weights.cuh"
#include "packs.cuh"
#include "programmatic.cuh"
#include "tensor_cores.cuh"
#include "warp.cuh"

constexpr int warps = 8, threads = 32 * warps;
constexpr int tile_columns = 8;
constexpr int tiles = COLUMNS / tile_columns;
constexpr int lane_features = 8;                   // Neighbours: 16 bytes of a 16-bit weight.
constexpr int step_features = 4 * lane_features;   // Of a warp at a time: eight rows of W by four lanes.
constexpr int all_steps = (WIDTH + step_features - 1) / step_features;
constexpr int steps = (all_steps + warps - 1) / warps;
constexpr int most_at_once = 12 / (tiles * (int)sizeof(ELEMENT) / 2) > 1 ? 12 / (tiles * (int)sizeof(ELEMENT) / 2) : 1;
constexpr int rounds = (steps + most_at_once - 1) / most_at_once, steps_at_once = (steps + rounds - 1) / rounds;
constexpr int row_tiles = (ROWS + 7) / 8;          // Of 8 rows; the tensor cores take two.
constexpr int least_blocks = ELEMENT_BYTES == 4 ? 1 : ROWS > 8 ? 2 : 3;   // Of a multiprocessor: two kernels overlap.
constexpr int output_columns = EPILOGUE == 2 ? COLUMNS / 2 : COLUMNS;
constexpr int dot_rows = 8;                        // Of x, that one warp multiplies with a row of a decay's weights.
constexpr int line = 128 / sizeof(float);          // Of memory, in floats.
constexpr int kept_width = KEPT_WIDTH > 0 ? KEPT_WIDTH : 1;
constexpr int outputs = (ROWS * output_columns + threads - 1) / threads; // Of a thread.

// The row of a block's tile that a lane reads; past the end the last, which nobody writes.
__device__ __forceinline__ const ELEMENT *weight_row(const Weights &weights, int tile, int lane_row)
{
#if EPILOGUE == 2
    const int n = min((int)blockIdx.x * output_columns + tile / 2 * tile_columns + lane_row, weights.ends[0] - 1);
    return weights.first[tile % 2] + (long long)n * WIDTH;
#else
    return weights.row(blockIdx.x * COLUMNS + tile * tile_columns + lane_row);
#endif
}

// Loads have no branches around them, so that all of them are on their way before the first is waited for: what does not exist reads
// something else. Weights past WIDTH are then multiplied by zeros.
__device__ __forceinline__ int existing(int k) { return min(k, WIDTH - lane_features); }

// Eight neighbours of a row of W as they lie in memory.
struct Raw
{
    static constexpr int count = lane_features * sizeof(ELEMENT) / 16;
    uint4 words[count];

    __device__ __forceinline__ void load(const ELEMENT *source)
    {
#pragma unroll
        for (int i = 0; i < count; i++) words[i] = reinterpret_cast<const uint4 *>(source)[i];
    }
};

// Eight neighbours of a row of x, to be multiplied by a norm's factors or not.
template <class T, bool normed> struct RawInput
{
    static constexpr int count = lane_features * sizeof(T) / 16;
    uint4 words[count];

    __device__ __forceinline__ void load(const T *x, int row, int k)
    {
        x += (long long)min(row, ROWS - 1) * WIDTH + existing(k);
#pragma unroll
        for (int i = 0; i < count; i++) words[i] = reinterpret_cast<const uint4 *>(x)[i];
    }

    // Features that the sum over all of them and the sum of squares are taken of; zeros where there is no such row or feature.
    __device__ __forceinline__ void take(int row, int k, const float *norm, float *values, float &squares) const
    {
#pragma unroll
        for (int i = 0; i < count; i++)
            Pack16<T>::load(reinterpret_cast<const T *>(words + i), values + i * Pack16<T>::count);
#pragma unroll
        for (int i = 0; i < lane_features; i++)
        {
            values[i] = row < ROWS && k < WIDTH ? values[i] : 0.0f;
            if (!normed) continue;
            squares = fmaf(values[i], values[i], squares);
            values[i] *= norm[i];
        }
    }
};

#if SPLITS
// x from the parts of each head.
__device__ __forceinline__ void join_rows(const float *parts, const Stretch *stretches, ELEMENT *x)
{
    constexpr int pack = 4;
    for (int i = threadIdx.x * pack; i < ROWS * WIDTH; i += threads * pack)
    {
        float joined[pack] = {};
        join_parts(parts, stretches, i, joined);
        store(joined, x + i);
    }
}
#endif

// The decays' pre-activations: rows of float weights, which are few, by a warp each. Where a product of 16 bits would round the
// weights, these do not.
__device__ __forceinline__ void decay_rows(const float *x, const float *norm, float epsilon, const float *gate, const float *amplitude,
                                           int heads, float *y, int stride, int warp_index, int lane)
{
    const int head = warp_index % (2 * heads), first_row = warp_index / (2 * heads) * dot_rows;
    const float *weight = head < heads ? gate + (long long)head * WIDTH : amplitude + (long long)(head - heads) * WIDTH;
    if (first_row < ROWS)
        for (int k = lane * line; k < WIDTH; k += 32 * line) prefetch(weight + k, 1);
    wait_for_earlier_kernels();
#pragma unroll 2
    for (int row = first_row; row < min(first_row + dot_rows, ROWS); row++)
    {
        float sum = 0, squares = 0;
#pragma unroll 4
        for (int round = 0; round < (WIDTH + 32 * lane_features - 1) / (32 * lane_features); round++)
        {
            const int k = (round * 32 + lane) * lane_features;
            float values[lane_features], factors[lane_features], norms[lane_features];
            RawInput<float, true> input;
            input.load(x, row, k);
            load(weight + existing(k), factors);
            load(norm + existing(k), norms);
            input.take(row, k, norms, values, squares);
#pragma unroll
            for (int i = 0; i < lane_features; i++) sum = fmaf(values[i], factors[i], sum);
        }
        sum = warp_sum(sum);
        squares = warp_sum(squares);
        sum *= 1.f / sqrtf(squares / WIDTH + epsilon);
        if (lane == 0) y[(long long)row * stride + head] = sum;
    }
}

// y's rows are `stride` apart. After the N columns of the product come 2 `heads` of decays, if any. `kept` and what follows are of a
// KeptToken.
extern "C" __global__ void __launch_bounds__(threads, least_blocks)
decode_product(const INPUT *x, const float *partial, const Stretch *stretches, const float *norm, float epsilon, const ELEMENT *first,
               const ELEMENT *second, const ELEMENT *third, const ELEMENT *fourth, const ELEMENT *fifth, int end_first, int end_second,
               int end_third, int end_fourth, int end_fifth, const float *gate, const float *amplitude, int heads, OUTPUT *y, int stride,
               const float *kept, int kept_stride, ELEMENT *previous_keys, ELEMENT *previous_values, const int *idle)
{
    DYNAMIC_SHARED(shared);
    float *parts = reinterpret_cast<float *>(shared);     // [warps, ROWS, COLUMNS]
    float *squares_of = parts + warps * ROWS * COLUMNS;   // [warps, ROWS]
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const Weights weights = {{first, second, third, fourth, fifth}, {end_first, end_second, end_third, end_fourth, end_fifth}};
    const int columns = EPILOGUE == 2 ? end_first : end_fifth, product_blocks = (columns + output_columns - 1) / output_columns;
    let_next_kernel_begin();
#if EPILOGUE == 0
    if (blockIdx.x >= product_blocks)
    {
        decay_rows(x, norm, epsilon, gate, amplitude, heads, y + columns, stride, (blockIdx.x - product_blocks) * warps + warp, lane);
        return;
    }
#endif

    const ELEMENT *rows[tiles];
#pragma unroll
    for (int tile = 0; tile < tiles; tile++) rows[tile] = weight_row(weights, tile, g);
    // What is not sent for before the wait comes nearer.
#pragma unroll 1
    for (int s = steps_at_once; s < steps; s++)
    {
        const int k = (s * warps + warp) * step_features + t * lane_features;
#pragma unroll
        for (int tile = 0; tile < tiles; tile++)
            prefetch(rows[tile] + existing(k), 1);
    }
    float squares[row_tiles] = {};
#if EPILOGUE == 1
    float before[outputs];
#elif EPILOGUE == 2
    const KeptToken token = {kept, kept_stride, kept_width, previous_keys, previous_values, idle};
    const int first_kept = blockIdx.x * threads + threadIdx.x, kept_end = token.count();
    float keeps;
    bool stays;
#endif
#if ELEMENT_BYTES == 2
    float sums[tiles][4] = {};
#else
    float sums[ROWS][tiles] = {};
#endif
    for (int done = 0; done < steps; done += steps_at_once)
    {
        Raw weight[steps_at_once][tiles];
        float norms[steps_at_once][lane_features];
#pragma unroll
        for (int s = 0; s < steps_at_once; s++)
        {
            const int k = ((done + s) * warps + warp) * step_features + t * lane_features;
#pragma unroll
            for (int tile = 0; tile < tiles; tile++) weight[s][tile].load(rows[tile] + existing(k));
            if (NORM) load(norm + existing(k), norms[s]);
        }
        if (done == 0)
        {
            wait_for_earlier_kernels();
#if EPILOGUE == 1
#pragma unroll
            for (int j = 0; j < outputs; j++)
            {
                const int i = j * threads + threadIdx.x, n = blockIdx.x * output_columns + i % output_columns;
                before[j] = i < ROWS * output_columns && n < columns ? y[(long long)(i / output_columns) * stride + n] : 0.0f;
            }
#elif EPILOGUE == 2
            keeps = first_kept < kept_end ? token.read(first_kept) : 0.0f;
            stays = first_kept < kept_end && token.stays(first_kept);
#endif
#if SPLITS
            ELEMENT *joined = reinterpret_cast<ELEMENT *>(parts);   // Nobody has sums yet.
            join_rows(partial, stretches, joined);
            __syncthreads();
            x = joined;
#endif
        }
#if ELEMENT_BYTES == 2
        RawInput<INPUT, NORM == 1> input[steps_at_once][row_tiles];
#pragma unroll
        for (int s = 0; s < steps_at_once; s++)
        {
            const int k = ((done + s) * warps + warp) * step_features + t * lane_features;
#pragma unroll
            for (int m = 0; m < row_tiles; m++) input[s][m].load(x, m * 8 + g, k);
        }
#endif
#pragma unroll
        for (int s = 0; s < steps_at_once; s++)
        {
            const int k = ((done + s) * warps + warp) * step_features + t * lane_features;
#if ELEMENT_BYTES == 2
            // Sums do not mind the order of features, so a lane's eight neighbours stand where two products of 16 features want theirs.
            float low[lane_features] = {}, high[lane_features] = {};
            input[s][0].take(g, k, norms[s], low, squares[0]);
            if (row_tiles > 1) input[s][row_tiles - 1].take(8 + g, k, norms[s], high, squares[row_tiles - 1]);
#pragma unroll
            for (int half = 0; half < 2; half++)
            {
                const float *l = low + 4 * half, *h = high + 4 * half;
                const unsigned a[4] = {pack2<ELEMENT>(l[0], l[1]), pack2<ELEMENT>(h[0], h[1]), pack2<ELEMENT>(l[2], l[3]),
                                       pack2<ELEMENT>(h[2], h[3])};
#pragma unroll
                for (int tile = 0; tile < tiles; tile++)
                {
                    const uint4 words = weight[s][tile].words[0];
                    mma_16x8x16<ELEMENT>(sums[tile], a, half ? words.z : words.x, half ? words.w : words.y);
                }
            }
#else
            // Lane (g, t): row g of W, for every row of x; the same squares by all g.
            float factors[tiles][lane_features];
#pragma unroll
            for (int tile = 0; tile < tiles; tile++)
#pragma unroll
                for (int i = 0; i < lane_features; i++)
                {
                    const uint4 words = weight[s][tile].words[i / 4];
                    factors[tile][i] = __uint_as_float(i % 4 == 0 ? words.x : i % 4 == 1 ? words.y : i % 4 == 2 ? words.z : words.w);
                }
#pragma unroll
            for (int row = 0; row < ROWS; row++)
            {
                float values[lane_features], unused = 0;
                RawInput<INPUT, NORM == 1> input;
                input.load(x, row, k);
                input.take(row, k, norms[s], values, row % 8 == g ? squares[row / 8] : unused);
#pragma unroll
                for (int tile = 0; tile < tiles; tile++)
#pragma unroll
                    for (int i = 0; i < lane_features; i++) sums[row][tile] = fmaf(values[i], factors[tile][i], sums[row][tile]);
            }
#endif
        }
    }

    // To shared memory, where joined parts lay: a warp's sums over its features.
    if (SPLITS) __syncthreads();
    float *part = parts + warp * ROWS * COLUMNS;
#if ELEMENT_BYTES == 2
#pragma unroll
    for (int tile = 0; tile < tiles; tile++)
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            const int row = i / 2 * 8 + g;
            if (row < ROWS) part[row * COLUMNS + tile * tile_columns + 2 * t + i % 2] = sums[tile][i];
        }
#else
#pragma unroll
    for (int row = 0; row < ROWS; row++)
#pragma unroll
        for (int tile = 0; tile < tiles; tile++)
        {
            float sum = sums[row][tile];
            sum += __shfl_xor_sync(all_lanes, sum, 1);
            sum += __shfl_xor_sync(all_lanes, sum, 2);
            if (t == 0) part[row * COLUMNS + tile * tile_columns + g] = sum;
        }
#endif
#if NORM
#pragma unroll
    for (int m = 0; m < row_tiles; m++)
    {
        float sum = squares[m];
        sum += __shfl_xor_sync(all_lanes, sum, 1);
        sum += __shfl_xor_sync(all_lanes, sum, 2);
        if (t == 0 && m * 8 + g < ROWS) squares_of[warp * ROWS + m * 8 + g] = sum;
    }
#endif
    __syncthreads();

#pragma unroll
    for (int j = 0; j < outputs; j++)
    {
        const int i = j * threads + threadIdx.x;
        const int row = i / output_columns, column = i % output_columns, n = blockIdx.x * output_columns + column;
        if (row >= ROWS || n >= columns) continue;
        float scale = 1;
#if NORM
        float all = 0;
#pragma unroll
        for (int w = 0; w < warps; w++) all += squares_of[w * ROWS + row];
        scale = 1.f / sqrtf(all / WIDTH + epsilon);
#endif
        const auto sum_of = [&](int c) {
            float sum = 0;
#pragma unroll
            for (int w = 0; w < warps; w++) sum += parts[(w * ROWS + row) * COLUMNS + c];
            return sum * scale;
        };
        OUTPUT *target = y + (long long)row * stride + n;
#if EPILOGUE == 2
        const int c = column / tile_columns * 2 * tile_columns + column % tile_columns;
        const float gated = sum_of(c), value = sum_of(c + tile_columns);
        *target = from_float<OUTPUT>(gated / (1.f + expf(-gated)) * value);
#elif EPILOGUE == 1
        *target = sum_of(column) + before[j];
#else
        *target = sum_of(column);
#endif
    }
#if EPILOGUE == 2
    for (int i = first_kept; i < kept_end; i += gridDim.x * threads)
    {
        if (i == first_kept ? stays : token.stays(i)) continue;
        token.write(i, i == first_kept ? keeps : token.read(i));
    }
#endif
}
