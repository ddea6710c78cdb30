// CUDA threads as fibers: a stack each, and a switch between stacks that costs a few nanoseconds.
#pragma once

#include "runtime.h"

#include <functional>
#include <string>
#include <vector>

namespace emulator
{
struct Collective;

// Why a fiber does not run. `what` and `detail` name the place in the report of a deadlock.
struct Wait
{
    const char *what = nullptr; // null: it is not waiting
    const void *key = nullptr;  // fibers with one key wait for one event; null: it polls
    int detail = 0;
    const void *caller = nullptr;
};

// Asynchronous work of one thread (or warpgroup), in groups: `open` gathers what the next commit closes. The work is done as
// late as the program allows, when somebody waits for it, so that a missing wait shows.
class AsyncGroups
{
public:
    void add(std::function<void()> work);
    void commit();
    void wait(int pending); // until at most so many groups are left
    bool is_empty() const { return open_.empty() && groups_.empty(); }
    void clear();

private:
    std::vector<std::function<void()>> open_;
    std::vector<std::vector<std::function<void()>>> groups_;
};

struct Fiber : Thread
{
    void *stack_pointer = nullptr;
    unsigned char *stack_top = nullptr;
    bool is_finished = false;
    Wait wait;
    Collective *meeting = nullptr;
    AsyncGroups copies, bulk; // cp.async, cp.async.bulk
};

inline Fiber *current() { return static_cast<Fiber *>(thread); }

// Saves where the caller is and goes on where `to` was saved.
extern "C" void emulator_switch_stack(void **save, void *to);

constexpr size_t stack_bytes = 256 * 1024;

// Gives the fiber a stack, of which only what it touches takes memory. Below it lies a page that faults, as long as the system has
// enough mappings: not in cooperative launches of tens of thousands of threads.
void allocate_stack(Fiber &fiber);

// The next switch to the fiber enters `entry` on an empty stack.
void restart(Fiber &fiber, void (*entry)());
}
