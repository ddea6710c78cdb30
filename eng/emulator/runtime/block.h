// The blocks that run now, one or a cooperative launch's: their fibers take turns until all have returned.
#pragma once

#include "fiber.h"

#include <functional>

namespace emulator
{
// Lets other fibers run until somebody wakes the caller.
void wait_for(const Wait &wait);

// Wakes every fiber that waits with this key.
void wake(const void *key);

// A call that several neighbouring threads make together. The last to arrive performs it for all; each thread's record lies on
// its own stack, and what `perform` writes there is the call's result.
struct Collective
{
    const char *name;
    int width;     // 32: a warp, 128: a warpgroup
    unsigned mask; // of a warp; all ones of a warpgroup
    void (*perform)(Collective *const *participants); // [width], null where the mask or the block has none
};
void meet(Collective &own, const void *caller);

// The copy engine: works when every thread waits, as late as the program allows.
void copy_later(std::function<void()> copy);

// Where shared memory begins and ends for the kernel: static variables first, then the dynamic part.
void *shared_pointer(unsigned offset, size_t bytes, const char *operation);

struct Kernel
{
    std::string name;
    void (*run)(void **arguments) = nullptr;
    unsigned char *(*static_shared)() = nullptr; // an address within the module's static shared memory
    const int *argument_bytes = nullptr; // of each, then 0
    int max_threads = 1024;
    size_t static_bytes = 0;
    size_t max_dynamic_bytes = 0; // as opted in by cuFuncSetAttribute
};

enum class Outcome { ok, failed, illegal_address };
// Cooperative: all blocks run at once, and may wait for one another.
Outcome run_grid(const Kernel &kernel, Index grid, Index block, size_t dynamic_bytes, void **arguments, bool is_cooperative);

struct Span { unsigned char *begin; size_t bytes; };
Span static_shared_memory(const Kernel &kernel); // of this host thread

// Of the blocks that run at once, the one that does now.
int block_turn();

// Products of warpgroups: forgets those of the block before in this place; whether the running thread has any it did not wait for.
void reset_products();
bool has_products_under_way();

// GATEDFWA_EMULATOR_ASYNC=early: copies happen where they are started, instead of as late as the program allows.
bool copies_early();

// "file:line (function) < file:line" of an address within a loaded library.
std::string describe_address(const void *address);
}
