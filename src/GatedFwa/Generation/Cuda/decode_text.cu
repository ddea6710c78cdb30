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
//   attention    by some of the blocks: a unit is a key head's slice of query heads over a part of the window (ring_softmax.cuh). The
//                first part makes the newest slot (decode_token.cuh).
//   output       joins the parts, multiplies, adds to x.
//   gate         x, its norm, SwiGLU.
//   value        multiplies, adds to x.
// The text is where its cursor says; the last block to be done moves it on.
//
// Defines: ELEMENT, BLOCKS, WIDTH, HIDDEN, QUERY_HEADS, KEY_HEADS, HEAD_SIZE, HEADS (of a slice), SPLITS (of a window), KEYS (of a split, at
// most), SHIFTED, NORM, ROTARY, GATED, SLOTS, and where the rooms begin: ROOM_ RING, OUTPUT, GATE, VALUE, END, TABLE.
#include "decode_share.cuh"
#include "decode_token.cuh"
#include "exchange.cuh"
#include "hopper.cuh"
#include "ring_softmax.cuh"

constexpr int mixes = SHIFTED ? 2 * KEY_HEADS : 0, projected = query_width + 2 * key_width + mixes, decayed = GATED ? 2 * QUERY_HEADS : 0;
constexpr int group = QUERY_HEADS / KEY_HEADS, slices = quotient(group, HEADS), units = KEY_HEADS * slices * SPLITS;
constexpr int part_words = HEAD_SIZE + sizeof(Stretch) / 4, all_part_words = QUERY_HEADS * SPLITS * part_words;
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
struct Exchange
{
    uint2 projections[quotient(projected, 2) * 2];
    uint2 parts[all_part_words];                       // Of a head and split: HEAD_SIZE sums, and the stretch that weighs them.
    uint2 middle[steps_of(WIDTH) * step_features];     // x after attention, in the order of `place`.
    uint2 hidden[steps_of(HIDDEN) * step_features / 2];
    uint2 stream[steps_of(WIDTH) * step_features];     // x after a layer.
    unsigned step;
};

struct __align__(16) Shared
{
    float sums[2][warps][most_rows];   // Of two phases by turns: one is read while the next is written.
    float squares[2][warps], decays[warps][8];
    __align__(16) float parts[all_part_words];
    float projections[projected + decayed];
    float prepared[HEADS][HEAD_SIZE], outputs[warps][HEADS][HEAD_SIZE], angles[HEAD_SIZE];
    Stretch stretches[warps][HEADS];
    float scratch[2][warps], newest_alpha[HEADS];
    Barrier full[phases], empty[phases], slot_full[SLOTS], slot_empty[SLOTS];
};

// Where a word of a vector lies among the pairs: what the four lanes of a step read together lies together. `words` of a lane.
template <int words> __device__ __forceinline__ int place(int i)
{
    const int step = i / (4 * words), t = i % (4 * words) / words, j = i % words;
    return step * 4 * words + j / 2 * 8 + t * 2 + j % 2;
}

// A warp's features of a vector, as soon as they are there.
template <int features, int words>
__device__ __forceinline__ void await_vector(const uint2 *pairs, unsigned tag, const Slice<features> &slice,
                                             unsigned (&values)[Slice<features>::most][words])
{
    constexpr int loads = words / 2;
    const uint4 *sources[Slice<features>::most * loads];
    uint2 got[Slice<features>::most * loads];
#pragma unroll
    for (int s = 0; s < Slice<features>::most; s++)
    {
        const int feature = slice.existing(s), step = feature / step_features, t = feature % step_features / lane_features_of_step;
#pragma unroll
        for (int i = 0; i < loads; i++)
            sources[s * loads + i] = reinterpret_cast<const uint4 *>(pairs + step * 4 * words + i * 8 + t * 2);
    }
    await_pairs(sources, tag, got);
#pragma unroll
    for (int s = 0; s < Slice<features>::most; s++)
#pragma unroll
        for (int i = 0; i < loads; i++)
        {
            values[s][2 * i] = got[s * loads + i].x;
            values[s][2 * i + 1] = got[s * loads + i].y;
        }
}

// Words to shared memory, by all threads.
template <int words> __device__ __forceinline__ void await_words(const uint2 *pairs, unsigned tag, float *target)
{
    constexpr int all = words / 2, loads = quotient(all, threads);
    const uint4 *sources[loads];
    uint2 got[loads];
#pragma unroll
    for (int i = 0; i < loads; i++)
        sources[i] = reinterpret_cast<const uint4 *>(pairs) + min(i * threads + (int)threadIdx.x, all - 1);
    await_pairs(sources, tag, got);
#pragma unroll
    for (int i = 0; i < loads; i++)
        reinterpret_cast<float2 *>(target)[min(i * threads + (int)threadIdx.x, all - 1)] =
            make_float2(__uint_as_float(got[i].x), __uint_as_float(got[i].y));
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

// Keys and values of a unit, as a warp reads them (ring_reads.cuh): in shared memory, the newest last.
struct RoomSlots
{
    const ELEMENT *room;
    int first_age, first = 0;   // Of the unit; read of the tile.
    int newest = 0;             // Row of the tile's newest.

    __device__ __forceinline__ void await_keys(int tile, int first_read) { begin(tile, first_read, 0); }
    __device__ __forceinline__ void await_values(int tile, int first_read) { begin(tile, first_read, KEYS); }
    __device__ __forceinline__ void begin(int tile, int first_read, int offset)
    {
        newest = offset + KEYS - 1 - (tile * tile_keys - first_age);
        first = first_read;
    }
    __device__ __forceinline__ void turn_to_values(int) {}
    __device__ __forceinline__ void turn_to_keys(int) {}
    __device__ __forceinline__ void release() {}
    __device__ __forceinline__ void values_of(int r, int p, float *values) const
    {
        const int key = (first + r) * keys_per_read + (int)threadIdx.x % 32 / key_lanes, feature = feature_of(p);
        uint4 words = make_uint4(0, 0, 0, 0);
        if (feature < HEAD_SIZE) words = *reinterpret_cast<const uint4 *>(room + (newest - key) * HEAD_SIZE + feature);
        Pack16<ELEMENT>::load(reinterpret_cast<const ELEMENT *>(&words), values);
    }
};

// Rooms. Rows first, then a norm's factors, then (projections) the decay's rows of the unit's heads.
constexpr int width_pitch = pitch_of(WIDTH), hidden_pitch = pitch_of(HIDDEN);
constexpr int projection_norm_at = projection_rows * width_pitch, decay_rows_at = projection_norm_at + WIDTH * 4;
constexpr int gate_norm_at = 2 * hidden_rows * width_pitch;
constexpr int values_at = KEYS * HEAD_SIZE * 2, previous_at = 2 * values_at;
constexpr int slot_bytes = tile_rows * WIDTH * 2;
static_assert(decay_rows_at + (GATED ? 2 * HEADS * WIDTH * 4 : 0) <= ROOM_RING, "projections");
static_assert(previous_at + key_width * 2 <= ROOM_OUTPUT - ROOM_RING, "ring");
static_assert(stream_rows * width_pitch <= ROOM_GATE - ROOM_OUTPUT, "output");
static_assert(gate_norm_at + WIDTH * 4 <= ROOM_VALUE - ROOM_GATE, "gate");
static_assert(stream_rows * hidden_pitch <= ROOM_END - ROOM_VALUE, "value");
static_assert(SLOTS * slot_bytes <= ROOM_END, "slots");
static_assert(sizeof(Shared) <= ROOM_TABLE - ROOM_END, "what phases share");

extern "C" __global__ void __launch_bounds__(threads + 32, 1)
decode_text(const int *tokens, const float *table, const ELEMENT *head, int vocabulary, const float *norm, float epsilon,
            float decay_epsilon, float scale_log2, const Layer *layer_list, int layers, const double *frequencies, long long *positions,
            int2 *cursors, const int *idle, int capacity, Exchange *exchange, float *y)
{
    DYNAMIC_SHARED(rooms);
    Layer *const of_layers = reinterpret_cast<Layer *>(rooms + ROOM_TABLE);
    Shared &shared = *reinterpret_cast<Shared *>(rooms + ROOM_END);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, t = lane % 4;

    // Where the text is once this token has come.
    const int token = tokens[0];
    const long long position = positions[0];
    const bool is_idle = idle[0] != 0;
    int2 cursor = cursors[0];
    if (!is_idle) cursor = make_int2((cursor.x + 1) % capacity, min(cursor.y + 1, capacity));
    const unsigned first_tag = exchange->step * layers + 1;

    const Unit unit;
    const int stretch_tiles = tiles_of_stretch(cursor.y, SPLITS * warps), unit_keys = warps * stretch_tiles * tile_keys;
    const int first_age = unit.split * unit_keys, age_count = max(0, min(unit_keys, cursor.y - first_age));
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
            const int newest = unit.has_slot(), keys = age_count - newest;
            const SlotRun run = slots_of_ages(first_age + newest, max(keys, 0), cursor.x, capacity);
            const int key_bytes = HEAD_SIZE * 2, previous = SHIFTED && unit.has_slot() ? key_width * 2 : 0;
            expect(max(keys, 0) * 2 * key_bytes + previous);
            if (lane < 4 && keys > 0)
            {
                const ELEMENT *source = (lane % 2 == 0 ? layer.keys : layer.values) + (long long)unit.key_head * capacity * HEAD_SIZE;
                unsigned char *target = rooms + ROOM_RING + lane % 2 * values_at + (KEYS - age_count) * key_bytes;
                const int first = min(run.count, keys), rest = keys - first;
                if (lane < 2) copy_bytes(target, source + (long long)run.first * HEAD_SIZE, first * key_bytes, full);
                else if (rest > 0) copy_bytes(target + first * key_bytes, source, rest * key_bytes, full);
            }
            if (previous > 0 && lane == 4) copy_bytes(rooms + ROOM_RING + previous_at, layer.previous_keys, previous, full);
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
    if (unit.exists && age_count < KEYS)
    {
        for (int i = threadIdx.x; i < previous_at / 16; i += threads + 32)
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
        return 1.f / sqrtf(sum / WIDTH + epsilon);
    };
    // x with a norm's factors; its squares. `each(s, values)` sees the products.
    const auto normed = [&](const float (&x)[Slice<WIDTH>::most][lane_features_of_step], const float *factors, auto each) {
        Factors<WIDTH> result;
        float squares = 0;
#pragma unroll
        for (int s = 0; s < Slice<WIDTH>::most; s++)
        {
            float values[lane_features_of_step];
            load(factors + slice.existing(s), values);
#pragma unroll
            for (int i = 0; i < lane_features_of_step; i++)
            {
                const float feature = slice.exists(s) ? x[s][i] : 0.0f;
                squares = fmaf(feature, feature, squares);
                values[i] *= feature;
            }
            each(s, values);
            result.set(s, values);
        }
        squares += __shfl_xor_sync(all_lanes, squares, 1);
        squares += __shfl_xor_sync(all_lanes, squares, 2);
        if (lane == 0) shared.squares[turn][warp] = squares;
        return result;
    };
    const auto await_stream = [&](const uint2 *pairs, unsigned tag, float (&x)[Slice<WIDTH>::most][lane_features_of_step]) {
        unsigned words[Slice<WIDTH>::most][lane_features_of_step];
        await_vector<WIDTH, lane_features_of_step>(pairs, tag, slice, words);
#pragma unroll
        for (int s = 0; s < Slice<WIDTH>::most; s++)
#pragma unroll
            for (int i = 0; i < lane_features_of_step; i++) x[s][i] = __uint_as_float(words[s][i]);
    };

    // The token's row of the table, of which a thread keeps the element whose row of `output` and `value` it adds up.
    const bool is_known = (unsigned)token < (unsigned)vocabulary;
    const auto embedded = [&](int i) { return is_known ? table[(long long)token * WIDTH + i] : __uint_as_float(0x7fffffffu); };
    const bool has_stream = (int)threadIdx.x < stream_share.count;
    const int stream_feature = stream_share.first + threadIdx.x;
    float own = has_stream ? embedded(stream_feature) : 0.0f;

    for (int index = 0; index < layers; index++)
    {
        const Layer &layer = of_layers[index];
        const unsigned tag = first_tag + index, parity = index % 2;

        // ---- Projections ----
        {
            float x[Slice<WIDTH>::most][lane_features_of_step];
            if (index == 0)
            {
#pragma unroll
                for (int s = 0; s < Slice<WIDTH>::most; s++)
#pragma unroll
                    for (int i = 0; i < lane_features_of_step; i++) x[s][i] = embedded(slice.existing(s) + i);
            }
            else
                await_stream(exchange->stream, tag - 1, x);
            barrier_wait(&shared.full[projections], parity);
            float decay = 0;
            const int decay_row = lane / 4;
            const bool has_decay = GATED && unit.has_slot() && decay_row < 2 * unit.head_count();
            const auto factors = normed(x, reinterpret_cast<const float *>(rooms + projection_norm_at), [&](int s, const float(&values)[lane_features_of_step]) {
                if (!has_decay) return;
                float weights[lane_features_of_step];
                load(reinterpret_cast<const float *>(rooms + decay_rows_at) + decay_row * WIDTH + slice.existing(s), weights);
#pragma unroll
                for (int i = 0; i < lane_features_of_step; i++) decay = fmaf(values[i], weights[i], decay);
            });
            if (GATED)
            {
                decay += __shfl_xor_sync(all_lanes, decay, 1);
                decay += __shfl_xor_sync(all_lanes, decay, 2);
                if (has_decay && t == 0) shared.decays[warp][decay_row] = decay;
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
            ELEMENT *room = reinterpret_cast<ELEMENT *>(rooms + ROOM_RING), *newest_key = room + (KEYS - 1) * HEAD_SIZE;
            const long long ring_at = (long long)unit.key_head * capacity;
            const int first_tile = (unit.split * warps + warp) * stretch_tiles;
            const Walk walk = {layer.keys, layer.values, cursor.x, cursor.y, capacity, first_tile,
                               min(quotient(cursor.y, tile_keys), first_tile + stretch_tiles)};
            float alphas[HEADS];
            const auto load_alphas = [&](int tile, float(&loaded)[HEADS]) {
#pragma unroll
                for (int h = 0; h < HEADS; h++)
                    loaded[h] = layer.alpha[(long long)(unit.first_head() + min(h, unit.head_count() - 1)) * capacity +
                                            walk.slot_of(tile * tile_keys + lane)];
            };
            if (GATED && first_tile < walk.end_tile) load_alphas(first_tile, alphas);
            barrier_wait(&shared.full[attention], parity);
            const Token newest = {shared.projections, 0, layer.query_norm, layer.key_norm, epsilon, shared.angles,
                                  room + previous_at / 2, layer.previous_values, layer.bias, decay_epsilon};
            const auto parameters = newest.parameters<threads>(0, unit.key_head, unit.first_head(), unit.head_count(), false);
            if (unit.has_slot()) await_words<projected>(exchange->projections, tag, shared.projections);
            else await_words<query_width>(exchange->projections, tag, shared.projections);
            sync();
            const long long slot = ring_at + walk.slot_of(0);
            newest.prepare<threads>(parameters, 0, unit.key_head, unit.first_head(), unit.head_count(), unit.has_slot(), shared.prepared,
                                    newest_key, newest_key + KEYS * HEAD_SIZE, layer.keys + slot * HEAD_SIZE,
                                    layer.values + slot * HEAD_SIZE, layer.alpha + (long long)unit.first_head() * capacity + walk.slot_of(0),
                                    capacity, shared.newest_alpha, shared.scratch, sync);
            fence_shared_async();   // The copy engine comes after what was written to the room.
            if (GATED && unit.has_slot() && threadIdx.x == 0)
            {
#pragma unroll
                for (int h = 0; h < HEADS; h++) alphas[h] = shared.newest_alpha[min(h, unit.head_count() - 1)];
            }

            RingSoftmax softmax(scale_log2, unit.head_count(), [&](int h, int feature, float *values) {
#pragma unroll
                for (int i = 0; i < pack; i++) values[i] = shared.prepared[h][feature + i];
            });
            RoomSlots slots = {room, first_age};
            softmax.gather(slots, walk, alphas, load_alphas);
            softmax.leave(shared.stretches[warp], shared.outputs[warp]);
            sync();
            for (int h = 0; h < unit.head_count(); h++)
            {
                float factor[warps];
                const Stretch all = join<warps>(&shared.stretches[0][h], HEADS, factor);
                uint2 *part = exchange->parts + ((unit.first_head() + h) * SPLITS + unit.split) * part_words;
                for (int d = threadIdx.x; d < HEAD_SIZE; d += threads)
                {
                    float x = 0;
#pragma unroll
                    for (int w = 0; w < warps; w++) x = fmaf(factor[w], shared.outputs[w][h][d], x);
                    publish(part + d, __float_as_uint(x), tag);
                }
                if ((int)threadIdx.x != threads - 1) continue;
                const unsigned long long decay = __double_as_longlong(all.decay);
                publish(part + HEAD_SIZE, (unsigned)decay, tag);
                publish(part + HEAD_SIZE + 1, (unsigned)(decay >> 32), tag);
                publish(part + HEAD_SIZE + 2, __float_as_uint(all.highest), tag);
                publish(part + HEAD_SIZE + 3, __float_as_uint(all.sum), tag);
            }
            release(attention);
        }

        // ---- Output ----
        {
            await_words<all_part_words>(exchange->parts, tag, shared.parts);
            sync();
            Factors<WIDTH> factors;
#pragma unroll
            for (int s = 0; s < Slice<WIDTH>::most; s++)
            {
                const int feature = slice.existing(s);
                const float *parts = shared.parts + feature / HEAD_SIZE * SPLITS * part_words;
                Stretch weights[SPLITS];
                float factor[SPLITS], joined[lane_features_of_step] = {};
#pragma unroll
                for (int i = 0; i < SPLITS; i++)
                    weights[i] = *reinterpret_cast<const Stretch *>(parts + i * part_words + HEAD_SIZE);
                const float sum = join<SPLITS>(weights, 1, factor).sum, share = slice.exists(s) ? 1.f / sum : 0.0f;
#pragma unroll
                for (int i = 0; i < SPLITS; i++)
#pragma unroll
                    for (int j = 0; j < lane_features_of_step; j++)
                        joined[j] = fmaf(factor[i] * share, parts[i * part_words + feature % HEAD_SIZE + j], joined[j]);
                factors.set(s, joined);
            }
            barrier_wait(&shared.full[output], parity);
            multiply<stream_rows, WIDTH>(rooms + ROOM_OUTPUT, stream_share.count, slice, factors, shared.sums[turn][warp]);
            sync();
            if (has_stream)
            {
                own += sum_of(threadIdx.x);
                publish(&exchange->middle[place<lane_features_of_step>(stream_feature)], __float_as_uint(own), tag);
            }
            release(output);
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
            float x[Slice<WIDTH>::most][lane_features_of_step];
            await_stream(exchange->middle, tag, x);
            barrier_wait(&shared.full[gate], parity);
            const auto factors = normed(x, reinterpret_cast<const float *>(rooms + ROOM_GATE + gate_norm_at), [](int, const auto &) {});
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
                    values[i] = gated / (1.f + expf(-gated)) * (sum_of(hidden_rows + row) * scale);
                }
                publish(&exchange->hidden[place<lane_features_of_step / 2>(pair_share.first + threadIdx.x)], pack2<ELEMENT>(values[0], values[1]),
                        tag);
            }
            release(gate);
            turn ^= 1;
        }

        // ---- Value ----
        {
            const Slice<HIDDEN> hidden_slice;
            unsigned words[Slice<HIDDEN>::most][lane_features_of_step / 2];
            await_vector<HIDDEN, lane_features_of_step / 2>(exchange->hidden, tag, hidden_slice, words);
            Factors<HIDDEN> factors;
#pragma unroll
            for (int s = 0; s < Slice<HIDDEN>::most; s++)
            {
                const bool mine = lane < 4 && hidden_slice.exists(s);
                factors.words[s] = mine ? make_uint4(words[s][0], words[s][1], words[s][2], words[s][3]) : make_uint4(0, 0, 0, 0);
            }
            barrier_wait(&shared.full[value], parity);
            multiply<stream_rows, HIDDEN>(rooms + ROOM_VALUE, stream_share.count, hidden_slice, factors, shared.sums[turn][warp]);
            sync();
            if (has_stream)
            {
                own += sum_of(threadIdx.x);
                publish(&exchange->stream[place<lane_features_of_step>(stream_feature)], __float_as_uint(own), tag);
            }
            release(value);
            turn ^= 1;
        }
    }

    // ---- Scores ----
    float x[Slice<WIDTH>::most][lane_features_of_step];
    await_stream(exchange->stream, first_tag + layers - 1, x);
    const auto factors = normed(x, norm, [](int, const auto &) {});
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
