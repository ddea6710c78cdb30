#include "block.h"

#include "faults.h"
#include "memory.h"

#include <algorithm>
#include <cstdarg>
#include <cstdint>
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

struct Block
{
    Index index{};
    std::vector<std::unique_ptr<Fiber>> fibers;
    int alive = 0;
    ReadyQueue ready;
    std::vector<Fiber *> polling; // they try again at the block's next turn
    GroupBarrier barriers[barriers_per_block];
    std::deque<std::function<void()>> copies;
    unsigned char *dynamic_area = nullptr;    // max_shared + guard
    std::vector<unsigned char> static_shared; // while another block runs
};

struct Machine
{
    std::vector<std::unique_ptr<Block>> blocks; // as many as ever ran at once
    int at_once = 1, turn = 0;                  // blocks of this launch that run at once, and the one that does now
    bool has_progressed = false;                // in this round of turns some thread did more than fail a poll
    int threads = 0;                            // of a block
    void *scheduler = nullptr;
    const Kernel *kernel = nullptr;
    void **arguments = nullptr;
    std::string failure;
    bool is_stuck = false; // the failure is a deadlock, of all blocks that run at once
    size_t dynamic_bytes = 0;
    Span static_area{};
    unsigned dynamic_offset = 0;
} machine;

Block *active; // machine.blocks[machine.turn]

size_t round_up(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

// Static shared memory has one address, whichever block runs: its content changes with the turn. Dynamic memory each block has itself.
void give_turn(int turn)
{
    Block *next = machine.blocks[turn].get();
    if (next != active)
    {
        const Span &fixed = machine.static_area;
        active->static_shared.assign(fixed.begin, fixed.begin + fixed.bytes);
        if (next->static_shared.size() == fixed.bytes) std::copy(next->static_shared.begin(), next->static_shared.end(), fixed.begin);
    }
    machine.turn = turn;
    active = next;
    block_index = next->index;
    dynamic_shared = next->dynamic_area;
}

void copy_until_ready()
{
    while (active->ready.is_empty() && !active->copies.empty())
    {
        auto copy = std::move(active->copies.front());
        active->copies.pop_front();
        copy();
    }
}

// The next block that has something to run has its turn. After a round in which everyone waited or polled in vain, copies happen;
// where there are none, nobody can go on.
bool pass_turn()
{
    for (;;)
    {
        int next = machine.turn + 1;
        if (next == machine.at_once)
        {
            next = 0;
            bool is_idle = !machine.has_progressed, has_copied = false;
            machine.has_progressed = false;
            for (int i = 0; is_idle && i < machine.at_once; i++)
            {
                if (machine.blocks[i]->copies.empty()) continue;
                give_turn(i);
                copy_until_ready();
                has_copied = true;
            }
            if (is_idle && !has_copied) return false;
        }
        machine.turn = next;
        Block &block = *machine.blocks[next];
        if (block.ready.is_empty() && block.polling.empty()) continue;
        give_turn(next);
        for (Fiber *fiber : block.polling)
        {
            fiber->wait = {};
            block.ready.push(fiber);
        }
        block.polling.clear();
        return true;
    }
}

// Null: nobody can go on.
Fiber *next_ready()
{
    if (active->ready.is_empty() && !pass_turn()) return nullptr;
    return active->ready.pop();
}

void run_next()
{
    Fiber &self = *current();
    Fiber *next = next_ready();
    if (next == &self) return;
    if (next != nullptr) thread = next;
    emulator_switch_stack(&self.stack_pointer, next == nullptr ? machine.scheduler : next->stack_pointer);
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
    active->alive--;
    if (active->alive == 0 && !active->copies.empty()) fail("ends the block before its copies: nobody waited for them");
    GroupBarrier &all = active->barriers[0];
    if (all.arrived > 0 && all.arrived == active->alive) release(all);
    machine.has_progressed = true;
    run_next();
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

// What the block's threads wait for: the threads of each place.
std::map<std::string, std::vector<unsigned>> waiting_places()
{
    std::map<std::string, std::vector<unsigned>> places;
    static std::map<const void *, std::string> addresses;
    for (int i = 0; i < machine.threads; i++)
    {
        const Fiber &fiber = *active->fibers[i];
        std::string place = "returned";
        if (!fiber.is_finished)
        {
            const Wait &wait = fiber.wait;
            auto [address, is_new] = addresses.try_emplace(wait.caller);
            if (is_new) address->second = describe_address(wait.caller);
            char detail[96] = "";
            if (fiber.meeting != nullptr)
                snprintf(detail, sizeof detail, " of lanes %08x", fiber.meeting->mask);
            else if (wait.key == nullptr)
                snprintf(detail, sizeof detail, " of tag %u", unsigned(wait.detail));
            else if (wait.key >= active->barriers && wait.key < active->barriers + barriers_per_block)
            {
                auto *barrier = static_cast<const GroupBarrier *>(wait.key);
                snprintf(detail, sizeof detail, " %d (%d of %d arrived)", int(barrier - active->barriers), barrier->arrived,
                         barrier->expected);
            }
            else
                snprintf(detail, sizeof detail, " at shared address %u, parity %d", shared_offset(wait.key), wait.detail);
            place = std::string(wait.what) + detail + ", " + address->second;
        }
        places[place].push_back(i);
    }
    return places;
}

// One line for all that wait in one place, with what they wait for.
std::string describe_deadlock()
{
    std::map<std::string, std::vector<unsigned>> lines; // the blocks of each
    for (int i = 0; i < machine.at_once; i++)
    {
        give_turn(i);
        for (auto &[place, threads] : waiting_places()) lines["threads " + ranges(threads) + ": " + place].push_back(i);
    }
    std::string text = "deadlock: no thread can go on";
    for (auto &[line, blocks] : lines) text += "\n    " + (machine.at_once > 1 ? "blocks " + ranges(blocks) + ", " : "") + line;
    return text;
}

void start_block(int turn)
{
    give_turn(turn);
    memset(dynamic_shared, poison, machine.dynamic_bytes);
    memset(dynamic_shared + machine.dynamic_bytes, guard, guard_bytes);
    memset(machine.static_area.begin, poison, machine.static_area.bytes);
    memset(active->barriers, 0, sizeof active->barriers);
    active->copies.clear();
    active->ready.clear();
    active->polling.clear();
    active->alive = machine.threads;
    reset_products();
    for (int i = 0; i < machine.threads; i++)
    {
        restart(*active->fibers[i], thread_main);
        active->ready.push(active->fibers[i].get());
    }
}

void check_end(int turn)
{
    give_turn(turn);
    for (size_t i = machine.dynamic_bytes; machine.failure.empty() && i < machine.dynamic_bytes + guard_bytes; i++)
        if (dynamic_shared[i] != guard)
            machine.failure = "the block wrote past its " + std::to_string(machine.dynamic_bytes) +
                              " bytes of dynamic shared memory, at byte " + std::to_string(i);
}

// All blocks that run at once, from their beginning to their end.
void run_blocks()
{
    for (int i = 0; i < machine.at_once; i++) start_block(i);
    machine.has_progressed = true;
    thread = next_ready();
    emulator_switch_stack(&machine.scheduler, current()->stack_pointer);
    if (!machine.failure.empty()) return;
    for (int i = 0; i < machine.at_once; i++) machine.is_stuck |= machine.blocks[i]->alive > 0;
    if (machine.is_stuck) machine.failure = describe_deadlock();
    for (int i = 0; i < machine.at_once && machine.failure.empty(); i++) check_end(i);
}

void prepare_block(int turn, Index size)
{
    if (turn == int(machine.blocks.size())) machine.blocks.push_back(std::make_unique<Block>());
    Block &block = *machine.blocks[turn];
    for (int i = int(block.fibers.size()); i < machine.threads; i++)
    {
        block.fibers.push_back(std::make_unique<Fiber>());
        allocate_stack(*block.fibers.back());
    }
    for (int i = 0; i < machine.threads; i++)
    {
        Fiber &fiber = *block.fibers[i];
        fiber.number = i;
        fiber.index = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
    }
    constexpr size_t area_bytes = (max_shared + guard_bytes + shared_alignment - 1) / shared_alignment * shared_alignment;
    if (block.dynamic_area == nullptr) block.dynamic_area = static_cast<unsigned char *>(aligned_alloc(shared_alignment, area_bytes));
}

void prepare(const Kernel &kernel, int at_once, Index size, size_t dynamic_bytes, void **arguments)
{
    machine.kernel = &kernel;
    machine.arguments = arguments;
    machine.failure.clear();
    machine.is_stuck = false;
    machine.threads = int(size.x * size.y * size.z);
    machine.at_once = at_once;
    for (int i = 0; i < at_once; i++) prepare_block(i, size);
    machine.dynamic_bytes = dynamic_bytes;
    machine.static_area = static_shared_memory(kernel);
    machine.dynamic_offset = unsigned(round_up(system_shared + machine.static_area.bytes, shared_alignment));
    active = machine.blocks[0].get();
}

Index index_of(uint64_t number, Index grid)
{
    return {unsigned(number % grid.x), unsigned(number / grid.x % grid.y), unsigned(number / grid.x / grid.y)};
}
}

int block_turn() { return machine.turn; }

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
    current()->wait = wait;
    machine.has_progressed = true;
    run_next();
}

void give_way(const char *what, unsigned tag, int tries)
{
    Fiber &self = *current();
    self.wait = {what, nullptr, int(tag), CALLER};
    active->polling.push_back(&self);
    if (tries == 0) machine.has_progressed = true; // It came here; later tries are nothing new.
    run_next();
}

void wake(const void *key)
{
    for (int i = 0; i < machine.threads; i++)
    {
        Fiber *fiber = active->fibers[i].get();
        if (fiber->wait.what == nullptr || fiber->wait.key != key) continue;
        fiber->wait = {};
        active->ready.push(fiber);
    }
}

void copy_later(std::function<void()> copy)
{
    if (copies_early()) return copy();
    active->copies.push_back(std::move(copy));
}

// ---- Barriers of the block ----

static void arrive(GroupBarrier &barrier, int threads)
{
    if (barrier.arrived > 0 && barrier.expected != threads && &barrier != active->barriers)
        fail("barrier %d is used with %d and with %d threads at once", int(&barrier - active->barriers), barrier.expected, threads);
    barrier.expected = threads;
    barrier.arrived++;
}

static GroupBarrier &named_barrier(int id, int threads)
{
    if (id < 1 || id >= barriers_per_block) fail("there is no named barrier %d: ids are 1 to 15", id);
    if (threads % 32 != 0 || threads < 32 || threads > machine.threads)
        fail("named barrier %d: %d threads are not a number of warps of this block", id, threads);
    return active->barriers[id];
}

Votes sync_block(bool vote)
{
    GroupBarrier &barrier = active->barriers[0];
    arrive(barrier, active->alive);
    barrier.votes.nonzero += vote;
    barrier.votes.voters++;
    if (barrier.arrived == active->alive)
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
        Collective *other = active->fibers[first + i]->meeting;
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
        Fiber *fiber = active->fibers[first + i].get();
        fiber->meeting = nullptr;
        if (fiber == &self) continue;
        fiber->wait = {};
        active->ready.push(fiber);
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

Outcome run_grid(const Kernel &kernel, Index grid, Index block, size_t dynamic_bytes, void **arguments, bool is_cooperative)
{
    uint64_t blocks = uint64_t(grid.x) * grid.y * grid.z;
    prepare(kernel, is_cooperative ? int(blocks) : 1, block, dynamic_bytes, arguments);
    grid_size = grid;
    block_size = block;
    FaultGuard faults;
    // After a fault in a kernel, execution returns from here a second time.
    if (sigsetjmp(faults.resume, 1) == 0)
    {
        faults.arm();
        for (uint64_t first = 0; first < blocks && machine.failure.empty(); first += machine.at_once)
        {
            for (int i = 0; i < machine.at_once; i++) machine.blocks[i]->index = index_of(first + i, grid);
            run_blocks();
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
    char who[64] = "all blocks";
    if (!machine.is_stuck || machine.at_once == 1)
        snprintf(who, sizeof who, "block (%u, %u, %u)", block_index.x, block_index.y, block_index.z);
    fprintf(stderr, "emulator: kernel %s, %s of (%u, %u, %u), %d threads: %s\n", kernel.name.c_str(), who, grid.x, grid.y, grid.z,
            machine.threads, machine.failure.c_str());
    return has_faulted ? Outcome::illegal_address : Outcome::failed;
}
}
