// All layers of a step in one call: x += attention(norm(x)); x += down(gate(norm(x))); then the head.
//
// After the attention of the last layer, only the rows whose logits are needed are computed.
#include "decoder.h"

#include <vector>

namespace {

struct Buffers {  // one per calling thread; they grow and are reused
    std::vector<float> qkv, attended, wide, added, rows, attended_rows;
};
thread_local Buffers buffers;

float* grown(std::vector<float>& buffer, int64_t size) {
    if ((int64_t)buffer.size() < size) buffer.resize(size);
    return buffer.data();
}

// The width of a layer's input: a gate reads 2 k values.
int64_t input_width(const LinearCall& part) {
    return part.fused_input == SILU_GATE || part.fused_input == GELU_GATE ? 2 * part.k : part.k;
}

void run(LinearCall part, int64_t rows, const float* x, float* out, bool accumulate) {
    part.m = rows, part.x = x, part.x_stride = input_width(part), part.out = out, part.accumulate = accumulate;
    linear(part);
}

// x += norm(part(y)), or x += part(y) if norm is null
void add(const LinearCall& part, int64_t rows, const float* y, const float* norm, float eps, float* x) {
    if (!norm) return run(part, rows, y, x, true);
    float* added = grown(buffers.added, rows * part.n);
    run(part, rows, y, added, false);
    for (int64_t row = 0; row < rows; row++) {
        float* values = added + row * part.n;
        rms_norm(values, norm, eps, part.n, values);
        for (int64_t i = 0; i < part.n; i++) x[row * part.n + i] += values[i];
    }
}

// Copies the rows whose logits are needed.
float* gathered(const float* x, int64_t width, const DecoderCall& call, std::vector<float>& buffer) {
    float* out = grown(buffer, call.num_rows * width);
    for (int64_t row = 0; row < call.num_rows; row++) memcpy(out + row * width, x + call.rows[row] * width, width * sizeof(float));
    return out;
}

}  // namespace

extern "C" void serving_decoder(const DecoderCall* decoder) {
    const DecoderCall& call = *decoder;
    float* x = call.x;
    int64_t rows = call.tokens;
    for (int64_t index = 0; index < call.num_layers; index++) {
        const LayerCall& layer = call.layers[index];
        const int64_t hidden = layer.qkv.k, width = layer.output.k;
        AttentionCall attends = layer.attention;
        attends.qkv = grown(buffers.qkv, rows * layer.qkv.n);
        attends.out = grown(buffers.attended, rows * width);
        attends.positions = call.positions, attends.slots = call.slots;
        attends.starts = call.starts, attends.tables = call.tables;
        attends.tokens = rows, attends.sequences = call.sequences, attends.table_stride = call.table_stride;
        run(layer.qkv, rows, x, attends.qkv, false);
        attention(attends);
        const float* attended = attends.out;
        if (index + 1 == call.num_layers) {
            x = gathered(x, hidden, call, buffers.rows);
            attended = gathered(attended, width, call, buffers.attended_rows);
            rows = call.num_rows;
        }
        add(layer.output, rows, attended, layer.post_attention, layer.eps, x);
        float* wide = grown(buffers.wide, rows * layer.gate_up.n);
        run(layer.gate_up, rows, x, wide, false);
        add(layer.down, rows, wide, layer.post_mlp, layer.eps, x);
    }
    run(*call.head, rows, x, call.logits, false);
}
