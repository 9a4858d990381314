// ADC readings of all column sums, shift-added and accumulated: see summed_readings in ../columns.py, whose numbers
// this computes to the bit, and ../gaussian.py for the noise.
//
// Inputs are bits, so the sum over a few rows is one of a few numbers: it is looked up, with the rows' bits as the
// index. With AVX-512, 32 entries of 16 bits are a register, one instruction looks up 32 positions, and 64 rows take 13 of
// them; with AVX2 it is 16 positions and 22 times 8 entries. For a tile of positions and a row block, indices are
// built once and serve all columns; for some columns, tables are built once and serve all parts of a tile. Two columns are computed at a time: they share indices, what their normal numbers are
// hashed from, and the look-up of their variances, whose sums are bytes of one word.

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "builds.h"

#if defined(__AVX512BW__)
#include <immintrin.h>
#define IN_REGISTER(x) __asm__("" : "+v"(x)) // or the compiler loads it again for every use
#define OP(name) _mm512_##name
typedef __m512i Vector;
enum { WIDTH = 32, ROWS = 5 }; // positions of a vector, rows of a lookup
#elif defined(__AVX2__)
#include <immintrin.h>
#define IN_REGISTER(x) __asm__("" : "+x"(x))
#define OP(name) _mm256_##name
typedef __m256i Vector;
enum { WIDTH = 16, ROWS = 3 };
#endif

enum {
    LANES = 32,           // positions that are computed together
    ANY_ROWS = 8,         // per lookup, two of which share an index word, in code for any processor
    ENTRIES = 1 << ANY_ROWS,
    TILE_BYTES = 1 << 18, // indices of a tile: within a core's share of second-level cache
    PART_BYTES = 20 << 10, // the same of what is converted together: within a core's first-level cache
    PAIRS = 32,           // of columns that are prepared together, so that their tables are in second-level cache too
    SPARE = 64,           // rows of codes that may be written beyond the last
    ROUNDS = 4,           // of the generator; also its words of key
    NOISE_SHIFT = 16,     // binary digits of a standard deviation and of a normal number behind the grid's point
    MOST_LEVELS = 255,    // of ADCs whose readings are bytes
};

typedef int16_t Lanes __attribute__((vector_size(2 * LANES)));

struct problem {
    const void *codes;          // [groups][positions][rows], unsigned, code_bytes each
    const void *conductance;    // [groups][columns][rows], int16 if narrow, else int32
    const uint8_t *variance;    // [groups][columns][rows] or null
    const int32_t *start;       // [blocks][groups][columns]: offset less base
    const int32_t *base;        // [columns]: even reading in the middle of the ADC's window
    const int32_t *lowest;      // [columns]: lowest reading less base
    const int32_t *levels;      // [blocks][groups][n_adcs][n_levels]: thresholds less the lowest reading; or null
    const int32_t *adc;         // [columns]: which of the n_adcs converts; only with levels
    const int64_t *blocks;      // [n_blocks][2]: first and last-plus-one row
    const int8_t *normal;       // [128]: entries of which two are weighed and added up to a normal number
    const uint8_t *sigma;       // [groups][pairs][256]: standard deviation for each sum of two columns' variances
    const int32_t *sigma_shift; // [groups][columns]: its power of two
    void *out;                  // [groups][columns][stride], int32 or int64
    int64_t code_bytes, narrow, out_bytes, noisy;
    int64_t groups, positions, stride, rows, columns, n_blocks, input_bits, adc_bits, fraction;
    int64_t n_adcs, n_levels;
    int64_t threads;
    uint64_t key, first, multiplier, weights; // weights: of a lower byte's entry; 2^8 times that of an upper one's
};

// ---- the generator of normal numbers ----

static uint64_t mix64(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static uint32_t mix32(uint32_t x) {
    x = (x ^ (x >> 16)) * 0x85EBCA6Bu;
    x = (x ^ (x >> 13)) * 0xC2B2AE35u;
    return x ^ (x >> 16);
}

static uint64_t scrambled(uint64_t key) { return mix64(key + 0x9E3779B97F4A7C15u); }

static uint32_t at_position(uint64_t key, uint64_t position) {
    uint64_t high = mix64(scrambled(key) + (position >> 32) * 0x9E3779B97F4A7C15u);
    return mix32((uint32_t)position ^ (uint32_t)(high >> 32));
}

// Both halves of each word hold the same 16 bits, for 32-bit broadcasts.
static void at_pair(
    uint32_t words[ROUNDS], uint64_t key, uint64_t block, uint64_t bit, uint64_t group, uint64_t pair
) {
    uint64_t bits = mix64((pair | bit << 44 | group << 24 | block << 49) ^ scrambled(key));
    for (int i = 0; i < ROUNDS; i++) words[i] = (uint32_t)((bits >> (16 * i)) & 0xFFFF) * 0x10001u;
}

// ---- what a thread works with ----

// How many of an ADC's thresholds a sum is not below. Sums between the lowest and the highest lie in 256 bins of
// 2^shift: those below a bin are counted, the others are compared with what is left of a sum.
struct counter {
    const int32_t *levels;     // thresholds less the lowest reading
    int32_t lowest;            // reading, on the scale of sums
    int32_t low, high, shift;
    int32_t within;            // most thresholds within a bin
    uint8_t passed[256];       // thresholds not above a bin's first sum
    uint8_t below[MOST_LEVELS][256]; // thresholds within, less 1, in 2^(shift - 8); 255 where there is none
};

struct pair;

struct work {
    const struct problem *p;
    int64_t vectors;           // of LANES positions, in a tile
    int64_t words;             // of indices per column sum, in the largest block
    int64_t rows_per_word;
    Lanes *index;              // [vectors][words][input_bits]
    Lanes *at[2];              // [vectors]: halves of the positions' hashes
    uint8_t (*codes)[LANES];   // [2][words * rows_per_word]: lower and upper bytes; and SPARE more
    void *table;               // [PAIRS][3][lookups]: conductance of two columns, variance; or a column's, [2][lookups]
    int16_t *variances;        // [words * rows_per_word]: two columns' bytes
    int32_t *spare;            // [vectors * LANES]: sums of the column after the last
    struct pair *pairs;        // [PAIRS]
    uint32_t (*keys)[16][ROUNDS]; // [PAIRS]: for each input bit
    struct counter *counters;  // [2 * PAIRS]; or null
};

#define UNROLLED _Pragma("GCC unroll 8") // loops over vectors that are to stay in registers

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static inline int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b; }

static inline const uint8_t *sigmas(const struct problem *p, int64_t group, int64_t column) {
    return p->sigma + (group * up(p->columns, 2) + column / 2) * 256;
}

static int64_t rows_per_word(const struct problem *p) {
#if defined(SIMD)
    if (p->narrow && p->out_bytes == 4 && p->n_levels <= MOST_LEVELS) return ROWS;
#endif
    (void)p;
    return 2 * ANY_ROWS;
}

#if defined(__AVX512BW__)

// Bytes of 16 positions, 64 rows each, to 64 rows LANES apart of 16 positions each.
static void transpose(uint8_t *to, const uint8_t *from, int64_t stride, int64_t n_rows, int64_t n_lanes) {
    __m512i a[16], b[16];
    __mmask64 mask = n_rows < 64 ? ((__mmask64)1 << n_rows) - 1 : ~(__mmask64)0;
    for (int lane = 0; lane < 16; lane++)
        a[lane] = lane < n_lanes ? _mm512_maskz_loadu_epi8(mask, from + lane * stride) : _mm512_setzero_si512();
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 8; i++) {
            b[2 * i] = _mm512_unpacklo_epi8(a[i], a[i + 8]);
            b[2 * i + 1] = _mm512_unpackhi_epi8(a[i], a[i + 8]);
        }
        memcpy(a, b, sizeof a);
    }
    for (int i = 0; i < 16; i++, to += LANES) {
        _mm_storeu_si128((__m128i *)to, _mm512_castsi512_si128(a[i]));
        _mm_storeu_si128((__m128i *)(to + 16 * LANES), _mm512_extracti32x4_epi32(a[i], 1));
        _mm_storeu_si128((__m128i *)(to + 32 * LANES), _mm512_extracti32x4_epi32(a[i], 2));
        _mm_storeu_si128((__m128i *)(to + 48 * LANES), _mm512_extracti32x4_epi32(a[i], 3));
    }
}

#endif

// Codes of one block and of up to LANES positions, rows outermost; beyond the last row and position they are 0.
static void gather(const struct work *w, int64_t group, int64_t position, int64_t low, int64_t high) {
    const struct problem *p = w->p;
    int64_t n = smaller(LANES, p->positions - position), n_rows = high - low;
    int64_t planes = p->input_bits > 8 ? 2 : 1, room = w->words * w->rows_per_word;
    int64_t from = (group * p->positions + position) * p->rows + low;
    for (int64_t i = 0; i < LANES; i++) // of the next call, most likely
        __builtin_prefetch((const char *)p->codes + (from + (LANES + i) * p->rows) * p->code_bytes);
    memset(w->codes, 0, planes * room * LANES);
#if defined(__AVX512BW__)
    if (p->code_bytes == 1) {
        const uint8_t *codes = (const uint8_t *)p->codes + from;
        for (int64_t r = 0; r < n_rows; r += 64)
            for (int64_t lane = 0; lane < n; lane += 16)
                transpose(&w->codes[r][lane], codes + lane * p->rows + r, p->rows, n_rows - r, n - lane);
        return;
    }
#endif
    for (int64_t lane = 0; lane < n; lane++, from += p->rows)
        for (int64_t r = 0; r < n_rows; r++) {
            int64_t at = from + r;
            int code = p->code_bytes == 1 ? ((const uint8_t *)p->codes)[at] : ((const int32_t *)p->codes)[at];
            for (int64_t plane = 0; plane < planes; plane++)
                w->codes[plane * room + r][lane] = (uint8_t)(code >> (8 * plane));
        }
}

// Indices of one vector: the bits of `rows` rows in the lower byte, those of as many more in the upper.
static inline __attribute__((always_inline)) void pack_indices(
    const struct work *w, int64_t vector, int64_t n_words, const int rows, const int per_word
) {
    int bits = (int)w->p->input_bits;
    for (int plane = 0; 8 * plane < bits; plane++)
        for (int64_t i = 0; i < n_words; i++) {
            Lanes *index = w->index + (vector * w->words + i) * bits + 8 * plane;
            const uint8_t(*codes)[LANES] = w->codes + (plane * w->words + i) * rows * per_word;
            Lanes pairs[ANY_ROWS];
            for (int r = 0; r < rows; r++)
                for (int lane = 0; lane < LANES; lane++) {
                    int upper = per_word == 2 ? codes[rows + r][lane] : 0;
                    ((int16_t *)&pairs[r])[lane] = (int16_t)(codes[r][lane] | upper << 8);
                }
            UNROLLED for (int b = 0; b < 8; b++) {
                if (b >= bits - 8 * plane) break;
                Lanes pattern = {0};
                UNROLLED for (int r = 0; r < rows; r++)
                    pattern |= (r < b ? pairs[r] >> (b - r) : pairs[r] << (r - b)) & (int16_t)(0x0101 << r);
                index[b] = pattern;
            }
        }
}

// Thresholds of a column's ADC, less its lowest reading.
static const int32_t *thresholds(const struct problem *p, int64_t block, int64_t group, int64_t column) {
    return p->levels + ((block * p->groups + group) * p->n_adcs + p->adc[column]) * p->n_levels;
}

// The counter of a column: the last of n, where it has the same ADC, or else a new one.
static const struct counter *count_by(
    struct counter *counters, int64_t *n, const struct problem *p, int64_t block, int64_t group, int64_t column
) {
    const int32_t *levels = thresholds(p, block, group, column);
    int32_t lowest = p->lowest[column] * (1 << p->fraction);
    struct counter *counter = counters + *n - 1;
    if (*n && counter->levels == levels && counter->lowest == lowest) return counter;
    counter = counters + (*n)++;
    int64_t first = 0, last = p->n_levels;
    while (first < last && levels[first] + lowest <= INT16_MIN) first++; // passed by every sum
    while (first < last && levels[last - 1] + lowest > INT16_MAX) last--; // and by none
    counter->levels = levels, counter->lowest = lowest;
    counter->low = first < last ? levels[first] + lowest - 1 : 0;
    counter->high = first < last ? levels[last - 1] + lowest : 0;
    counter->shift = counter->within = 0;
    while ((counter->high - counter->low) >> counter->shift > 255) counter->shift++;
    int32_t bin = 0, beyond = 0;
    counter->passed[0] = (uint8_t)first;
    for (int64_t i = first; i < last; i++) {
        int32_t at = (levels[i] + lowest - counter->low) << (8 - counter->shift), rest = at & 255;
        if (at >> 8 > bin) {
            memset(counter->passed + bin + 1, (int)i, (at >> 8) - bin);
            bin = at >> 8, beyond = 0;
        }
        if (rest == 0) {
            counter->passed[bin] = (uint8_t)(i + 1);
            continue;
        }
        if (beyond == counter->within) memset(counter->below[counter->within++], 255, 256);
        counter->below[beyond++][bin] = (uint8_t)(rest - 1);
    }
    memset(counter->passed + bin + 1, (int)last, 255 - bin);
    return counter;
}

#if defined(SIMD)

// ---- arithmetic on vectors of 16-bit numbers, and of bytes ----

#if defined(__AVX512BW__)

typedef Vector Table; // 32 entries

static inline Vector lookup(Table table, Vector index) { return _mm512_permutexvar_epi16(index, table); }

static void build_indices(const struct work *w, int64_t vector, int64_t n_words) {
    pack_indices(w, vector, n_words, ROWS, 1);
}

// Table of the sums over up to ROWS rows.
static inline Table build_table(const int16_t *values, int64_t rows) {
    static const __mmask32 bit[ROWS] = {0xAAAAAAAA, 0xCCCCCCCC, 0xF0F0F0F0, 0xFF00FF00, 0xFFFF0000};
    Vector some = _mm512_castsi128_si512(_mm_maskz_loadu_epi16((__mmask8)((1 << rows) - 1), values)), sum = {0};
    UNROLLED for (int r = 0; r < ROWS; r++)
        sum = _mm512_add_epi16(sum, _mm512_maskz_permutexvar_epi16(bit[r], _mm512_set1_epi16((int16_t)r), some));
    return sum;
}

static inline Vector xor3(Vector a, Vector b, Vector c) { return _mm512_ternarylogic_epi32(a, b, c, 0x96); }

// Bytes of b where the highest bits of those of `where` are set, else of a.
static inline Vector blend(Vector a, Vector b, Vector where) {
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(where), a, b);
}

static inline Vector repeated(const uint8_t *bytes) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)bytes));
}

static inline Vector zero(void) { return _mm512_setzero_si512(); }

static inline Vector lower_half(Vector x) { return _mm512_cvtepi16_epi32(_mm512_castsi512_si256(x)); }

static inline Vector upper_half(Vector x) { return _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(x, 1)); }

#else

typedef Vector Table; // 8 entries, twice

static inline Vector lookup(Table table, Vector index) { return _mm256_shuffle_epi8(table, index); }

// As the numbers of an entry's two bytes.
static void build_indices(const struct work *w, int64_t vector, int64_t n_words) {
    pack_indices(w, vector, n_words, ROWS, 1);
    Lanes *index = w->index + vector * w->words * w->p->input_bits;
    for (int64_t i = 0; i < n_words * w->p->input_bits; i++) index[i] = index[i] * 0x0202 + 0x0100;
}

// Table of the sums over up to ROWS rows.
static inline Table build_table(const int16_t *values, int64_t rows) {
    int16_t a = values[0], b = rows > 1 ? values[1] : 0, c = rows > 2 ? values[2] : 0;
    int16_t ab = (int16_t)(a + b), ac = (int16_t)(a + c), bc = (int16_t)(b + c), abc = (int16_t)(ab + c);
    return _mm256_broadcastsi128_si256(_mm_setr_epi16(0, a, b, ab, c, ac, bc, abc));
}

static inline Vector xor3(Vector a, Vector b, Vector c) { return a ^ b ^ c; }

// Bytes of b where the highest bits of those of `where` are set, else of a.
static inline Vector blend(Vector a, Vector b, Vector where) { return _mm256_blendv_epi8(a, b, where); }

static inline Vector repeated(const uint8_t *bytes) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)bytes));
}

static inline Vector zero(void) { return _mm256_setzero_si256(); }

static inline Vector lower_half(Vector x) { return _mm256_cvtepi16_epi32(_mm256_castsi256_si128(x)); }

static inline Vector upper_half(Vector x) { return _mm256_cvtepi16_epi32(_mm256_extracti128_si256(x, 1)); }

#endif

#if defined(__AVX512VBMI__)

// Entries that the lowest seven bits of each byte choose.
static inline Vector of_128(const uint8_t *table, Vector index) {
    return _mm512_permutex2var_epi8(_mm512_loadu_si512(table), index, _mm512_loadu_si512(table + 64));
}

#else

// Entries that the lowest seven bits of each byte choose: of 16 by instruction, and then by one bit after the other.
static inline Vector of_128(const uint8_t *table, Vector index) {
    Vector low = index & OP(set1_epi8)(15), found[8];
    for (int i = 0; i < 8; i++) found[i] = OP(shuffle_epi8)(repeated(table + 16 * i), low);
    for (int i = 0; i < 4; i++) found[i] = blend(found[2 * i], found[2 * i + 1], OP(slli_epi16)(index, 3));
    for (int i = 0; i < 2; i++) found[i] = blend(found[2 * i], found[2 * i + 1], OP(slli_epi16)(index, 2));
    return blend(found[0], found[1], OP(slli_epi16)(index, 1));
}

#endif

// Entries of 256 that each byte chooses.
static inline Vector of_256(const uint8_t *table, Vector index) {
    return blend(of_128(table, index), of_128(table + 128, index), index);
}

// Bits of a where those of `where` are set, else of b.
static inline Vector chosen(Vector a, Vector b, Vector where) { return (a & where) | (b & ~where); }

// Adds what is looked up, at once: behind other look-ups, additions would get in the way of these.
static inline void add_lookup(Vector *sum, Table table, Vector index) {
    *sum = OP(add_epi16)(*sum, lookup(table, index));
    IN_REGISTER(*sum);
}

static void build_tables(Table *table, const int16_t *values, int64_t rows) {
    int64_t i = 0;
    for (; i < rows / ROWS; i++) table[i] = build_table(values + i * ROWS, ROWS);
    if (rows % ROWS) table[i] = build_table(values + i * ROWS, rows % ROWS);
}

// Normal numbers of two columns for n_bits input bits from bit b on.
static inline __attribute__((always_inline)) void draw(
    const struct problem *p, const uint32_t (*keys)[ROUNDS], Vector at_u, Vector at_v, const int n_bits, Vector u[4],
    Vector v[4]
) {
    Vector multiplier = OP(set1_epi16)((int16_t)p->multiplier), weights = OP(set1_epi16)((int16_t)p->weights);
    UNROLLED for (int j = 0; j < n_bits; j++) {
        u[j] = at_u ^ OP(set1_epi32)((int)keys[j][0]);
        v[j] = at_v ^ OP(set1_epi32)((int)keys[j][1]);
    }
    UNROLLED for (int i = 0; i < ROUNDS; i++)
        UNROLLED for (int j = 0; j < n_bits; j++) {
            Vector high = OP(mulhi_epu16)(u[j], multiplier), low = OP(mullo_epi16)(u[j], multiplier);
            u[j] = xor3(high, v[j], OP(set1_epi32)((int)keys[j][(i + 2) % ROUNDS]));
            v[j] = low;
            IN_REGISTER(u[j]);
        }
    UNROLLED for (int j = 0; j < n_bits; j++) {
        u[j] = OP(maddubs_epi16)(weights, of_128((const uint8_t *)p->normal, u[j]));
        v[j] = OP(maddubs_epi16)(weights, of_128((const uint8_t *)p->normal, v[j]));
        IN_REGISTER(u[j]);
        IN_REGISTER(v[j]);
    }
}

enum { QUIET, CONSTANT, VARYING }; // kinds of noise

struct column {
    Vector start, bottom, top;     // of its sums
    const struct counter *counter; // of the thresholds that they pass; or null
    Vector *out;
    int32_t constant;              // what the first block adds for base
};

struct pair {
    struct column columns[2];
    const Table *tables;           // [3][lookups]: of both columns, and of both one's variances
    const uint8_t *sigma;          // [256]
    int sigma_shift;
    const uint32_t (*keys)[ROUNDS];
    int64_t lookups;
    int first;                     // whether this is the first block
};

// How many levels each of n vectors of sums is not below, two vectors at a time.
static inline __attribute__((always_inline)) void count_levels(const struct counter *c, Vector sum[4], const int n) {
    Vector low = OP(set1_epi16)((int16_t)c->low), high = OP(set1_epi16)((int16_t)c->high);
    Vector lower = OP(set1_epi16)(255), bin[2], rest[2], count[2];
    __m128i left = _mm_cvtsi32_si128(8 - c->shift);
    UNROLLED for (int j = 0; j < n; j++)
        sum[j] = OP(sll_epi16)(OP(sub_epi16)(OP(min_epi16)(OP(max_epi16)(sum[j], low), high), low), left);
    UNROLLED for (int i = 0; i < (n + 1) / 2; i++) {
        Vector a = sum[2 * i], b = 2 * i + 1 < n ? sum[2 * i + 1] : a;
        bin[i] = chosen(OP(srli_epi16)(a, 8), b, lower);
        rest[i] = chosen(a, OP(slli_epi16)(b, 8), lower);
        count[i] = of_256(c->passed, bin[i]);
    }
    for (int within = 0; within < c->within; within++)
        UNROLLED for (int i = 0; i < (n + 1) / 2; i++) {
            Vector beyond = OP(subs_epu8)(rest[i], of_256(c->below[within], bin[i]));
            count[i] = OP(add_epi8)(count[i], OP(min_epu8)(beyond, OP(set1_epi8)(1)));
        }
    UNROLLED for (int i = 0; i < (n + 1) / 2; i++) {
        sum[2 * i] = count[i] & lower;
        if (2 * i + 1 < n) sum[2 * i + 1] = OP(srli_epi16)(count[i], 8);
    }
}

// Shift-adds what n_bits sums of a column are read as, less base.
static inline __attribute__((always_inline)) Vector shift_add(
    const struct problem *p, const struct column *column, Vector total, Vector sum[4], const int n_bits, const int kind,
    const int flash
) {
    if (flash) {
        count_levels(column->counter, sum, n_bits);
        UNROLLED for (int j = n_bits - 1; j >= 0; j--)
            total = OP(add_epi16)(OP(add_epi16)(total, total), OP(add_epi16)(sum[j], column->bottom));
        return total;
    }
    __m128i fraction = _mm_cvtsi64_si128(p->fraction);
    Vector odd = OP(set1_epi16)((int16_t)(1 << p->fraction));
    // Half a step was added; a half that would round to an odd reading is pushed below.
    UNROLLED for (int j = 0; j < n_bits && kind == QUIET; j++)
        sum[j] = OP(sub_epi16)(sum[j], OP(min_epi16)(sum[j] & odd, OP(set1_epi16)(1)));
    UNROLLED for (int j = n_bits - 1; j >= 0; j--) {
        Vector reading = OP(max_epi16)(OP(sra_epi16)(sum[j], fraction), column->bottom);
        total = OP(add_epi16)(OP(add_epi16)(total, total), OP(min_epi16)(reading, column->top));
    }
    return total;
}

// Shift-adds readings of two columns for n_bits input bits from bit b on.
static inline __attribute__((always_inline)) void add_readings(
    const struct work *w, const struct pair *pair, int64_t vector, int half, int b, const int n_bits, const int kind,
    const int flash, Vector *total_a, Vector *total_b
) {
    enum { STEP = LANES / WIDTH };
    const struct problem *p = w->p;
    const Table *table_a = pair->tables, *table_b = table_a + w->words, *table_v = table_b + w->words;
    const Vector *index = (const Vector *)(w->index + vector * w->words * p->input_bits + b) + half;
    Vector a[4], c[4], variance[4];
    UNROLLED for (int j = 0; j < n_bits; j++) {
        a[j] = pair->columns[0].start;
        c[j] = pair->columns[1].start;
        variance[j] = zero();
    }
    for (int64_t i = 0; i < pair->lookups; i++, index += STEP * p->input_bits) {
        Table of_a = table_a[i], of_b = table_b[i], of_v = kind == VARYING ? table_v[i] : of_a;
        UNROLLED for (int j = 0; j < n_bits; j++) {
            Vector word = index[STEP * j];
            add_lookup(&a[j], of_a, word);
            add_lookup(&c[j], of_b, word);
            if (kind == VARYING) add_lookup(&variance[j], of_v, word);
        }
    }
    // Step by step for all bits at once: the processor's window is too small to find that much to do in parallel.
    if (kind != QUIET) {
        Vector z_a[4], z_b[4];
        const Vector *at_u = (const Vector *)(w->at[0] + vector) + half, *at_v = (const Vector *)(w->at[1] + vector) + half;
        draw(p, pair->keys + b, *at_u, *at_v, n_bits, z_a, z_b);
        int digits = pair->sigma_shift;
        Vector byte = OP(set1_epi16)((int16_t)(255 << digits)), always = OP(set1_epi16)((int16_t)(pair->sigma[0] << digits));
        __m128i left = _mm_cvtsi32_si128(digits), right = _mm_cvtsi32_si128(8 - digits);
        UNROLLED for (int j = 0; j < n_bits; j++) {
            Vector both = kind == VARYING ? of_256(pair->sigma, variance[j]) : zero();
            Vector of_a = kind == VARYING ? (Vector)(OP(sll_epi16)(both, left) & byte) : always;
            Vector of_b = kind == VARYING ? (Vector)(OP(srl_epi16)(both, right) & byte) : always;
            a[j] = OP(adds_epi16)(a[j], OP(mulhi_epi16)(of_a, z_a[j]));
            c[j] = OP(adds_epi16)(c[j], OP(mulhi_epi16)(of_b, z_b[j]));
        }
    }
    *total_a = shift_add(p, &pair->columns[0], *total_a, a, n_bits, kind, flash);
    *total_b = shift_add(p, &pair->columns[1], *total_b, c, n_bits, kind, flash);
}

static inline __attribute__((always_inline)) void convert_kind(
    const struct work *w, const struct pair *pair, int64_t from, int64_t to, const int kind, const int flash
) {
    // Bits of which the readings less base, at most half a window plus 1, add up to less than 2^15.
    int most = (int)(15 - w->p->adc_bits);
    for (int64_t t = from; t < to; t++)
        for (int half = 0; half < LANES / WIDTH; half++) {
            Vector low[2] = {zero(), zero()}, high[2] = {zero(), zero()}, a = zero(), c = zero();
            for (int b = (int)w->p->input_bits, summed = 0; b > 0;) {
                int n = b >= 4 ? 4 : b >= 2 ? 2 : 1;
                b -= n;
                if (n == 4) add_readings(w, pair, t, half, b, 4, kind, flash, &a, &c);
                else if (n == 2) add_readings(w, pair, t, half, b, 2, kind, flash, &a, &c);
                else add_readings(w, pair, t, half, b, 1, kind, flash, &a, &c);
                summed += n;
                if (b > 0 && summed + (b >= 4 ? 4 : b) <= most) continue;
                low[0] = OP(add_epi32)(OP(slli_epi32)(low[0], summed), lower_half(a));
                low[1] = OP(add_epi32)(OP(slli_epi32)(low[1], summed), lower_half(c));
                high[0] = OP(add_epi32)(OP(slli_epi32)(high[0], summed), upper_half(a));
                high[1] = OP(add_epi32)(OP(slli_epi32)(high[1], summed), upper_half(c));
                a = c = zero();
                summed = 0;
            }
            UNROLLED for (int i = 0; i < 2; i++) {
                const struct column *column = &pair->columns[i];
                Vector *out = column->out + 2 * ((LANES / WIDTH) * t + half);
                Vector constant = OP(set1_epi32)(column->constant);
                out[0] = OP(add_epi32)(low[i], pair->first ? constant : out[0]);
                out[1] = OP(add_epi32)(high[i], pair->first ? constant : out[1]);
            }
        }
}

static void convert_pair(const struct work *w, const struct pair *pair, int64_t from, int64_t to) {
    const struct problem *p = w->p;
    if (p->levels) {
        if (p->variance) convert_kind(w, pair, from, to, VARYING, 1);
        else if (p->noisy) convert_kind(w, pair, from, to, CONSTANT, 1);
        else convert_kind(w, pair, from, to, QUIET, 1);
    } else {
        if (p->variance) convert_kind(w, pair, from, to, VARYING, 0);
        else if (p->noisy) convert_kind(w, pair, from, to, CONSTANT, 0);
        else convert_kind(w, pair, from, to, QUIET, 0);
    }
}

// All about a column and the next one that serves a tile.
static void prepare(
    const struct work *w, int64_t place, int64_t *n_counters, int64_t tile, int64_t block, int64_t group, int64_t column
) {
    const struct problem *p = w->p;
    int64_t low = p->blocks[2 * block], rows = p->blocks[2 * block + 1] - low;
    struct pair *pair = w->pairs + place;
    Table *tables = (Table *)w->table + place * 3 * w->words;
    pair->tables = tables, pair->keys = (const uint32_t(*)[ROUNDS])w->keys[place];
    pair->lookups = up(rows, ROWS), pair->first = block == 0;
    pair->sigma = sigmas(p, group, column), pair->sigma_shift = p->sigma_shift[group * p->columns + column];
    for (int c = 0; c < 2; c++) {
        int64_t of = smaller(column + c, p->columns - 1); // a last one has no next
        int64_t at = group * p->columns + of, from = at * p->rows + low;
        int32_t start = p->start[block * p->groups * p->columns + at] + (p->levels ? 0 : 1 << (p->fraction - 1));
        pair->columns[c] = (struct column){
            .start = OP(set1_epi16)((int16_t)start),
            .bottom = OP(set1_epi16)((int16_t)p->lowest[of]),
            .top = OP(set1_epi16)((int16_t)(p->lowest[of] + (1 << p->adc_bits) - 1)),
            .counter = p->levels ? count_by(w->counters, n_counters, p, block, group, of) : NULL,
            .out = (Vector *)(of == column + c ? (int32_t *)p->out + at * p->stride + tile : w->spare),
            .constant = (int32_t)(p->base[of] * ((1 << p->input_bits) - 1) * p->n_blocks),
        };
        // Of the next two columns.
        for (int64_t r = 0; r < rows; r += 32) __builtin_prefetch((const int16_t *)p->conductance + from + 2 * p->rows + r);
        if (p->variance)
            for (int64_t r = 0; r < rows; r += 64) __builtin_prefetch(p->variance + from + 2 * p->rows + r);
        build_tables(tables + c * w->words, (const int16_t *)p->conductance + from, rows);
        if (p->variance)
            for (int64_t r = 0; r < rows; r++)
                w->variances[r] = (int16_t)(c ? w->variances[r] | p->variance[from + r] << 8 : p->variance[from + r]);
    }
    if (p->variance) build_tables(tables + 2 * w->words, w->variances, rows);
}

static void convert_narrow(
    const struct work *w, int64_t tile, int64_t n_vectors, int64_t block, int64_t group, int64_t column, int64_t n_pairs
) {
    int64_t n_counters = 0, step = 1 + PART_BYTES / (w->words * w->p->input_bits * (int64_t)sizeof(Lanes));
    for (int64_t i = 0; i < n_pairs; i++) prepare(w, i, &n_counters, tile, block, group, column + 2 * i);
    for (int64_t t = 0; t < n_vectors; t += step)
        for (int64_t i = 0; i < n_pairs; i++) convert_pair(w, w->pairs + i, t, smaller(t + step, n_vectors));
}

#endif

// ---- the same for any compiler, and for grids too fine for 16 bits ----

static inline int32_t value(const struct problem *p, int64_t at) {
    return p->narrow ? ((const int16_t *)p->conductance)[at] : ((const int32_t *)p->conductance)[at];
}

static void add_noise(
    const struct work *w, int32_t sum[LANES], const int32_t variance[LANES], int64_t vector, int b, int64_t group,
    int64_t column
) {
    const struct problem *p = w->p;
    const uint16_t *at_u = (const uint16_t *)(w->at[0] + vector), *at_v = (const uint16_t *)(w->at[1] + vector);
    uint16_t u[LANES], v[LANES], multiplier = (uint16_t)p->multiplier;
    for (int lane = 0; lane < LANES; lane++)
        u[lane] = at_u[lane] ^ (uint16_t)w->keys[0][b][0], v[lane] = at_v[lane] ^ (uint16_t)w->keys[0][b][1];
    for (int i = 0; i < ROUNDS; i++)
        for (int lane = 0; lane < LANES; lane++) {
            uint16_t low = (uint16_t)(u[lane] * (uint32_t)multiplier), high = (u[lane] * (uint32_t)multiplier) >> 16;
            u[lane] = high ^ v[lane] ^ (uint16_t)w->keys[0][b][(i + 2) % ROUNDS], v[lane] = low;
        }
    const uint8_t *sigma = sigmas(p, group, column);
    int64_t unit = (int64_t)1 << p->sigma_shift[group * p->columns + column];
    int32_t lower = p->weights & 255, upper = (int32_t)(p->weights >> 8);
    for (int lane = 0; lane < LANES; lane++) {
        uint16_t word = column & 1 ? v[lane] : u[lane];
        int32_t z = lower * p->normal[word & 127] + upper * p->normal[(word >> 8) & 127];
        sum[lane] += (int32_t)((sigma[variance[lane]] * unit * z) >> NOISE_SHIFT);
    }
}

static void convert_wide(
    const struct work *w, int64_t tile, int64_t n_vectors, int64_t block, int64_t group, int64_t column
) {
    const struct problem *p = w->p;
    int64_t low = p->blocks[2 * block], rows = p->blocks[2 * block + 1] - low, n_words = up(rows, 2 * ANY_ROWS);
    int64_t from = (group * p->columns + column) * p->rows + low;
    int32_t(*table)[ENTRIES] = w->table, (*variances)[ENTRIES] = table + 2 * w->words;
    for (int64_t i = 0; i < 2 * n_words; i++) {
        table[i][0] = variances[i][0] = 0;
        for (int r = 0; r < ANY_ROWS; r++) {
            int64_t row = i * ANY_ROWS + r;
            int32_t conductance = row < rows ? value(p, from + row) : 0;
            int32_t variance = p->variance && row < rows ? p->variance[from + row] : 0;
            for (int j = 0; j < 1 << r; j++) {
                table[i][(1 << r) + j] = table[i][j] + conductance;
                variances[i][(1 << r) + j] = variances[i][j] + variance;
            }
        }
    }
    int fraction = (int)p->fraction;
    int32_t start = p->start[(block * p->groups + group) * p->columns + column];
    const int32_t *levels = p->levels ? thresholds(p, block, group, column) : NULL;
    if (!levels) start += 1 << (fraction - 1);
    int32_t bottom = p->lowest[column], top = bottom + (1 << p->adc_bits) - 1;
    int64_t constant = block == 0 ? (int64_t)p->base[column] * ((1 << p->input_bits) - 1) * p->n_blocks : 0;
    for (int64_t t = 0; t < n_vectors; t++) {
        int64_t total[LANES] = {0};
        for (int b = (int)p->input_bits - 1; b >= 0; b--) {
            int32_t sum[LANES], variance[LANES] = {0};
            for (int lane = 0; lane < LANES; lane++) sum[lane] = start;
            for (int64_t i = 0; i < n_words; i++) {
                const uint16_t *index = (const uint16_t *)(w->index + (t * w->words + i) * p->input_bits + b);
                for (int lane = 0; lane < LANES; lane++)
                    sum[lane] += table[2 * i][index[lane] & 255] + table[2 * i + 1][index[lane] >> 8];
                if (p->variance)
                    for (int lane = 0; lane < LANES; lane++)
                        variance[lane] += variances[2 * i][index[lane] & 255] + variances[2 * i + 1][index[lane] >> 8];
            }
            if (p->noisy) add_noise(w, sum, variance, t, b, group, column);
            if (levels) {
                int32_t count[LANES] = {0};
                for (int lane = 0; lane < LANES; lane++) sum[lane] -= bottom * (1 << fraction);
                // By halves: there are 2^adc_bits - 1.
                for (int32_t step = 1 << (p->adc_bits - 1); step; step /= 2)
                    for (int lane = 0; lane < LANES; lane++)
                        count[lane] += sum[lane] >= levels[count[lane] + step - 1] ? step : 0;
                for (int lane = 0; lane < LANES; lane++) total[lane] = 2 * total[lane] + bottom + count[lane];
                continue;
            }
            for (int lane = 0; lane < LANES; lane++) {
                // Half a step was added; a half that would round to an odd reading is pushed below.
                int32_t y = (sum[lane] - (p->noisy ? 0 : (sum[lane] >> fraction) & 1)) >> fraction;
                total[lane] = 2 * total[lane] + (y < bottom ? bottom : y > top ? top : y);
            }
        }
        int64_t to = (group * p->columns + column) * p->stride + tile + t * LANES;
        for (int lane = 0; lane < LANES; lane++) {
            int64_t more = total[lane] + constant;
            if (p->out_bytes == 4)
                ((int32_t *)p->out)[to + lane] = (block ? ((int32_t *)p->out)[to + lane] : 0) + more;
            else
                ((int64_t *)p->out)[to + lane] = (block ? ((int64_t *)p->out)[to + lane] : 0) + more;
        }
    }
}

// ---- tiles of positions and threads ----

static void convert_tile(struct work *w, int64_t group, int64_t tile, int64_t first_column, int64_t last_column) {
    const struct problem *p = w->p;
    int64_t n_vectors = smaller(w->vectors, up(p->positions - tile, LANES));
#if defined(SIMD)
    int narrow = w->rows_per_word == ROWS;
#endif
    if (p->noisy)
        for (int64_t i = 0; i < n_vectors * LANES; i++) {
            uint32_t hash = at_position(p->key, p->first + tile + i);
            ((uint16_t *)w->at[0])[i] = hash, ((uint16_t *)w->at[1])[i] = hash >> 16;
        }
    for (int64_t block = 0; block < p->n_blocks; block++) {
        int64_t low = p->blocks[2 * block], high = p->blocks[2 * block + 1];
        for (int64_t t = 0; t < n_vectors; t++) {
            gather(w, group, tile + t * LANES, low, high);
#if defined(SIMD)
            if (narrow) {
                build_indices(w, t, up(high - low, w->rows_per_word));
                continue;
            }
#endif
            pack_indices(w, t, up(high - low, w->rows_per_word), ANY_ROWS, 2);
        }
#if defined(SIMD)
        int64_t at_a_time = narrow ? PAIRS : 1;
#else
        int64_t at_a_time = 1;
#endif
        for (int64_t column = first_column; column < last_column; column += 2 * at_a_time) {
            int64_t n_pairs = smaller(at_a_time, up(last_column - column, 2));
            for (int64_t i = 0; i < n_pairs && p->noisy; i++)
                for (int64_t b = 0; b < p->input_bits; b++)
                    at_pair(w->keys[i][b], p->key, block, b, group, column / 2 + i);
#if defined(SIMD)
            if (narrow) {
                convert_narrow(w, tile, n_vectors, block, group, column, n_pairs);
                continue;
            }
#endif
            convert_wide(w, tile, n_vectors, block, group, column);
            if (column + 1 < last_column) convert_wide(w, tile, n_vectors, block, group, column + 1);
        }
    }
}

struct team {
    const struct problem *p;
    int64_t vectors, words, tiles, parts;
    _Atomic int64_t next;
    atomic_int failed;
};

static void *member(void *argument) {
    struct team *team = argument;
    const struct problem *p = team->p;
    struct work w = {.p = p, .vectors = team->vectors, .words = team->words, .rows_per_word = rows_per_word(p)};
    size_t index_bytes = w.vectors * w.words * p->input_bits * sizeof(Lanes), at_bytes = w.vectors * sizeof(Lanes);
    size_t codes_bytes = (2 * w.words * w.rows_per_word + SPARE) * sizeof *w.codes;
    size_t table_bytes = 4 * w.words * ENTRIES * sizeof(int32_t), pairs_bytes = 0, keys_bytes = PAIRS * sizeof *w.keys;
    size_t variances_bytes = up(w.words * w.rows_per_word, 32) * 64, spare_bytes = w.vectors * LANES * sizeof *w.spare;
    size_t counters_bytes = p->levels ? up(2 * PAIRS * sizeof *w.counters, 64) * 64 : 0; // most of it untouched
#if defined(SIMD)
    if (w.rows_per_word == ROWS) {
        table_bytes = PAIRS * 3 * w.words * sizeof(Table);
        pairs_bytes = PAIRS * sizeof *w.pairs;
    }
#endif
    char *memory = aligned_alloc(
        64,
        index_bytes + 2 * at_bytes + codes_bytes + table_bytes + pairs_bytes + keys_bytes + variances_bytes +
            spare_bytes + counters_bytes
    );
    if (!memory) return atomic_store(&team->failed, 1), NULL;
    w.index = (Lanes *)memory, memory += index_bytes;
    w.at[0] = (Lanes *)memory, memory += at_bytes;
    w.at[1] = (Lanes *)memory, memory += at_bytes;
    w.codes = (void *)memory, memory += codes_bytes;
    w.table = (void *)memory, memory += table_bytes;
    w.pairs = (void *)memory, memory += pairs_bytes;
    w.keys = (void *)memory, memory += keys_bytes;
    w.variances = (void *)memory, memory += variances_bytes;
    w.spare = (void *)memory, memory += spare_bytes;
    w.counters = p->levels ? (void *)memory : NULL;
    int64_t units = p->groups * team->tiles * team->parts;
    for (int64_t unit; (unit = atomic_fetch_add(&team->next, 1)) < units;) {
        int64_t part = unit % team->parts, tile = unit / team->parts % team->tiles;
        int64_t pairs = up(p->columns, 2), first = 2 * (pairs * part / team->parts);
        int64_t last = smaller(2 * (pairs * (part + 1) / team->parts), p->columns);
        convert_tile(&w, unit / team->parts / team->tiles, tile * w.vectors * LANES, first, last);
    }
    free(w.index);
    return NULL;
}

// Returns 0, or 1 if there was no memory.
int summed_readings(const struct problem *p) {
    if (p->positions == 0) return 0;
    struct team team = {.p = p};
    for (int64_t i = 0; i < p->n_blocks; i++) {
        int64_t words = up(p->blocks[2 * i + 1] - p->blocks[2 * i], rows_per_word(p));
        if (words > team.words) team.words = words;
    }
    int64_t vectors = up(p->positions, LANES);
    team.vectors = smaller(vectors, 1 + TILE_BYTES / (team.words * p->input_bits * (int64_t)sizeof(Lanes)));
    team.tiles = up(vectors, team.vectors);
    team.vectors = up(vectors, team.tiles);
    team.parts = 1;
    if (p->threads > 1) team.parts = smaller(up(p->columns, 8), 1 + 4 * p->threads / (p->groups * team.tiles));
    pthread_t threads[64];
    int started = 0;
    while (started < 64 && started + 1 < p->threads && !pthread_create(&threads[started], NULL, member, &team))
        started++;
    member(&team);
    for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
    return atomic_load(&team.failed);
}

// Sums of n vectors of unsigned codes.
void code_sums(const void *codes, int64_t code_bytes, int64_t n, int64_t rows, double *sums) {
    for (int64_t i = 0; i < n; i++) {
        int64_t sum = 0;
        if (code_bytes == 1)
            for (int64_t r = 0; r < rows; r++) sum += ((const uint8_t *)codes)[i * rows + r];
        else
            for (int64_t r = 0; r < rows; r++) sum += ((const int32_t *)codes)[i * rows + r];
        sums[i] = (double)sum;
    }
}
