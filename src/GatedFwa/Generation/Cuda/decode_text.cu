// One token of one text through all layers, from its embedding to the scores of the next, in one launch. One text is so little work that
// kernels would spend their time on beginning and ending: here each block, one a multiprocessor, has its rows of every matrix, and blocks
// hand one another what they have computed (exchange.cuh): five times a layer, all of them to all of them.
//
// Shared memory has a room for what a block reads of each phase: its rows of weights, its part of the ring. As soon as a phase has read its
// room, a warp of its own sends for the next layer's, so that all of memory's time is beside the waiting. After the last layer the rooms
// are slots for the rows of the vocabulary.
//
// A layer:
//   projections  x, its norm and the rows of query, key, value and the shifts' mixes; the decays' in float.
//   attention    by some of the blocks: a unit is a key head's slice of query heads over a part of the window, a tile of 32 keys a warp.
//                The newest part makes the ring's newest slot.
//   output       joins the parts, multiplies, adds to x.
//   gate         x, its norm, SwiGLU.
//   value        multiplies, adds to x.
// The text is where its cursor says; block 0 moves it on once all have read it.
//
// What limits it is the way through the second-level cache: on an H200 a word takes up to 690 clocks one way, and an exchange of all with
// all about 1,400, of which a layer has five. Hence a word carries its tag, what all read there are copies of, a norm's scale is a factor
// of the sums, and what can be done ahead of a wait is done there: weights, factors, and the decays of the layer to come.
//
// Exchanging is safe because nobody is so far ahead that it writes what another has still to read. A block publishes its rows of `gate`
// once it has read the stream before, the layer's projections, parts and middle; nobody comes past `value` without the rows of all, so
// these places are free then. It publishes its rows of the next layer's `projections` once it has read `hidden`; nobody comes to that
// layer's `gate` before units have read all that they attend to. So every block must have rows of both (DecodeText.Plan).
//
// Best read from the end: the kernel is the way of the data; decode_text_stream.cuh has the phases but for decode_text_attention.cuh (with
// its decays, decode_text_decays.cuh), decode_text_supply.cuh is the ninth warp, decode_text_rooms.cuh says what lies where.
//
// Defines: ELEMENT, BLOCKS, WIDTH, HIDDEN, QUERY_HEADS, KEY_HEADS, HEAD_SIZE, HEADS (of a slice), SPLITS (of a window), SHIFTED, NORM,
// ROTARY, GATED; of the plan: SLOTS, COPIES, PART_WORDS (beside a part's sums), LAYER_POINTERS, EXCHANGE_BYTES, and where the rooms begin:
// ROOM_ RING, OUTPUT, GATE, VALUE, END, TABLE.
#include "decode_text_attention.cuh"
#include "decode_text_stream.cuh"
#include "decode_text_supply.cuh"

__device__ __forceinline__ void make_barriers(Shared &shared)
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

extern "C" __global__ void __launch_bounds__(threads + 32, 1)
decode_text(const int *tokens, int known_token, const float *table, const ELEMENT *head, int vocabulary, const float *norm, float epsilon,
            float decay_epsilon, float scale_log2, const Layer *layer_list, int layers, const double *frequencies, long long *positions,
            int2 *cursors, const int *idle, int capacity, Exchange *exchange, float *y)
{
    DYNAMIC_SHARED(rooms);
    overlap();
    const Place place(tokens ? tokens[0] : known_token, positions[0], idle[0] != 0, cursors[0], capacity);
    const Block block(rooms, exchange, layers, vocabulary, epsilon, place);
    Attention attention(block, decay_epsilon, scale_log2);

    if (threadIdx.x == 0) make_barriers(block.shared);
    for (int i = threadIdx.x; i < layers * LAYER_POINTERS; i += threads + 32)
        reinterpret_cast<unsigned long long *>(rooms + ROOM_TABLE)[i] = reinterpret_cast<const unsigned long long *>(layer_list)[i];
    attention.clear_room();
    __syncthreads();
    if (block.warp == warps)
    {
        if (block.lane == 0) Supply(block).bring(head);
        return;
    }

    Stream stream(block, table);
    attention.make_angles(frequencies);
    attention.begin();
    for (int layer = 0; layer < layers; layer++)
    {
        stream.project(layer);
        attention.attend(layer);
        stream.add_output(layer);
        attention.add_decays();
        attention.keep_token(block.of_layers[layer]);
        stream.pass_gate(layer);
        attention.join_decays();
        stream.add_value(layer);
    }
    stream.score(norm, y);

    // All blocks have read where the text was: they have published since.
    if (blockIdx.x != 0 || threadIdx.x != 0) return;
    exchange->step++;
    if (place.is_idle) return;
    positions[0] = place.position + 1;
    cursors[0] = place.cursor;
}
