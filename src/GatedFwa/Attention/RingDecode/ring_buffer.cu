// Copies between a ring [B, heads, capacity, row] and tokens [B, T, heads, row]. A row of a head is `units` of UNIT, the widest
// access that divides it. One thread copies one unit; neighbours copy neighbours.

// A slot counted from the `positions` slots that end at a text's newest position, wrapping around: `next` is one past that. The same for
// all rows, or, where `cursors` is given, a row's own: [B] of (next, count).
__device__ __forceinline__ int slot_of(const int2 *cursors, int next, int row, int positions, int index, int capacity)
{
    if (cursors) next = cursors[row].x;
    return (int)(((long long)next + capacity - positions + index) % capacity);
}

__device__ __forceinline__ void append(const UNIT *tokens, UNIT *slots, const int2 *cursors, int next, int length, int kept,
                                       int heads, int capacity, int units, long long i)
{
    const int unit = (int)(i % units);
    i /= units;
    const int head = (int)(i % heads);
    i /= heads;
    const int token = (int)(i % kept), row = (int)(i / kept);
    const int slot = slot_of(cursors, next, row, kept, token, capacity);
    const long long source = ((long long)row * length + (length - kept) + token) * heads + head;
    const long long target = ((long long)row * heads + head) * capacity + slot;
    slots[target * units + unit] = tokens[source * units + unit];
}

// The last `kept` of T tokens of two tensors of one shape, into a ring each: keys and values in one launch.
extern "C" __global__ void ring_append(const UNIT *first, const UNIT *second, UNIT *first_slots, UNIT *second_slots,
                                       const int2 *cursors, int next, int length, int kept, int heads, int capacity, int units,
                                       long long count)
{
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count)
        append(first, first_slots, cursors, next, length, kept, heads, capacity, units, i);
    else if (second && i < 2 * count)
        append(second, second_slots, cursors, next, length, kept, heads, capacity, units, i - count);
}

// The `past` newest slots and then T tokens: [B, past + T, heads, row].
extern "C" __global__ void ring_join(const UNIT *slots, const UNIT *tokens, UNIT *joined, const int2 *cursors, int next, int past,
                                     int length, int heads, int capacity, int units, long long count)
{
    const long long index = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count) return;
    long long i = index;
    const int unit = (int)(i % units);
    i /= units;
    const int head = (int)(i % heads);
    i /= heads;
    const int position = (int)(i % (past + length)), row = (int)(i / (past + length));
    if (position < past)
    {
        const int slot = slot_of(cursors, next, row, past, position, capacity);
        joined[index] = slots[(((long long)row * heads + head) * capacity + slot) * units + unit];
    }
    else
        joined[index] = tokens[(((long long)row * length + position - past) * heads + head) * units + unit];
}

// The first `kept` units of each of `count / kept` stretches, which are `source_stride` apart there and `target_stride` here:
// heads that move to a larger ring, or the last token of every row.
extern "C" __global__ void ring_move(const UNIT *source, UNIT *target, long long source_stride, long long target_stride, long long kept,
                                     long long count)
{
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const long long stretch = i / kept, unit = i % kept;
    target[stretch * target_stride + unit] = source[stretch * source_stride + unit];
}
