// The few calls a test needs: compile, allocate, launch, read back.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <initializer_list>
#include <sstream>
#include <string>
#include <vector>

extern "C"
{
int cuInit(unsigned);
int cuMemAlloc_v2(uint64_t *, size_t);
int cuMemcpyHtoD_v2(uint64_t, const void *, size_t);
int cuMemcpyDtoH_v2(void *, uint64_t, size_t);
int cuModuleLoadData(void **, const void *);
int cuModuleGetFunction(void **, void *, const char *);
int cuFuncSetAttribute(void *, int, int);
int cuLaunchKernelEx(const void *, void *, void **, void **);
int cuTensorMapEncodeTiled(void *, int, unsigned, void *, const uint64_t *, const uint64_t *, const unsigned *,
                           const unsigned *, int, int, int, int);
int cublasLtMatmulDescCreate(void **, int, int);
int cublasLtMatmulDescSetAttribute(void *, int, const void *, size_t);
int cublasLtMatrixLayoutCreate(void **, int, uint64_t, uint64_t, int64_t);
int cublasLtMatmul(void *, void *, const float *, const void *, void *, const void *, void *, const float *, const void *, void *, void *, void *,
                   const void *, void *, size_t, void *);
int nvrtcCreateProgram(void **, const char *, const char *, int, const char *const *, const char *const *);
int nvrtcCompileProgram(void *, int, const char *const *);
int nvrtcGetCUBINSize(void *, size_t *);
int nvrtcGetCUBIN(void *, char *);
int nvrtcGetProgramLogSize(void *, size_t *);
int nvrtcGetProgramLog(void *, char *);
}

#define REQUIRE(condition) \
    do \
    { \
        if (!(condition)) \
        { \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            exit(1); \
        } \
    } while (0)

inline std::string read_text(const std::string &path)
{
    std::ifstream file(path);
    REQUIRE(file);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

// Every kernel of kernels.cu, compiled with the project's own warp.cuh.
class Module
{
public:
    Module(const std::string &source, const std::string &warp)
    {
        const char *texts[] = {warp.c_str()}, *names[] = {"warp.cuh"}, *options[] = {"--gpu-architecture=sm_90a", "-DELEMENT=bf16"};
        void *program;
        REQUIRE(nvrtcCreateProgram(&program, source.c_str(), "kernels.cu", 1, texts, names) == 0);
        if (nvrtcCompileProgram(program, 2, options) != 0)
        {
            size_t size;
            nvrtcGetProgramLogSize(program, &size);
            std::string log(size, 0);
            nvrtcGetProgramLog(program, log.data());
            printf("%s\n", log.c_str());
            exit(1);
        }
        size_t size;
        nvrtcGetCUBINSize(program, &size);
        std::vector<char> cubin(size);
        nvrtcGetCUBIN(program, cubin.data());
        REQUIRE(cuModuleLoadData(&module_, cubin.data()) == 0);
    }

    int launch(const char *name, int blocks, int threads, int shared_bytes, std::initializer_list<const void *> arguments,
               bool cooperative = false)
    {
        struct { int id, unused, value[16]; } attribute{2, 0, {cooperative}};
        struct
        {
            int grid[3], block[3], shared_bytes;
            void *stream, *attributes;
            unsigned attribute_count;
        } config{{blocks, 1, 1}, {threads, 1, 1}, shared_bytes, nullptr, &attribute, 1};
        void *function;
        REQUIRE(cuModuleGetFunction(&function, module_, name) == 0);
        REQUIRE(cuFuncSetAttribute(function, 8, shared_bytes) == 0);
        std::vector<void *> values;
        for (const void *argument : arguments) values.push_back(const_cast<void *>(argument));
        return cuLaunchKernelEx(&config, function, values.data(), nullptr);
    }

private:
    void *module_;
};

template <class T> class Buffer
{
public:
    explicit Buffer(const std::vector<T> &values) : count_(values.size())
    {
        REQUIRE(cuMemAlloc_v2(&address, count_ * sizeof(T)) == 0);
        REQUIRE(cuMemcpyHtoD_v2(address, values.data(), count_ * sizeof(T)) == 0);
    }

    Buffer(size_t count, T value) : Buffer(std::vector<T>(count, value)) {}

    std::vector<T> read() const
    {
        std::vector<T> values(count_);
        REQUIRE(cuMemcpyDtoH_v2(values.data(), address, count_ * sizeof(T)) == 0);
        return values;
    }

    uint64_t address = 0;

private:
    size_t count_;
};
