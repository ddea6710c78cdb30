#include "block.h"

#include "faults.h"
#include "memory.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <sys/mman.h>

#define CALLER __builtin_return_address(0)

namespace emulator
{
Index block_index, block_size, grid_size;
unsigned char *dynamic_shared;

namespace
{
constexpr int max_threads = 1024, barriers_per_block = 16;
constexpr size_t max_shared = 232448, system_shared = 1024, shared_alignment = 1024, guard_bytes = 4096;
constexpr unsigned char poison = 0xff, guard = 0xc5;

// Fibers that can go on, first come, first served.
class ReadyQueue
{
public:
    void clear() { head_ = tail_ = 0; }
    bool is_empty() const { return head_ == tail_; }
    void push(Fiber *fiber) { ring_[tail_++ % max_threads] = fiber; }
    Fiber *pop() { return ring_[head_++ % max_threads]; }

private:
    Fiber *ring_[max_threads];
    unsigned head_ = 0, tail_ = 0;
};

struct GroupBarrier
{
    int expected, arrived;
    Votes votes, result;
};

struct Machine
{
    std::vector<std::unique_ptr<Fiber>> fibers;
    int threads = 0, alive = 0;
    ReadyQueue ready;
    GroupBarrier barriers[barriers_per_block];
    std::deque<std::function<void()>> copies;
    void *scheduler = nullptr;
    const Kernel *kernel = nullptr;
    void **arguments = nullptr;
    std::string failure;
    unsigned char *dynamic_area = nullptr; // max_shared + guard
    size_t dynamic_bytes = 0;
    Span static_area{};
    unsigned dynamic_offset = 0;
} machine;

size_t round_up(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

Fiber *next_ready()
{
    while (machine.ready.is_empty() && !machine.copies.empty())
    {
        auto copy = std::move(machine.copies.front());
        machine.copies.pop_front();
        copy();
    }
    return machine.ready.is_empty() ? nullptr : machine.ready.pop();
}

[[noreturn]] void return_to_scheduler()
{
    void *abandoned;
    emulator_switch_stack(&abandoned, machine.scheduler);
    __builtin_unreachable();
}

void release(GroupBarrier &barrier)
{
    barrier.result = barrier.votes;
    barrier.votes = {};
    barrier.arrived = 0;
    wake(&barrier);
}

void finish_thread()
{
    Fiber &self = *current();
    if (!self.bulk.is_empty()) fail("returns while bulk copies may still read shared memory: bulk_commit and bulk_wait are missing");
    if (has_products_under_way()) fail("returns while products are under way: product_commit or product_wait is missing");
    self.is_finished = true;
    machine.alive--;
    GroupBarrier &all = machine.barriers[0];
    if (all.arrived > 0 && all.arrived == machine.alive) release(all);
    Fiber *next = next_ready();
    if (next == nullptr) return_to_scheduler();
    thread = next;
    emulator_switch_stack(&self.stack_pointer, next->stack_pointer);
}

void thread_main()
{
    machine.kernel->run(machine.arguments);
    finish_thread();
}

std::string thread_name(const Thread &t)
{
    char text[64];
    if (block_size.y == 1 && block_size.z == 1)
        snprintf(text, sizeof text, "%u", t.index.x);
    else
        snprintf(text, sizeof text, "(%u, %u, %u)", t.index.x, t.index.y, t.index.z);
    return text;
}

std::string ranges(const std::vector<unsigned> &numbers)
{
    std::string text;
    for (size_t i = 0; i < numbers.size();)
    {
        size_t last = i;
        while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) last++;
        if (!text.empty()) text += ", ";
        text += std::to_string(numbers[i]);
        if (last > i) text += "-" + std::to_string(numbers[last]);
        i = last + 1;
    }
    return text;
}

// One line for all threads that wait in one place, with what they wait for.
std::string describe_deadlock()
{
    std::map<std::string, std::vector<unsigned>> places;
    std::map<const void *, std::string> addresses;
    for (int i = 0; i < machine.threads; i++)
    {
        const Fiber &fiber = *machine.fibers[i];
        std::string place = "returned";
        if (!fiber.is_finished)
        {
            const Wait &wait = fiber.wait;
            auto [address, is_new] = addresses.try_emplace(wait.caller);
            if (is_new) address->second = describe_address(wait.caller);
            char detail[96] = "";
            if (fiber.meeting != nullptr)
                snprintf(detail, sizeof detail, " of lanes %08x", fiber.meeting->mask);
            else if (wait.key >= machine.barriers && wait.key < machine.barriers + barriers_per_block)
            {
                auto *barrier = static_cast<const GroupBarrier *>(wait.key);
                snprintf(detail, sizeof detail, " %d (%d of %d arrived)", int(barrier - machine.barriers), barrier->arrived,
                         barrier->expected);
            }
            else
                snprintf(detail, sizeof detail, " at shared address %u, parity %d", shared_offset(wait.key), wait.detail);
            place = std::string(wait.what) + detail + ", " + address->second;
        }
        places[place].push_back(i);
    }
    std::string text = "deadlock: no thread can go on";
    for (auto &[place, numbers] : places) text += "\n    threads " + ranges(numbers) + ": " + place;
    return text;
}

void start_block()
{
    memset(dynamic_shared, poison, machine.dynamic_bytes);
    memset(machine.static_area.begin, poison, machine.static_area.bytes);
    memset(machine.barriers, 0, sizeof machine.barriers);
    machine.copies.clear();
    machine.ready.clear();
    machine.alive = machine.threads;
    reset_products();
    for (int i = 0; i < machine.threads; i++)
    {
        restart(*machine.fibers[i], thread_main);
        machine.ready.push(machine.fibers[i].get());
    }
}

void run_block()
{
    start_block();
    Fiber *first = machine.ready.pop();
    thread = first;
    emulator_switch_stack(&machine.scheduler, first->stack_pointer);
    if (!machine.failure.empty()) return;
    if (machine.alive > 0)
        machine.failure = describe_deadlock();
    else if (!machine.copies.empty())
        machine.failure = "the block ended before its tile copies did: nobody waited for them";
    for (size_t i = machine.dynamic_bytes; machine.failure.empty() && i < machine.dynamic_bytes + guard_bytes; i++)
        if (dynamic_shared[i] != guard)
            machine.failure = "the block wrote past its " + std::to_string(machine.dynamic_bytes) + " bytes of dynamic shared memory, at byte " +
                              std::to_string(i);
}

void prepare(const Kernel &kernel, Index block, size_t dynamic_bytes, void **arguments)
{
    machine.kernel = &kernel;
    machine.arguments = arguments;
    machine.failure.clear();
    machine.threads = int(block.x * block.y * block.z);
    for (int i = int(machine.fibers.size()); i < machine.threads; i++)
    {
        machine.fibers.push_back(std::make_unique<Fiber>());
        allocate_stack(*machine.fibers.back(), i);
    }
    for (int i = 0; i < machine.threads; i++)
    {
        Fiber &fiber = *machine.fibers[i];
        fiber.number = i;
        fiber.index = {i % block.x, i / block.x % block.y, i / (block.x * block.y)};
    }
    if (machine.dynamic_area == nullptr)
        machine.dynamic_area = static_cast<unsigned char *>(aligned_alloc(shared_alignment, round_up(max_shared + guard_bytes, shared_alignment)));
    dynamic_shared = machine.dynamic_area;
    machine.dynamic_bytes = dynamic_bytes;
    memset(dynamic_shared + dynamic_bytes, guard, guard_bytes);
    machine.static_area = static_shared_memory(kernel);
    machine.dynamic_offset = unsigned(round_up(system_shared + machine.static_area.bytes, shared_alignment));
}
}

void fail(const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    machine.failure = "thread " + thread_name(*thread) + ": " + text + "\n    " + describe_address(CALLER);
    return_to_scheduler();
}

void wait_for(const Wait &wait)
{
    Fiber &self = *current();
    self.wait = wait;
    Fiber *next = next_ready();
    if (next == nullptr) return_to_scheduler();
    if (next == &self) return;
    thread = next;
    emulator_switch_stack(&self.stack_pointer, next->stack_pointer);
}

void wake(const void *key)
{
    for (int i = 0; i < machine.threads; i++)
    {
        Fiber *fiber = machine.fibers[i].get();
        if (fiber->wait.what == nullptr || fiber->wait.key != key) continue;
        fiber->wait = {};
        machine.ready.push(fiber);
    }
}

void copy_later(std::function<void()> copy)
{
    if (copies_early()) return copy();
    machine.copies.push_back(std::move(copy));
}

// ---- Barriers of the block ----

static void arrive(GroupBarrier &barrier, int threads)
{
    if (barrier.arrived > 0 && barrier.expected != threads && &barrier != machine.barriers)
        fail("barrier %d is used with %d and with %d threads at once", int(&barrier - machine.barriers), barrier.expected, threads);
    barrier.expected = threads;
    barrier.arrived++;
}

static GroupBarrier &named_barrier(int id, int threads)
{
    if (id < 1 || id >= barriers_per_block) fail("there is no named barrier %d: ids are 1 to 15", id);
    if (threads % 32 != 0 || threads < 32 || threads > machine.threads)
        fail("named barrier %d: %d threads are not a number of warps of this block", id, threads);
    return machine.barriers[id];
}

Votes sync_block(bool vote)
{
    GroupBarrier &barrier = machine.barriers[0];
    arrive(barrier, machine.alive);
    barrier.votes.nonzero += vote;
    barrier.votes.voters++;
    if (barrier.arrived == machine.alive)
        release(barrier);
    else
        wait_for({"__syncthreads, barrier", &barrier, 0, CALLER});
    return barrier.result;
}

void sync_group(int id, int threads)
{
    GroupBarrier &barrier = named_barrier(id, threads);
    arrive(barrier, threads);
    if (barrier.arrived == threads)
        release(barrier);
    else
        wait_for({"group_sync, barrier", &barrier, 0, CALLER});
}

void arrive_group(int id, int threads)
{
    GroupBarrier &barrier = named_barrier(id, threads);
    arrive(barrier, threads);
    if (barrier.arrived == threads) release(barrier);
}

// ---- Collectives ----

void meet(Collective &own, const void *caller)
{
    Fiber &self = *current();
    self.meeting = &own;
    int first = int(self.number) / own.width * own.width;
    Collective *participants[128];
    if (own.width == 32 && !(own.mask >> (self.number % 32) & 1)) fail("%s: the mask %08x lacks the calling lane", own.name, own.mask);
    // The last lane tends to arrive last: looking there first finds a missing one at once.
    for (int i = own.width - 1; i >= 0; i--)
    {
        participants[i] = nullptr;
        if (own.width == 32 && !(own.mask >> i & 1)) continue;
        if (first + i >= machine.threads)
        {
            if (own.width == 32) continue;
            fail("%s: the block has no full warpgroup here", own.name);
        }
        Collective *other = machine.fibers[first + i]->meeting;
        if (other == nullptr || strcmp(other->name, own.name) != 0 || other->mask != own.mask)
        {
            wait_for({own.name, &own, 0, caller});
            return;
        }
        participants[i] = other;
    }
    own.perform(participants);
    for (int i = 0; i < own.width; i++)
    {
        if (participants[i] == nullptr) continue;
        Fiber *fiber = machine.fibers[first + i].get();
        fiber->meeting = nullptr;
        if (fiber == &self) continue;
        fiber->wait = {};
        machine.ready.push(fiber);
    }
}

namespace
{
struct Exchange : Collective
{
    unsigned long long value;
    unsigned long long *lanes;
    unsigned present;
};

void perform_exchange(Collective *const *participants)
{
    unsigned long long values[32];
    unsigned present = 0;
    for (int i = 0; i < 32; i++)
    {
        values[i] = ~0ull;
        if (participants[i] == nullptr) continue;
        values[i] = static_cast<Exchange *>(participants[i])->value;
        present |= 1u << i;
    }
    for (int i = 0; i < 32; i++)
    {
        if (participants[i] == nullptr) continue;
        auto *lane = static_cast<Exchange *>(participants[i]);
        memcpy(lane->lanes, values, sizeof values);
        lane->present = present;
    }
}
}

unsigned exchange(unsigned mask, unsigned long long value, unsigned long long lanes[32])
{
    Exchange own{{"warp exchange", 32, mask, perform_exchange}, value, lanes, 0};
    meet(own, CALLER);
    return own.present;
}

void sync_warp(unsigned mask)
{
    Collective own{"__syncwarp", 32, mask, [](Collective *const *) {}};
    meet(own, CALLER);
}

// ---- Shared memory ----

unsigned shared_offset(const void *pointer)
{
    auto address = static_cast<const unsigned char *>(pointer);
    if (address >= dynamic_shared && address <= dynamic_shared + machine.dynamic_bytes)
        return machine.dynamic_offset + unsigned(address - dynamic_shared);
    const Span &fixed = machine.static_area;
    if (address >= fixed.begin && address < fixed.begin + fixed.bytes) return unsigned(system_shared + (address - fixed.begin));
    fail("%p is no address of shared memory", pointer);
}

void *shared_pointer(unsigned offset, size_t bytes, const char *operation)
{
    if (offset >= machine.dynamic_offset && offset + bytes <= machine.dynamic_offset + machine.dynamic_bytes)
        return dynamic_shared + (offset - machine.dynamic_offset);
    if (offset >= system_shared && offset + bytes <= system_shared + machine.static_area.bytes)
        return machine.static_area.begin + (offset - system_shared);
    fail("%s: shared addresses %u to %zu lie outside the block's shared memory", operation, offset, offset + bytes);
}

// ---- A launch ----

Outcome run_grid(const Kernel &kernel, Index grid, Index block, size_t dynamic_bytes, void **arguments)
{
    prepare(kernel, block, dynamic_bytes, arguments);
    grid_size = grid;
    block_size = block;
    FaultGuard faults;
    // After a fault in a kernel, execution returns from here a second time.
    if (sigsetjmp(faults.resume, 1) == 0)
    {
        faults.arm();
        for (unsigned z = 0; z < grid.z && machine.failure.empty(); z++)
            for (unsigned y = 0; y < grid.y && machine.failure.empty(); y++)
                for (unsigned x = 0; x < grid.x && machine.failure.empty(); x++)
                {
                    block_index = {x, y, z};
                    run_block();
                }
    }
    else
        machine.failure = "thread " + thread_name(*thread) + ": " + faults.describe();
    faults.disarm();
    bool has_faulted = faults.has_faulted();
    if (machine.failure.empty())
    {
        machine.failure = find_overrun();
        has_faulted = !machine.failure.empty();
    }
    if (machine.failure.empty()) return Outcome::ok;
    fprintf(stderr, "emulator: kernel %s, block (%u, %u, %u) of (%u, %u, %u), %d threads: %s\n", kernel.name.c_str(), block_index.x,
            block_index.y, block_index.z, grid.x, grid.y, grid.z, machine.threads, machine.failure.c_str());
    return has_faulted ? Outcome::illegal_address : Outcome::failed;
}
}
