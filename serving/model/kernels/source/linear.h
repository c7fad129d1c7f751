// The call of a linear layer, filled by serving/kernels/linear.py field by field.
#pragma once

#include "simd.h"

enum Format { FLOAT32, BFLOAT16, FLOAT16, INT8, INT4 };
enum FusedInput { NO_FUSED_INPUT, RMS_NORM, SILU_GATE, GELU_GATE };

struct LinearCall {
    const void* weights;  // packed, see pack.py
    const float* bias;    // [n] or null
    const float* norm;    // [k], for RMS_NORM
    const float* x;       // [m, k]; [m, 2 k] for a gate; rows x_stride apart
    float* out;           // [m, n]
    int64_t m, n, k, x_stride;
    int32_t format, fused_input, accumulate;
    float eps;
};

void linear(const LinearCall& call);

// out = x / sqrt(mean(x**2) + eps) * weight, over one row; out may be x.
void rms_norm(const float* x, const float* weight, float eps, int64_t size, float* out);
