// The phases of decode_text.cu along the residual stream: all but attention. Each waits for its room and for what others have published,
// multiplies it with the block's rows, and publishes in turn. Warps share the features, and a thread a row adds up what they have.
#pragma once
#include "decode_text_block.cuh"

struct Stream : Block
{
    using Features = float[Slice<WIDTH>::most][lane_features_of_step];   // A lane's of a vector [WIDTH].

    const Slice<WIDTH> slice;
    float *const vector;         // Where the warp's words come.
    const float *const table;    // [V, WIDTH]
    const bool has_stream;       // Whether the thread has an element of x, whose rows of output and value it adds up.
    const int stream_feature;
    float own;                   // That element.
    int turn;                    // Which of the two `sums` and `squares`.

    __device__ __forceinline__ Stream(const Block &block, const float *table)
        : Block(block), vector(shared.vector[warp]), table(table), has_stream((int)threadIdx.x < stream_share.count),
          stream_feature(stream_share.first + threadIdx.x), turn(0)
    {
        own = has_stream ? embedded(stream_feature) : 0.0f;
    }

    // x, its norm and the projections. A decay's rows of float weights are few: the block that wants them computes them.
    __device__ __forceinline__ void project(int index)
    {
        Features x, norm_factors;
        await_room(projections, index);
        load_factors(reinterpret_cast<const float *>(rooms + projection_norm_at), norm_factors);
        if (index == 0)
        {
#pragma unroll
            for (int s = 0; s < Slice<WIDTH>::most; s++)
#pragma unroll
                for (int i = 0; i < lane_features_of_step; i++) x[s][i] = embedded(slice.existing(s) + i);
        }
        else await_stream(exchange->stream[copy()], tag_of(index) - 1, x);
        const Factors<WIDTH> factors = normed(x, norm_factors);
        if (GATED && unit.has_slot()) multiply_decays(x);
        multiply<projection_rows, WIDTH>(rooms, projection_share.count, slice, factors, shared.sums[turn][warp]);
        sync();
        if ((int)threadIdx.x < projection_share.count)
        {
            const float sum = sum_of(threadIdx.x) * norm_scale();
            publish(&exchange->projections[projection_share.first + threadIdx.x], __float_as_uint(sum), tag_of(index));
        }
        release(projections);
        if (GATED && unit.has_slot() && warp == 1 && lane < 2 * unit.head_count()) join_decay_products();
        turn ^= 1;
    }

    // The parts of attention, joined, through the output projection to x.
    __device__ __forceinline__ void add_output(int index)
    {
        await_room(output, index);
        const int from_head = slice.first * step_features / HEAD_SIZE;
        constexpr int head_words = SPLITS * part_words;
        const int words = slice.count == 0 ? 0 : min(slice_heads, QUERY_HEADS - from_head) * head_words;
        await_words<slice_heads * head_words>(exchange->parts[copy()] + from_head * head_words, words, tag_of(index), shared.parts[warp]);
        Factors<WIDTH> factors;
#pragma unroll
        for (int s = 0; s < Slice<WIDTH>::most; s++)
        {
            const int feature = slice.exists(s) ? slice.feature(s) : slice.first * step_features;
            float joined[lane_features_of_step] = {};
            if (slice.exists(s)) join(shared.parts[warp] + (feature / HEAD_SIZE - from_head) * head_words, feature % HEAD_SIZE, joined);
            factors.set(s, joined);
        }
        multiply<stream_rows, WIDTH>(rooms + ROOM_OUTPUT, stream_share.count, slice, factors, shared.sums[turn][warp]);
        add_to_stream(output, exchange->middle, tag_of(index));
    }

    // x, its norm, SwiGLU.
    __device__ __forceinline__ void pass_gate(int index)
    {
        Features x, norm_factors;
        await_room(gate, index);
        load_factors(reinterpret_cast<const float *>(rooms + ROOM_GATE + gate_norm_at), norm_factors);
        await_stream(exchange->middle[copy()], tag_of(index), x);
        const Factors<WIDTH> factors = normed(x, norm_factors);
        multiply<2 * hidden_rows, WIDTH>(rooms + ROOM_GATE, 2 * hidden_rows, slice, factors, shared.sums[turn][warp]);
        sync();
        if ((int)threadIdx.x < pair_share.count)
        {
            const float scale = norm_scale();
            float values[2];
#pragma unroll
            for (int i = 0; i < 2; i++)
            {
                const int row = 2 * threadIdx.x + i;
                const float gated = sum_of(row) * scale;
                values[i] = gated * fast_sigmoid(gated) * (sum_of(hidden_rows + row) * scale);
            }
            publish_copies(exchange->hidden, pair_share.first + threadIdx.x, pack2<ELEMENT>(values[0], values[1]), tag_of(index));
        }
        release(gate);
        turn ^= 1;
    }

    // The way back from the feed-forward to x.
    __device__ __forceinline__ void add_value(int index)
    {
        const Slice<HIDDEN> hidden_slice;
        await_room(value, index);
        const int first = hidden_slice.first * step_features / 2;
        await_words<Slice<HIDDEN>::most * step_features / 2>(
            exchange->hidden[copy()] + first, min(hidden_slice.count * step_features / 2, hidden_pairs - first), tag_of(index), vector);
        Factors<HIDDEN> factors;
#pragma unroll
        for (int s = 0; s < Slice<HIDDEN>::most; s++)
        {
            const uint4 words = *reinterpret_cast<const uint4 *>(vector + (s * step_features + lane % 4 * lane_features_of_step) / 2);
            factors.words[s] = lane < 4 && hidden_slice.exists(s) ? words : make_uint4(0, 0, 0, 0);
        }
        multiply<stream_rows, HIDDEN>(rooms + ROOM_VALUE, stream_share.count, hidden_slice, factors, shared.sums[turn][warp]);
        add_to_stream(value, exchange->stream, tag_of(index));
    }

    // The last norm and the block's rows of the vocabulary, by tiles of 16. y [V].
    __device__ __forceinline__ void score(const float *norm, float *y)
    {
        Features x, norm_factors;
        load_factors(norm, norm_factors);
        await_stream(exchange->stream[copy()], tag_of(layers - 1), x);
        const Factors<WIDTH> factors = normed(x, norm_factors);
        sync();
        const float scale = norm_scale();
        for (int tile = 0; tile < vocabulary_tiles(); tile++)
        {
            const int slot = tile % SLOTS, rows = min(tile_rows, vocabulary_share.count - tile * tile_rows);
            barrier_wait(&shared.slot_full[slot], tile / SLOTS % 2);
            multiply<tile_rows, WIDTH, WIDTH * 2>(rooms + slot * slot_bytes, rows, slice, factors, shared.sums[turn][warp]);
            sync();
            if (threadIdx.x == 0) barrier_arrive(&shared.slot_empty[slot]);
            if ((int)threadIdx.x < rows) y[vocabulary_share.first + tile * tile_rows + threadIdx.x] = sum_of(threadIdx.x) * scale;
            turn ^= 1;
        }
    }

private:
    // A token that nobody knows gives no numbers.
    __device__ __forceinline__ float embedded(int i) const
    {
        const bool is_known = (unsigned)place.token < (unsigned)vocabulary;
        return is_known ? table[(long long)place.token * WIDTH + i] : __uint_as_float(0x7fffffffu);
    }

    // Over the warps, behind a sync.
    __device__ __forceinline__ float sum_of(int row) const
    {
        float sum = 0;
#pragma unroll
        for (int w = 0; w < warps; w++) sum += shared.sums[turn][w][row];
        return sum;
    }
    __device__ __forceinline__ float norm_scale() const
    {
        float sum = 0;
#pragma unroll
        for (int w = 0; w < warps; w++) sum += shared.squares[turn][w];
        return rsqrtf(fmaf(sum, 1.f / WIDTH, epsilon));
    }

    __device__ __forceinline__ void load_factors(const float *norm_factors, Features &factors) const
    {
#pragma unroll
        for (int s = 0; s < Slice<WIDTH>::most; s++) load(norm_factors + slice.existing(s), factors[s]);
    }

    // x becomes x with a norm's factors; its squares go to the others. The scale, which is known later, is the sums' factor.
    __device__ __forceinline__ Factors<WIDTH> normed(Features &x, const Features &factors) const
    {
        Factors<WIDTH> result;
        float squares[2] = {};
#pragma unroll
        for (int s = 0; s < Slice<WIDTH>::most; s++)
        {
#pragma unroll
            for (int i = 0; i < lane_features_of_step; i++)
            {
                const float feature = slice.exists(s) ? x[s][i] : 0.0f;
                squares[i % 2] = fmaf(feature, feature, squares[i % 2]);
                x[s][i] = feature * factors[s][i];
            }
            result.set(s, x[s]);
        }
        float sum = squares[0] + squares[1];
        sum += __shfl_xor_sync(all_lanes, sum, 1);
        sum += __shfl_xor_sync(all_lanes, sum, 2);
        if (lane == 0) shared.squares[turn][warp] = sum;
        return result;
    }

    // A lane's features of x, by way of shared memory.
    __device__ __forceinline__ void await_stream(const uint2 *pairs, unsigned tag, Features &x) const
    {
        const int first = slice.first * step_features;
        await_words<slice_features>(pairs + first, min(slice.count * step_features, WIDTH - first), tag, vector);
#pragma unroll
        for (int s = 0; s < Slice<WIDTH>::most; s++)
            load(vector + s * step_features + lane % 4 * lane_features_of_step, x[s]);   // What does not exist is anything.
    }

    // A row's sum of either addition to x, which all blocks want to know then.
    __device__ __forceinline__ void add_to_stream(Phase phase, uint2 (*target)[WIDTH], unsigned tag)
    {
        sync();
        if (has_stream)
        {
            own += sum_of(threadIdx.x);
            publish_copies(target, stream_feature, __float_as_uint(own), tag);
        }
        release(phase);
        turn ^= 1;
    }

    // Four lanes a row of the unit's heads: gates, then amplitudes.
    __device__ __forceinline__ void multiply_decays(const Features &x) const
    {
        const int row = lane / 4;
        float sum = 0;
#pragma unroll
        for (int s = 0; s < Slice<WIDTH>::most; s++)
        {
            float weights[lane_features_of_step];
            load(reinterpret_cast<const float *>(rooms + decay_rows_at) + min(row, 2 * unit.head_count() - 1) * WIDTH + slice.existing(s),
                 weights);
#pragma unroll
            for (int i = 0; i < lane_features_of_step; i++) sum = fmaf(x[s][i], weights[i], sum);
        }
        sum += __shfl_xor_sync(all_lanes, sum, 1);
        sum += __shfl_xor_sync(all_lanes, sum, 2);
        if (lane % 4 == 0) shared.decays[warp][row] = sum;
    }
    __device__ __forceinline__ void join_decay_products() const
    {
        float sum = 0;
#pragma unroll
        for (int w = 0; w < warps; w++) sum += shared.decays[w][lane];
        const int heads = unit.head_count();
        shared.projections[projected + lane / heads * QUERY_HEADS + unit.first_head() + lane % heads] = sum * norm_scale();
    }

    // Eight neighbours of a head, of the parts [SPLITS, part_words] of its window, newest first.
    __device__ __forceinline__ void join(const float *parts, int feature, float (&joined)[lane_features_of_step]) const
    {
        float factor[SPLITS], highest = minus_infinity(), decay = 0, all = 0;
#pragma unroll
        for (int i = 0; i < SPLITS; i++)
        {
            factor[i] = parts[i * part_words + highest_at] - decay;
            decay += parts[i * part_words + decay_at];
            highest = fmaxf(highest, factor[i]);
        }
#pragma unroll
        for (int i = 0; i < SPLITS; i++)
        {
            factor[i] = weight_of(factor[i], highest);
            all = fmaf(factor[i], parts[i * part_words + weight_at], all);
        }
        const float share = __fdividef(1.f, all);
#pragma unroll
        for (int i = 0; i < SPLITS; i++)
        {
            float values[lane_features_of_step];
            load(parts + i * part_words + feature, values);
#pragma unroll
            for (int j = 0; j < lane_features_of_step; j++) joined[j] = fmaf(factor[i] * share, values[j], joined[j]);
        }
    }
};
