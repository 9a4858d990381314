// What lies between two products of a network, in as few passes over memory as it takes: see __init__.py.
//
// Maps are [images][height][width][channels], in float or bfloat16. Between 16 channels and the next, all that is done
// to an element depends on its channel alone, so a map is one long row, on which constants repeat with the period of
// `period` elements, a multiple of channels and of any vector. Work is cut into parts that do not depend on the number
// of threads, so neither does a sum.

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "builds.h"

#if defined(__AVX512BW__)
#include <immintrin.h>
enum { LANES = 16 };
#elif defined(__AVX2__)
#include <immintrin.h>
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif

enum {
    MOST_LANES = 16,
    STRIP = 4,    // periods that are computed together, so that constants and sums are read once for all
    BLOCK = 64,   // strips whose sums are added in float
    PARTS = 16,   // of a map, at most
    PART = 1 << 14, // elements in a part, at least
    WINDOW = 256, // positions of a pooling window, at most
};

#define INLINE static inline __attribute__((always_inline))

typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t Words __attribute__((vector_size(4 * LANES)));
typedef uint16_t Halves __attribute__((vector_size(2 * LANES)));
typedef Floats AnyFloats __attribute__((aligned(4), may_alias));
typedef Halves AnyHalves __attribute__((aligned(2), may_alias));

struct pass {
    const void *y;          // map before the norm
    const void *gradient;   // backward: of the result
    const void *added;      // map that is added to the norm's result before the ReLU, or null
    void *out;              // forward: the result; backward: gradient of y
    void *result;           // backward, where something was added: the result, in which the ReLU shows
    void *pooled;           // where there is pooling: y at the largest of each window, shaped as the result
    void *masked;           // backward, with pooling or something added: the gradient where it passes, as the result
    uint8_t *codes;         // with rounding: the result as codes, or null
    uint8_t *index;         // with pooling: which position of the window it was
    const float *scale;     // [channels] of the norm, or null
    const float *shift;     // [channels]
    float *running_mean;    // [channels], or null
    float *running_variance;
    float *constants;       // [4][channels], between forward and backward: factor, offset, mean, 1 / deviation
    float *scale_gradient;  // [channels]
    float *shift_gradient;  // [channels]
    double clip_gradient;   // of the range's upper end
    int64_t bfloat16, normalise, rounded, threads;
    int64_t images, height, width, channels;
    int64_t window[2], stride[2], padding[2], pooled_size[2];
    float momentum, epsilon;
    float low, high;        // range of the result; nothing passes back beyond it
    float step, inverse_step;
};

// ---- vectors ----

// Where the compiler makes too much of plain vectors there are instructions of the processor.
#if defined(__AVX512BW__)
typedef __mmask16 Mask;
#define FIRST(n) ((__mmask16)((1u << (n)) - 1))
INLINE Floats choose(Mask mask, Floats yes, Floats no) { return (Floats)_mm512_mask_blend_ps(mask, no, yes); }
INLINE Floats kept(Mask mask, Floats v) { return (Floats)_mm512_maskz_mov_ps(mask, v); }
INLINE Mask above(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
INLINE Mask not_below(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
INLINE Mask is_nan(Floats a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
INLINE Mask equal(Ints a, Ints b) { return _mm512_cmpeq_epi32_mask((__m512i)a, (__m512i)b); }
INLINE Ints choose_ints(Mask mask, Ints yes, Ints no) {
    return (Ints)_mm512_mask_blend_epi32(mask, (__m512i)no, (__m512i)yes);
}
INLINE Mask opposite(Mask mask) { return (Mask)~mask; }
INLINE Floats at_least(Floats low, Floats v) { return (Floats)_mm512_max_ps(low, v); }
INLINE Floats at_most(Floats high, Floats v) { return (Floats)_mm512_min_ps(high, v); }
INLINE Floats nearest(Floats v) { return (Floats)_mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
#else
typedef Ints Mask;
INLINE Floats choose(Mask mask, Floats yes, Floats no) { return (Floats)((mask & (Ints)yes) | (~mask & (Ints)no)); }
INLINE Floats kept(Mask mask, Floats v) { return (Floats)(mask & (Ints)v); }
INLINE Mask above(Floats a, Floats b) { return a > b; }
INLINE Mask not_below(Floats a, Floats b) { return a >= b; }
INLINE Mask is_nan(Floats a) { return a != a; }
INLINE Mask equal(Ints a, Ints b) { return a == b; }
INLINE Ints choose_ints(Mask mask, Ints yes, Ints no) { return (mask & yes) | (~mask & no); }
INLINE Mask opposite(Mask mask) { return ~mask; }
// Not a number stays what it is.
INLINE Floats at_least(Floats low, Floats v) { return choose(v < low, low, v); }
INLINE Floats at_most(Floats high, Floats v) { return choose(v > high, high, v); }
// Halves to even; |v| < 2**22.
INLINE Floats nearest(Floats v) {
    Floats large = (Floats){0} + 12582912.0f;
    return (v + large) - large;
}
#endif

INLINE Floats load(const void *map, int64_t at, int64_t n, int bfloat16) {
    if (!bfloat16) {
        const float *from = (const float *)map + at;
        if (n == LANES) return *(const AnyFloats *)from;
#if defined(__AVX512BW__)
        return (Floats)_mm512_maskz_loadu_ps(FIRST(n), from);
#endif
        Floats some = {0};
        for (int64_t i = 0; i < n; i++) some[i] = from[i];
        return some;
    }
    const uint16_t *from = (const uint16_t *)map + at;
    Halves some = {0};
    if (n == LANES) some = *(const AnyHalves *)from;
#if defined(__AVX512BW__)
    else some = (Halves)_mm256_maskz_loadu_epi16(FIRST(n), from);
#else
    else for (int64_t i = 0; i < n; i++) some[i] = from[i];
#endif
    return (Floats)(__builtin_convertvector(some, Words) << 16);
}

INLINE Halves as_bfloat16(Floats values) {
    Words bits = (Words)values;
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16; // to the nearest, halves to even
    return __builtin_convertvector((Words)choose_ints(is_nan(values), (Ints){0} + 0x7FC0, (Ints)bits), Halves);
}

INLINE void store(void *map, int64_t at, Floats values, int64_t n, int bfloat16) {
    if (!bfloat16) {
        float *to = (float *)map + at;
        if (n == LANES) *(AnyFloats *)to = values;
        else for (int64_t i = 0; i < n; i++) to[i] = values[i];
        return;
    }
    Halves some = as_bfloat16(values);
    uint16_t *to = (uint16_t *)map + at;
    if (n == LANES) *(AnyHalves *)to = some;
#if defined(__AVX512BW__)
    else _mm256_mask_storeu_epi16(to, FIRST(n), (__m256i)some);
#else
    else for (int64_t i = 0; i < n; i++) to[i] = some[i];
#endif
}

INLINE Ints load_bytes(const uint8_t *from, int64_t n) {
#if defined(__AVX512BW__)
    return (Ints)_mm512_cvtepu8_epi32(n == LANES ? _mm_loadu_si128((const void *)from) : _mm_maskz_loadu_epi8(FIRST(n), from));
#else
#if defined(__AVX2__)
    if (n == LANES) return (Ints)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)from));
#endif
    Ints some = {0};
    for (int64_t i = 0; i < n; i++) some[i] = from[i];
    return some;
#endif
}

INLINE void store_bytes(uint8_t *to, Ints values, int64_t n) {
#if defined(__AVX512BW__)
    if (n == LANES) _mm_storeu_si128((void *)to, _mm512_cvtepi32_epi8((__m512i)values));
    else _mm512_mask_cvtepi32_storeu_epi8(to, FIRST(n), (__m512i)values);
#else
#if defined(__AVX2__)
    __m256i words = _mm256_packus_epi32((__m256i)values, (__m256i)values); // 0 1 2 3, 0 1 2 3, 4 5 6 7, 4 5 6 7
    __m128i bytes = _mm256_castsi256_si128(_mm256_permute4x64_epi64(words, 0x88));
    if (n == LANES) return _mm_storel_epi64((void *)to, _mm_packus_epi16(bytes, bytes));
#endif
    for (int64_t i = 0; i < n; i++) to[i] = (uint8_t)values[i];
#endif
}

// Where the gradient passes: NaN lets it, as in torch.
INLINE Mask within(Floats v, Floats low, Floats high) {
    return opposite(not_below(low, v)) & opposite(not_below(v, high));
}

// ---- parts and threads ----

typedef void Work(const void *task, int64_t part, int64_t parts);

struct team {
    const void *task;
    Work *work;
    atomic_llong next;
    int64_t parts;
};

static void *member(void *argument) {
    struct team *team = argument;
    for (int64_t part; (part = atomic_fetch_add(&team->next, 1)) < team->parts;)
        team->work(team->task, part, team->parts);
    return NULL;
}

static void in_parts(Work *work, const void *task, int64_t parts, int64_t threads) {
    struct team team = {.task = task, .work = work, .parts = parts};
    pthread_t started[PARTS];
    int64_t n = 0;
    while (n + 1 < parts && n + 1 < threads && !pthread_create(&started[n], NULL, member, &team)) n++;
    member(&team);
    for (int64_t i = 0; i < n; i++) pthread_join(started[i], NULL);
}

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t period(int64_t channels) {
    int64_t divisor = channels & -channels; // largest power of two that divides
    return channels * (divisor < MOST_LANES ? MOST_LANES / divisor : 1);
}

static int64_t elements(const struct pass *p) { return p->images * p->height * p->width * p->channels; }

static int64_t pooled_elements(const struct pass *p) {
    return p->images * p->pooled_size[0] * p->pooled_size[1] * p->channels;
}

static int64_t result_elements(const struct pass *p) { return p->pooled ? pooled_elements(p) : elements(p); }

static int64_t parts_of(int64_t n) { return n < PART ? 1 : smaller(PARTS, n / PART); }

// First element of a part of a map of n elements.
static int64_t begin(int64_t n, int64_t period, int64_t part, int64_t parts) {
    return part == parts ? n : n / period * part / parts * period;
}

// What all parts of one call share. Arrays have the length of a period; sums are [parts][period].
struct memory {
    const struct pass *pass;
    int64_t period, parts;
    float *factor, *offset, *mean, *slope, *constant, *direction;
    double *sum, *product, *clip;
    float *block;
};

static int allocate(struct memory *m, const struct pass *p, int64_t parts) {
    m->pass = p;
    m->period = period(p->channels);
    m->parts = parts;
    int64_t n = m->period;
    // Per part: two sums in double, one for the clip, two sums in float.
    size_t doubles = parts * (2 * n + LANES), floats = 6 * n + parts * (2 * n);
    char *memory = aligned_alloc(64, (doubles * sizeof(double) + floats * sizeof(float) + 63) / 64 * 64);
    if (!memory) return 1;
    memset(memory, 0, doubles * sizeof(double));
    m->sum = (double *)memory, m->product = m->sum + parts * n, m->clip = m->product + parts * n;
    float *at = (float *)(m->sum + doubles);
    m->factor = at, m->offset = at + n, m->mean = at + 2 * n, m->slope = at + 3 * n, m->constant = at + 4 * n;
    m->direction = at + 5 * n, m->block = at + 6 * n;
    return 0;
}

static void repeat(float *to, int64_t period, const float *from, int64_t channels) {
    for (int64_t i = 0; i < period; i++) to[i] = from[i % channels];
}

// Adds the block's sums to those of the part.
static void flush(struct memory *m, int64_t part) {
    float *block = m->block + 2 * m->period * part;
    double *sum = m->sum + m->period * part, *product = m->product + m->period * part;
    for (int64_t i = 0; i < m->period; i++) sum[i] += block[i], product[i] += block[m->period + i];
    memset(block, 0, 2 * m->period * sizeof *block);
}

// The sums of a channel, over all parts and the period.
static void total(const struct memory *m, int64_t channel, int64_t channels, double *sum, double *product) {
    *sum = *product = 0;
    for (int64_t part = 0; part < m->parts; part++)
        for (int64_t i = channel; i < m->period; i += channels)
            *sum += m->sum[m->period * part + i], *product += m->product[m->period * part + i];
}

// Calls body(at, j, rows, n) for elements [first, last), which start with channel 0: n lanes of each of `rows` periods
// from element `at`, where j is the place within the period; after_block() between blocks of sums.
#define SWEEP(first, last, period, body, after_block)                                                                  \
    do {                                                                                                               \
        int64_t at = first, strips = 0;                                                                                \
        for (; at + STRIP * (period) <= (last); at += STRIP * (period)) {                                              \
            for (int64_t j = 0; j < (period); j += LANES) body(at + j, j, STRIP, LANES);                               \
            if (++strips % BLOCK == 0) after_block;                                                                    \
        }                                                                                                              \
        for (; at < (last); at += (period)) {                                                                          \
            int64_t left = smaller(period, (last) - at), j = 0;                                                        \
            for (; j + LANES <= left; j += LANES) body(at + j, j, 1, LANES);                                           \
            if (j < left) body(at + j, j, 1, left - j);                                                                \
        }                                                                                                              \
        after_block;                                                                                                   \
    } while (0)

// ---- forward ----

// Sums of y and its square, less a value near the mean, which keeps the digits.
INLINE void sums(const struct pass *p, struct memory *m, int64_t part, int64_t first, int64_t last, int bfloat16) {
    float *block = m->block + 2 * m->period * part;
#define BODY(at, j, rows, n)                                                                                           \
    do {                                                                                                               \
        Floats near = *(AnyFloats *)(m->mean + (j)), sum = *(AnyFloats *)(block + (j));                                \
        Floats square = *(AnyFloats *)(block + m->period + (j));                                                       \
        Ints held = {0}; /* lanes that hold an element */                                                              \
        for (int64_t i = 0; i < (n); i++) held[i] = -1;                                                                \
        for (int64_t row = 0; row < (rows); row++) {                                                                   \
            Floats v = load(p->y, (at) + row * m->period, n, bfloat16) - near;                                         \
            if ((n) < LANES) v = (Floats)(held & (Ints)v);                                                             \
            sum += v, square += v * v;                                                                                 \
        }                                                                                                              \
        *(AnyFloats *)(block + (j)) = sum, *(AnyFloats *)(block + m->period + (j)) = square;                           \
    } while (0)
    SWEEP(first, last, m->period, BODY, flush(m, part));
#undef BODY
}

// Positions of a pooling window that lie on the map; returns how many.
static int64_t window(const struct pass *p, int64_t row, int64_t column, int64_t *at, uint8_t *index) {
    int64_t n = 0;
    for (int64_t i = 0; i < p->window[0]; i++)
        for (int64_t j = 0; j < p->window[1]; j++) {
            int64_t y = row * p->stride[0] + i - p->padding[0], x = column * p->stride[1] + j - p->padding[1];
            if (y < 0 || y >= p->height || x < 0 || x >= p->width) continue;
            at[n] = (y * p->width + x) * p->channels, index[n++] = i * p->window[1] + j;
        }
    return n;
}

INLINE void largest(
    const struct pass *p, const struct memory *m, int64_t from, int64_t to, const int64_t *at, const uint8_t *index,
    int64_t positions, int64_t channel, int64_t n, int bfloat16
) {
    Floats direction = *(AnyFloats *)(m->direction + channel);
    Floats best = load(p->y, from + at[0] + channel, n, bfloat16), best_key = best * direction;
    Ints which = (Ints){0} + index[0];
    for (int64_t k = 1; k < positions; k++) {
        Floats v = load(p->y, from + at[k] + channel, n, bfloat16), key = v * direction;
        Mask take = above(key, best_key) | is_nan(key);
        best = choose(take, v, best), best_key = choose(take, key, best_key);
        which = choose_ints(take, (Ints){0} + index[k], which);
    }
    store(p->pooled, to + channel, best, n, bfloat16);
    store_bytes(p->index + to + channel, which, n);
}

// The largest of each window of an image, or the smallest where the norm turns the order round.
INLINE void pool(const struct pass *p, const struct memory *m, int64_t image, int bfloat16) {
    int64_t from = image * p->height * p->width * p->channels, at[WINDOW];
    int64_t to = image * p->pooled_size[0] * p->pooled_size[1] * p->channels;
    uint8_t index[WINDOW];
    for (int64_t row = 0; row < p->pooled_size[0]; row++)
        for (int64_t column = 0; column < p->pooled_size[1]; column++, to += p->channels) {
            int64_t positions = window(p, row, column, at, index), channel = 0;
            if (positions == 4)
                for (; channel + LANES <= p->channels; channel += LANES)
                    largest(p, m, from, to, at, index, 4, channel, LANES, bfloat16);
            for (; channel + LANES <= p->channels; channel += LANES)
                largest(p, m, from, to, at, index, positions, channel, LANES, bfloat16);
            if (channel < p->channels)
                largest(p, m, from, to, at, index, positions, channel, p->channels - channel, bfloat16);
        }
}

INLINE void measure(const struct pass *p, struct memory *m, int64_t part, int64_t parts, int bfloat16) {
    if (!p->pooled) {
        int64_t n = elements(p);
        sums(p, m, part, begin(n, m->period, part, parts), begin(n, m->period, part + 1, parts), bfloat16);
        return;
    }
    int64_t of_image = p->height * p->width * p->channels;
    for (int64_t image = p->images * part / parts; image < p->images * (part + 1) / parts; image++) {
        sums(p, m, part, image * of_image, (image + 1) * of_image, bfloat16);
        pool(p, m, image, bfloat16);
    }
}

INLINE void apply(
    const struct pass *p, struct memory *m, int64_t part, int64_t parts, int bfloat16, int rounded, int added
) {
    int64_t elements = result_elements(p);
    const void *from = p->pooled ? p->pooled : p->y;
    Floats low = (Floats){0} + p->low, high = (Floats){0} + p->high;
    Floats step = (Floats){0} + p->step, inverse = (Floats){0} + p->inverse_step;
#define BODY(at, j, rows, n)                                                                                           \
    do {                                                                                                               \
        Floats factor = *(AnyFloats *)(m->factor + (j)), offset = *(AnyFloats *)(m->offset + (j));                     \
        for (int64_t row = 0; row < (rows); row++) {                                                                   \
            int64_t place = (at) + row * m->period;                                                                    \
            Floats v = load(from, place, n, bfloat16) * factor + offset;                                               \
            if (added) v += load(p->added, place, n, bfloat16);                                                        \
            v = at_least(low, v);                                                                                      \
            if (rounded) {                                                                                             \
                v = nearest(at_most(high, v) * inverse);                                                               \
                if (p->codes) store_bytes(p->codes + place, __builtin_convertvector(v, Ints), n);                      \
                v *= step;                                                                                             \
            }                                                                                                          \
            store(p->out, place, v, n, bfloat16);                                                                      \
        }                                                                                                              \
    } while (0)
    SWEEP(begin(elements, m->period, part, parts), begin(elements, m->period, part + 1, parts), m->period, BODY, (void)0);
#undef BODY
}

// ---- backward ----

INLINE void gradient_sums(
    const struct pass *p, struct memory *m, int64_t part, int64_t parts, int bfloat16, int rounded, int added
) {
    int64_t elements = result_elements(p);
    const void *from = p->pooled ? p->pooled : p->y;
    float *block = m->block + 2 * m->period * part;
    double *clip_sum = m->clip + LANES * part;
    void *masked = p->normalise ? p->masked : p->out;
    Floats low = (Floats){0} + p->low, high = (Floats){0} + p->high;
    Floats step = (Floats){0} + p->step, inverse = (Floats){0} + p->inverse_step, clip = {0}, over = {0};
#define AFTER                                                                                                          \
    do {                                                                                                               \
        flush(m, part);                                                                                                \
        for (int i = 0; i < LANES; i++) clip_sum[i] += clip[i] / p->high + over[i];                                    \
        clip = over = (Floats){0};                                                                                     \
    } while (0)
#define BODY(at, j, rows, n)                                                                                           \
    do {                                                                                                               \
        Floats factor = *(AnyFloats *)(m->factor + (j)), offset = *(AnyFloats *)(m->offset + (j));                     \
        Floats mean = *(AnyFloats *)(m->mean + (j)), sum = *(AnyFloats *)(block + (j));                                \
        Floats product = *(AnyFloats *)(block + m->period + (j));                                                      \
        for (int64_t row = 0; row < (rows); row++) {                                                                   \
            int64_t place = (at) + row * m->period;                                                                    \
            Floats y = load(from, place, n, bfloat16), g = load(p->gradient, place, n, bfloat16);                      \
            Floats v = added ? load(p->result, place, n, bfloat16) : y * factor + offset;                              \
            Mask inside = within(v, low, high);                                                                        \
            Floats in = kept(inside, g);                                                                               \
            sum += in, product += in * (y - mean);                                                                     \
            if (rounded) clip += in * (nearest(v * inverse) * step - v), over += kept(not_below(v, high), g);          \
            if (masked) store(masked, place, in, n, bfloat16);                                                         \
        }                                                                                                              \
        *(AnyFloats *)(block + (j)) = sum, *(AnyFloats *)(block + m->period + (j)) = product;                          \
    } while (0)
    SWEEP(begin(elements, m->period, part, parts), begin(elements, m->period, part + 1, parts), m->period, BODY, AFTER);
#undef BODY
#undef AFTER
}

INLINE void input_gradient(const struct pass *p, struct memory *m, int64_t part, int64_t parts, int bfloat16) {
    int64_t n = elements(p);
    Floats low = (Floats){0} + p->low, high = (Floats){0} + p->high;
#define BODY(at, j, rows, n)                                                                                           \
    do {                                                                                                               \
        Floats factor = *(AnyFloats *)(m->factor + (j)), offset = *(AnyFloats *)(m->offset + (j));                     \
        Floats slope = *(AnyFloats *)(m->slope + (j)), constant = *(AnyFloats *)(m->constant + (j));                   \
        for (int64_t row = 0; row < (rows); row++) {                                                                   \
            int64_t place = (at) + row * m->period;                                                                    \
            Floats y = load(p->y, place, n, bfloat16), g;                                                              \
            if (p->masked) g = load(p->masked, place, n, bfloat16);                                                    \
            else g = kept(within(y * factor + offset, low, high), load(p->gradient, place, n, bfloat16));              \
            store(p->out, place, g * factor + (y * slope + constant), n, bfloat16);                                    \
        }                                                                                                              \
    } while (0)
    SWEEP(begin(n, m->period, part, parts), begin(n, m->period, part + 1, parts), m->period, BODY, (void)0);
#undef BODY
}

// Windows that hold a pixel; returns how many.
static int64_t windows(const struct pass *p, int64_t row, int64_t column, int64_t *at, uint8_t *index) {
    int64_t n = 0, y = row + p->padding[0], x = column + p->padding[1];
    int64_t top = y < p->window[0] ? 0 : (y - p->window[0]) / p->stride[0] + 1;
    int64_t left = x < p->window[1] ? 0 : (x - p->window[1]) / p->stride[1] + 1;
    for (int64_t i = top; i <= y / p->stride[0] && i < p->pooled_size[0]; i++)
        for (int64_t j = left; j <= x / p->stride[1] && j < p->pooled_size[1]; j++) {
            at[n] = (i * p->pooled_size[1] + j) * p->channels;
            index[n++] = (y - i * p->stride[0]) * p->window[1] + x - j * p->stride[1];
        }
    return n;
}

INLINE void pixel_gradient(
    const struct pass *p, const struct memory *m, int64_t pixel, int64_t image, const int64_t *at, const uint8_t *index,
    int64_t n_windows, int64_t channel, int64_t n, int bfloat16
) {
    Floats g = {0};
    for (int64_t k = 0; k < n_windows; k++) {
        int64_t place = image + at[k] + channel;
        Mask here = equal(load_bytes(p->index + place, n), (Ints){0} + index[k]);
        g += kept(here, load(p->masked, place, n, bfloat16));
    }
    Floats factor = *(AnyFloats *)(m->factor + channel);
    Floats slope = *(AnyFloats *)(m->slope + channel), constant = *(AnyFloats *)(m->constant + channel);
    Floats y = load(p->y, pixel + channel, n, bfloat16);
    store(p->out, pixel + channel, g * factor + (y * slope + constant), n, bfloat16);
}

INLINE void unpooled_gradient(const struct pass *p, struct memory *m, int64_t part, int64_t parts, int bfloat16) {
    int64_t at[WINDOW];
    uint8_t index[WINDOW];
    for (int64_t image = p->images * part / parts; image < p->images * (part + 1) / parts; image++) {
        int64_t pooled = image * p->pooled_size[0] * p->pooled_size[1] * p->channels;
        int64_t pixel = image * p->height * p->width * p->channels;
        for (int64_t row = 0; row < p->height; row++)
            for (int64_t column = 0; column < p->width; column++, pixel += p->channels) {
                int64_t n = windows(p, row, column, at, index), channel = 0;
                if (n == 1)
                    for (; channel + LANES <= p->channels; channel += LANES)
                        pixel_gradient(p, m, pixel, pooled, at, index, 1, channel, LANES, bfloat16);
                for (; channel + LANES <= p->channels; channel += LANES)
                    pixel_gradient(p, m, pixel, pooled, at, index, n, channel, LANES, bfloat16);
                if (channel < p->channels)
                    pixel_gradient(p, m, pixel, pooled, at, index, n, channel, p->channels - channel, bfloat16);
            }
    }
}

// ---- the same for both number formats, with and without rounding and addition ----

static void measure_part(const void *task, int64_t part, int64_t parts) {
    struct memory *m = (struct memory *)task;
    if (m->pass->bfloat16) measure(m->pass, m, part, parts, 1);
    else measure(m->pass, m, part, parts, 0);
}

#define CHOSEN(function)                                                                                               \
    do {                                                                                                               \
        struct memory *m = (struct memory *)task;                                                                      \
        const struct pass *p = m->pass;                                                                                \
        if (p->bfloat16) {                                                                                             \
            if (p->rounded) function(p, m, part, parts, 1, 1, 0);                                                      \
            else if (p->added) function(p, m, part, parts, 1, 0, 1);                                                   \
            else function(p, m, part, parts, 1, 0, 0);                                                                 \
        } else {                                                                                                       \
            if (p->rounded) function(p, m, part, parts, 0, 1, 0);                                                      \
            else if (p->added) function(p, m, part, parts, 0, 0, 1);                                                   \
            else function(p, m, part, parts, 0, 0, 0);                                                                 \
        }                                                                                                              \
    } while (0)

static void apply_part(const void *task, int64_t part, int64_t parts) { CHOSEN(apply); }

static void gradient_sums_part(const void *task, int64_t part, int64_t parts) {
    CHOSEN(gradient_sums);
}

static void input_gradient_part(const void *task, int64_t part, int64_t parts) {
    struct memory *m = (struct memory *)task;
    const struct pass *p = m->pass;
    if (p->pooled) {
        if (p->bfloat16) unpooled_gradient(p, m, part, parts, 1);
        else unpooled_gradient(p, m, part, parts, 0);
    } else {
        if (p->bfloat16) input_gradient(p, m, part, parts, 1);
        else input_gradient(p, m, part, parts, 0);
    }
}

// Parts in which the whole map is read; with pooling a part has whole images.
static int64_t map_parts(const struct pass *p) {
    return p->pooled ? smaller(p->images, parts_of(elements(p))) : parts_of(elements(p));
}

static float element_of(const struct pass *p, int64_t element) {
    if (!p->bfloat16) return ((const float *)p->y)[element];
    union { uint32_t bits; float value; } wide = {.bits = (uint32_t)((const uint16_t *)p->y)[element] << 16};
    return wide.value;
}

// Statistics of the batch, and the norm as a factor and an offset.
static void finish(const struct pass *p, const struct memory *m) {
    int64_t channels = p->channels;
    double n = (double)(p->images * p->height * p->width);
    float *factor = p->constants, *offset = factor + channels, *means = offset + channels, *inverses = means + channels;
    for (int64_t c = 0; c < channels; c++) {
        double sum, square;
        total(m, c, channels, &sum, &square);
        double mean = m->mean[c] + sum / n, variance = square / n - sum / n * (sum / n);
        if (variance < 0) variance = 0;
        double inverse = 1 / sqrt(variance + p->epsilon), scale = p->scale ? p->scale[c] : 1;
        if (p->running_mean) {
            double old = 1 - p->momentum;
            p->running_mean[c] = (float)(p->momentum * mean + old * p->running_mean[c]);
            p->running_variance[c] = (float)(p->momentum * variance * (n / (n - 1)) + old * p->running_variance[c]);
        }
        factor[c] = (float)(scale * inverse);
        offset[c] = (float)((p->shift ? p->shift[c] : 0) - mean * scale * inverse);
        means[c] = (float)mean, inverses[c] = (float)inverse;
    }
}

static void constants(const struct pass *p, struct memory *m) {
    for (int64_t i = 0; i < m->period; i++) m->factor[i] = 1, m->offset[i] = m->mean[i] = 0;
    if (!p->normalise) return;
    repeat(m->factor, m->period, p->constants, p->channels);
    repeat(m->offset, m->period, p->constants + p->channels, p->channels);
    repeat(m->mean, m->period, p->constants + 2 * p->channels, p->channels);
}

// Returns 0, or 1 if there was no memory.
int forward(struct pass *p) {
    struct memory memory, *m = &memory;
    int64_t parts = map_parts(p);
    if (allocate(m, p, parts)) return 1;
    memset(m->block, 0, parts * 2 * m->period * sizeof *m->block);
    if (p->normalise) {
        for (int64_t i = 0; i < m->period; i++) {
            float scale = p->scale ? p->scale[i % p->channels] : 1;
            m->mean[i] = element_of(p, i % p->channels), m->direction[i] = (scale > 0) - (scale < 0);
        }
        in_parts(measure_part, m, parts, p->threads);
        finish(p, m);
    }
    constants(p, m);
    in_parts(apply_part, m, parts_of(result_elements(p)), p->threads);
    free(m->sum);
    return 0;
}

// Returns 0, or 1 if there was no memory.
int backward(struct pass *p) {
    struct memory memory, *m = &memory;
    int64_t parts = parts_of(result_elements(p)), channels = p->channels;
    if (allocate(m, p, parts)) return 1;
    memset(m->block, 0, parts * 2 * m->period * sizeof *m->block);
    constants(p, m);
    in_parts(gradient_sums_part, m, parts, p->threads);
    p->clip_gradient = 0;
    for (int64_t i = 0; i < LANES * parts; i++) p->clip_gradient += m->clip[i];
    if (p->normalise) {
        double n = (double)(p->images * p->height * p->width);
        for (int64_t c = 0; c < channels; c++) {
            double sum, product, inverse = p->constants[3 * channels + c], factor = p->constants[c];
            total(m, c, channels, &sum, &product);
            p->shift_gradient[c] = (float)sum, p->scale_gradient[c] = (float)(product * inverse);
            double slope = -factor * inverse * inverse * product / n;
            m->slope[c] = (float)slope;
            m->constant[c] = (float)(-factor * sum / n - slope * p->constants[2 * channels + c]);
        }
        for (int64_t i = channels; i < m->period; i++)
            m->slope[i] = m->slope[i - channels], m->constant[i] = m->constant[i - channels];
        in_parts(input_gradient_part, m, map_parts(p), p->threads);
    }
    free(m->sum);
    return 0;
}
