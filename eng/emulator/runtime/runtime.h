// What a kernel may ask of the machine it runs on. Kernels are compiled against this file; libcuda.so.1 implements it.
#pragma once

#include <stddef.h>

namespace emulator
{
struct Index { unsigned x, y, z; };

// A CUDA thread. Its number runs over the block: x + y blockDim.x + z blockDim.x blockDim.y.
struct Thread
{
    Index index;
    unsigned number;
};

extern Thread *thread; // the one that runs now
extern Index block_index, block_size, grid_size;
extern unsigned char *dynamic_shared;

// Ends the launch with CUDA_ERROR_LAUNCH_FAILED; the sentence goes to stderr, with the kernel, the block and the thread.
[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

// ---- Barriers of the block ----

struct Votes { int nonzero, voters; };
Votes sync_block(bool vote = false); // threads that have returned count as arrived
void sync_group(int id, int threads);
void arrive_group(int id, int threads);

// ---- Blocks that wait for one another: what the functions of exchange.cuh do ----

// A poll for what carries this tag has failed: others go on before the next one. `tries`: how many had failed before.
void give_way(const char *what, unsigned tag, int tries);

// ---- A warp: each call returns once every lane of the mask has made it ----

// `lanes` gets what each lane of the mask brought; the others' entries are poisoned. Returns the mask less the lanes that the
// block does not have.
unsigned exchange(unsigned mask, unsigned long long value, unsigned long long lanes[32]);
void sync_warp(unsigned mask);

// ---- Shared memory, as addresses of 32 bits ----

unsigned shared_offset(const void *pointer);

// ---- Tensor cores: what the functions of tensor_cores.cuh do ----

enum class Element { bf16, f16 };

void load_matrices(unsigned (&r)[4], const void *row, bool transposed);
void store_matrices(void *row, const unsigned (&r)[4], bool transposed);
void multiply_16x8x16(Element type, float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1);
void copy_async(void *shared, const void *global, bool valid);
void copy_async_commit();
void copy_async_wait(int pending);

// ---- Hopper: what the functions of hopper.cuh do ----

void barrier_init(void *barrier, unsigned arrivals);
void barrier_arrive(void *barrier, unsigned expected_bytes);
void barrier_wait(void *barrier, unsigned parity);

void copy_tile(void *shared, const void *map, void *barrier, const int (&corner)[4]);
void store_tile(const void *map, const void *shared, const int (&corner)[4]);
void copy_bytes(void *shared, const void *global, unsigned bytes, void *barrier);
void add_bytes(float *global, const void *shared, unsigned bytes);
void bulk_commit();
void bulk_wait(int pending);

struct Product
{
    Element type;
    int columns;            // N
    bool transposed_a, transposed_b;
    const unsigned *a;      // four registers, or null: a lies where the descriptor says
    unsigned long long a_descriptor, b_descriptor;
    bool accumulate;
};
void product(float *d, const Product &product);
void product_commit();
void product_wait(int pending);
}
