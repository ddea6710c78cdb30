#include "fiber.h"

#include "block.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>

namespace emulator
{
Thread *thread;

// The System V convention keeps these six registers across a call; all others the compiler has saved.
asm(R"(
.text
.globl emulator_switch_stack
.type emulator_switch_stack, @function
emulator_switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emulator_switch_stack, . - emulator_switch_stack
)");

void allocate_stack(Fiber &fiber)
{
    constexpr size_t guard = 4096;
    constexpr unsigned most_guards = 16384; // Each splits a mapping in two; Linux allows a process 65530.
    static unsigned number;
    auto *base = static_cast<unsigned char *>(mmap(nullptr, guard + stack_bytes, PROT_READ | PROT_WRITE,
                                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (base == MAP_FAILED)
    {
        fprintf(stderr, "emulator: no memory for the stack of thread %u\n", number);
        abort();
    }
    madvise(base, guard + stack_bytes, MADV_NOHUGEPAGE); // Neighbours that merge would be filled by 2 MB.
    if (number < most_guards) mprotect(base, guard, PROT_NONE);
    // Stacks that begin at one address modulo the cache's size would push each other out of it.
    fiber.stack_top = base + guard + stack_bytes - (number++ * 1088) % 16384;
}

void restart(Fiber &fiber, void (*entry)())
{
    constexpr int saved_registers = 6;
    auto *top = reinterpret_cast<void **>(reinterpret_cast<size_t>(fiber.stack_top) & ~size_t(63));
    *--top = nullptr; // where `entry` would return to; a function begins 8 bytes past a multiple of 16
    *--top = reinterpret_cast<void *>(entry);
    for (int i = 0; i < saved_registers; i++) *--top = nullptr;
    fiber.stack_pointer = top;
    fiber.is_finished = false;
    fiber.wait = {};
    fiber.meeting = nullptr;
    fiber.copies.clear();
    fiber.bulk.clear();
}

bool copies_early()
{
    static const bool early = [] {
        const char *choice = getenv("GATEDFWA_EMULATOR_ASYNC");
        return choice != nullptr && strcmp(choice, "early") == 0;
    }();
    return early;
}

void AsyncGroups::add(std::function<void()> work)
{
    if (copies_early())
        work();
    else
        open_.push_back(std::move(work));
}

void AsyncGroups::commit()
{
    groups_.push_back(std::move(open_));
    open_.clear();
}

void AsyncGroups::wait(int pending)
{
    size_t finished = groups_.size() > size_t(pending) ? groups_.size() - pending : 0;
    for (size_t i = 0; i < finished; i++)
        for (auto &work : groups_[i]) work();
    groups_.erase(groups_.begin(), groups_.begin() + finished);
}

void AsyncGroups::clear()
{
    open_.clear();
    groups_.clear();
}
}
