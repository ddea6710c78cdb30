// The decay that a token and head have of their pre-activations (docs/operator.md, "The gate").
#pragma once

// The amplitude 1 + ELU(a), without the detour over e^a - 1: small ones keep their relative precision.
__device__ __forceinline__ float amplitude(float a) { return a >= 0 ? 1 + a : expf(a); }

__device__ __forceinline__ float softplus(float x) { return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))); }

// alpha: of h with its bias and of the amplitude's pre-activation.
__device__ __forceinline__ float gate_decay(float h, float a, float epsilon)
{
    const float beta = amplitude(a);
    return softplus(-beta * h) / (beta + epsilon);
}
