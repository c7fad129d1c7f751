// y = f(x) W^T + b with packed weights. f is the fused input: the identity, an RMS norm, or a gated activation.
//
// An output is summed over k in the same order for any number of rows: a row's result never depends on its batch.
#include "linear.h"

#include <cmath>
#include <vector>

namespace {

const int ALONE = 2;   // up to this number of rows, one thread prepares them: synchronizing threads takes longer
const int AHEAD = 1024;  // bytes: weights are prefetched from memory this far ahead of their use
const int GROUP = 32;  // weights along k that share a scale, in the quantized formats

struct Scratch {  // one per calling thread; the buffers grow and are reused
    std::vector<float> rows, scales, sums;
    std::vector<int8_t> bytes;
    std::vector<int16_t> words;
};
thread_local Scratch scratch;

// The number of panels that a thread takes at a time. With few rows, memory bandwidth is the limit, and long
// sequential reads are fastest. With many rows, the panels must stay in the first-level cache while all rows use them.
INLINE int64_t panels_at_a_time(int64_t rows, int64_t panels, int64_t bytes) {
    const int64_t cached = bytes < 12288 ? 12288 / bytes : 1, run = (panels + 7) / 8;
    return rows <= ALONE && run > cached ? run : cached;
}

template <int BYTES>
INLINE void fetch_ahead(const void* p) {
    for (int i = 0; i < BYTES; i += 64) __builtin_prefetch((const char*)p + i + AHEAD);
}

template <typename T>
T* grown(std::vector<T>& buffer, size_t size) {
    if (buffer.size() < size) buffer.resize(size);
    return buffer.data();
}

}  // namespace

void rms_norm(const float* x, const float* weight, float eps, int64_t size, float* out) {
    v8f squares = splat(0);
    int64_t i = 0;
    for (; i + 8 <= size; i += 8) squares = fma8(load8(x + i), load8(x + i), squares);
    float total = sum8(squares);
    for (; i < size; i++) total += x[i] * x[i];
    float scale = 1.0f / std::sqrt(total / (float)size + eps);
    for (i = 0; i < size; i++) out[i] = x[i] * scale * weight[i];
}

namespace {

// --- fused inputs ------------------------------------------------------------------------------------------------

// Sigmoid 1 / (1 + e**-x), computed from e**-|x|, which can't overflow.
INLINE v8f sigmoid(v8f x) {
    v8f magnitude = x < splat(0) ? x : -x;
    v8f e = exp2_8(magnitude * splat(1.44269504088896341f));  // in (0, 1]
    v8f numerator = x < splat(0) ? e : splat(1);
    return numerator / (splat(1) + e);
}

INLINE v8f activation(v8f x, int fused_input) {
    if (fused_input == SILU_GATE) return x * sigmoid(x);
    // GELU by tanh: 0.5 x (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x**3)
    v8f u = x * fma8(x * x, splat(0.044715f), splat(1)) * splat(0.7978845608028654f);
    return x * sigmoid(u + u);
}

void gate(const float* x, int fused_input, int64_t size, float* out) {
    int64_t i = 0;
    for (; i + 8 <= size; i += 8) store8(out + i, activation(load8(x + i), fused_input) * load8(x + size + i));
    if (i == size) return;
    float gates[8] = {0}, values[8] = {0};
    memcpy(gates, x + i, (size - i) * sizeof(float));
    memcpy(values, x + size + i, (size - i) * sizeof(float));
    v8f rest = activation(load8(gates), fused_input) * load8(values);
    memcpy(out + i, &rest, (size - i) * sizeof(float));
}

// A row of the fused input. It is computed into `buffer`, unless it is x itself.
INLINE const float* input_row(const LinearCall& call, int64_t row, float* buffer) {
    const float* x = call.x + row * call.x_stride;
    if (call.fused_input == NO_FUSED_INPUT) return x;
    if (call.fused_input == RMS_NORM) rms_norm(x, call.norm, call.eps, call.k, buffer);
    else gate(x, call.fused_input, call.k, buffer);
    return buffer;
}

// --- float weights: panels [k][16] -------------------------------------------------------------------------------

// Stores 16 outputs of a row, after adding the bias and, if the call accumulates, the previous values.
INLINE void finish(const LinearCall& call, int64_t row, int64_t column, const v8f* acc) {
    float* out = call.out + row * call.n + column;
    if (column + 16 <= call.n) {
        for (int h = 0; h < 2; h++) {
            v8f y = acc[h];
            if (call.bias) y += load8(call.bias + column + 8 * h);
            if (call.accumulate) y += load8(out + 8 * h);
            store8(out + 8 * h, y);
        }
        return;
    }
    const float* values = (const float*)acc;
    for (int i = 0; i < call.n - column; i++) {
        float y = values[i] + (call.bias ? call.bias[column + i] : 0.0f);
        out[i] = call.accumulate ? out[i] + y : y;
    }
}

template <typename W, int R>
INLINE void float_tile(const LinearCall& call, const float* const* rows, int64_t row, const W* panel, int64_t column) {
    v8f acc[R][2];
    for (int r = 0; r < R; r++) acc[r][0] = acc[r][1] = splat(0);
    for (int64_t k = 0; k < call.k; k++) {
        if (row == 0) fetch_ahead<16 * sizeof(W)>(panel + k * 16);
        v8f w0 = load8(panel + k * 16), w1 = load8(panel + k * 16 + 8);
        for (int r = 0; r < R; r++) {
            v8f x = splat(rows[r][k]);
            acc[r][0] = fma8(x, w0, acc[r][0]);
            acc[r][1] = fma8(x, w1, acc[r][1]);
        }
    }
    for (int r = 0; r < R; r++) finish(call, row + r, column, acc[r]);
}

template <typename W>
void float_rows(const LinearCall& call, const float* const* rows, int64_t row, int64_t count, const W* panel, int64_t column) {
    switch (count) {
        case 1: return float_tile<W, 1>(call, rows, row, panel, column);
        case 2: return float_tile<W, 2>(call, rows, row, panel, column);
        case 3: return float_tile<W, 3>(call, rows, row, panel, column);
        case 4: return float_tile<W, 4>(call, rows, row, panel, column);
        case 5: return float_tile<W, 5>(call, rows, row, panel, column);
        default: return float_tile<W, 6>(call, rows, row, panel, column);
    }
}

template <typename W>
void float_linear(const LinearCall& call) {
    const int64_t panels = (call.n + 15) / 16, tile = 6;
    const int64_t together = panels_at_a_time(call.m, panels, call.k * 16 * (int64_t)sizeof(W));
    const bool copied = call.fused_input != NO_FUSED_INPUT;
    float* buffer = grown(scratch.rows, copied ? call.m * call.k : 0);
    const float* input = copied ? buffer : call.x;
    const int64_t stride = copied ? call.k : call.x_stride;
    const bool alone = call.m <= ALONE;
    for (int64_t row = 0; copied && alone && row < call.m; row++) input_row(call, row, buffer + row * call.k);
#pragma omp parallel
    {
        if (copied && !alone) {
#pragma omp for schedule(dynamic, 1)
            for (int64_t row = 0; row < call.m; row++) input_row(call, row, buffer + row * call.k);
        }
#pragma omp for schedule(dynamic, 1)
        for (int64_t first = 0; first < panels; first += together) {
            const int64_t last = first + together < panels ? first + together : panels;
            for (int64_t row = 0; row < call.m; row += tile) {
                const float* rows[6];
                for (int64_t r = 0; r < tile; r++) rows[r] = input + (row + r < call.m ? row + r : row) * stride;
                for (int64_t panel = first; panel < last; panel++)
                    float_rows<W>(call, rows, row, call.m - row < tile ? call.m - row : tile, (const W*)call.weights + panel * call.k * 16, panel * 16);
            }
        }
    }
}

// --- quantized weights: panels of 16 outputs, groups of 32 along k ---------------------------------------------------

// Quantizes a group to integers in [-limit, limit]. `sum` is the sum of the dequantized values.
template <typename Q>
INLINE void quantize_group(const float* x, float limit, Q* out, float* scale, float* sum) {
    v8f top = splat(0);
    for (int i = 0; i < GROUP; i += 8) {
        v8f v = load8(x + i);
        top = max8(top, max8(v, -v));
    }
    float largest = top8(top);
    float inverse = largest > 0 ? limit / largest : 0.0f;
    int total = 0;
    for (int i = 0; i < GROUP; i++) {
        float shifted = x[i] * inverse + 12582912.0f;  // rounds to nearest
        int q;
        memcpy(&q, &shifted, 4);
        q -= 0x4B400000;
        out[i] = (Q)q;
        total += q;
    }
    *scale = largest / limit;
    *sum = (float)total * *scale;
}

struct Int4Block {  // a group of 16 outputs: nibbles[j][c][i] has w[c][4j + i] in its low half and w[c][16 + 4j + i] in its high half
    uint8_t nibbles[4][16][4];
    f16 scale[16], minimum[16];
};

struct Int4ZeroBlock : Int4Block {};  // its minimum is in units of the scale: a weight is (value + minimum) * scale

struct Int8Block {  // a group of 16 outputs: values[j][c][i] is w[c][2j + i]
    int8_t values[16][16][2];
    f16 scale[16];
};

struct Activations {
    const void* values;
    const float* scales;
    const float* sums;
    int64_t groups;
};

#if SERVING_X86
// sum += x in the register of the sum. Without the inline assembly, GCC moves sums between registers in every iteration.
INLINE void add16(__m256i& sum, __m256i x) { asm("vpaddw %1, %0, %0" : "+x"(sum) : "x"(x)); }
INLINE void add32(__m256i& sum, __m256i x) { asm("vpaddd %1, %0, %0" : "+x"(sum) : "x"(x)); }

INLINE __m256i broadcast4(const void* p) { int32_t x; memcpy(&x, p, 4); return _mm256_set1_epi32(x); }
#endif

// The integer dot products of 16 outputs with R rows over one group. Each broadcast is used for two vectors of outputs,
// because these processors do only one broadcast a cycle.
template <int R>
INLINE void dot_group(const Int4Block& block, const int8_t* const* x, v8f (*out)[2]) {
#if SERVING_X86
    const __m256i low = _mm256_set1_epi8(15);
    __m256i total[R][2];
    for (int r = 0; r < R; r++) total[r][0] = total[r][1] = _mm256_setzero_si256();
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        __m256i w[2][2];  // [half of the outputs][quad]
        for (int h = 0; h < 2; h++) {
            __m256i both = _mm256_loadu_si256((const __m256i*)block.nibbles[j][8 * h]);
            w[h][0] = _mm256_and_si256(both, low);
            w[h][1] = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
        }
        for (int r = 0; r < R; r++)
            for (int q = 0; q < 2; q++) {
                __m256i a = broadcast4(x[r] + 16 * q + 4 * j);
                for (int h = 0; h < 2; h++)
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
                    total[r][h] = _mm256_dpbusd_epi32(total[r][h], w[h][q], a);
#else  // the sum of 16 products of at most 15 * 127 fits in 16 bits
                    add16(total[r][h], _mm256_maddubs_epi16(w[h][q], a));
#endif
            }
    }
    for (int r = 0; r < R; r++)
        for (int h = 0; h < 2; h++) {
#if !(defined(__AVX512VNNI__) && defined(__AVX512VL__))
            total[r][h] = _mm256_madd_epi16(total[r][h], _mm256_set1_epi16(1));
#endif
            out[r][h] = (v8f)_mm256_cvtepi32_ps(total[r][h]);
        }
#else
    for (int r = 0; r < R; r++) {
        int32_t total[16] = {0};
        for (int j = 0; j < 4; j++)
            for (int c = 0; c < 16; c++)
                for (int i = 0; i < 4; i++)
                    total[c] += (block.nibbles[j][c][i] & 15) * x[r][4 * j + i] + (block.nibbles[j][c][i] >> 4) * x[r][16 + 4 * j + i];
        for (int c = 0; c < 16; c++) out[r][c / 8][c % 8] = (float)total[c];
    }
#endif
}

template <int R>
INLINE void dot_group(const Int8Block& block, const int16_t* const* x, v8f (*out)[2]) {
#if SERVING_X86
    __m256i total[R][2];
    for (int r = 0; r < R; r++) total[r][0] = total[r][1] = _mm256_setzero_si256();
#pragma GCC unroll 4
    for (int j = 0; j < 16; j++) {
        __m256i w[2];
        for (int h = 0; h < 2; h++) w[h] = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)block.values[j][8 * h]));
        for (int r = 0; r < R; r++) {
            __m256i a = broadcast4(x[r] + 2 * j);
            for (int h = 0; h < 2; h++)
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
                total[r][h] = _mm256_dpwssd_epi32(total[r][h], w[h], a);
#else
                add32(total[r][h], _mm256_madd_epi16(w[h], a));
#endif
        }
    }
    for (int r = 0; r < R; r++)
        for (int h = 0; h < 2; h++) out[r][h] = (v8f)_mm256_cvtepi32_ps(total[r][h]);
#else
    for (int r = 0; r < R; r++) {
        int32_t total[16] = {0};
        for (int j = 0; j < 16; j++)
            for (int c = 0; c < 16; c++) total[c] += block.values[j][c][0] * x[r][2 * j] + block.values[j][c][1] * x[r][2 * j + 1];
        for (int c = 0; c < 16; c++) out[r][c / 8][c % 8] = (float)total[c];
    }
#endif
}

INLINE v8f minimum(const Int4Block& block, int half) { return load8(block.minimum + 8 * half); }
INLINE v8f minimum(const Int4ZeroBlock& block, int half) { return load8(block.minimum + 8 * half) * load8(block.scale + 8 * half); }
INLINE v8f minimum(const Int8Block&, int) { return splat(0); }

template <typename Block, typename Q, int R>
INLINE void quantized_tile(const LinearCall& call, const Activations& a, int64_t row, const Block* panel, int64_t column) {
    v8f acc[R][2];
    const Q* x[R];
    for (int r = 0; r < R; r++) {
        acc[r][0] = acc[r][1] = splat(0);
        x[r] = (const Q*)a.values + (row + r) * call.k;
    }
    for (int64_t g = 0; g < a.groups; g++) {
        if (row == 0) fetch_ahead<sizeof(Block)>(panel + g);
        v8f dots[R][2];
        dot_group<R>(panel[g], x, dots);
        for (int h = 0; h < 2; h++) {
            v8f scale = load8(panel[g].scale + 8 * h), offset = minimum(panel[g], h);
            for (int r = 0; r < R; r++) {
                int64_t at = (row + r) * a.groups + g;
                acc[r][h] = fma8(dots[r][h], scale * splat(a.scales[at]), acc[r][h]);
                if (sizeof(Q) == 1) acc[r][h] = fma8(offset, splat(a.sums[at]), acc[r][h]);
            }
        }
        for (int r = 0; r < R; r++) x[r] += GROUP;
    }
    for (int r = 0; r < R; r++) finish(call, row + r, column, acc[r]);
}

template <typename Block, typename Q>
void quantized_rows(const LinearCall& call, const Activations& a, int64_t row, int64_t count, const Block* panel, int64_t column) {
    switch (count) {
        case 1: return quantized_tile<Block, Q, 1>(call, a, row, panel, column);
        case 2: return quantized_tile<Block, Q, 2>(call, a, row, panel, column);
        case 3: return quantized_tile<Block, Q, 3>(call, a, row, panel, column);
        default: return quantized_tile<Block, Q, 4>(call, a, row, panel, column);
    }
}

template <typename Block, typename Q>
void quantized_linear(const LinearCall& call, float limit, std::vector<Q>& values) {
    const int64_t panels = (call.n + 15) / 16, groups = call.k / GROUP;
    const int64_t together = panels_at_a_time(call.m, panels, groups * (int64_t)sizeof(Block));
    Q* quantized = grown(values, call.m * call.k);
    float* scales = grown(scratch.scales, call.m * groups);
    float* sums = grown(scratch.sums, call.m * groups);
    const Activations a{quantized, scales, sums, groups};
    auto quantize_row = [&](int64_t row) {
        const float* x = input_row(call, row, grown(scratch.rows, call.k));
        for (int64_t g = 0; g < groups; g++) {
            int64_t at = row * groups + g;
            quantize_group<Q>(x + g * GROUP, limit, quantized + row * call.k + g * GROUP, scales + at, sums + at);
        }
    };
    const bool alone = call.m <= ALONE;
    for (int64_t row = 0; alone && row < call.m; row++) quantize_row(row);
#pragma omp parallel
    {
        if (!alone) {
#pragma omp for schedule(dynamic, 4)
            for (int64_t row = 0; row < call.m; row++) quantize_row(row);
        }
#pragma omp for schedule(dynamic, 1)
        for (int64_t first = 0; first < panels; first += together) {
            const int64_t last = first + together < panels ? first + together : panels;
            for (int64_t row = 0; row < call.m; row += 4)
                for (int64_t panel = first; panel < last; panel++)
                    quantized_rows<Block, Q>(call, a, row, call.m - row < 4 ? call.m - row : 4, (const Block*)call.weights + panel * groups, panel * 16);
        }
    }
}

}  // namespace

void linear(const LinearCall& call) {
    switch (call.format) {
        case FLOAT32: return float_linear<float>(call);
        case BFLOAT16: return float_linear<bf16>(call);
        case FLOAT16: return float_linear<f16>(call);
        case INT8: return quantized_linear<Int8Block, int16_t>(call, 16383.0f, scratch.words);
        case INT4:
            if (call.zero_points) return quantized_linear<Int4ZeroBlock, int8_t>(call, 127.0f, scratch.bytes);
            return quantized_linear<Int4Block, int8_t>(call, 127.0f, scratch.bytes);
    }
}

extern "C" void serving_linear(const LinearCall* call) { linear(*call); }
