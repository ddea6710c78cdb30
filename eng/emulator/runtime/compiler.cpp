#include "compiler.h"

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <unistd.h>

namespace fs = std::filesystem;

namespace emulator
{
namespace
{
constexpr char magic[] = "GATEDFWA EMULATOR PROGRAM\n";
constexpr char flags[] = "-O1 -std=c++20 -fPIC -w -march=x86-64-v3 -ffp-contract=off -fno-strict-aliasing -fno-gnu-unique "
                         "-fno-exceptions -g1 -mtls-dialect=gnu2 -fsanitize=alignment -fsanitize-undefined-trap-on-error";

std::string read_file(const fs::path &path)
{
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

void write_file(const fs::path &path, const std::string &text)
{
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
}

// The folder of this library: `device` and `runtime` with the emulator's headers lie beside it.
const fs::path &home()
{
    static const fs::path folder = [] {
        Dl_info info;
        dladdr(reinterpret_cast<const void *>(&compile), &info);
        return fs::canonical(info.dli_fname).parent_path();
    }();
    return folder;
}

const fs::path &cache()
{
    static const fs::path folder = [] {
        const char *chosen = getenv("GATEDFWA_EMULATOR_CACHE");
        fs::path path = chosen != nullptr ? chosen : "/tmp/gatedfwa-emulator-cache";
        fs::create_directories(path);
        return path;
    }();
    return folder;
}

class Hash
{
public:
    void add(const std::string &text)
    {
        for (unsigned char c : text)
        {
            a_ = (a_ ^ c) * 0x100000001b3ull;
            b_ = (b_ ^ c) * 0x9e3779b97f4a7c15ull + 1;
        }
        a_ = (a_ ^ text.size()) * 0x100000001b3ull;
    }
    std::string text() const
    {
        char digits[40];
        snprintf(digits, sizeof digits, "%016llx%016llx", (unsigned long long)a_, (unsigned long long)b_);
        return digits;
    }

private:
    uint64_t a_ = 0xcbf29ce484222325ull, b_ = 0x2545f4914f6cdd1dull;
};

std::string emulator_headers()
{
    std::string all;
    for (const char *folder : {"device", "runtime"})
        for (auto &entry : fs::directory_iterator(home() / folder)) all += entry.path().filename().string() + read_file(entry.path());
    return all;
}

std::string key_of(const Program &program)
{
    static const std::string own = emulator_headers();
    Hash hash;
    hash.add(own);
    hash.add(flags);
    hash.add(program.serialize());
    return hash.text();
}

std::string quote(const std::string &text)
{
    std::string quoted = "'";
    for (char c : text) quoted += c == '\'' ? "'\\''" : std::string(1, c);
    return quoted + "'";
}

// Of NVRTC's options the defines matter, and the architecture.
std::string preprocessor_options(const std::vector<std::string> &options)
{
    std::string text;
    for (size_t i = 0; i < options.size(); i++)
    {
        std::string option = options[i];
        if (option == "-D" && i + 1 < options.size()) option += options[++i];
        if (option.rfind("--define-macro=", 0) == 0) option = "-D" + option.substr(15);
        if (option.rfind("-D", 0) == 0 || option.rfind("-U", 0) == 0) text += " " + quote(option);
        size_t architecture = option.find("sm_");
        if (architecture == std::string::npos) architecture = option.find("compute_");
        if (architecture == std::string::npos) continue;
        std::string digits = option.substr(option.find('_', architecture) + 1);
        text += " -D__CUDA_ARCH__=" + std::to_string(atoi(digits.c_str()) * 10);
    }
    return text;
}

bool is_word(char c) { return isalnum((unsigned char)c) || c == '_'; }

// The text between the parenthesis at `open` and its partner; `open` moves past it.
std::string in_parentheses(const std::string &text, size_t &open)
{
    size_t begin = open + 1;
    int depth = 0;
    for (; open < text.size(); open++)
    {
        if (text[open] == '(') depth++;
        if (text[open] == ')' && --depth == 0) break;
    }
    return text.substr(begin, open++ - begin);
}

void blank(std::string &text, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++)
        if (text[i] != '\n') text[i] = ' ';
}

// Takes `__global__` and `__launch_bounds__(…)` out of the preprocessed text and adds a launcher for every kernel.
std::string add_launchers(std::string text)
{
    const std::string global = "__global__", bounds = "__launch_bounds__";
    std::map<std::string, std::string> kernels; // name → arguments of __launch_bounds__
    for (size_t at = 0; (at = text.find(global, at)) != std::string::npos;)
    {
        blank(text, at, at + global.size());
        std::string bound = "1024", word;
        size_t i = at;
        for (; i < text.size() && text[i] != '(' && text[i] != ';' && text[i] != '{'; i++)
        {
            if (!is_word(text[i])) continue;
            size_t end = i;
            while (end < text.size() && is_word(text[end])) end++;
            word = text.substr(i, end - i);
            if (word == bounds)
            {
                size_t close = text.find('(', end);
                bound = in_parentheses(text, close);
                blank(text, i, close);
                end = close;
            }
            i = end - 1;
        }
        if (i < text.size() && text[i] == '(' && !word.empty()) kernels[word] = bound;
        at = i;
    }
    text += "\n# 1 \"launchers\"\n";
    for (auto &[name, bound] : kernels)
        text += "extern \"C\" void " + name + "__launch(void **values) { emulator_launch(&" + name + ", values); }\n" +
                "extern \"C\" const int *" + name + "__sizes() { return emulator_sizes(&" + name + "); }\n" +
                "extern \"C\" int " + name + "__threads() { return emulator_first(" + bound + "); }\n";
    return text;
}

bool run(const std::string &command, const fs::path &log)
{
    // A runtime that reaps children itself can take the status from us: the output file tells what counts.
    int status = std::system((command + " > " + quote(log.string()) + " 2>&1").c_str());
    return status == 0 || status == -1;
}
}

std::string Program::serialize() const
{
    std::string text = magic;
    auto add = [&](const std::string &part) { text += std::to_string(part.size()) + "\n" + part; };
    add(name);
    add(source);
    add(std::to_string(headers.size()));
    for (auto &[header, content] : headers) add(header), add(content);
    add(std::to_string(options.size()));
    for (auto &option : options) add(option);
    return text;
}

bool Program::deserialize(const char *image, Program &program)
{
    if (strncmp(image, magic, sizeof magic - 1) != 0) return false;
    const char *at = image + sizeof magic - 1;
    auto next = [&] {
        char *end;
        size_t length = strtoull(at, &end, 10);
        std::string part(end + 1, length);
        at = end + 1 + length;
        return part;
    };
    program.name = next();
    program.source = next();
    for (int headers = std::stoi(next()); headers > 0; headers--)
    {
        std::string header = next();
        program.headers[header] = next();
    }
    for (int options = std::stoi(next()); options > 0; options--) program.options.push_back(next());
    return true;
}

Compiled compile(const Program &program)
{
    fs::path library = cache() / (key_of(program) + ".so");
    if (fs::exists(library)) return {library.string(), ""};

    static std::atomic<int> serial = 0;
    fs::path room = cache() / ("work-" + std::to_string(getpid()) + "-" + std::to_string(serial++));
    fs::path name = fs::path(program.name.empty() ? "kernel.cu" : program.name).filename();
    write_file(room / name, program.source);
    for (auto &[header, content] : program.headers)
        if (!fs::exists(home() / "device" / header)) write_file(room / header, content);

    std::string log;
    auto step = [&](const std::string &command, const fs::path &output) {
        bool succeeded = run(command, room / "log.txt");
        log += read_file(room / "log.txt");
        return succeeded && fs::exists(output);
    };
    std::string enter = "cd " + quote(room.string()) + " && g++ " + flags, device = (home() / "device").string();
    bool succeeded = step(enter + " -E -x c++ -include " + quote(device + "/prelude.h") + " -I. -I " + quote(device) +
                              preprocessor_options(program.options) + " " + quote(name.string()) + " -o kernel.i",
                          room / "kernel.i");
    if (succeeded)
    {
        write_file(room / "kernel.ii", add_launchers(read_file(room / "kernel.i")));
        succeeded = step(enter + " -shared -Wl,-Bsymbolic,-z,defs kernel.ii -o kernel.so -L " + quote(home().string()) + " -l:libcuda.so.1",
                         room / "kernel.so");
    }
    if (succeeded) fs::rename(room / "kernel.so", library);
    std::error_code ignored;
    fs::remove_all(room, ignored);
    return {succeeded ? library.string() : "", log};
}
}
