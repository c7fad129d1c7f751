// The arguments of a linear layer. The fields match those of serving/model/kernels/linear.py.
#pragma once

#include "simd.h"

enum Format { FLOAT32, BFLOAT16, FLOAT16, INT8, INT4 };
enum FusedInput { NO_FUSED_INPUT, RMS_NORM, SILU_GATE, GELU_GATE };

struct LinearCall {
    const void* weights;  // packed by `pack` of serving/model/kernels/linear.py
    const float* bias;    // [n] or null
    const float* norm;    // [k], for RMS_NORM
    const float* x;       // [m, k], or [m, 2 k] for a gate; x_stride floats from one row to the next
    float* out;           // [m, n]
    int64_t m, n, k, x_stride;
    int32_t format, fused_input, accumulate;
    int32_t zero_points;  // for INT4: a weight is (value + minimum) * scale, not value * scale + minimum
    float eps;
};

void linear(const LinearCall& call);

// out = x / sqrt(mean(x**2) + eps) * weight for one row. `out` may be `x`.
void rms_norm(const float* x, const float* weight, float eps, int64_t size, float* out);
