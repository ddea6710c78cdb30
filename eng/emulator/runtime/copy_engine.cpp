// Hopper's barriers in shared memory, and the engine that copies tiles and tells them.
#include "block.h"
#include "memory.h"
#include "tensor_map.h"

#include <cstring>

#define CALLER __builtin_return_address(0)

namespace emulator
{
namespace
{
// The 64 bits that a barrier occupies. A phase ends when nobody is awaited and all expected bytes have come.
struct State
{
    unsigned long long expected : 20, pending : 20;
    long long bytes : 22;
    unsigned long long phase : 1, is_poisoned : 1; // shared memory begins as ones
};
static_assert(sizeof(State) == 8);

State &state_of(void *barrier, const char *operation)
{
    unsigned offset = shared_offset(barrier);
    if (offset % 8 != 0) fail("%s: the barrier's shared address %u is no multiple of 8", operation, offset);
    auto &state = *static_cast<State *>(shared_pointer(offset, 8, operation));
    if (state.is_poisoned) fail("%s: the barrier at shared address %u was not initialised", operation, offset);
    return state;
}

void complete_phase(State &state)
{
    if (state.pending != 0 || state.bytes != 0) return;
    state.phase ^= 1;
    state.pending = state.expected;
    wake(&state);
}

void complete_bytes(void *barrier, unsigned bytes)
{
    State &state = state_of(barrier, "the end of a copy");
    state.bytes -= bytes;
    complete_phase(state);
}

EncodedTensorMap decode(const void *map, const char *operation)
{
    EncodedTensorMap decoded;
    memcpy(&decoded, map, sizeof decoded);
    if (decoded.magic != tensor_map_magic) fail("%s: this is no tensor map", operation);
    if (decoded.rank != 4) fail("%s: the tensor map has %d dimensions, not 4", operation, decoded.rank);
    return decoded;
}

// Calls move(shared bytes, global bytes or null outside the tensor) for each 16 bytes of a row, or less where the tensor's edge
// cuts through them.
template <class Move> void walk_box(const EncodedTensorMap &map, unsigned tile, const int (&corner)[4], const char *operation, Move move)
{
    unsigned element = unsigned(map.strides[0]), row_bytes = map.box[0] * element, offset = 0;
    auto is_inside = [&](int axis, int i) { return corner[axis] + i >= 0 && unsigned(corner[axis] + i) <= map.dimensions[axis]; };
    for (int w = 0; w < map.box[3]; w++)
        for (int z = 0; z < map.box[2]; z++)
            for (int y = 0; y < map.box[1]; y++, offset += row_bytes)
            {
                bool has_row = is_inside(1, y) && is_inside(2, z) && is_inside(3, w);
                auto *row = reinterpret_cast<unsigned char *>(map.address + (corner[1] + y) * map.strides[1] + (corner[2] + z) * map.strides[2] +
                                                              (corner[3] + w) * map.strides[3]) + (long long)corner[0] * element;
                for (int x = 0, count; x < map.box[0]; x += count)
                {
                    int chunk = 16 / int(element);
                    bool is_whole = is_inside(0, x) && is_inside(0, x + chunk - 1);
                    count = is_whole ? chunk : 1;
                    unsigned at = tile + offset + x * element, size = count * element;
                    if (map.swizzles_128) at ^= at >> 3 & 0x70;
                    bool is_valid = has_row && is_inside(0, x);
                    if (is_valid && !is_device_range(row + x * element, size))
                        fail("%s: (%d, %d, %d, %d) of the tensor lies outside device memory", operation, corner[0] + x, corner[1] + y,
                             corner[2] + z, corner[3] + w);
                    move(static_cast<unsigned char *>(shared_pointer(at, size, operation)), is_valid ? row + x * element : nullptr, size);
                }
            }
}

unsigned check_tile(const EncodedTensorMap &map, const void *shared, const char *operation)
{
    unsigned offset = shared_offset(shared), alignment = map.swizzles_128 ? 1024 : 128;
    if (offset % alignment != 0) fail("%s: the tile's shared address %u is no multiple of %u", operation, offset, alignment);
    return offset;
}

void check_16(const char *operation, unsigned shared, const void *global, unsigned bytes)
{
    if (shared % 16 != 0 || reinterpret_cast<size_t>(global) % 16 != 0 || bytes % 16 != 0)
        fail("%s: shared address %u, global %p and %u bytes must be multiples of 16", operation, shared, global, bytes);
    if (!is_device_range(global, bytes)) fail("%s: %u bytes at %p lie outside device memory", operation, bytes, global);
    shared_pointer(shared, bytes, operation);
}
}

// ---- Barriers ----

void barrier_init(void *barrier, unsigned arrivals)
{
    unsigned offset = shared_offset(barrier);
    if (offset % 8 != 0) fail("barrier_init: shared address %u is no multiple of 8", offset);
    if (arrivals < 1 || arrivals >= 1u << 20) fail("barrier_init: %u arrivals", arrivals);
    auto &state = *static_cast<State *>(shared_pointer(offset, 8, "barrier_init"));
    state = State{};
    state.expected = state.pending = arrivals;
}

void barrier_arrive(void *barrier, unsigned expected_bytes)
{
    State &state = state_of(barrier, "barrier_arrive");
    if (state.pending == 0)
        fail("barrier_arrive: all %u arrivals of this phase have been made, and %d bytes have not come", unsigned(state.expected), int(state.bytes));
    state.bytes += expected_bytes;
    state.pending--;
    complete_phase(state);
}

void barrier_wait(void *barrier, unsigned parity)
{
    if (parity > 1) fail("barrier_wait: the parity is %u", parity);
    State &state = state_of(barrier, "barrier_wait");
    while (state.phase == parity) wait_for({"barrier_wait", &state, int(parity), CALLER});
}

// ---- Copies ----

void copy_tile(void *shared, const void *map, void *barrier, const int (&corner)[4])
{
    struct Tile
    {
        EncodedTensorMap map;
        unsigned offset;
        void *barrier;
        int corner[4];
    } tile{decode(map, "copy_tile"), 0, barrier, {corner[0], corner[1], corner[2], corner[3]}};
    tile.offset = check_tile(tile.map, shared, "copy_tile");
    state_of(barrier, "copy_tile");
    copy_later([tile] {
        unsigned bytes = 0;
        walk_box(tile.map, tile.offset, tile.corner, "copy_tile", [&](unsigned char *to, const unsigned char *from, unsigned size) {
            if (from != nullptr)
                memcpy(to, from, size);
            else
                memset(to, 0, size);
            bytes += size;
        });
        complete_bytes(tile.barrier, bytes);
    });
}

void store_tile(const void *map, const void *shared, const int (&corner)[4])
{
    struct Tile
    {
        EncodedTensorMap map;
        unsigned offset;
        int corner[4];
    } tile{decode(map, "store_tile"), 0, {corner[0], corner[1], corner[2], corner[3]}};
    tile.offset = check_tile(tile.map, shared, "store_tile");
    current()->bulk.add([tile] {
        walk_box(tile.map, tile.offset, tile.corner, "store_tile", [](const unsigned char *from, unsigned char *to, unsigned size) {
            if (to != nullptr) memcpy(to, from, size);
        });
    });
}

void copy_bytes(void *shared, const void *global, unsigned bytes, void *barrier)
{
    check_16("copy_bytes", shared_offset(shared), global, bytes);
    state_of(barrier, "copy_bytes");
    copy_later([=] {
        memcpy(shared, global, bytes);
        complete_bytes(barrier, bytes);
    });
}

void add_bytes(float *global, const void *shared, unsigned bytes)
{
    check_16("add_bytes", shared_offset(shared), global, bytes);
    current()->bulk.add([=] {
        for (unsigned i = 0; i < bytes / sizeof(float); i++) global[i] += static_cast<const float *>(shared)[i];
    });
}

void bulk_commit() { current()->bulk.commit(); }
void bulk_wait(int pending) { current()->bulk.wait(pending); }
}
