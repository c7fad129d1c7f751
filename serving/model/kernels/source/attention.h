// The arguments of a paged attention layer. The fields match those of serving/model/kernels/attention.py.
#pragma once

#include "simd.h"

struct AttentionCall {
    float* qkv;               // [tokens, heads + 2 kv_heads, dim]; queries and keys are rotated in place
    const float* q_norm;      // [dim] or null: RMS norm of each query head before the rotation
    const float* k_norm;      // [dim] or null
    const float* cos;         // [positions, rotated / 2]
    const float* sin;
    void* keys;               // [blocks, kv_heads, dim, block_size]
    void* values;             // [blocks, kv_heads, block_size, dim]
    const int64_t* positions; // [tokens]
    const int64_t* slots;     // [tokens], block * block_size + offset
    const int64_t* starts;    // [sequences + 1], the first row of each sequence
    const int64_t* tables;    // [sequences, table_stride], block ids
    float* out;               // [tokens, heads, dim]
    int64_t tokens, sequences, heads, kv_heads, dim, block_size, table_stride;
    int64_t window;           // tokens that a token attends to, itself included; 0: all up to itself
    int64_t rotated;          // the number of rotated dimensions of a head, which are its first dimensions
    int32_t cache_type;       // Format: FLOAT32, BFLOAT16, FLOAT16
    float scale, eps;
};

void attention(const AttentionCall& call);
