// Vectors of eight floats, and their conversions and functions.
//
// GCC's vector extensions compile for any processor. Intrinsics are used where the compiler does not find the one
// instruction that suffices.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define SERVING_X86 1
#include <immintrin.h>
#else
#define SERVING_X86 0
#endif

typedef float v8f __attribute__((vector_size(32)));
typedef int32_t v8i __attribute__((vector_size(32)));
typedef uint32_t v8u __attribute__((vector_size(32)));
typedef uint16_t v8h __attribute__((vector_size(16)));

#define INLINE static inline __attribute__((always_inline))

struct bf16 { uint16_t bits; };
struct f16 { uint16_t bits; };

INLINE v8f splat(float x) { return v8f{x, x, x, x, x, x, x, x}; }

INLINE v8f fma8(v8f a, v8f b, v8f c) {
#if SERVING_X86
    return (v8f)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

INLINE v8f max8(v8f a, v8f b) { return a > b ? a : b; }

INLINE v8f load8(const float* p) { v8f x; memcpy(&x, p, sizeof x); return x; }

INLINE v8f load8(const bf16* p) {
#if SERVING_X86
    return (v8f)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p)), 16);
#else
    v8h h;
    memcpy(&h, p, sizeof h);
    return (v8f)(__builtin_convertvector(h, v8u) << 16);
#endif
}

INLINE float half_to_float(uint16_t h) {
#if SERVING_X86
    return _cvtsh_ss(h);
#else
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 1023, bits;
    if (exponent == 0) {
        float x = (float)mantissa * 0x1p-24f;
        memcpy(&bits, &x, 4);
        bits |= sign;
    } else {
        bits = sign | ((exponent == 31 ? 255u : exponent + 112) << 23) | (mantissa << 13);
    }
    float x;
    memcpy(&x, &bits, 4);
    return x;
#endif
}

INLINE v8f load8(const f16* p) {
#if SERVING_X86
    return (v8f)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
#else
    v8f x;
    for (int i = 0; i < 8; i++) x[i] = half_to_float(p[i].bits);
    return x;
#endif
}

INLINE void store8(float* p, v8f x) { memcpy(p, &x, sizeof x); }

INLINE void put(float* p, float x) { *p = x; }

// Rounds to nearest, ties to even.
INLINE void put(bf16* p, float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    p->bits = (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

INLINE void put(f16* p, float x) {
#if SERVING_X86
    p->bits = _cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT);
#else
    _Float16 h = (_Float16)x;
    memcpy(&p->bits, &h, 2);
#endif
}

INLINE float sum8(v8f x) { return ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7])); }

INLINE float top8(v8f x) {
    float top = x[0];
    for (int i = 1; i < 8; i++) top = x[i] > top ? x[i] : top;
    return top;
}

// 2**x for x <= 0, within one unit in the last place: the polynomial of Cephes' exp2f on [-0.5, 0.5] for the fraction,
// and the exponent's bits for the integer part.
INLINE v8f exp2_8(v8f x) {
    x = max8(x, splat(-126.0f));
    const v8f magic = splat(12582912.0f);  // 1.5 * 2**23: adding it rounds to an integer
    v8f shifted = x + magic;
    v8f f = x - (shifted - magic);
    v8f y = splat(1.535336188319500e-4f);
    y = fma8(y, f, splat(1.339887440266574e-3f));
    y = fma8(y, f, splat(9.618437357674640e-3f));
    y = fma8(y, f, splat(5.550332471162809e-2f));
    y = fma8(y, f, splat(2.402264791363012e-1f));
    y = fma8(y, f, splat(6.931472028550421e-1f));
    y = fma8(y, f, splat(1.0f));
    return (v8f)((v8u)y + ((v8u)shifted << 23));
}
