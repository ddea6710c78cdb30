// What a warp does together on tensor cores: fragments in and out of shared memory, and products of fragments.
#include "../device/numbers.h"
#include "block.h"

#include <cstring>

#define CALLER __builtin_return_address(0)

namespace emulator
{
namespace
{
struct Transfer : Collective
{
    unsigned char *row;  // of shared memory, 16 bytes
    unsigned *registers; // four
};

// Element (row, column) of matrix i: in shared memory, and in the registers of the lane that holds it.
template <class Move> void for_elements(Collective *const *participants, bool is_transposed, Move move)
{
    auto lane = [&](int i) { return static_cast<Transfer *>(participants[i]); };
    for (int i = 0; i < 4; i++)
        for (int row = 0; row < 8; row++)
            for (int column = 0; column < 8; column++)
            {
                int r = is_transposed ? column : row, c = is_transposed ? row : column;
                auto *halves = reinterpret_cast<unsigned short *>(&lane(4 * r + c / 2)->registers[i]);
                move(reinterpret_cast<unsigned short *>(lane(8 * i + row)->row)[column], halves[c % 2]);
            }
}

template <bool is_transposed> void perform_load(Collective *const *participants)
{
    for_elements(participants, is_transposed, [](unsigned short &memory, unsigned short &half) { half = memory; });
}

template <bool is_transposed> void perform_store(Collective *const *participants)
{
    for_elements(participants, is_transposed, [](unsigned short &memory, unsigned short &half) { memory = half; });
}

unsigned char *check_row(const void *row, const char *operation)
{
    unsigned offset = shared_offset(row);
    if (offset % 16 != 0) fail("%s: shared address %u is no multiple of 16", operation, offset);
    return static_cast<unsigned char *>(shared_pointer(offset, 16, operation));
}

void check_full_warp(const char *operation)
{
    unsigned threads = block_size.x * block_size.y * block_size.z;
    if (thread->number / 32 * 32 + 32 > threads) fail("%s needs all 32 lanes; this warp of the block has fewer", operation);
}

struct Multiplication : Collective
{
    Element type;
    float *d;
    const unsigned *a;
    unsigned b[2];
};

float to_float(Element type, unsigned pair, int half)
{
    auto bits = (unsigned short)(pair >> 16 * half);
    return type == Element::bf16 ? bf16_to_float(bits) : f16_to_float(bits);
}

void perform_multiplication(Collective *const *participants)
{
    float a[16][16], b[16][8];
    auto of = [&](int i) { return static_cast<Multiplication *>(participants[i]); };
    for (int lane = 0; lane < 32; lane++)
    {
        const Multiplication &own = *of(lane);
        int g = lane / 4, t = lane % 4;
        for (int half = 0; half < 2; half++)
        {
            for (int i = 0; i < 4; i++) a[g + i % 2 * 8][2 * t + half + i / 2 * 8] = to_float(own.type, own.a[i], half);
            for (int i = 0; i < 2; i++) b[2 * t + half + i * 8][g] = to_float(own.type, own.b[i], half);
        }
    }
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 4; i++)
        {
            int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
            float sum = of(lane)->d[i];
            for (int k = 0; k < 16; k++) sum += a[row][k] * b[k][column];
            of(lane)->d[i] = sum;
        }
}
}

void load_matrices(unsigned (&r)[4], const void *row, bool transposed)
{
    const char *name = transposed ? "ldmatrix_x4_transposed" : "ldmatrix_x4";
    check_full_warp(name);
    Transfer own{{name, 32, ~0u, transposed ? perform_load<true> : perform_load<false>}, check_row(row, name), r};
    meet(own, CALLER);
}

void store_matrices(void *row, const unsigned (&r)[4], bool transposed)
{
    const char *name = transposed ? "stmatrix_x4_transposed" : "stmatrix_x4";
    check_full_warp(name);
    Transfer own{{name, 32, ~0u, transposed ? perform_store<true> : perform_store<false>}, check_row(row, name), const_cast<unsigned *>(r)};
    meet(own, CALLER);
}

void multiply_16x8x16(Element type, float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1)
{
    check_full_warp("mma_16x8x16");
    Multiplication own{{"mma_16x8x16", 32, ~0u, perform_multiplication}, type, d, a, {b0, b1}};
    meet(own, CALLER);
}

void copy_async(void *shared, const void *global, bool valid)
{
    unsigned char *target = check_row(shared, "copy_async_16");
    if (reinterpret_cast<size_t>(global) % 16 != 0) fail("copy_async_16: the source %p is no multiple of 16", global);
    current()->copies.add([=] {
        if (valid)
            memcpy(target, global, 16);
        else
            memset(target, 0, 16);
    });
}

void copy_async_commit() { current()->copies.commit(); }
void copy_async_wait(int pending) { current()->copies.wait(pending); }
}
