// ADC readings of all column sums, shift-added and accumulated: see summed_readings in ../columns.py, whose numbers
// this computes to the bit, and ../gaussian.py for the noise.
//
// Inputs are bits, so the sum over a few rows is one of a few numbers: it is looked up, with the rows' bits as the
// index. With AVX-512, 64 entries of 16 bits are two registers, one instruction looks up 32 positions, and 64 rows take
// 11 of them; with AVX2 it is 16 positions and 22 times 8 entries. For a tile of positions and a row block, indices are
// built once and serve all columns.

#include <math.h>
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
typedef __m512 Floats;
enum { WIDTH = 32, ROWS = 6, PER_WORD = 2 }; // positions of a vector, rows of a lookup, lookups of an index word
#elif defined(__AVX2__)
#include <immintrin.h>
#define IN_REGISTER(x) __asm__("" : "+x"(x))
#define OP(name) _mm256_##name
typedef __m256i Vector;
typedef __m256 Floats;
enum { WIDTH = 16, ROWS = 3, PER_WORD = 1 };
#endif

enum {
    LANES = 32,           // positions that are computed together
    ANY_ROWS = 8,         // per lookup, two of which share an index word, in code for any processor
    ENTRIES = 1 << ANY_ROWS,
    TILE_BYTES = 1 << 18, // indices of a tile: within a core's share of second-level cache
    SPARE = 64,           // rows of codes that may be written beyond the last
    ROUNDS = 4,           // of the generator; also its words of key
    SIGMA_BITS = 3,
    NORMAL_BITS = 12,
};

typedef int16_t Lanes __attribute__((vector_size(2 * LANES)));

struct problem {
    const void *codes;          // [groups][positions][rows], unsigned, code_bytes each
    const void *conductance;    // [groups][columns][rows], int16 if narrow, else int32
    const uint16_t *variance;   // [groups][columns][rows] or null
    const int32_t *start;       // [blocks][groups][columns]: offset less base
    const int32_t *base;        // [columns]: even reading in the middle of the ADC's window
    const int32_t *lowest;      // [columns]: lowest reading less base
    const int32_t *levels;      // [blocks][groups][n_adcs][n_levels]: thresholds less the lowest reading; or null
    const int32_t *adc;         // [columns]: which of the n_adcs converts; only with levels
    const int64_t *blocks;      // [n_blocks][2]: first and last-plus-one row
    const int16_t *normal;      // [32]: entries of which four are a normal number
    void *out;                  // [groups][columns][stride], int32 or int64
    int64_t code_bytes, narrow, out_bytes, noisy;
    int64_t groups, positions, stride, rows, columns, n_blocks, input_bits, adc_bits, fraction;
    int64_t n_adcs, n_levels;
    int64_t threads;
    uint64_t key, first, multiplier;
    float variance_unit, floor;
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
static void at_column(
    uint32_t words[ROUNDS], uint64_t key, uint64_t block, uint64_t bit, uint64_t group, uint64_t column
) {
    uint64_t bits = mix64((column | bit << 44 | group << 24 | block << 49) ^ scrambled(key));
    for (int i = 0; i < ROUNDS; i++) words[i] = (uint32_t)((bits >> (16 * i)) & 0xFFFF) * 0x10001u;
}

// ---- what a thread works with ----

struct work {
    const struct problem *p;
    int64_t vectors;           // of LANES positions, in a tile
    int64_t words;             // of indices per column sum, in the largest block
    int64_t rows_per_word;
    Lanes *index;              // [vectors][words][input_bits]
    Lanes *at[2];              // [vectors]: halves of the positions' hashes
    uint8_t (*codes)[LANES];   // [2][words * rows_per_word]: lower and upper bytes; and SPARE more
    void *table;               // [2][lookups][entries]: conductance, variance
    uint32_t (*keys)[ROUNDS];  // [input_bits]
    int32_t *levels;           // [n_levels]: thresholds of a column's ADC, less base
};

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static inline int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b; }

static int64_t rows_per_word(const struct problem *p) {
#if defined(SIMD)
    if (p->narrow && p->out_bytes == 4) return ROWS * PER_WORD;
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
            for (int16_t b = 0; b < smaller(8, bits - 8 * plane); b++) {
                Lanes pattern = (pairs[rows - 1] >> b) & 0x0101;
                for (int r = rows - 2; r >= 0; r--) pattern = (pattern + pattern) | ((pairs[r] >> b) & 0x0101);
                index[b] = pattern;
            }
        }
}

// Thresholds of a column's ADC, on the scale of its sums.
static void load_levels(const struct work *w, int64_t block, int64_t group, int64_t column) {
    const struct problem *p = w->p;
    const int32_t *from = p->levels + ((block * p->groups + group) * p->n_adcs + p->adc[column]) * p->n_levels;
    for (int64_t i = 0; i < p->n_levels; i++) w->levels[i] = from[i] + p->lowest[column] * (1 << p->fraction);
}

#if defined(SIMD)

// ---- 16-bit arithmetic on vectors ----

#if defined(__AVX512BW__)

typedef struct {
    Vector half[2]; // 32 of 64 entries each
} Table;

static inline Table held(const Table *table) {
    Table copy = *table;
    IN_REGISTER(copy.half[0]);
    IN_REGISTER(copy.half[1]);
    return copy;
}

static inline Vector lookup(Table table, Vector index) {
    return _mm512_permutex2var_epi16(table.half[0], index, table.half[1]);
}

static void build_indices(const struct work *w, int64_t vector, int64_t n_words) {
    pack_indices(w, vector, n_words, ROWS, PER_WORD);
}

// Table of the sums over up to ROWS rows.
static Table build_table(const int16_t *values, int64_t rows) {
    static const __mmask32 bit[5] = {0xAAAAAAAA, 0xCCCCCCCC, 0xF0F0F0F0, 0xFF00FF00, 0xFFFF0000};
    Vector sum = _mm512_setzero_si512();
    for (int r = 0; r < 5 && r < rows; r++) sum = _mm512_add_epi16(sum, _mm512_maskz_set1_epi16(bit[r], values[r]));
    return (Table){{sum, rows > 5 ? _mm512_add_epi16(sum, _mm512_set1_epi16(values[5])) : sum}};
}

typedef Vector Normal;

static Normal normal_table(const int16_t *normal) { return _mm512_loadu_si512(normal); }

// Entries that the lowest five bits choose.
static inline Vector choose(Normal normal, Vector bits) { return _mm512_permutexvar_epi16(bits, normal); }

static inline Vector xor3(Vector a, Vector b, Vector c) { return _mm512_ternarylogic_epi32(a, b, c, 0x96); }

// One more where a sum is above a level.
static inline Vector count_above(Vector count, Vector sum, Vector level) {
    return _mm512_mask_add_epi16(count, _mm512_cmpgt_epi16_mask(sum, level), count, _mm512_set1_epi16(1));
}

static inline Vector zero(void) { return _mm512_setzero_si512(); }

static inline Vector lower_half(Vector x) { return _mm512_cvtepi16_epi32(_mm512_castsi512_si256(x)); }

static inline Vector upper_half(Vector x) { return _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(x, 1)); }

#else

typedef struct {
    Vector entries; // 8, twice
} Table;

static inline Table held(const Table *table) {
    Table copy = *table;
    IN_REGISTER(copy.entries);
    return copy;
}

static inline Vector lookup(Table table, Vector index) { return _mm256_shuffle_epi8(table.entries, index); }

// As the numbers of an entry's two bytes.
static void build_indices(const struct work *w, int64_t vector, int64_t n_words) {
    pack_indices(w, vector, n_words, ROWS, PER_WORD);
    Lanes *index = w->index + vector * w->words * w->p->input_bits;
    for (int64_t i = 0; i < n_words * w->p->input_bits; i++) index[i] = index[i] * 0x0202 + 0x0100;
}

// Table of the sums over up to ROWS rows.
static Table build_table(const int16_t *values, int64_t rows) {
    int16_t a = values[0], b = rows > 1 ? values[1] : 0, c = rows > 2 ? values[2] : 0;
    int16_t ab = (int16_t)(a + b), ac = (int16_t)(a + c), bc = (int16_t)(b + c), abc = (int16_t)(ab + c);
    return (Table){_mm256_broadcastsi128_si256(_mm_setr_epi16(0, a, b, ab, c, ac, bc, abc))};
}

typedef struct {
    Vector low, high; // bytes of the upper 16 entries; the lower ones are their negatives, in reverse
} Normal;

static Normal normal_table(const int16_t *normal) {
    uint8_t bytes[2][16];
    for (int i = 0; i < 16; i++) bytes[0][i] = (uint8_t)normal[16 + i], bytes[1][i] = (uint8_t)(normal[16 + i] >> 8);
    return (Normal){
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)bytes[0])),
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)bytes[1])),
    };
}

// Entries that the lowest five bits choose.
static inline Vector choose(Normal normal, Vector bits) {
    Vector sixteen = _mm256_set1_epi16(16), lower = _mm256_cmpeq_epi16(bits & sixteen, _mm256_setzero_si256());
    Vector index = (bits ^ lower) & _mm256_set1_epi16(15);
    index |= _mm256_slli_epi16(index, 8);
    Vector low = _mm256_shuffle_epi8(normal.low, index), high = _mm256_shuffle_epi8(normal.high, index);
    Vector entry = _mm256_blendv_epi8(low, high, _mm256_set1_epi16((int16_t)0xFF00));
    return _mm256_sub_epi16(entry ^ lower, lower);
}

static inline Vector xor3(Vector a, Vector b, Vector c) { return a ^ b ^ c; }

// One more where a sum is above a level.
static inline Vector count_above(Vector count, Vector sum, Vector level) {
    return _mm256_sub_epi16(count, _mm256_cmpgt_epi16(sum, level));
}

static inline Vector zero(void) { return _mm256_setzero_si256(); }

static inline Vector lower_half(Vector x) { return _mm256_cvtepi16_epi32(_mm256_castsi256_si128(x)); }

static inline Vector upper_half(Vector x) { return _mm256_cvtepi16_epi32(_mm256_extracti128_si256(x, 1)); }

#endif

static void build_tables(Table *table, const int16_t *values, int64_t rows) {
    for (int64_t i = 0; i < up(rows, ROWS); i++) table[i] = build_table(values + i * ROWS, rows - i * ROWS);
}

// Normal numbers for n_bits input bits from bit b on.
static inline __attribute__((always_inline)) void draw(
    const struct work *w, Vector at_u, Vector at_v, int b, const int n_bits, Vector z[4]
) {
    Normal normal = normal_table(w->p->normal);
    Vector multiplier = OP(set1_epi16)((int16_t)w->p->multiplier), u[4], v[4];
    for (int j = 0; j < n_bits; j++) {
        u[j] = at_u ^ OP(set1_epi32)((int)w->keys[b + j][0]);
        v[j] = at_v ^ OP(set1_epi32)((int)w->keys[b + j][1]);
    }
    for (int i = 0; i < ROUNDS; i++)
        for (int j = 0; j < n_bits; j++) {
            Vector high = OP(mulhi_epu16)(u[j], multiplier), low = OP(mullo_epi16)(u[j], multiplier);
            u[j] = xor3(high, v[j], OP(set1_epi32)((int)w->keys[b + j][(i + 2) % ROUNDS]));
            v[j] = low;
            IN_REGISTER(u[j]);
        }
    for (int j = 0; j < n_bits; j++) {
        z[j] = OP(add_epi16)(choose(normal, u[j]), choose(normal, v[j]));
        u[j] = choose(normal, OP(srli_epi16)(u[j], 5));
        v[j] = choose(normal, OP(srli_epi16)(v[j], 5));
        z[j] = OP(add_epi16)(z[j], OP(add_epi16)(u[j], v[j]));
        IN_REGISTER(z[j]);
    }
}

enum { QUIET, CONSTANT, VARYING }; // kinds of noise

struct column {
    Vector start, bottom, top; // of its sums
    int64_t lookups;
    int first;                 // whether this is the first block
    int32_t constant;          // what the first block adds for base
};

// Readings of n_bits input bits from bit b on, less base, shift-added.
static inline __attribute__((always_inline)) Vector readings(
    const struct work *w, const struct column *column, int64_t vector, int half, int b, const int n_bits, const int kind
) {
    enum { STEP = LANES / WIDTH };
    const struct problem *p = w->p;
    const Table *table = w->table, *variance_table = table + w->words * PER_WORD;
    const Vector *index = (const Vector *)(w->index + vector * w->words * p->input_bits + b) + half;
    Vector sum[4], variance[4];
    for (int j = 0; j < n_bits; j++) sum[j] = column->start, variance[j] = zero();
    int64_t i = 0;
    for (; i < column->lookups / PER_WORD; i++, index += STEP * p->input_bits) {
        Table first = held(table + PER_WORD * i), second = first, variances = first, more_variances = first;
        if (PER_WORD == 2) second = held(table + PER_WORD * i + 1);
        if (kind == VARYING) variances = held(variance_table + PER_WORD * i);
        if (kind == VARYING && PER_WORD == 2) more_variances = held(variance_table + PER_WORD * i + 1);
        for (int j = 0; j < n_bits; j++) {
            Vector lower = index[STEP * j];
            IN_REGISTER(lower);
            Vector upper = OP(mulhi_epu16)(lower, OP(set1_epi16)(256)); // a shift, where the ports are free
            if (PER_WORD == 2) IN_REGISTER(upper);
            Vector found = lookup(first, lower);
            if (PER_WORD == 2) found = OP(add_epi16)(found, lookup(second, upper));
            sum[j] = OP(add_epi16)(sum[j], found);
            IN_REGISTER(sum[j]);
            if (kind == VARYING) {
                found = lookup(variances, lower);
                if (PER_WORD == 2) found = OP(add_epi16)(found, lookup(more_variances, upper));
                variance[j] = OP(add_epi16)(variance[j], found);
                IN_REGISTER(variance[j]);
            }
        }
    }
    if (column->lookups % PER_WORD)
        for (int j = 0; j < n_bits; j++) {
            sum[j] = OP(add_epi16)(sum[j], lookup(table[PER_WORD * i], index[STEP * j]));
            if (kind == VARYING)
                variance[j] = OP(add_epi16)(variance[j], lookup(variance_table[PER_WORD * i], index[STEP * j]));
        }
    // Step by step for all bits at once: the processor's window is too small to find that much to do in parallel.
    if (kind != QUIET) {
        Vector sigma[4], z[4], u = ((Vector *)(w->at[0] + vector))[half], v = ((Vector *)(w->at[1] + vector))[half];
        if (kind == VARYING) {
            Floats even[4], odd[4], unit = OP(set1_ps)(p->variance_unit), floor = OP(set1_ps)(p->floor);
            for (int j = 0; j < n_bits; j++) {
                even[j] = OP(cvtepi32_ps)(variance[j] & OP(set1_epi32)(0xFFFF));
                odd[j] = OP(cvtepi32_ps)(OP(srli_epi32)(variance[j], 16));
                even[j] = OP(sqrt_ps)(OP(add_ps)(OP(mul_ps)(even[j], unit), floor));
                odd[j] = OP(sqrt_ps)(OP(add_ps)(OP(mul_ps)(odd[j], unit), floor));
                IN_REGISTER(even[j]);
                IN_REGISTER(odd[j]);
            }
            draw(w, u, v, b, n_bits, z); // while the square roots are under way
            for (int j = 0; j < n_bits; j++)
                sigma[j] = OP(cvtps_epi32)(even[j]) | OP(slli_epi32)(OP(cvtps_epi32)(odd[j]), 16);
        } else {
            draw(w, u, v, b, n_bits, z);
            for (int j = 0; j < n_bits; j++) sigma[j] = OP(set1_epi16)((int16_t)rintf(sqrtf(p->floor)));
        }
        for (int j = 0; j < n_bits; j++) sum[j] = OP(adds_epi16)(sum[j], OP(mulhrs_epi16)(sigma[j], z[j]));
    }
    if (p->levels) {
        Vector count[4], shifted = zero();
        for (int j = 0; j < n_bits; j++) count[j] = column->bottom;
        for (int64_t i = 0; i < p->n_levels; i++) {
            int32_t below = w->levels[i] - 1; // a sum that is at its threshold has passed it
            Vector level = OP(set1_epi16)((int16_t)(below < -32768 ? -32768 : below > 32767 ? 32767 : below));
            for (int j = 0; j < n_bits; j++) count[j] = count_above(count[j], sum[j], level);
        }
        for (int j = n_bits - 1; j >= 0; j--) shifted = OP(add_epi16)(OP(add_epi16)(shifted, shifted), count[j]);
        return shifted;
    }
    __m128i fraction = _mm_cvtsi64_si128(p->fraction);
    // Half a step was added; a half that would round to an odd reading is pushed below.
    for (int j = 0; j < n_bits; j++)
        sum[j] = OP(subs_epi16)(sum[j], OP(sra_epi16)(sum[j], fraction) & OP(set1_epi16)(1));
    Vector shifted = zero();
    for (int j = n_bits - 1; j >= 0; j--) {
        sum[j] = OP(max_epi16)(OP(sra_epi16)(sum[j], fraction), column->bottom);
        shifted = OP(add_epi16)(OP(add_epi16)(shifted, shifted), OP(min_epi16)(sum[j], column->top));
    }
    return shifted;
}

static inline __attribute__((always_inline)) void convert_kind(
    const struct work *w, const struct column *column, Vector *out, int64_t n_vectors, const int kind
) {
    Vector constant = OP(set1_epi32)(column->constant);
    for (int64_t t = 0; t < n_vectors; t++)
        for (int half = 0; half < LANES / WIDTH; half++, out += 2) {
            Vector low = zero(), high = zero();
            for (int b = (int)w->p->input_bits; b > 0;) {
                Vector part;
                int n = b >= 4 ? 4 : b >= 2 ? 2 : 1;
                b -= n;
                if (n == 4) part = readings(w, column, t, half, b, 4, kind);
                else if (n == 2) part = readings(w, column, t, half, b, 2, kind);
                else part = readings(w, column, t, half, b, 1, kind);
                low = OP(add_epi32)(OP(slli_epi32)(low, n), lower_half(part));
                high = OP(add_epi32)(OP(slli_epi32)(high, n), upper_half(part));
            }
            out[0] = OP(add_epi32)(low, column->first ? constant : out[0]);
            out[1] = OP(add_epi32)(high, column->first ? constant : out[1]);
        }
}

static void convert_narrow(
    const struct work *w, int64_t tile, int64_t n_vectors, int64_t block, int64_t group, int64_t column
) {
    const struct problem *p = w->p;
    int64_t low = p->blocks[2 * block], rows = p->blocks[2 * block + 1] - low;
    int64_t at = group * p->columns + column, from = at * p->rows + low;
    int32_t start = p->start[block * p->groups * p->columns + at] + (p->levels ? 0 : 1 << (p->fraction - 1));
    if (p->levels) load_levels(w, block, group, column);
    struct column c = {
        OP(set1_epi16)((int16_t)start),
        OP(set1_epi16)((int16_t)p->lowest[column]),
        OP(set1_epi16)((int16_t)(p->lowest[column] + (1 << p->adc_bits) - 1)),
        up(rows, ROWS),
        block == 0,
        (int32_t)(p->base[column] * ((1 << p->input_bits) - 1) * p->n_blocks),
    };
    Vector *out = (Vector *)((int32_t *)p->out + at * p->stride + tile);
    Table *table = w->table;
    build_tables(table, (const int16_t *)p->conductance + from, rows);
    if (p->variance) {
        build_tables(table + w->words * PER_WORD, (const int16_t *)p->variance + from, rows);
        convert_kind(w, &c, out, n_vectors, VARYING);
    } else if (p->noisy)
        convert_kind(w, &c, out, n_vectors, CONSTANT);
    else
        convert_kind(w, &c, out, n_vectors, QUIET);
}

#endif

// ---- the same for any compiler, and for grids too fine for 16 bits ----

static inline int32_t value(const struct problem *p, int64_t at) {
    return p->narrow ? ((const int16_t *)p->conductance)[at] : ((const int32_t *)p->conductance)[at];
}

static void add_noise(const struct work *w, int32_t sum[LANES], const int32_t variance[LANES], int64_t vector, int b) {
    enum { SHIFT = NORMAL_BITS + SIGMA_BITS };
    const struct problem *p = w->p;
    const uint16_t *at_u = (const uint16_t *)(w->at[0] + vector), *at_v = (const uint16_t *)(w->at[1] + vector);
    uint16_t u[LANES], v[LANES], multiplier = (uint16_t)p->multiplier;
    float sigma[LANES];
    for (int lane = 0; lane < LANES; lane++) {
        u[lane] = at_u[lane] ^ (uint16_t)w->keys[b][0], v[lane] = at_v[lane] ^ (uint16_t)w->keys[b][1];
        sigma[lane] = rintf(sqrtf((float)variance[lane] * p->variance_unit + p->floor));
    }
    for (int i = 0; i < ROUNDS; i++)
        for (int lane = 0; lane < LANES; lane++) {
            uint16_t low = (uint16_t)(u[lane] * (uint32_t)multiplier), high = (u[lane] * (uint32_t)multiplier) >> 16;
            u[lane] = high ^ v[lane] ^ (uint16_t)w->keys[b][(i + 2) % ROUNDS], v[lane] = low;
        }
    for (int lane = 0; lane < LANES; lane++) {
        int32_t z = p->normal[u[lane] & 31] + p->normal[(u[lane] >> 5) & 31];
        z += p->normal[v[lane] & 31] + p->normal[(v[lane] >> 5) & 31];
        sum[lane] += (int32_t)(((int64_t)sigma[lane] * z + (1 << (SHIFT - 1))) >> SHIFT);
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
    if (p->levels) load_levels(w, block, group, column);
    else start += 1 << (fraction - 1);
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
            if (p->noisy) add_noise(w, sum, variance, t, b);
            if (p->levels) {
                int32_t count[LANES];
                for (int lane = 0; lane < LANES; lane++) count[lane] = bottom;
                for (int64_t i = 0; i < p->n_levels; i++)
                    for (int lane = 0; lane < LANES; lane++) count[lane] += sum[lane] >= w->levels[i];
                for (int lane = 0; lane < LANES; lane++) total[lane] = 2 * total[lane] + count[lane];
                continue;
            }
            for (int lane = 0; lane < LANES; lane++) {
                // Half a step was added; a half that would round to an odd reading is pushed below.
                int32_t y = (sum[lane] - ((sum[lane] >> fraction) & 1)) >> fraction;
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
    int narrow = w->rows_per_word == ROWS * PER_WORD;
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
        for (int64_t column = first_column; column < last_column; column++) {
            if (p->noisy)
                for (int64_t b = 0; b < p->input_bits; b++) at_column(w->keys[b], p->key, block, b, group, column);
#if defined(SIMD)
            if (narrow) {
                convert_narrow(w, tile, n_vectors, block, group, column);
                continue;
            }
#endif
            convert_wide(w, tile, n_vectors, block, group, column);
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
    size_t index_bytes = w.vectors * w.words * p->input_bits * sizeof(Lanes);
    size_t table_bytes = 4 * w.words * ENTRIES * sizeof(int32_t);
    size_t codes_bytes = (2 * w.words * w.rows_per_word + SPARE) * sizeof *w.codes;
    size_t levels_bytes = up(p->n_levels, 16) * 16 * sizeof *w.levels;
    char *memory = aligned_alloc(
        64,
        index_bytes + 2 * w.vectors * sizeof(Lanes) + codes_bytes + table_bytes + 16 * sizeof *w.keys + levels_bytes
    );
    if (!memory) return atomic_store(&team->failed, 1), NULL;
    w.index = (Lanes *)memory, memory += index_bytes;
    w.at[0] = (Lanes *)memory, w.at[1] = w.at[0] + w.vectors, memory += 2 * w.vectors * sizeof(Lanes);
    w.codes = (void *)memory, memory += codes_bytes;
    w.table = (void *)memory, memory += table_bytes;
    w.keys = (void *)memory, memory += 16 * sizeof *w.keys;
    w.levels = (void *)memory;
    int64_t units = p->groups * team->tiles * team->parts;
    for (int64_t unit; (unit = atomic_fetch_add(&team->next, 1)) < units;) {
        int64_t part = unit % team->parts, tile = unit / team->parts % team->tiles;
        int64_t first = p->columns * part / team->parts, last = p->columns * (part + 1) / team->parts;
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
