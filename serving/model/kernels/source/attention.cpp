// Causal attention of a step's tokens over a paged cache of keys and values.
//
// The keys of a block are stored as [dim, slot]: the scores of 16 slots are two vectors, and no sum runs across a
// vector. Softmax is computed online (Milakov and Gimelshein 2018) over chunks of 128 positions, counted from the begin
// of the sequence: a token's result does not depend on how its prompt was split into steps.
#include "attention.h"

#include <cmath>
#include <vector>

#include "linear.h"

namespace {

const int ALONE = 2;         // up to this number of tokens, one thread caches them: synchronizing threads takes longer
const int CHUNK = 128;       // positions
const int FEW_ROWS = 12;     // up to this number of rows, reading the cache takes longer than computing
const int TILE_TOKENS = 16;  // queries that share a pass over the keys

void norm_head(float* x, const float* weight, float eps, int64_t dim) {
    float total = 0;
    for (int64_t i = 0; i < dim; i++) total += x[i] * x[i];
    float scale = 1.0f / std::sqrt(total / (float)dim + eps);
    for (int64_t i = 0; i < dim; i++) x[i] *= scale * weight[i];
}

void rotate_head(float* x, const float* cos, const float* sin, int64_t half) {
    for (int64_t i = 0; i < half; i++) {
        float a = x[i], b = x[half + i];
        x[i] = a * cos[i] - b * sin[i];
        x[half + i] = b * cos[i] + a * sin[i];
    }
}

template <typename T>
void cache_token(const AttentionCall& call, int64_t token) {
    const int64_t dim = call.dim, size = call.block_size, position = call.positions[token];
    const int64_t half = call.rotated / 2;
    const float *cos = call.cos + position * half, *sin = call.sin + position * half;
    float* row = call.qkv + token * (call.heads + 2 * call.kv_heads) * dim;
    for (int64_t head = 0; head < call.heads + call.kv_heads; head++) {
        const float* weight = head < call.heads ? call.q_norm : call.k_norm;
        if (weight) norm_head(row + head * dim, weight, call.eps, dim);
        rotate_head(row + head * dim, cos, sin, half);
    }
    const int64_t block = call.slots[token] / size, slot = call.slots[token] % size;
    for (int64_t head = 0; head < call.kv_heads; head++) {
        const float *k = row + (call.heads + head) * dim, *v = k + call.kv_heads * dim;
        T* keys = (T*)call.keys + (block * call.kv_heads + head) * dim * size + slot;
        T* values = (T*)call.values + ((block * call.kv_heads + head) * size + slot) * dim;
        for (int64_t i = 0; i < dim; i++) {
            put(keys + i * size, k[i]);
            put(values + i, v[i]);
        }
    }
}

// c[r][0..15] = sum over i < count of a[r][i] * b[i][0..15], or += with ADD
template <typename T, int R, bool ADD>
INLINE void product16(const float* a, int64_t a_stride, const T* b, int64_t b_stride, int64_t count, float* c, int64_t c_stride) {
    v8f acc[R][2];
    for (int r = 0; r < R; r++)
        for (int h = 0; h < 2; h++) acc[r][h] = ADD ? load8(c + r * c_stride + 8 * h) : splat(0);
    for (int64_t i = 0; i < count; i++) {
        v8f b0 = load8(b + i * b_stride), b1 = load8(b + i * b_stride + 8);
        for (int r = 0; r < R; r++) {
            v8f x = splat(a[r * a_stride + i]);
            acc[r][0] = fma8(x, b0, acc[r][0]);
            acc[r][1] = fma8(x, b1, acc[r][1]);
        }
    }
    for (int r = 0; r < R; r++)
        for (int h = 0; h < 2; h++) store8(c + r * c_stride + 8 * h, acc[r][h]);
}

template <typename T, bool ADD>
void product16(int64_t rows, const float* a, int64_t a_stride, const T* b, int64_t b_stride, int64_t count, float* c, int64_t c_stride) {
    int64_t r = 0;
    for (; r + 6 <= rows; r += 6) product16<T, 6, ADD>(a + r * a_stride, a_stride, b, b_stride, count, c + r * c_stride, c_stride);
    for (; r + 3 <= rows; r += 3) product16<T, 3, ADD>(a + r * a_stride, a_stride, b, b_stride, count, c + r * c_stride, c_stride);
    for (; r < rows; r++) product16<T, 1, ADD>(a + r * a_stride, a_stride, b, b_stride, count, c + r * c_stride, c_stride);
}

struct Tile {  // the queries of one KV head's group for consecutive tokens of a sequence, in rows (token, head of the group)
    int64_t sequence, kv_head, first, tokens;  // first: the first token's row in the step
};

struct Workspace {
    std::vector<float> queries, scores, out, top, total;
};

// One chunk of the online softmax: turns scores into weights, updates `top` (maximum) and `total` (sum), and rescales
// `out` to the new maximum.
void online_softmax(const AttentionCall& call, const Tile& tile, int64_t group, int64_t begin, Workspace& w) {
    for (int64_t row = 0; row < tile.tokens * group; row++) {
        const int64_t position = call.positions[tile.first + row / group];
        const int64_t last = position - begin, first = call.window ? last - call.window + 1 : 0;
        float* s = w.scores.data() + row * CHUNK;
        for (int64_t i = last + 1 < 0 ? 0 : last + 1; i < CHUNK; i++) s[i] = -INFINITY;
        for (int64_t i = 0; i < first && i < CHUNK; i++) s[i] = -INFINITY;
        v8f most = splat(-INFINITY);
        for (int i = 0; i < CHUNK; i += 8) most = max8(most, load8(s + i));
        const float before = w.top[row], top = std::fmax(before, top8(most));
        if (top == -INFINITY) {  // all positions up to here are before the window
            for (int i = 0; i < CHUNK; i++) s[i] = 0;
            continue;
        }
        v8f sum = splat(0);
        for (int i = 0; i < CHUNK; i += 8) {
            v8f x = load8(s + i) - splat(top);
            v8f y = x < splat(-126) ? splat(0) : exp2_8(x);
            store8(s + i, y);
            sum += y;
        }
        float shrink = before == -INFINITY ? 0.0f : exp2_8(splat(before - top))[0];
        w.top[row] = top;
        w.total[row] = w.total[row] * shrink + sum8(sum);
        if (shrink != 1.0f)
            for (int64_t i = 0; i < call.dim; i += 8) store8(&w.out[row * call.dim + i], load8(&w.out[row * call.dim + i]) * splat(shrink));
    }
}

// The processor prefetches sequential memory on its own, but not the next block.
INLINE void prefetch(const void* p, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch((const char*)p + i);
}

template <typename T>
void attend_tile(const AttentionCall& call, const Tile& tile, Workspace& w) {
    const int64_t dim = call.dim, size = call.block_size, group = call.heads / call.kv_heads, rows = tile.tokens * group;
    const int64_t width = (call.heads + 2 * call.kv_heads) * dim;
    const int64_t* table = call.tables + tile.sequence * call.table_stride;
    const int64_t oldest = call.positions[tile.first], newest = oldest + tile.tokens - 1;
    w.queries.resize(rows * dim), w.scores.resize(rows * CHUNK), w.out.assign(rows * dim, 0);
    w.top.assign(rows, -INFINITY), w.total.assign(rows, 0);
    const float scale = call.scale * 1.44269504088896341f;  // log2(e): softmax uses 2**x in place of e**x
    for (int64_t row = 0; row < rows; row++) {
        const float* q = call.qkv + (tile.first + row / group) * width + (tile.kv_head * group + row % group) * dim;
        for (int64_t i = 0; i < dim; i++) w.queries[row * dim + i] = q[i] * scale;
    }
    int64_t begin = call.window && oldest >= call.window ? (oldest - call.window + 1) / CHUNK * CHUNK : 0;
    for (; begin <= newest; begin += CHUNK) {
        const int64_t end = newest + 1 < begin + CHUNK ? newest + 1 : begin + CHUNK;
        for (int64_t at = begin; at < end; at += 16) {
            const int64_t run = (table[at / size] * call.kv_heads + tile.kv_head) * dim * size;
            const T* keys = (const T*)call.keys + run + at % size;
            if (rows <= FEW_ROWS) {
                prefetch((const T*)call.values + run + at % size * dim, 16 * dim * sizeof(T));
                if (at + 16 <= newest && (at + 16) % size == 0)
                    prefetch((const T*)call.keys + (table[at / size + 1] * call.kv_heads + tile.kv_head) * dim * size, dim * size * sizeof(T));
            }
            product16<T, false>(rows, w.queries.data(), dim, keys, size, dim, w.scores.data() + (at - begin), CHUNK);
        }
        online_softmax(call, tile, group, begin, w);
        for (int64_t at = begin; at < end; at += 16) {
            const T* values = (const T*)call.values + ((table[at / size] * call.kv_heads + tile.kv_head) * size + at % size) * dim;
            for (int64_t i = 0; i < dim; i += 16)
                product16<T, true>(rows, w.scores.data() + (at - begin), CHUNK, values + i, dim, 16, w.out.data() + i, dim);
        }
    }
    for (int64_t row = 0; row < rows; row++) {
        float* out = call.out + ((tile.first + row / group) * call.heads + tile.kv_head * group + row % group) * dim;
        const float inverse = 1.0f / w.total[row];
        for (int64_t i = 0; i < dim; i++) out[i] = w.out[row * dim + i] * inverse;
    }
}

template <typename T>
void typed_attention(const AttentionCall& call) {
    std::vector<Tile> tiles;
    for (int64_t s = 0; s < call.sequences; s++)
        for (int64_t first = call.starts[s + 1]; first > call.starts[s];) {  // the longest contexts first
            int64_t tokens = first - call.starts[s] < TILE_TOKENS ? first - call.starts[s] : TILE_TOKENS;
            first -= tokens;
            for (int64_t head = 0; head < call.kv_heads; head++) tiles.push_back({s, head, first, tokens});
        }
    const bool alone = call.tokens <= ALONE;
    for (int64_t token = 0; alone && token < call.tokens; token++) cache_token<T>(call, token);
#pragma omp parallel
    {
        thread_local Workspace workspace;
        if (!alone) {
#pragma omp for schedule(dynamic, 8)
            for (int64_t token = 0; token < call.tokens; token++) cache_token<T>(call, token);
        }
#pragma omp for schedule(dynamic, 1)
        for (size_t i = 0; i < tiles.size(); i++) attend_tile<T>(call, tiles[i], workspace);
    }
}

}  // namespace

void attention(const AttentionCall& call) {
    switch (call.cache_type) {
        case FLOAT32: return typed_attention<float>(call);
        case BFLOAT16: return typed_attention<bf16>(call);
        case FLOAT16: return typed_attention<f16>(call);
    }
}

extern "C" void serving_attention(const AttentionCall* call) { attention(*call); }
