// From addresses to lines of kernel text, and to the module's static shared memory.
#include "block.h"

#include <cstdio>
#include <dlfcn.h>
#include <link.h>

namespace emulator
{
std::string describe_address(const void *address)
{
    Dl_info info;
    if (address == nullptr || dladdr(address, &info) == 0 || info.dli_fname == nullptr) return "an unknown place";
    char command[4096];
    // The address a call returns to belongs to the next line: one byte before it is the call.
    size_t offset = size_t(address) - size_t(info.dli_fbase) - 1;
    snprintf(command, sizeof command, "addr2line -i -s -e '%s' 0x%zx 2>/dev/null", info.dli_fname, offset);
    std::string chain;
    if (FILE *pipe = popen(command, "r"))
    {
        char line[1024];
        while (fgets(line, sizeof line, pipe) != nullptr)
        {
            std::string text(line);
            text.erase(text.find_last_not_of("\n") + 1);
            size_t note = text.find(" (discriminator");
            if (note != std::string::npos) text.erase(note);
            if (text.find("prelude.h") != std::string::npos || text.find("runtime.h") != std::string::npos) continue;
            chain += (chain.empty() ? "at " : ", called at ") + text;
        }
        pclose(pipe);
    }
    return chain.empty() ? "an unknown place" : chain;
}

// Static __shared__ variables are thread-local variables of the module: one contiguous block for each host thread.
Span static_shared_memory(const Kernel &kernel)
{
    struct Query { size_t address; Span found; } query{size_t(kernel.static_shared()), {}};
    dl_iterate_phdr(
        [](dl_phdr_info *info, size_t, void *data) {
            auto &q = *static_cast<Query *>(data);
            if (info->dlpi_tls_data == nullptr) return 0;
            for (int i = 0; i < info->dlpi_phnum; i++)
            {
                const auto &header = info->dlpi_phdr[i];
                size_t begin = size_t(info->dlpi_tls_data);
                if (header.p_type != PT_TLS || q.address < begin || q.address >= begin + header.p_memsz) continue;
                q.found = {static_cast<unsigned char *>(info->dlpi_tls_data), header.p_memsz};
                return 1;
            }
            return 0;
        },
        &query);
    return query.found;
}
}
