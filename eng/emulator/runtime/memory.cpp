#include "memory.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <sys/mman.h>

namespace emulator
{
namespace
{
constexpr size_t page = 4096, alignment = 256, front_guard = 256;
constexpr unsigned char guard = 0xc5, poison = 0xff;

// A page that faults, guard bytes, the data, up to 255 guard bytes, a page that faults.
struct Allocation
{
    size_t bytes, mapped;
    unsigned char *mapping, *data;
    bool is_reported;

    unsigned char *end() const { return mapping + mapped - page; }
};

std::mutex lock; // cuBLASLt asks from outside the driver's calls
std::map<uintptr_t, Allocation> allocations;
size_t in_use;

size_t round_up(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

bool is_intact(const unsigned char *begin, const unsigned char *end)
{
    for (; begin < end; begin++)
        if (*begin != guard) return false;
    return true;
}
}

size_t memory_limit()
{
    static const size_t limit = [] {
        const char *text = getenv("GATEDFWA_EMULATOR_MEMORY");
        return text != nullptr ? strtoull(text, nullptr, 10) : size_t(4) << 30;
    }();
    return limit;
}

size_t memory_in_use()
{
    std::lock_guard hold(lock);
    return in_use;
}

void *allocate(size_t bytes)
{
    std::lock_guard hold(lock);
    if (bytes > memory_limit() || in_use + bytes > memory_limit()) return nullptr;
    Allocation a{};
    a.bytes = bytes;
    a.mapped = 2 * page + round_up(front_guard + round_up(bytes, alignment), page);
    void *mapping = mmap(nullptr, a.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED) return nullptr;
    a.mapping = static_cast<unsigned char *>(mapping);
    a.data = a.end() - round_up(bytes, alignment);
    mprotect(a.mapping, page, PROT_NONE);
    mprotect(a.end(), page, PROT_NONE);
    memset(a.data - front_guard, guard, front_guard);
    memset(a.data, poison, bytes);
    memset(a.data + bytes, guard, a.end() - (a.data + bytes));
    allocations[reinterpret_cast<uintptr_t>(a.data)] = a;
    in_use += bytes;
    return a.data;
}

bool release(void *pointer)
{
    std::lock_guard hold(lock);
    auto found = allocations.find(reinterpret_cast<uintptr_t>(pointer));
    if (found == allocations.end()) return false;
    munmap(found->second.mapping, found->second.mapped);
    in_use -= found->second.bytes;
    allocations.erase(found);
    return true;
}

bool is_device_range(const void *pointer, size_t bytes)
{
    std::lock_guard hold(lock);
    auto address = reinterpret_cast<uintptr_t>(pointer);
    auto after = allocations.upper_bound(address);
    if (after == allocations.begin()) return false;
    const Allocation &a = std::prev(after)->second;
    auto begin = reinterpret_cast<uintptr_t>(a.data);
    return bytes <= a.bytes && address - begin <= a.bytes - bytes;
}

std::string find_overrun()
{
    std::lock_guard hold(lock);
    for (auto &[address, a] : allocations)
    {
        if (a.is_reported) continue;
        bool before = is_intact(a.data - front_guard, a.data), after = is_intact(a.data + a.bytes, a.end());
        if (before && after) continue;
        a.is_reported = true;
        char text[128];
        snprintf(text, sizeof text, "%s the %zu bytes of device memory at %p were overwritten", before ? "bytes past" : "bytes before",
                 a.bytes, static_cast<void *>(a.data));
        return text;
    }
    return {};
}
}
