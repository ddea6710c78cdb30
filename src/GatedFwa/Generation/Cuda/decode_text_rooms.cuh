// What decode_text.cu keeps where: a layer's parameters as the host lists them, what blocks tell one another, and a block's shared memory.
//
// Shared memory, in bytes from its beginning; the host deals it (DecodeText.Plan), and here each room is held to what lies there:
//   0             rows of the projections [projection_rows, WIDTH], the norm's factors, the decays' rows [2, HEADS, WIDTH] in float
//   ROOM_RING     a unit's keys and values [2, keys, HEAD_SIZE], the norms' factors of queries and key, the token before
//   ROOM_OUTPUT   rows of the output projection [stream_rows, WIDTH]
//   ROOM_GATE     rows of gate, then of value [2, hidden_rows, WIDTH], the norm's factors
//   ROOM_VALUE    rows of the way back [stream_rows, HIDDEN]
//   ROOM_END      what phases share
//   ROOM_TABLE    Layer [layers]
// After the last layer, what is ahead of ROOM_END is slots of 16 rows of the vocabulary.
#pragma once
#include "decode_share.cuh"
#include "decode_token.cuh"
#include "exchange.cuh"
#include "hopper.cuh"
#include "ring_walk.cuh"
#include "stretch.cuh"

enum Phase { projections, attention, output, gate, value, phases };

// Columns of all projections of x: query, key, value, the shifts' mixes; the decays' two a head are of another precision, and apart.
constexpr int mixes = SHIFTED ? 2 * KEY_HEADS : 0, projected = query_width + 2 * key_width + mixes, decayed = GATED ? 2 * QUERY_HEADS : 0;

// Units of attention: a key head's slice of query heads, over a part of the window.
constexpr int group = QUERY_HEADS / KEY_HEADS, slices = quotient(group, HEADS), units = KEY_HEADS * slices * SPLITS;
constexpr int keys = warps * tile_keys;   // Of a unit.

// What a unit leaves of a head: HEAD_SIZE sums, the highest score, the decay of all its keys, both in log2's units, the weight; and a word
// that keeps what follows aligned to 16 bytes.
constexpr int highest_at = HEAD_SIZE, decay_at = HEAD_SIZE + 1, weight_at = HEAD_SIZE + 2, part_words = HEAD_SIZE + PART_WORDS;
static_assert(weight_at < part_words && part_words % 4 == 0, "part");

constexpr int hidden_pairs = HIDDEN / 2;   // Two elements of the feed-forward are a word.

// Rows of a block, at most.
constexpr int projection_rows = quotient(projected, BLOCKS), stream_rows = quotient(WIDTH, BLOCKS);
constexpr int hidden_rows = 2 * quotient(hidden_pairs, BLOCKS);
constexpr int most_of(int a, int b) { return a > b ? a : b; }
constexpr int most_rows = quotient(most_of(most_of(projection_rows, stream_rows), 2 * hidden_rows), tile_rows) * tile_rows;

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
static_assert(sizeof(Layer) == LAYER_POINTERS * sizeof(void *), "layer");

// What blocks tell one another: (word, tag) pairs. A tag is of a step and a layer, so that what lies there from before is not taken for
// what is to come; why nobody writes what another has still to read, decode_text.cu says. What all blocks read there are copies of, each
// for some of them: a line of memory can be asked only so often.
static_assert(BLOCKS <= projected && BLOCKS <= hidden_pairs, "every block has rows of projections and of the gate");
constexpr int copies = COPIES;
struct Exchange
{
    uint2 projections[quotient(projected, 2) * 2];
    uint2 parts[copies][QUERY_HEADS * SPLITS * part_words];   // [QUERY_HEADS, SPLITS, part_words].
    uint2 middle[copies][WIDTH];                              // x after attention.
    uint2 hidden[copies][hidden_pairs];                       // SwiGLU's result, two elements a word.
    uint2 stream[copies][WIDTH];                              // x after a layer.
    unsigned step;                                            // Of the text's: block 0 counts them.
};
static_assert(sizeof(Exchange) <= EXCHANGE_BYTES, "exchange");

// The heads that a warp's features may be of.
constexpr int slice_features = Slice<WIDTH>::most * step_features, slice_heads = quotient(slice_features - 1, HEAD_SIZE) + 1;

struct __align__(16) Shared
{
    float sums[2][warps][most_rows];   // Products over a warp's features. Of two phases by turns: one is read while the next is written.
    float squares[2][warps];           // Of x over a warp's features, by turns as well.
    float decays[warps][8];            // [2, head count]: products with the decays' rows.

    // What a warp has waited for, its features of it: of x, or pairs of the hidden vector; and parts of attention.
    __align__(16) float vector[warps][most_of(slice_features, Slice<HIDDEN>::most * step_features / 2)];
    __align__(16) float parts[warps][slice_heads * SPLITS * part_words];

    // Of a unit of attention.
    __align__(16) float projections[projected + decayed];
    __align__(16) float query[HEADS][HEAD_SIZE];
    __align__(16) float outputs[warps][HEADS][HEAD_SIZE];
    float highest[warps][HEADS], weight[warps][HEADS];
    double alphas[warps][HEADS];       // Sums over a warp's keys.
    float newest_alpha[HEADS], bias[HEADS];
    float angles[HEAD_SIZE];           // Cosines, then sines, of the token's position.
    float query_squares[warps], key_squares[warps];

    Barrier full[phases], empty[phases], slot_full[SLOTS], slot_empty[SLOTS];
};

// Within the rooms: where what follows the rows begins.
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
