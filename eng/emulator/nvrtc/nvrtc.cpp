// libnvrtc.so.13: the compiler's C interface. Programs are compiled side by side, each in a folder of its own.
#include "../runtime/compiler.h"

#include <cstring>

using emulator::Program;

namespace
{
enum Result { success = 0, invalid_input = 3, invalid_program = 4, compilation_failed = 6 };

struct Compilation
{
    Program program;
    std::string image, log;
};

Compilation *of(void *program) { return static_cast<Compilation *>(program); }

int give_size(const std::string &text, size_t extra, size_t *size)
{
    *size = text.size() + extra;
    return success;
}

int give(const std::string &text, size_t extra, char *target)
{
    memcpy(target, text.c_str(), text.size() + extra);
    return success;
}
}

extern "C"
{
int nvrtcVersion(int *major, int *minor)
{
    *major = 13;
    *minor = 0;
    return success;
}

int nvrtcGetNumSupportedArchs(int *count)
{
    *count = 2;
    return success;
}

int nvrtcGetSupportedArchs(int *architectures)
{
    architectures[0] = 80;
    architectures[1] = 90;
    return success;
}

int nvrtcCreateProgram(void **program, const char *source, const char *name, int headers, const char *const *texts, const char *const *names)
{
    if (program == nullptr || source == nullptr) return invalid_input;
    auto *compilation = new Compilation;
    compilation->program.source = source;
    if (name != nullptr) compilation->program.name = name;
    for (int i = 0; i < headers; i++) compilation->program.headers[names[i]] = texts[i];
    *program = compilation;
    return success;
}

int nvrtcDestroyProgram(void **program)
{
    delete of(*program);
    *program = nullptr;
    return success;
}

int nvrtcCompileProgram(void *program, int count, const char *const *options)
{
    if (program == nullptr) return invalid_program;
    Compilation &compilation = *of(program);
    compilation.program.options.assign(options, options + count);
    auto compiled = emulator::compile(compilation.program);
    compilation.log = compiled.log;
    if (compiled.library.empty()) return compilation_failed;
    compilation.image = compilation.program.serialize();
    return success;
}

int nvrtcGetCUBINSize(void *program, size_t *size) { return give_size(of(program)->image, 1, size); }
int nvrtcGetCUBIN(void *program, char *target) { return give(of(program)->image, 1, target); }
int nvrtcGetPTXSize(void *program, size_t *size) { return give_size(of(program)->image, 1, size); }
int nvrtcGetPTX(void *program, char *target) { return give(of(program)->image, 1, target); }
int nvrtcGetProgramLogSize(void *program, size_t *size) { return give_size(of(program)->log, 1, size); }
int nvrtcGetProgramLog(void *program, char *target) { return give(of(program)->log, 1, target); }

const char *nvrtcGetErrorString(int result)
{
    switch (result)
    {
    case success: return "NVRTC_SUCCESS";
    case invalid_input: return "NVRTC_ERROR_INVALID_INPUT";
    case invalid_program: return "NVRTC_ERROR_INVALID_PROGRAM";
    case compilation_failed: return "NVRTC_ERROR_COMPILATION";
    default: return "NVRTC_ERROR unknown";
    }
}
}
