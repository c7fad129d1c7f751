// The arguments of a decoder. The fields match those of serving/model/compiled.py.
#pragma once

#include "attention.h"
#include "linear.h"

struct LayerCall {  // each call of the decoder sets the rows, inputs and outputs of these calls
    LinearCall qkv, output, gate_up, down;
    AttentionCall attention;
    const float* post_attention;  // [hidden] or null: RMS norm of the term that is added to the residual
    const float* post_mlp;
    float eps;
};

struct DecoderCall {
    const LayerCall* layers;
    const LinearCall* head;
    int64_t num_layers, tokens, num_rows;
    float* x;                  // [tokens, hidden], the tokens' embeddings; overwritten
    const int64_t* rows;       // [num_rows], the rows of the tokens whose logits are computed
    float* logits;             // [num_rows, vocab]
    const int64_t* positions;  // as in AttentionCall
    const int64_t* slots;
    const int64_t* starts;
    const int64_t* tables;
    int64_t sequences, table_stride;
};
