#include "results.h"

namespace
{
struct Description { int result; const char *name, *text; };

constexpr Description descriptions[] = {
    {success, "CUDA_SUCCESS", "no error"},
    {invalid_value, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {out_of_memory, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {invalid_device, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {invalid_image, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {invalid_handle, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {not_found, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {illegal_address, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {launch_failed, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {cooperative_launch_too_large, "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE", "too many blocks in cooperative launch"},
    {not_supported, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
};

int describe(int result, const char *Description::*field, const char **text)
{
    for (auto &description : descriptions)
        if (description.result == result) return *text = description.*field, success;
    *text = nullptr;
    return invalid_value;
}
}

extern "C"
{
int cuGetErrorName(int result, const char **name) { return describe(result, &Description::name, name); }
int cuGetErrorString(int result, const char **text) { return describe(result, &Description::text, text); }
}
