// The call of a whole decoder, filled by serving/kernels/decoder.py field by field.
#pragma once

#include "attention.h"
#include "linear.h"

struct LayerCall {  // the parts' rows, inputs and outputs are filled in by each call of the decoder
    LinearCall qkv, output, gate_up, down;
    AttentionCall attention;
    const float* post_attention;  // [hidden] or null: RMS norm of what is added to the residual
    const float* post_mlp;
    float eps;
};

struct DecoderCall {
    const LayerCall* layers;
    const LinearCall* head;
    int64_t num_layers, tokens, num_rows;
    float* x;                  // [tokens, hidden], the embedded tokens; changed
    const int64_t* rows;       // [num_rows] of the tokens whose logits are wanted
    float* logits;             // [num_rows, vocab]
    const int64_t* positions;  // as in AttentionCall
    const int64_t* slots;
    const int64_t* starts;
    const int64_t* tables;
    int64_t sequences, table_stride;
};
