// Compiles one kernel text with NVRTC, as KernelCompiler.cs does, on a machine that needs no GPU, and prints what ptxas says of it.
//
//     compile OUT.cubin FILE.cu SOURCE_FOLDER ARCHITECTURE [-DNAME=VALUE ...]
//
// Headers are all .cuh files below the source folder. NVRTC is $GATEDFWA_NVRTC or libnvrtc.so of the loader's path.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace fs = std::filesystem;
typedef std::vector<const char *> Pointers;

static std::string text_of(const fs::path &path)
{
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

static void *library;
template <class F> static F *function(const char *name)
{
    auto *found = reinterpret_cast<F *>(dlsym(library, name));
    if (!found) std::fprintf(stderr, "NVRTC has no %s.\n", name), std::exit(2);
    return found;
}

static Pointers pointers_to(const std::vector<std::string> &strings)
{
    Pointers pointers;
    for (const std::string &s : strings) pointers.push_back(s.c_str());
    return pointers;
}

int main(int count, char **arguments)
{
    if (count < 5) return std::fprintf(stderr, "compile OUT.cubin FILE.cu SOURCE_FOLDER ARCHITECTURE [-DNAME=VALUE ...]\n"), 2;
    const char *chosen = std::getenv("GATEDFWA_NVRTC");
    for (const char *name : {chosen ? chosen : "libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12"})
        if (!library) library = dlopen(name, RTLD_NOW);
    if (!library) return std::fprintf(stderr, "No NVRTC was found (%s); name its file with GATEDFWA_NVRTC.\n", dlerror()), 2;

    std::vector<std::string> names, texts, options = {"--std=c++17", "--device-as-default-execution-space", "-lineinfo", "--ptxas-options=-v"};
    for (const auto &entry : fs::recursive_directory_iterator(arguments[3]))
        if (entry.path().extension() == ".cuh")
        {
            names.push_back(entry.path().filename());
            texts.push_back(text_of(entry.path()));
        }
    options.push_back(std::string("--gpu-architecture=") + arguments[4]);
    for (int i = 5; i < count; i++) options.push_back(arguments[i]);

    const std::string source = text_of(arguments[2]), file = fs::path(arguments[2]).filename();
    const Pointers name_list = pointers_to(names), text_list = pointers_to(texts), option_list = pointers_to(options);
    void *program;
    function<int(void **, const char *, const char *, int, const char *const *, const char *const *)>("nvrtcCreateProgram")(
        &program, source.c_str(), file.c_str(), (int)names.size(), text_list.data(), name_list.data());
    const int code = function<int(void *, int, const char *const *)>("nvrtcCompileProgram")(program, (int)options.size(), option_list.data());

    size_t bytes;
    function<int(void *, size_t *)>("nvrtcGetProgramLogSize")(program, &bytes);
    std::string log(bytes, 0);
    function<int(void *, char *)>("nvrtcGetProgramLog")(program, log.data());
    std::puts(log.c_str());
    if (code != 0) return 1;
    function<int(void *, size_t *)>("nvrtcGetCUBINSize")(program, &bytes);
    std::string image(bytes, 0);
    function<int(void *, char *)>("nvrtcGetCUBIN")(program, image.data());
    std::ofstream(arguments[1], std::ios::binary).write(image.data(), (std::streamsize)bytes);
}
