// One token of one text through all layers, from its embedding to the scores of the next, in one launch. One text is so little work that
// kernels would spend their time on beginning and ending: here each block, one a multiprocessor, has its rows of every matrix, and blocks
// hand one another what they have computed (exchange.cuh): five times a layer, all of them to all of them.
//
// Shared memory has a room for what a block reads of each phase: its rows of weights, its part of the ring. As soon as a phase has read its
// room, a warp of its own sends for the next layer's, so that all of memory's time is beside the waiting. After the last layer the rooms
// are slots for the rows of the vocabulary.
//
// A layer:
//   projections  x, its norm and the rows of query, key, value and the shifts' mixes. A decay's rows of float weights are few: the block
//                that wants them computes them.
//   attention    by some of the blocks: a unit is a key head's slice of query heads over a part of the window, a tile of 32 keys a warp.
//                The newest part makes the ring's newest slot.
//   output       joins the parts, multiplies, adds to x.
//   gate         x, its norm, SwiGLU.
//   value        multiplies, adds to x.
// The text is where its cursor says; the last block to be done moves it on.
//
// Defines: ELEMENT, BLOCKS, WIDTH, HIDDEN, QUERY_HEADS, KEY_HEADS, HEAD_SIZE, HEADS (of a slice), SPLITS (of a window), SHIFTED, NORM, ROTARY, GATED, SLOTS, and where the rooms begin: ROOM_ RING, OUTPUT, GATE, VALUE, END, TABLE.
#include "decode_share.cuh"
#include "decode_token.cuh"
#include "exchange.cuh"
#include "hopper.cuh"
#include "ring_walk.cuh"
#include "stretch.cuh"

constexpr int mixes = SHIFTED ? 2 * KEY_HEADS : 0, projected = query_width + 2 * key_width + mixes, decayed = GATED ? 2 * QUERY_HEADS : 0;
constexpr int group = QUERY_HEADS / KEY_HEADS, slices = quotient(group, HEADS), units = KEY_HEADS * slices * SPLITS;
constexpr int keys = warps * tile_keys;   // Of a unit.
constexpr int part_words = HEAD_SIZE + 4, all_part_words = QUERY_HEADS * SPLITS * part_words;   // Sums; decay, highest score, weight.
constexpr int hidden_pairs = HIDDEN / 2;

// Rows of a block, at most.
constexpr int projection_rows = quotient(projected, BLOCKS), stream_rows = quotient(WIDTH, BLOCKS);
constexpr int hidden_rows = 2 * quotient(hidden_pairs, BLOCKS);
constexpr int most_of(int a, int b) { return a > b ? a : b; }
constexpr int most_rows = quotient(most_of(most_of(projection_rows, stream_rows), 2 * hidden_rows), tile_rows) * tile_rows;

enum Phase { projections, attention, output, gate, value, phases };

// A layer's parameters and memory, as the host lists them.
struct Layer
{
    const float *attention_norm;
    const ELEMENT *projections[5];             // Query, key, value, key shift, value shift.
    const float *decay_gate, *decay_amplitude; // [QUERY_HEADS, WIDTH]
    const float *bias, *query_norm, *key_norm;
    const ELEMENT *output;                     // [WIDTH, query_width]
    const float *feed_forward_norm;
    const ELEMENT *gate, *value, *down;        // [HIDDEN, WIDTH] twice, [WIDTH, HIDDEN]
    ELEMENT *keys, *values;                    // [KEY_HEADS, capacity, HEAD_SIZE]
    float *alpha;                              // [QUERY_HEADS, capacity]
    ELEMENT *previous_keys, *previous_values;  // [key_width]
};

// What blocks tell one another: (word, tag) pairs. A tag is of a step and a layer, so that what lies there from before is not taken for
// what is to come. Nobody is so far ahead that it writes what another has still to read: every block has rows of `gate`, which it
// publishes after having read all that came before, and needs all of those for what follows.
// What all blocks read there are copies of, each for some of them: a line of memory can be asked only so often.
constexpr int copies = 4;
struct Exchange
{
    uint2 projections[quotient(projected, 2) * 2];
    uint2 parts[copies][all_part_words];   // Of a head and split.
    uint2 middle[copies][WIDTH];           // x after attention.
    uint2 hidden[copies][hidden_pairs];    // Two elements a word.
    uint2 stream[copies][WIDTH];           // x after a layer.
    unsigned step;
};

// The heads that a warp's features may be of.
constexpr int slice_features = Slice<WIDTH>::most * step_features, slice_heads = quotient(slice_features - 1, HEAD_SIZE) + 1;

struct __align__(16) Shared
{
    float sums[2][warps][most_rows];   // Of two phases by turns: one is read while the next is written.
    float squares[2][warps], decays[warps][8];
    __align__(16) float vector[warps][most_of(slice_features, Slice<HIDDEN>::most * step_features / 2)];
    __align__(16) float parts[warps][slice_heads * SPLITS * part_words];
    __align__(16) float projections[projected + decayed];
    __align__(16) float query[HEADS][HEAD_SIZE];
    __align__(16) float outputs[warps][HEADS][HEAD_SIZE];
    float highest[warps][HEADS], weight[warps][HEADS];
    double alphas[warps][HEADS];
    float newest_alpha[HEADS], bias[HEADS], angles[HEAD_SIZE], query_squares[warps], key_squares[warps];
    Barrier full[phases], empty[phases], slot_full[SLOTS], slot_empty[SLOTS];
};

// Words from pairs to shared memory, as soon as they are there, by a warp: an even number.
template <int most> __device__ __forceinline__ void await_words(const uint2 *pairs, int count, unsigned tag, float *target)
{
    constexpr int loads = quotient(most / 2, 32);
    if (count <= 0) return;
    const uint4 *sources[loads];
    uint2 words[loads];
#pragma unroll
    for (int i = 0; i < loads; i++)
        sources[i] = reinterpret_cast<const uint4 *>(pairs) + min(i * 32 + (int)threadIdx.x % 32, count / 2 - 1);
    await_pairs(sources, tag, words);
#pragma unroll
    for (int i = 0; i < loads; i++)
        reinterpret_cast<uint2 *>(target)[min(i * 32 + (int)threadIdx.x % 32, count / 2 - 1)] = words[i];
    __syncwarp();
}

template <int size> __device__ __forceinline__ void publish_copies(uint2 (*pairs)[size], int index, unsigned word, unsigned tag)
{
#pragma unroll
    for (int i = 0; i < copies; i++) publish(&pairs[i][index], word, tag);
}

// For lane i: the sum over the lanes before it, and over all in `total`.
__device__ __forceinline__ double sum_before(double x, double &total)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int step = 1; step < 32; step <<= 1)
    {
        const double other = __shfl_up_sync(all_lanes, x, step);
        if (lane >= step) x += other;
    }
    total = __shfl_sync(all_lanes, x, 31);
    x = __shfl_up_sync(all_lanes, x, 1);
    return lane == 0 ? 0 : x;
}

// The unit of attention that a block is.
struct Unit
{
    int split, slice, key_head;
    bool exists;

    __device__ __forceinline__ Unit()
        : split(blockIdx.x % SPLITS), slice(blockIdx.x / SPLITS % slices), key_head(blockIdx.x / (SPLITS * slices)), exists(blockIdx.x < units)
    {
    }
    __device__ __forceinline__ int first_head() const { return key_head * group + slice * HEADS; }
    __device__ __forceinline__ int head_count() const { return min(HEADS, group - slice * HEADS); }
    __device__ __forceinline__ bool has_slot() const { return exists && split == 0; }
};

// How a warp reads its keys: 16 bytes a lane, of several keys at once, as many reads as lanes share a key.
constexpr int power_of_two(int at_least)
{
    int power = 1;
    while (power < at_least) power *= 2;
    return power;
}
constexpr int pack = 8, key_lanes = power_of_two(HEAD_SIZE / pack), keys_per_read = 32 / key_lanes, reads = key_lanes;

// The sums of values[i] over `lanes` neighbouring lanes: lane i of them gets the i-th.
template <int lanes> __device__ __forceinline__ float sums_of_lanes(float (&values)[lanes])
{
#pragma unroll
    for (int step = lanes / 2; step > 0; step /= 2)
    {
        const bool upper = threadIdx.x & step;
#pragma unroll
        for (int i = 0; i < step; i++)
        {
            const float own = upper ? values[i + step] : values[i], others = upper ? values[i] : values[i + step];
            values[i] = own + __shfl_xor_sync(all_lanes, others, step);
        }
    }
    return values[0];
}

template <bool constant> struct Constant { static constexpr bool value = constant; };

__device__ __forceinline__ float fast_sigmoid(float x) { return __fdividef(1.f, 1.f + __expf(-x)); }

// Rooms. Rows first, then a norm's factors, then (projections) the decay's rows of the unit's heads.
constexpr int width_pitch = pitch_of(WIDTH), hidden_pitch = pitch_of(HIDDEN);
constexpr int projection_norm_at = projection_rows * width_pitch, decay_rows_at = projection_norm_at + WIDTH * 4;
constexpr int gate_norm_at = 2 * hidden_rows * width_pitch;
constexpr int values_at = keys * HEAD_SIZE * 2, query_norm_at = 2 * values_at, key_norm_at = query_norm_at + HEADS * HEAD_SIZE * 4;
constexpr int previous_value_at = key_norm_at + HEAD_SIZE * 4, previous_keys_at = previous_value_at + HEAD_SIZE * 2;
constexpr int slot_bytes = tile_rows * WIDTH * 2;
static_assert(decay_rows_at + (GATED ? 2 * HEADS * WIDTH * 4 : 0) <= ROOM_RING, "projections");
static_assert(previous_keys_at + key_width * 2 <= ROOM_OUTPUT - ROOM_RING, "ring");
static_assert(stream_rows * width_pitch <= ROOM_GATE - ROOM_OUTPUT, "output");
static_assert(gate_norm_at + WIDTH * 4 <= ROOM_VALUE - ROOM_GATE, "gate");
static_assert(stream_rows * hidden_pitch <= ROOM_END - ROOM_VALUE, "value");
static_assert(SLOTS * slot_bytes <= ROOM_END, "slots");
static_assert(sizeof(Shared) <= ROOM_TABLE - ROOM_END, "what phases share");

extern "C" __global__ void __launch_bounds__(threads + 32, 1)
decode_text(const int *tokens, int known_token, const float *table, const ELEMENT *head, int vocabulary, const float *norm, float epsilon,
            float decay_epsilon, float scale_log2, const Layer *layer_list, int layers, const double *frequencies, long long *positions,
            int2 *cursors, const int *idle, int capacity, Exchange *exchange, float *y)
{
    DYNAMIC_SHARED(rooms);
    Layer *const of_layers = reinterpret_cast<Layer *>(rooms + ROOM_TABLE);
    Shared &shared = *reinterpret_cast<Shared *>(rooms + ROOM_END);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, t = lane % 4;

    // Where the text is once this token has come.
    overlap();
    const int token = tokens ? tokens[0] : known_token;
    const long long position = positions[0];
    const bool is_idle = idle[0] != 0;
    int2 cursor = cursors[0];
    if (!is_idle) cursor = make_int2((cursor.x + 1) % capacity, min(cursor.y + 1, capacity));
    const unsigned first_tag = exchange->step * layers + 1;

    const Unit unit;
    const int first_age = unit.split * keys, age_count = max(0, min(keys, cursor.y - first_age));
    const Share projection_share(projected), stream_share(WIDTH), pair_share(hidden_pairs), vocabulary_share(vocabulary);
    const int tiles = quotient(vocabulary_share.count, tile_rows);
    const Slice<WIDTH> slice;

    // ---- What the ninth warp sends for ---------------------------------------------------------------------------------------

    const auto send_rows = [&](unsigned char *room, int pitch, const ELEMENT *matrix, int features, int rows, Barrier *full) {
        for (int i = lane; i < rows; i += 32) copy_bytes_once(room + i * pitch, matrix + (long long)i * features, features * 2, full);
    };
    const auto send = [&](Phase phase, int index) {
        const Layer &layer = of_layers[index];
        Barrier *full = &shared.full[phase];
        const auto expect = [&](int bytes) {
            if (lane == 0) barrier_arrive_expect(full, bytes);
            __syncwarp();
        };
        switch (phase)
        {
        case projections:
        {
            const int heads = GATED && unit.has_slot() ? unit.head_count() : 0;
            expect(projection_share.count * WIDTH * 2 + WIDTH * 4 + heads * 2 * WIDTH * 4);
            for (int i = lane; i < projection_share.count; i += 32)
            {
                int row = projection_share.first + i, matrix = 0;
                const int rows[5] = {query_width, key_width, key_width, KEY_HEADS, KEY_HEADS};
#pragma unroll
                for (int m = 0; m < 4; m++)
                {
                    if (matrix < m || row < rows[m]) continue;
                    row -= rows[m];
                    matrix = m + 1;
                }
                copy_bytes_once(rooms + i * width_pitch, layer.projections[matrix] + (long long)row * WIDTH, WIDTH * 2, full);
            }
            if (lane == 0) copy_bytes_once(rooms + projection_norm_at, layer.attention_norm, WIDTH * 4, full);
            for (int i = lane; i < 2 * heads; i += 32)
            {
                const float *weights = i < heads ? layer.decay_gate : layer.decay_amplitude;
                copy_bytes_once(rooms + decay_rows_at + i * WIDTH * 4, weights + (long long)(unit.first_head() + i % heads) * WIDTH, WIDTH * 4,
                                full);
            }
            break;
        }
        case attention:
        {
            // The newest slot is still to be made.
            const bool makes = unit.has_slot();
            const int count = max(age_count - makes, 0), bytes = HEAD_SIZE * 2, heads = unit.head_count();
            const SlotRun run = slots_of_ages(first_age + makes, count, cursor.x, capacity);
            unsigned char *room = rooms + ROOM_RING;
            expect(count * 2 * bytes + (NORM ? (heads + makes) * HEAD_SIZE * 4 : 0) + (SHIFTED && makes ? (key_width + HEAD_SIZE) * 2 : 0));
            if (lane < 4 && count > 0)
            {
                const ELEMENT *source = (lane % 2 == 0 ? layer.keys : layer.values) + (long long)unit.key_head * capacity * HEAD_SIZE;
                unsigned char *target = room + lane % 2 * values_at + (keys - age_count) * bytes;
                if (lane < 2) copy_bytes(target, source + (long long)run.first * HEAD_SIZE, run.count * bytes, full);
                else if (count > run.count) copy_bytes(target + run.count * bytes, source, (count - run.count) * bytes, full);
            }
            if (NORM && lane == 4)
                copy_bytes(room + query_norm_at, layer.query_norm + unit.first_head() * HEAD_SIZE, heads * HEAD_SIZE * 4, full);
            if (NORM && makes && lane == 5) copy_bytes(room + key_norm_at, layer.key_norm + unit.key_head * HEAD_SIZE, HEAD_SIZE * 4, full);
            if (SHIFTED && makes && lane == 6)
                copy_bytes(room + previous_value_at, layer.previous_values + unit.key_head * HEAD_SIZE, HEAD_SIZE * 2, full);
            if (SHIFTED && makes && lane == 7) copy_bytes(room + previous_keys_at, layer.previous_keys, key_width * 2, full);
            break;
        }
        case output:
            expect(stream_share.count * WIDTH * 2);
            send_rows(rooms + ROOM_OUTPUT, width_pitch, layer.output + (long long)stream_share.first * WIDTH, WIDTH, stream_share.count, full);
            break;
        case gate:
        {
            const int rows = 2 * pair_share.count;
            const long long first = 2ll * pair_share.first * WIDTH;
            expect(2 * rows * WIDTH * 2 + WIDTH * 4);
            send_rows(rooms + ROOM_GATE, width_pitch, layer.gate + first, WIDTH, rows, full);
            send_rows(rooms + ROOM_GATE + hidden_rows * width_pitch, width_pitch, layer.value + first, WIDTH, rows, full);
            if (lane == 0) copy_bytes_once(rooms + ROOM_GATE + gate_norm_at, layer.feed_forward_norm, WIDTH * 4, full);
            break;
        }
        default:
            expect(stream_share.count * HIDDEN * 2);
            send_rows(rooms + ROOM_VALUE, hidden_pitch, layer.down + (long long)stream_share.first * HIDDEN, HIDDEN, stream_share.count, full);
            break;
        }
    };

    // The first tiles of the vocabulary go where the last layer's phases have read their rooms.
    const auto bring = [&] {
        for (int index = 0; index < layers; index++)
            for (int phase = 0; phase < phases; phase++)
            {
                if (phase == attention && !unit.exists) continue;
                if (index > 0) barrier_wait(&shared.empty[phase], (index - 1) % 2);
                send((Phase)phase, index);
            }
        constexpr int rooms_at[] = {0, ROOM_RING, ROOM_OUTPUT, ROOM_GATE, ROOM_VALUE};
        int free = 0;
        for (int tile = 0; tile < tiles; tile++)
        {
            const int slot = tile % SLOTS, first = tile * tile_rows, bytes = min(tile_rows, vocabulary_share.count - first) * WIDTH * 2;
            if (tile >= SLOTS) barrier_wait(&shared.slot_empty[slot], (tile / SLOTS - 1) % 2);
            for (; free < phases && rooms_at[free] < (slot + 1) * slot_bytes; free++)
                if (free != attention || unit.exists) barrier_wait(&shared.empty[free], (layers - 1) % 2);
            if (lane != 0) continue;
            barrier_arrive_expect(&shared.slot_full[slot], bytes);
            copy_bytes_once(rooms + slot * slot_bytes, head + (vocabulary_share.first + (long long)first) * WIDTH, bytes,
                            &shared.slot_full[slot]);
        }
    };

    // ---- The beginning --------------------------------------------------------------------------------------------------------

    if (threadIdx.x == 0)
    {
#pragma unroll
        for (int i = 0; i < phases; i++)
        {
            barrier_init(&shared.full[i], 1);
            barrier_init(&shared.empty[i], 1);
        }
#pragma unroll
        for (int i = 0; i < SLOTS; i++)
        {
            barrier_init(&shared.slot_full[i], 1);
            barrier_init(&shared.slot_empty[i], 1);
        }
        barrier_init_fence();
    }
    for (int i = threadIdx.x; i < layers * (int)(sizeof(Layer) / 8); i += threads + 32)
        reinterpret_cast<unsigned long long *>(of_layers)[i] = reinterpret_cast<const unsigned long long *>(layer_list)[i];
    // What lies past a text's oldest key weighs nothing, but must be numbers.
    if (unit.exists && age_count < keys)
    {
        for (int i = threadIdx.x; i < query_norm_at / 16; i += threads + 32)
            reinterpret_cast<uint4 *>(rooms + ROOM_RING)[i] = make_uint4(0, 0, 0, 0);
        fence_shared_async();
    }
    __syncthreads();
    if (warp == warps)
    {
        bring();
        return;
    }
    const auto sync = [] { group_sync(1, threads); };
    const auto release = [&](Phase phase) {
        if (threadIdx.x == 0) barrier_arrive(&shared.empty[phase]);
    };
    if (unit.exists && ROTARY)
        for (int j = threadIdx.x; j < half; j += threads)
        {
            double sine, cosine;
            sincos((double)position * frequencies[j], &sine, &cosine);
            shared.angles[j] = (float)cosine;
            shared.angles[half + j] = (float)sine;
        }

    // ---- What phases share ------------------------------------------------------------------------------------------------------

    int turn = 0;
    const auto sum_of = [&](int row) {
        float sum = 0;
#pragma unroll
        for (int w = 0; w < warps; w++) sum += shared.sums[turn][w][row];
        return sum;
    };
    const auto norm_scale = [&] {
        float sum = 0;
#pragma unroll
        for (int w = 0; w < warps; w++) sum += shared.squares[turn][w];
        return rsqrtf(fmaf(sum, 1.f / WIDTH, epsilon));
    };
    const auto load_factors = [&](const float *norm_factors, float (&factors)[Slice<WIDTH>::most][lane_features_of_step]) {
#pragma unroll
        for (int s = 0; s < Slice<WIDTH>::most; s++) load(norm_factors + slice.existing(s), factors[s]);
    };
    // x becomes x with a norm's factors; its squares go to the others.
    const auto normed = [&](float (&x)[Slice<WIDTH>::most][lane_features_of_step],
                            const float (&factors)[Slice<WIDTH>::most][lane_features_of_step]) {
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
    };
    // A warp's features of a vector of words, `features` a word: then they are in shared.vector[warp], the first at 0.
    const int copy = blockIdx.x % copies;
    float *const vector = shared.vector[warp];
    const auto await_stream = [&](const uint2 *pairs, unsigned tag, float (&x)[Slice<WIDTH>::most][lane_features_of_step]) {
        const int first = slice.first * step_features;
        await_words<slice_features>(pairs + first, min(slice.count * step_features, WIDTH - first), tag, vector);
#pragma unroll
        for (int s = 0; s < Slice<WIDTH>::most; s++)
            load(vector + s * step_features + t * lane_features_of_step, x[s]);   // What does not exist is anything.
    };

    // The token's row of the table, of which a thread keeps the element whose row of `output` and `value` it adds up.
    const bool is_known = (unsigned)token < (unsigned)vocabulary;
    const auto embedded = [&](int i) { return is_known ? table[(long long)token * WIDTH + i] : __uint_as_float(0x7fffffffu); };
    const bool has_stream = (int)threadIdx.x < stream_share.count;
    const int stream_feature = stream_share.first + threadIdx.x;
    float own = has_stream ? embedded(stream_feature) : 0.0f;

    // What is known of a unit's decays before its token is: those between its newest age and this lane's, but for the newest's own. They are
    // read while a layer waits for its parts of attention, added up in a warp after that, and over the warps behind a barrier that comes
    // anyway.
    const int part = lane % key_lanes, key_in_read = lane / key_lanes;
    const int age_in_tile = part * keys_per_read + key_in_read;   // Of the key whose score the lane will have.
    const int natural_age = first_age + warp * tile_keys + lane, age = first_age + warp * tile_keys + age_in_tile;
    float alphas[HEADS], bias = 0, decay[HEADS] = {};
    double before[HEADS];
    const auto read_decays = [&](const Layer &layer) {
        if (!GATED || !unit.exists) return;
        const int slot = slot_of_age(natural_age, cursor.x, cursor.y, capacity);
#pragma unroll
        for (int h = 0; h < HEADS; h++)
            alphas[h] = layer.alpha[(long long)(unit.first_head() + min(h, unit.head_count() - 1)) * capacity + slot];
        if ((int)threadIdx.x < unit.head_count()) bias = layer.bias[unit.first_head() + threadIdx.x];
    };
    const auto add_decays = [&] {
        if (!GATED || !unit.exists) return;
#pragma unroll
        for (int h = 0; h < HEADS; h++)
        {
            double total;
            before[h] = sum_before(natural_age > 0 && natural_age < cursor.y ? (double)alphas[h] : 0.0, total);
            if (lane == 0) shared.alphas[warp][h] = total;
        }
        if ((int)threadIdx.x < unit.head_count()) shared.bias[threadIdx.x] = bias;
    };
    const auto join_decays = [&] {
        if (!GATED || !unit.exists) return;
#pragma unroll
        for (int h = 0; h < HEADS; h++)
        {
#pragma unroll
            for (int w = 0; w < warps; w++) before[h] += w < warp ? shared.alphas[w][h] : 0.0;
            decay[h] = __shfl_sync(all_lanes, (float)(before[h] * log2_e), age_in_tile);
        }
    };
    read_decays(of_layers[0]);
    add_decays();
    sync();
    join_decays();

    for (int index = 0; index < layers; index++)
    {
        const Layer &layer = of_layers[index];
        const unsigned tag = first_tag + index, parity = index % 2;

        // ---- Projections ----
        {
            float x[Slice<WIDTH>::most][lane_features_of_step], norm_factors[Slice<WIDTH>::most][lane_features_of_step];
            barrier_wait(&shared.full[projections], parity);
            load_factors(reinterpret_cast<const float *>(rooms + projection_norm_at), norm_factors);
            if (index == 0)
            {
#pragma unroll
                for (int s = 0; s < Slice<WIDTH>::most; s++)
#pragma unroll
                    for (int i = 0; i < lane_features_of_step; i++) x[s][i] = embedded(slice.existing(s) + i);
            }
            else
                await_stream(exchange->stream[copy], tag - 1, x);
            const auto factors = normed(x, norm_factors);
            if (GATED && unit.has_slot())
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
                if (t == 0) shared.decays[warp][row] = sum;
            }
            multiply<projection_rows, WIDTH>(rooms, projection_share.count, slice, factors, shared.sums[turn][warp]);
            sync();
            if ((int)threadIdx.x < projection_share.count)
                publish(&exchange->projections[projection_share.first + threadIdx.x], __float_as_uint(sum_of(threadIdx.x) * norm_scale()), tag);
            release(projections);
            if (GATED && unit.has_slot() && warp == 1 && lane < 2 * unit.head_count())
            {
                float sum = 0;
#pragma unroll
                for (int w = 0; w < warps; w++) sum += shared.decays[w][lane];
                const int heads = unit.head_count();
                shared.projections[projected + lane / heads * QUERY_HEADS + unit.first_head() + lane % heads] = sum * norm_scale();
            }
            turn ^= 1;
        }

        // ---- Attention ----
        if (unit.exists)
        {
            const unsigned char *room = rooms + ROOM_RING;
            ELEMENT *const newest_key = reinterpret_cast<ELEMENT *>(rooms + ROOM_RING) + (keys - 1) * HEAD_SIZE;
            ELEMENT *const newest_value = newest_key + keys * HEAD_SIZE;
            const int first_head = unit.first_head(), head_count = unit.head_count();
            const int newest_slot = slot_of_age(0, cursor.x, cursor.y, capacity);

            barrier_wait(&shared.full[attention], parity);

            const ELEMENT *previous_keys = reinterpret_cast<const ELEMENT *>(room + previous_keys_at);
            const ELEMENT *previous_value = reinterpret_cast<const ELEMENT *>(room + previous_value_at);
            const auto shifted = [&](float x, float before, float mix) {
                const float share = fast_sigmoid(mix);
                return share * x + (1.f - share) * before;
            };
            // The words that the unit wants, two neighbours at a time: all queries, for their norm's sake, and for the slot all keys, each
            // with its head's mix, its own value and the value's mix.
            const auto await_projections = [&](auto with_slot) {
                constexpr int query_pairs = query_width / 2, key_pairs = with_slot.value ? key_width / 2 : 0;
                constexpr int first_value = query_width + key_width, first_mix = first_value + key_width;
                constexpr int value_pairs = with_slot.value ? (HEAD_SIZE + mixes) / 2 : 0;
                constexpr int query_loads = quotient(query_pairs, threads), key_loads = quotient(key_pairs, threads);
                constexpr int mix_loads = SHIFTED && NORM ? key_loads : 0, value_loads = quotient(value_pairs, threads);
                constexpr int loads = query_loads + key_loads + mix_loads + value_loads;
                const uint4 *sources[loads];
                uint2 words[loads];
                int index[loads];
#pragma unroll
                for (int i = 0; i < loads; i++)
                {
                    const int thread = threadIdx.x;
                    if (i < query_loads)
                        index[i] = 2 * min(i * threads + thread, query_pairs - 1);
                    else if (i < query_loads + key_loads)
                        index[i] = query_width + 2 * min((i - query_loads) * threads + thread, key_pairs - 1);
                    else if (i < query_loads + key_loads + mix_loads)
                        index[i] = first_mix + (index[i - key_loads] - query_width) / HEAD_SIZE / 2 * 2;
                    else
                    {
                        const int word = 2 * min((i - query_loads - key_loads - mix_loads) * threads + thread, value_pairs - 1);
                        index[i] = word < HEAD_SIZE ? first_value + unit.key_head * HEAD_SIZE + word : first_mix + word - HEAD_SIZE;
                    }
                    sources[i] = reinterpret_cast<const uint4 *>(exchange->projections + index[i]);
                }
                await_pairs(sources, tag, words);
                float query_squares = 0, key_squares = 0;
#pragma unroll
                for (int i = 0; i < loads; i++)
                {
                    if (i >= query_loads + key_loads && i < query_loads + key_loads + mix_loads) continue;
                    float2 values = make_float2(__uint_as_float(words[i].x), __uint_as_float(words[i].y));
                    *reinterpret_cast<float2 *>(shared.projections + index[i]) = values;
                    if (i < query_loads)
                    {
                        const float square = values.x * values.x + values.y * values.y;
                        query_squares += i * threads + (int)threadIdx.x < query_pairs ? square : 0.0f;
                    }
                    else if (i < query_loads + key_loads)
                    {
                        if (SHIFTED && NORM)
                        {
                            const int key = index[i] - query_width;
                            const unsigned mix = key / HEAD_SIZE % 2 ? words[(i + key_loads) % loads].y : words[(i + key_loads) % loads].x;
                            values.x = shifted(values.x, to_float(previous_keys[key]), __uint_as_float(mix));
                            values.y = shifted(values.y, to_float(previous_keys[key + 1]), __uint_as_float(mix));
                        }
                        const float square = values.x * values.x + values.y * values.y;
                        key_squares += (i - query_loads) * threads + (int)threadIdx.x < key_pairs ? square : 0.0f;
                    }
                }
                if (!NORM) return;
                query_squares = warp_sum(query_squares);
                if (with_slot.value) key_squares = warp_sum(key_squares);
                if (lane != 0) return;
                shared.query_squares[warp] = query_squares;
                shared.key_squares[warp] = key_squares;
            };
            if (unit.has_slot()) await_projections(Constant<true>());
            else await_projections(Constant<false>());
            sync();

            const float *queries = shared.projections + first_head * HEAD_SIZE, *all_keys = shared.projections + query_width;
            const float *own_key = all_keys + unit.key_head * HEAD_SIZE, *own_value = own_key + key_width;
            const float *key_mix = all_keys + 2 * key_width, *value_mix = key_mix + KEY_HEADS;
            const auto factor_of = [&](const float *squares, float share) {
                float sum = 0;
#pragma unroll
                for (int w = 0; w < warps; w++) sum += squares[w];
                return rsqrtf(fmaf(sum, share, epsilon));
            };
            // Each of these is a thread's: pairs of the queries, of the key, of the value, and the decays.
            for (int i = threadIdx.x; i < (head_count + (unit.has_slot() ? 2 : 0)) * half + (GATED && unit.has_slot() ? head_count : 0);
                 i += threads)
            {
                const int kind = i / half, pair = i % half, other = pair + half;
                const Pair angle = ROTARY ? Pair{shared.angles[pair], shared.angles[other]} : Pair{1, 0};
                if (kind < head_count)
                {
                    Pair query = {queries[kind * HEAD_SIZE + pair], queries[kind * HEAD_SIZE + other]};
                    const float *factors = reinterpret_cast<const float *>(room + query_norm_at) + kind * HEAD_SIZE;
                    if (NORM) query.scale(factor_of(shared.query_squares, 1.f / query_width), {factors[pair], factors[other]});
                    if (ROTARY) query.turn(angle);
                    shared.query[kind][pair] = query.first * scale_log2;
                    shared.query[kind][other] = query.second * scale_log2;
                }
                else if (kind == head_count)
                {
                    Pair key = {own_key[pair], own_key[other]};
                    if (SHIFTED)
                    {
                        const ELEMENT *previous = previous_keys + unit.key_head * HEAD_SIZE;
                        const float mix = key_mix[unit.key_head];
                        key = {shifted(key.first, to_float(previous[pair]), mix), shifted(key.second, to_float(previous[other]), mix)};
                    }
                    const float *factors = reinterpret_cast<const float *>(room + key_norm_at);
                    if (NORM) key.scale(factor_of(shared.key_squares, 1.f / key_width), {factors[pair], factors[other]});
                    if (ROTARY) key.turn(angle);
                    key.store(newest_key, pair);
                    key.store(layer.keys + ((long long)unit.key_head * capacity + newest_slot) * HEAD_SIZE, pair);
                }
                else if (kind == head_count + 1)
                {
                    Pair value = {own_value[pair], own_value[other]};
                    if (SHIFTED)
                    {
                        const float mix = value_mix[unit.key_head];
                        value = {shifted(value.first, to_float(previous_value[pair]), mix),
                                 shifted(value.second, to_float(previous_value[other]), mix)};
                    }
                    value.store(newest_value, pair);
                    value.store(layer.values + ((long long)unit.key_head * capacity + newest_slot) * HEAD_SIZE, pair);
                }
                else
                {
                    // As decay_gate.cu has it.
                    const int h = i - (head_count + 2) * half;
                    const float *of_head = shared.projections + projected + first_head + h;
                    const float a = of_head[QUERY_HEADS], beta = a >= 0 ? 1 + a : expf(a), x = -beta * (of_head[0] + shared.bias[h]);
                    const float softplus = fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))), newest = softplus / (beta + decay_epsilon);
                    layer.alpha[(long long)(first_head + h) * capacity + newest_slot] = newest;
                    shared.newest_alpha[h] = newest;
                }
            }
            fence_shared_async();   // The copy engine comes after what was written to the room.
            sync();

            const int feature = part * pack;
            const bool has_feature = feature < HEAD_SIZE;
            const ELEMENT *newest_of_tile = newest_key - (warp * tile_keys + key_in_read) * HEAD_SIZE + (has_feature ? feature : 0);
            float score[HEADS];
            {
                float products[HEADS][reads];
#pragma unroll
                for (int r = 0; r < reads; r++)
                {
                    float k[pack];
                    Pack16<ELEMENT>::load(newest_of_tile - r * keys_per_read * HEAD_SIZE, k);
#pragma unroll
                    for (int h = 0; h < HEADS; h++)
                    {
                        float q[pack], product = 0;
                        load(shared.query[h] + (has_feature ? feature : 0), q);
#pragma unroll
                        for (int i = 0; i < pack; i++) product = fmaf(q[i], k[i], product);
                        products[h][r] = has_feature ? product : 0.0f;
                    }
                }
#pragma unroll
                for (int h = 0; h < HEADS; h++)
                {
                    score[h] = sums_of_lanes(products[h]) - decay[h];
                    if (GATED && unit.has_slot() && age > 0) score[h] -= shared.newest_alpha[min(h, head_count - 1)] * (float)log2_e;
                    if (age >= cursor.y) score[h] = minus_infinity();
                    const float highest = warp_max(score[h]);
                    score[h] = weight_of(score[h], highest);
                    if (lane == 0) shared.highest[warp][h] = highest;
                }
            }
            float sums[HEADS][pack] = {};
#pragma unroll
            for (int r = 0; r < reads; r++)
            {
                float v[pack];
                Pack16<ELEMENT>::load(newest_of_tile + (keys - r * keys_per_read) * HEAD_SIZE, v);
#pragma unroll
                for (int h = 0; h < HEADS; h++)
                {
                    const float weight = __shfl_sync(all_lanes, score[h], key_in_read * key_lanes + r);
#pragma unroll
                    for (int i = 0; i < pack; i++) sums[h][i] = fmaf(weight, v[i], sums[h][i]);
                }
            }
#pragma unroll
            for (int h = 0; h < HEADS; h++)
            {
                const float weight = warp_sum(score[h]);
#pragma unroll
                for (int i = 0; i < pack; i++)
#pragma unroll
                    for (int step = key_lanes; step < 32; step <<= 1) sums[h][i] += __shfl_xor_sync(all_lanes, sums[h][i], step);
                if (lane == 0) shared.weight[warp][h] = weight;
                if (key_in_read == 0 && has_feature) store(sums[h], shared.outputs[warp][h] + feature);
            }
            sync();

            for (int i = threadIdx.x; i < head_count * part_words; i += threads)
            {
                const int h = i / part_words, d = i % part_words;
                float highest = minus_infinity(), sum = 0, factor[warps];
#pragma unroll
                for (int w = 0; w < warps; w++) highest = fmaxf(highest, shared.highest[w][h]);
#pragma unroll
                for (int w = 0; w < warps; w++)
                {
                    factor[w] = weight_of(shared.highest[w][h], highest);
                    sum = fmaf(factor[w], d < HEAD_SIZE ? shared.outputs[w][h][d] : shared.weight[w][h], sum);
                }
                if (d == HEAD_SIZE) sum = highest;
                if (d == HEAD_SIZE + 1)
                {
                    double all = 0;
                    for (int w = 0; GATED && w < warps; w++) all += shared.alphas[w][h];
                    sum = (float)(all * log2_e) + (GATED && unit.has_slot() ? shared.newest_alpha[h] * (float)log2_e : 0.0f);
                }
                publish_copies(exchange->parts, ((first_head + h) * SPLITS + unit.split) * part_words + d, __float_as_uint(sum), tag);
            }
            release(attention);
            if (index + 1 < layers) read_decays(of_layers[index + 1]);
        }

        // ---- Output ----
        {
            barrier_wait(&shared.full[output], parity);
            const int from_head = slice.first * step_features / HEAD_SIZE;
            constexpr int head_words = SPLITS * part_words;
            await_words<slice_heads * head_words>(exchange->parts[copy] + from_head * head_words,
                                                  slice.count == 0 ? 0 : min(slice_heads, QUERY_HEADS - from_head) * head_words, tag,
                                                  shared.parts[warp]);
            Factors<WIDTH> factors;
#pragma unroll
            for (int s = 0; s < Slice<WIDTH>::most; s++)
            {
                const int feature = slice.exists(s) ? slice.feature(s) : slice.first * step_features;
                const float *parts = shared.parts[warp] + (feature / HEAD_SIZE - from_head) * head_words;
                float joined[lane_features_of_step] = {};
                if (slice.exists(s))
                {
                    float factor[SPLITS], highest = minus_infinity(), decay = 0, all = 0;
#pragma unroll
                    for (int i = 0; i < SPLITS; i++)
                    {
                        factor[i] = parts[i * part_words + HEAD_SIZE] - decay;
                        decay += parts[i * part_words + HEAD_SIZE + 1];
                        highest = fmaxf(highest, factor[i]);
                    }
#pragma unroll
                    for (int i = 0; i < SPLITS; i++)
                    {
                        factor[i] = weight_of(factor[i], highest);
                        all = fmaf(factor[i], parts[i * part_words + HEAD_SIZE + 2], all);
                    }
                    const float share = __fdividef(1.f, all);
#pragma unroll
                    for (int i = 0; i < SPLITS; i++)
                    {
                        float values[lane_features_of_step];
                        load(parts + i * part_words + feature % HEAD_SIZE, values);
#pragma unroll
                        for (int j = 0; j < lane_features_of_step; j++) joined[j] = fmaf(factor[i] * share, values[j], joined[j]);
                    }
                }
                factors.set(s, joined);
            }
            multiply<stream_rows, WIDTH>(rooms + ROOM_OUTPUT, stream_share.count, slice, factors, shared.sums[turn][warp]);
            sync();
            if (has_stream)
            {
                own += sum_of(threadIdx.x);
                publish_copies(exchange->middle, stream_feature, __float_as_uint(own), tag);
            }
            release(output);
            add_decays();
            // All units have read the token before: this one takes its place.
            if (SHIFTED && unit.has_slot() && unit.slice == 0 && !is_idle && (int)threadIdx.x >= 32)
                for (int i = threadIdx.x - 32; i < 2 * HEAD_SIZE; i += threads - 32)
                {
                    const int d = i % HEAD_SIZE, at = unit.key_head * HEAD_SIZE + d;
                    ELEMENT *kept = i < HEAD_SIZE ? layer.previous_keys : layer.previous_values;
                    kept[at] = from_float<ELEMENT>(shared.projections[query_width + i / HEAD_SIZE * key_width + at]);
                }
            turn ^= 1;
        }

        // ---- Gate ----
        {
            float x[Slice<WIDTH>::most][lane_features_of_step], norm_factors[Slice<WIDTH>::most][lane_features_of_step];
            barrier_wait(&shared.full[gate], parity);
            load_factors(reinterpret_cast<const float *>(rooms + ROOM_GATE + gate_norm_at), norm_factors);
            await_stream(exchange->middle[copy], tag, x);
            const auto factors = normed(x, norm_factors);
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
                publish_copies(exchange->hidden, pair_share.first + threadIdx.x, pack2<ELEMENT>(values[0], values[1]), tag);
            }
            release(gate);
            join_decays();
            turn ^= 1;
        }

        // ---- Value ----
        {
            const Slice<HIDDEN> hidden_slice;
            barrier_wait(&shared.full[value], parity);
            const int first = hidden_slice.first * step_features / 2;
            await_words<Slice<HIDDEN>::most * step_features / 2>(
                exchange->hidden[copy] + first, min(hidden_slice.count * step_features / 2, hidden_pairs - first), tag, vector);
            Factors<HIDDEN> factors;
#pragma unroll
            for (int s = 0; s < Slice<HIDDEN>::most; s++)
            {
                const uint4 words = *reinterpret_cast<const uint4 *>(vector + (s * step_features + t * lane_features_of_step) / 2);
                factors.words[s] = lane < 4 && hidden_slice.exists(s) ? words : make_uint4(0, 0, 0, 0);
            }
            multiply<stream_rows, HIDDEN>(rooms + ROOM_VALUE, stream_share.count, hidden_slice, factors, shared.sums[turn][warp]);
            sync();
            if (has_stream)
            {
                own += sum_of(threadIdx.x);
                publish_copies(exchange->stream, stream_feature, __float_as_uint(own), tag);
            }
            release(value);
            turn ^= 1;
        }
    }

    // ---- Scores ----
    float x[Slice<WIDTH>::most][lane_features_of_step], norm_factors[Slice<WIDTH>::most][lane_features_of_step];
    load_factors(norm, norm_factors);
    await_stream(exchange->stream[copy], first_tag + layers - 1, x);
    const auto factors = normed(x, norm_factors);
    sync();
    const float scale = norm_scale();
    for (int tile = 0; tile < tiles; tile++)
    {
        const int slot = tile % SLOTS, rows = min(tile_rows, vocabulary_share.count - tile * tile_rows);
        barrier_wait(&shared.slot_full[slot], tile / SLOTS % 2);
        multiply<tile_rows, WIDTH, WIDTH * 2>(rooms + slot * slot_bytes, rows, slice, factors, shared.sums[turn][warp]);
        sync();
        if (threadIdx.x == 0) barrier_arrive(&shared.slot_empty[slot]);
        if ((int)threadIdx.x < rows) y[vocabulary_share.first + tile * tile_rows + threadIdx.x] = sum_of(threadIdx.x) * scale;
        turn ^= 1;
    }

    // All blocks have read where the text was: they have published since.
    if (blockIdx.x != 0 || threadIdx.x != 0) return;
    exchange->step++;
    if (is_idle) return;
    positions[0] = position + 1;
    cursors[0] = cursor;
}
