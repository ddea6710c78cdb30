// libcuda.so.1: the driver's C interface. Everything has happened when a call returns; one call runs at a time.
#include "../runtime/block.h"
#include "../runtime/compiler.h"
#include "../runtime/memory.h"
#include "results.h"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

using namespace emulator;

namespace
{
std::recursive_mutex lock;
#define ONE_AT_A_TIME std::lock_guard guard(lock)

int context_token, stream_tokens;
thread_local void *current_context;
int sticky_error; // after a failed launch the context is lost, as on the device

struct Module
{
    void *library;
    std::map<std::string, std::unique_ptr<Kernel>> kernels;
};

struct Event
{
    std::chrono::steady_clock::time_point time;
    bool is_recorded = false;
};

// Copies and launches that were recorded; a graph and its executable are the same.
using Graph = std::vector<std::function<int()>>;
std::unique_ptr<Graph> capture; // while a stream records

// Does it, or keeps it for the graph that is being recorded.
int now_or_in_graph(std::function<int()> call)
{
    ONE_AT_A_TIME;
    if (capture == nullptr) return call();
    capture->push_back(std::move(call));
    return success;
}

unsigned char *bytes(uint64_t address) { return reinterpret_cast<unsigned char *>(address); }

bool check_range(const char *call, uint64_t address, size_t size)
{
    if (size == 0 || is_device_range(bytes(address), size)) return true;
    fprintf(stderr, "emulator: %s: the %zu bytes at 0x%llx are not within one allocation of device memory\n", call, size,
            (unsigned long long)address);
    return false;
}

int architecture()
{
    const char *text = getenv("GATEDFWA_EMULATOR_ARCH");
    return text != nullptr ? atoi(text) : 90;
}

int multiprocessors()
{
    const char *text = getenv("GATEDFWA_EMULATOR_MULTIPROCESSORS");
    return text != nullptr ? atoi(text) : 4;
}

int attribute(int which)
{
    switch (which)
    {
    case 1: return 1024;                      // threads of a block
    case 2: case 3: return 1024;              // along x, y
    case 4: return 64;                        // along z
    case 5: return 0x7fffffff;                // blocks along x
    case 6: case 7: return 65535;             // along y, z
    case 8: return 49152;                     // shared memory of a block, without asking
    case 10: return 32;                       // warp
    case 12: case 82: return 65536;           // registers of a block, of a multiprocessor
    case 13: return 1500000;                  // kHz
    case 16: return multiprocessors();
    case 36: return 2000000;                  // memory's kHz
    case 37: return 4096;                     // memory's bus, bits
    case 38: return 50 << 20;                 // L2
    case 39: return 2048;                     // threads of a multiprocessor
    case 41: return 1;                        // one address space
    case 75: return architecture() / 10;
    case 76: return architecture() % 10;
    case 81: return 233472;                   // shared memory of a multiprocessor
    case 97: return architecture() >= 90 ? 232448 : 166912; // of a block, when asked for
    case 106: return 32;                      // blocks of a multiprocessor
    case 111: return 1024;                    // shared memory the system takes
    default: return 0;
    }
}

int blocks_of_multiprocessor(const Kernel &kernel, int threads, size_t dynamic_bytes)
{
    size_t shared = dynamic_bytes + kernel.static_bytes + attribute(111);
    return std::min({2048 / std::max(threads, 32), int(attribute(81) / shared), 32});
}

struct Launch
{
    Kernel *kernel;
    Index grid, block;
    unsigned dynamic_bytes;
    bool is_cooperative;
};

int launch_problem(const Launch &launch, std::string &problem)
{
    const auto &[kernel_address, grid, block, dynamic_bytes, is_cooperative] = launch;
    const Kernel &kernel = *kernel_address;
    char text[256] = "";
    uint64_t threads = uint64_t(block.x) * block.y * block.z, blocks = uint64_t(grid.x) * grid.y * grid.z;
    size_t shared = dynamic_bytes + kernel.static_bytes;
    int result = invalid_value;
    if (threads == 0 || grid.x == 0 || grid.y == 0 || grid.z == 0)
        snprintf(text, sizeof text, "the grid (%u, %u, %u) of (%u, %u, %u) threads is empty", grid.x, grid.y, grid.z, block.x, block.y, block.z);
    else if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
        snprintf(text, sizeof text, "the grid (%u, %u, %u) is larger than (2147483647, 65535, 65535)", grid.x, grid.y, grid.z);
    else if (threads > 1024 || block.z > 64 || threads > uint64_t(kernel.max_threads))
        snprintf(text, sizeof text, "blocks of %llu threads; __launch_bounds__ and the device allow %d",
                 (unsigned long long)threads, kernel.max_threads);
    else if (shared > size_t(attribute(97)))
        snprintf(text, sizeof text, "%zu bytes of shared memory; the device has %d", shared, attribute(97));
    else if (dynamic_bytes > 49152 - std::min<size_t>(kernel.static_bytes, 49152) && dynamic_bytes > kernel.max_dynamic_bytes)
        snprintf(text, sizeof text, "%u bytes of dynamic shared memory; cuFuncSetAttribute asked for %zu", dynamic_bytes, kernel.max_dynamic_bytes);
    else if (uint64_t fit = uint64_t(multiprocessors()) * blocks_of_multiprocessor(kernel, int(threads), dynamic_bytes);
             is_cooperative && blocks > fit)
    {
        snprintf(text, sizeof text, "%llu blocks that run at once; %d multiprocessors have room for %llu", (unsigned long long)blocks,
                 multiprocessors(), (unsigned long long)fit);
        result = cooperative_launch_too_large;
    }
    problem = text;
    return problem.empty() ? success : result;
}

// Runs it, or keeps it for the graph that is being recorded.
int launch_now_or_in_graph(const Launch &launch, void **arguments)
{
    ONE_AT_A_TIME;
    if (sticky_error != success) return sticky_error;
    std::string problem;
    if (int result = launch_problem(launch, problem); result != success)
    {
        fprintf(stderr, "emulator: kernel %s: %s\n", launch.kernel->name.c_str(), problem.c_str());
        return result;
    }
    if (capture != nullptr)
    {
        std::vector<std::vector<unsigned char>> kept;
        for (const int *size = launch.kernel->argument_bytes; *size != 0; size++)
        {
            auto *value = static_cast<unsigned char *>(arguments[kept.size()]);
            kept.emplace_back(value, value + *size);
        }
        capture->push_back([=, values = std::move(kept)]() mutable {
            std::vector<void *> pointers;
            for (auto &value : values) pointers.push_back(value.data());
            return launch_now_or_in_graph(launch, pointers.data());
        });
        return success;
    }
    // A grid of no more blocks than multiprocessors runs at once on a device, too, whether it asked for that or not.
    bool at_once = launch.is_cooperative || uint64_t(launch.grid.x) * launch.grid.y * launch.grid.z <= uint64_t(multiprocessors());
    Outcome outcome = run_grid(*launch.kernel, launch.grid, launch.block, launch.dynamic_bytes, arguments, at_once);
    return outcome == Outcome::ok ? success : outcome == Outcome::failed ? launch_failed : illegal_address;
}
}

extern "C"
{
int cuInit(unsigned) { return success; }

int cuDriverGetVersion(int *version)
{
    *version = 13000;
    return success;
}

int cuDeviceGetCount(int *count)
{
    *count = 1;
    return success;
}

int cuDeviceGet(int *device, int ordinal)
{
    *device = ordinal;
    return ordinal == 0 ? success : invalid_device;
}

int cuDeviceGetName(char *name, int length, int)
{
    snprintf(name, length, "Emulated GPU");
    return success;
}

int cuDeviceGetUuid_v2(char *uuid, int)
{
    memcpy(uuid, "emulated gpu 000", 16);
    return success;
}

int cuDeviceTotalMem_v2(size_t *total, int)
{
    *total = memory_limit();
    return success;
}

int cuDeviceGetAttribute(int *value, int which, int)
{
    *value = attribute(which);
    return success;
}

// ---- Contexts ----

int cuDevicePrimaryCtxRetain(void **context, int)
{
    *context = &context_token;
    return success;
}

int cuDevicePrimaryCtxRelease_v2(int) { return success; }

int cuCtxSetCurrent(void *context)
{
    current_context = context;
    return success;
}

int cuCtxGetCurrent(void **context)
{
    *context = current_context;
    return success;
}

int cuCtxGetDevice(int *device)
{
    *device = 0;
    return success;
}

int cuCtxSynchronize()
{
    ONE_AT_A_TIME;
    std::string overrun = find_overrun();
    if (!overrun.empty())
    {
        fprintf(stderr, "emulator: %s\n", overrun.c_str());
        sticky_error = illegal_address;
    }
    return sticky_error;
}

// ---- Memory ----

int cuMemGetInfo_v2(size_t *free, size_t *total)
{
    ONE_AT_A_TIME;
    *total = memory_limit();
    *free = *total - memory_in_use();
    return success;
}

int cuMemAlloc_v2(uint64_t *address, size_t size)
{
    ONE_AT_A_TIME;
    if (size == 0) return invalid_value;
    *address = reinterpret_cast<uint64_t>(allocate(size));
    return *address != 0 ? success : out_of_memory;
}

int cuMemFree_v2(uint64_t address)
{
    ONE_AT_A_TIME;
    if (address == 0) return success;
    int result = cuCtxSynchronize();
    return release(bytes(address)) ? result : invalid_value;
}

int cuMemAllocAsync(uint64_t *address, size_t size, void *) { return cuMemAlloc_v2(address, size); }
int cuMemFreeAsync(uint64_t address, void *) { return cuMemFree_v2(address); }

int cuMemHostAlloc(void **memory, size_t size, unsigned)
{
    *memory = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
    return *memory != nullptr ? success : out_of_memory;
}

int cuMemAllocHost_v2(void **memory, size_t size) { return cuMemHostAlloc(memory, size, 0); }

int cuMemFreeHost(void *memory)
{
    free(memory);
    return success;
}

int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t size)
{
    ONE_AT_A_TIME;
    if (!check_range("a copy to the device", to, size)) return invalid_value;
    memcpy(bytes(to), from, size);
    return sticky_error;
}

int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t size)
{
    ONE_AT_A_TIME;
    if (!check_range("a copy to the host", from, size)) return invalid_value;
    memcpy(to, bytes(from), size);
    return sticky_error;
}

int cuMemcpyDtoD_v2(uint64_t to, uint64_t from, size_t size)
{
    ONE_AT_A_TIME;
    if (!check_range("a copy's source", from, size) || !check_range("a copy's target", to, size)) return invalid_value;
    memmove(bytes(to), bytes(from), size);
    return sticky_error;
}

int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t size, void *)
{
    return now_or_in_graph([=] { return cuMemcpyHtoD_v2(to, from, size); });
}

int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t size, void *)
{
    return now_or_in_graph([=] { return cuMemcpyDtoH_v2(to, from, size); });
}

int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t size, void *)
{
    return now_or_in_graph([=] { return cuMemcpyDtoD_v2(to, from, size); });
}

int cuMemcpyPeerAsync(uint64_t to, void *, uint64_t from, void *, size_t size, void *) { return cuMemcpyDtoD_v2(to, from, size); }

int cuMemsetD8_v2(uint64_t to, unsigned char value, size_t count)
{
    ONE_AT_A_TIME;
    if (!check_range("cuMemsetD8", to, count)) return invalid_value;
    memset(bytes(to), value, count);
    return sticky_error;
}

int cuMemsetD32_v2(uint64_t to, unsigned value, size_t count)
{
    ONE_AT_A_TIME;
    if (to % 4 != 0 || !check_range("cuMemsetD32", to, count * 4)) return invalid_value;
    std::fill_n(reinterpret_cast<unsigned *>(to), count, value);
    return sticky_error;
}

int cuMemsetD8Async(uint64_t to, unsigned char value, size_t count, void *)
{
    return now_or_in_graph([=] { return cuMemsetD8_v2(to, value, count); });
}

int cuMemsetD32Async(uint64_t to, unsigned value, size_t count, void *)
{
    return now_or_in_graph([=] { return cuMemsetD32_v2(to, value, count); });
}

// ---- Streams and events ----

int cuStreamCreate(void **stream, unsigned)
{
    *stream = reinterpret_cast<void *>(uintptr_t(0x1000 + 16 * stream_tokens++));
    return success;
}

int cuStreamDestroy_v2(void *) { return success; }
int cuStreamSynchronize(void *) { return capture == nullptr ? cuCtxSynchronize() : invalid_value; }
int cuStreamQuery(void *) { return sticky_error; }
int cuStreamWaitEvent(void *, void *, unsigned) { return success; }

// ---- Graphs: the calls of a stream, one after the other ----

int cuStreamBeginCapture_v2(void *, int)
{
    ONE_AT_A_TIME;
    if (capture != nullptr) return invalid_value;
    capture = std::make_unique<Graph>();
    return success;
}

int cuStreamEndCapture(void *, void **graph)
{
    ONE_AT_A_TIME;
    if (capture == nullptr) return invalid_value;
    *graph = capture.release();
    return success;
}

int cuGraphInstantiateWithFlags(void **executable, void *graph, uint64_t)
{
    *executable = new Graph(*static_cast<Graph *>(graph));
    return success;
}

int cuGraphLaunch(void *executable, void *)
{
    ONE_AT_A_TIME;
    for (auto &call : *static_cast<Graph *>(executable))
        if (int result = call(); result != success) return result;
    return success;
}

int cuGraphDestroy(void *graph)
{
    delete static_cast<Graph *>(graph);
    return success;
}

int cuGraphExecDestroy(void *executable) { return cuGraphDestroy(executable); }

int cuEventCreate(void **event, unsigned)
{
    *event = new Event;
    return success;
}

int cuEventDestroy_v2(void *event)
{
    delete static_cast<Event *>(event);
    return success;
}

int cuEventRecord(void *event, void *)
{
    *static_cast<Event *>(event) = {std::chrono::steady_clock::now(), true};
    return success;
}

int cuEventSynchronize(void *) { return sticky_error; }
int cuEventQuery(void *) { return sticky_error; }

int cuEventElapsedTime(float *milliseconds, void *start, void *end)
{
    auto *first = static_cast<Event *>(start), *last = static_cast<Event *>(end);
    if (!first->is_recorded || !last->is_recorded) return invalid_handle;
    *milliseconds = std::chrono::duration<float, std::milli>(last->time - first->time).count();
    return success;
}

int cuEventElapsedTime_v2(float *milliseconds, void *start, void *end) { return cuEventElapsedTime(milliseconds, start, end); }

// ---- Modules and launches ----

int cuModuleLoadData(void **module, const void *image)
{
    ONE_AT_A_TIME;
    Program program;
    if (!Program::deserialize(static_cast<const char *>(image), program))
    {
        fprintf(stderr, "emulator: cuModuleLoadData: no program of the emulator's NVRTC\n");
        return invalid_image;
    }
    Compiled compiled = compile(program);
    void *library = compiled.library.empty() ? nullptr : dlopen(compiled.library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr)
    {
        fprintf(stderr, "emulator: cuModuleLoadData: %s\n", compiled.library.empty() ? compiled.log.c_str() : dlerror());
        return invalid_image;
    }
    *module = new Module{library, {}};
    return success;
}

int cuModuleLoadDataEx(void **module, const void *image, unsigned, int *, void **) { return cuModuleLoadData(module, image); }

int cuModuleUnload(void *module)
{
    ONE_AT_A_TIME;
    dlclose(static_cast<Module *>(module)->library);
    delete static_cast<Module *>(module);
    return success;
}

int cuModuleGetFunction(void **function, void *module, const char *name)
{
    ONE_AT_A_TIME;
    auto &owner = *static_cast<Module *>(module);
    auto &kernel = owner.kernels[name];
    if (kernel == nullptr)
    {
        void *launch = dlsym(owner.library, (std::string(name) + "__launch").c_str());
        if (launch == nullptr) return not_found;
        kernel = std::make_unique<Kernel>();
        kernel->name = name;
        kernel->run = reinterpret_cast<void (*)(void **)>(launch);
        kernel->static_shared = reinterpret_cast<unsigned char *(*)()>(dlsym(owner.library, "emulator_static_shared"));
        kernel->argument_bytes = reinterpret_cast<const int *(*)()>(dlsym(owner.library, (std::string(name) + "__sizes").c_str()))();
        kernel->max_threads = reinterpret_cast<int (*)()>(dlsym(owner.library, (std::string(name) + "__threads").c_str()))();
        kernel->static_bytes = static_shared_memory(*kernel).bytes;
    }
    *function = kernel.get();
    return success;
}

int cuFuncSetAttribute(void *function, int which, int value)
{
    auto &kernel = *static_cast<Kernel *>(function);
    if (which != 8) return success; // the carveout is a hint
    if (value < 0 || value + kernel.static_bytes > size_t(attribute(97)))
    {
        fprintf(stderr, "emulator: kernel %s asks for %d bytes of dynamic shared memory; the device has %d\n", kernel.name.c_str(), value,
                attribute(97));
        return invalid_value;
    }
    kernel.max_dynamic_bytes = value;
    return success;
}

int cuFuncGetAttribute(int *value, int which, void *function)
{
    auto &kernel = *static_cast<Kernel *>(function);
    switch (which)
    {
    case 0: *value = kernel.max_threads; break;
    case 1: *value = int(kernel.static_bytes); break;
    case 4: *value = 64; break; // registers
    case 5: case 6: *value = architecture(); break;
    case 8: *value = int(kernel.max_dynamic_bytes); break;
    default: *value = 0;
    }
    return success;
}

int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *function, int threads, size_t dynamic_bytes)
{
    *blocks = blocks_of_multiprocessor(*static_cast<Kernel *>(function), threads, dynamic_bytes);
    return success;
}

int cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
                   unsigned dynamic_bytes, void *, void **arguments, void **)
{
    return launch_now_or_in_graph(
        {static_cast<Kernel *>(function), {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, dynamic_bytes, false}, arguments);
}

// What it is, then 64 bytes of value, of which an int is read.
struct LaunchAttribute
{
    int id, unused, value[16];
};

struct LaunchConfig
{
    Index grid, block;
    unsigned dynamic_bytes;
    void *stream;
    const LaunchAttribute *attributes;
    unsigned attribute_count;
};

int cuLaunchKernelEx(const LaunchConfig *config, void *function, void **arguments, void **)
{
    constexpr int cooperative = 2; // Others are about what runs beside it.
    bool is_cooperative = false;
    for (unsigned i = 0; i < config->attribute_count; i++)
        if (config->attributes[i].id == cooperative) is_cooperative = config->attributes[i].value[0] != 0;
    auto *kernel = static_cast<Kernel *>(function);
    return launch_now_or_in_graph({kernel, config->grid, config->block, config->dynamic_bytes, is_cooperative}, arguments);
}
}
