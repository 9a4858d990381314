// ADC readings of all column sums, shift-added and accumulated: see summed_readings in ../columns.py, whose numbers
// this computes to the bit, and ../normal.py for the noise.
//
// Inputs are bits, so the sum over a few rows is one of a few numbers: it is looked up, with the rows' bits as the
// index. With AVX-512, 64 entries of 16 bits are two registers, one instruction looks up 32 positions, and 64 rows take
// 11 of them. For a tile of positions and a row block, indices are built once and serve all columns.

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512BW__)
#include <immintrin.h>
#define IN_REGISTER(x) __asm__("" : "+v"(x)) // or the compiler loads it again for every use
enum { ROWS = 6 }; // per lookup
#else
enum { ROWS = 8 };
#endif

enum {
    LANES = 32,           // positions that are computed together
    ENTRIES = 1 << ROWS,  // of a table
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
    const int64_t *blocks;      // [n_blocks][2]: first and last-plus-one row
    const int16_t *normal;      // [32]: entries of which four are a normal number
    void *out;                  // [groups][columns][stride], int32 or int64
    int64_t code_bytes, narrow, out_bytes, noisy;
    int64_t groups, positions, stride, rows, columns, n_blocks, input_bits, adc_bits, fraction;
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
    int64_t pairs;             // of lookups per column sum, in the largest block
    Lanes *index;              // [vectors][pairs][input_bits]: bits of ROWS rows in each byte
    Lanes *at[2];              // [vectors]: halves of the positions' hashes
    uint8_t (*codes)[LANES];   // [2][pairs * 2 * ROWS]: lower and upper bytes; and SPARE more
    int16_t *table;            // [2][2 * pairs][ENTRIES]: conductance, variance; int32 if wide
    uint32_t (*words)[ROUNDS]; // [input_bits]
};

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static inline int64_t pairs_of(int64_t rows) { return (rows + 2 * ROWS - 1) / (2 * ROWS); }

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
    int64_t planes = p->input_bits > 8 ? 2 : 1, room = w->pairs * 2 * ROWS;
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

static void build_indices(const struct work *w, int64_t vector, int64_t pairs) {
    int bits = (int)w->p->input_bits;
    for (int plane = 0; 8 * plane < bits; plane++)
        for (int64_t i = 0; i < pairs; i++) {
            Lanes *index = w->index + (vector * w->pairs + i) * bits + 8 * plane;
            const uint8_t(*codes)[LANES] = w->codes + (plane * w->pairs + i) * 2 * ROWS;
            Lanes rows[ROWS];
            for (int r = 0; r < ROWS; r++)
                for (int lane = 0; lane < LANES; lane++)
                    ((int16_t *)&rows[r])[lane] = (int16_t)(codes[r][lane] | codes[ROWS + r][lane] << 8);
            for (int b = 0; b < smaller(8, bits - 8 * plane); b++) {
                Lanes pattern = (rows[ROWS - 1] >> b) & 0x0101;
                for (int r = ROWS - 2; r >= 0; r--) pattern = (pattern + pattern) | ((rows[r] >> b) & 0x0101);
                index[b] = pattern;
            }
        }
}

#if defined(__AVX512BW__)

static inline __m512i lookup(const __m512i table[2], __m512i index) {
    return _mm512_permutex2var_epi16(table[0], index, table[1]);
}

// Table of the sums over up to ROWS rows.
static void build_table(__m512i table[2], const int16_t *values, int64_t rows) {
    static const __mmask32 bit[5] = {0xAAAAAAAA, 0xCCCCCCCC, 0xF0F0F0F0, 0xFF00FF00, 0xFFFF0000};
    __m512i sum = _mm512_setzero_si512();
    for (int r = 0; r < 5 && r < rows; r++) sum = _mm512_add_epi16(sum, _mm512_maskz_set1_epi16(bit[r], values[r]));
    table[0] = sum;
    table[1] = rows > 5 ? _mm512_add_epi16(sum, _mm512_set1_epi16(values[5])) : sum;
}

static void build_tables(__m512i (*table)[2], const int16_t *values, int64_t rows, int64_t lookups) {
    for (int64_t i = 0; i < lookups; i++) build_table(table[i], values + i * ROWS, rows - i * ROWS);
}

// Normal numbers for n_bits input bits from bit b on.
static inline __attribute__((always_inline)) void draw(
    const struct work *w, int64_t vector, int b, const int n_bits, __m512i z[4]
) {
    __m512i normal = _mm512_loadu_si512(w->p->normal), multiplier = _mm512_set1_epi16((int16_t)w->p->multiplier);
    __m512i u[4], v[4];
    for (int j = 0; j < n_bits; j++) {
        const uint32_t *words = w->words[b + j];
        u[j] = _mm512_xor_si512(((__m512i *)w->at[0])[vector], _mm512_set1_epi32((int)words[0]));
        v[j] = _mm512_xor_si512(((__m512i *)w->at[1])[vector], _mm512_set1_epi32((int)words[1]));
    }
    for (int i = 0; i < ROUNDS; i++)
        for (int j = 0; j < n_bits; j++) {
            __m512i high = _mm512_mulhi_epu16(u[j], multiplier), low = _mm512_mullo_epi16(u[j], multiplier);
            __m512i word = _mm512_set1_epi32((int)w->words[b + j][(i + 2) % ROUNDS]);
            u[j] = _mm512_ternarylogic_epi32(high, v[j], word, 0x96); // XOR of the three
            v[j] = low;
            IN_REGISTER(u[j]);
        }
    for (int j = 0; j < n_bits; j++) {
        z[j] = _mm512_add_epi16(_mm512_permutexvar_epi16(u[j], normal), _mm512_permutexvar_epi16(v[j], normal));
        u[j] = _mm512_permutexvar_epi16(_mm512_srli_epi16(u[j], 5), normal);
        v[j] = _mm512_permutexvar_epi16(_mm512_srli_epi16(v[j], 5), normal);
        z[j] = _mm512_add_epi16(z[j], _mm512_add_epi16(u[j], v[j]));
        IN_REGISTER(z[j]);
    }
}

enum { QUIET, CONSTANT, VARYING }; // kinds of noise

// Readings of n_bits input bits from bit b on, less the middle of the window, shift-added.
static inline __attribute__((always_inline)) __m512i readings(
    const struct work *w, int64_t vector, int64_t lookups, __m512i start, __m512i bottom, __m512i top, int b,
    const int n_bits, const int kind
) {
    const struct problem *p = w->p;
    const __m512i (*table)[2] = (const __m512i(*)[2])w->table, (*variance_table)[2] = table + 2 * w->pairs;
    const __m512i *index = (const __m512i *)w->index + vector * w->pairs * p->input_bits + b;
    __m512i sum[4], variance[4];
    for (int j = 0; j < n_bits; j++) sum[j] = start, variance[j] = _mm512_setzero_si512();
    int64_t i = 0;
    for (; i < lookups / 2; i++, index += p->input_bits) {
        __m512i values[4], variances[4];
        for (int k = 0; k < 4; k++) {
            values[k] = table[2 * i][k];
            IN_REGISTER(values[k]);
            if (kind == VARYING) {
                variances[k] = variance_table[2 * i][k];
                IN_REGISTER(variances[k]);
            }
        }
        for (int j = 0; j < n_bits; j++) {
            __m512i lower = index[j];
            IN_REGISTER(lower);
            __m512i upper = _mm512_mulhi_epu16(lower, _mm512_set1_epi16(256)); // a shift, where the ports are free
            IN_REGISTER(upper);
            sum[j] = _mm512_add_epi16(sum[j], _mm512_add_epi16(lookup(values, lower), lookup(values + 2, upper)));
            IN_REGISTER(sum[j]);
            if (kind == VARYING) {
                __m512i both = _mm512_add_epi16(lookup(variances, lower), lookup(variances + 2, upper));
                variance[j] = _mm512_add_epi16(variance[j], both);
                IN_REGISTER(variance[j]);
            }
        }
    }
    if (lookups % 2)
        for (int j = 0; j < n_bits; j++) {
            sum[j] = _mm512_add_epi16(sum[j], lookup(table[2 * i], index[j]));
            if (kind == VARYING)
                variance[j] = _mm512_add_epi16(variance[j], lookup(variance_table[2 * i], index[j]));
        }
    // Step by step for all bits at once: the processor's window is too small to find that much to do in parallel.
    if (kind != QUIET) {
        __m512i sigma[4], z[4];
        if (kind == VARYING) {
            __m512 even[4], odd[4], unit = _mm512_set1_ps(p->variance_unit), floor = _mm512_set1_ps(p->floor);
            for (int j = 0; j < n_bits; j++) {
                even[j] = _mm512_cvtepi32_ps(_mm512_and_si512(variance[j], _mm512_set1_epi32(0xFFFF)));
                odd[j] = _mm512_cvtepi32_ps(_mm512_srli_epi32(variance[j], 16));
                even[j] = _mm512_sqrt_ps(_mm512_fmadd_ps(even[j], unit, floor));
                odd[j] = _mm512_sqrt_ps(_mm512_fmadd_ps(odd[j], unit, floor));
                IN_REGISTER(even[j]);
                IN_REGISTER(odd[j]);
            }
            draw(w, vector, b, n_bits, z); // while the square roots are under way
            for (int j = 0; j < n_bits; j++) {
                __m512i high = _mm512_slli_epi32(_mm512_cvtps_epi32(odd[j]), 16);
                sigma[j] = _mm512_or_si512(_mm512_cvtps_epi32(even[j]), high);
            }
        } else {
            draw(w, vector, b, n_bits, z);
            for (int j = 0; j < n_bits; j++) sigma[j] = _mm512_set1_epi16((int16_t)rintf(sqrtf(p->floor)));
        }
        for (int j = 0; j < n_bits; j++) sum[j] = _mm512_adds_epi16(sum[j], _mm512_mulhrs_epi16(sigma[j], z[j]));
    }
    __m128i fraction = _mm_cvtsi64_si128(p->fraction);
    __m512i shifted = _mm512_setzero_si512(), one = _mm512_set1_epi16(1);
    // Half a step was added; a half that would round to an odd reading is pushed below.
    for (int j = 0; j < n_bits; j++) {
        __m512i odd = _mm512_and_si512(_mm512_sra_epi16(sum[j], fraction), one);
        sum[j] = _mm512_subs_epi16(sum[j], odd);
    }
    for (int j = n_bits - 1; j >= 0; j--) {
        sum[j] = _mm512_min_epi16(_mm512_max_epi16(_mm512_sra_epi16(sum[j], fraction), bottom), top);
        shifted = _mm512_add_epi16(_mm512_add_epi16(shifted, shifted), sum[j]);
    }
    return shifted;
}

static inline __attribute__((always_inline)) void convert_kind(
    const struct work *w, int64_t tile, int64_t n_vectors, int64_t lookups, int64_t block, int64_t group,
    int64_t column, const int kind
) {
    const struct problem *p = w->p;
    int32_t *out = (int32_t *)p->out + (group * p->columns + column) * p->stride + tile;
    int32_t half = 1 << (p->fraction - 1), span = (1 << p->adc_bits) - 1;
    __m512i start = _mm512_set1_epi16((int16_t)(p->start[(block * p->groups + group) * p->columns + column] + half));
    __m512i bottom = _mm512_set1_epi16((int16_t)p->lowest[column]);
    __m512i top = _mm512_set1_epi16((int16_t)(p->lowest[column] + span));
    int32_t constant = block == 0 ? (int32_t)(p->base[column] * ((1 << p->input_bits) - 1) * p->n_blocks) : 0;
    for (int64_t t = 0; t < n_vectors; t++) {
        __m512i low = _mm512_setzero_si512(), high = low;
        for (int b = (int)p->input_bits; b > 0;) {
            __m512i part;
            int n = 4;
            if (b >= 4) part = readings(w, t, lookups, start, bottom, top, b - 4, 4, kind);
            else if (b >= 2) part = readings(w, t, lookups, start, bottom, top, b - 2, 2, kind), n = 2;
            else part = readings(w, t, lookups, start, bottom, top, b - 1, 1, kind), n = 1;
            b -= n;
            low = _mm512_add_epi32(_mm512_slli_epi32(low, n), _mm512_cvtepi16_epi32(_mm512_castsi512_si256(part)));
            __m512i upper = _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(part, 1));
            high = _mm512_add_epi32(_mm512_slli_epi32(high, n), upper);
        }
        __m512i *to = (__m512i *)(out + t * LANES), more = _mm512_set1_epi32(constant);
        if (block > 0) low = _mm512_add_epi32(low, to[0]), high = _mm512_add_epi32(high, to[1]);
        to[0] = _mm512_add_epi32(low, more);
        to[1] = _mm512_add_epi32(high, more);
    }
}

static void convert_narrow(
    const struct work *w, int64_t tile, int64_t n_vectors, int64_t block, int64_t group, int64_t column
) {
    const struct problem *p = w->p;
    int64_t low = p->blocks[2 * block], rows = p->blocks[2 * block + 1] - low, lookups = (rows + ROWS - 1) / ROWS;
    int64_t from = (group * p->columns + column) * p->rows + low;
    __m512i (*table)[2] = (__m512i(*)[2])w->table;
    build_tables(table, (const int16_t *)p->conductance + from, rows, lookups);
    if (p->variance) {
        build_tables(table + 2 * w->pairs, (const int16_t *)p->variance + from, rows, lookups);
        convert_kind(w, tile, n_vectors, lookups, block, group, column, VARYING);
    } else if (p->noisy)
        convert_kind(w, tile, n_vectors, lookups, block, group, column, CONSTANT);
    else
        convert_kind(w, tile, n_vectors, lookups, block, group, column, QUIET);
}

#endif

// ---- the same for any compiler, and for grids too fine for 16 bits ----

static inline int32_t value(const struct problem *p, int64_t at) {
    return p->narrow ? ((const int16_t *)p->conductance)[at] : ((const int32_t *)p->conductance)[at];
}

static void convert_wide(
    const struct work *w, int64_t tile, int64_t n_vectors, int64_t block, int64_t group, int64_t column
) {
    const struct problem *p = w->p;
    int64_t low = p->blocks[2 * block], rows = p->blocks[2 * block + 1] - low, pairs = pairs_of(rows);
    int64_t from = (group * p->columns + column) * p->rows + low;
    int32_t(*table)[ENTRIES] = (int32_t(*)[ENTRIES])w->table, (*variances)[ENTRIES] = table + 2 * w->pairs;
    for (int64_t i = 0; i < 2 * pairs; i++) {
        table[i][0] = variances[i][0] = 0;
        for (int r = 0; r < ROWS; r++) {
            int64_t row = i * ROWS + r;
            int32_t conductance = row < rows ? value(p, from + row) : 0;
            int32_t variance = p->variance && row < rows ? p->variance[from + row] : 0;
            for (int j = 0; j < 1 << r; j++) {
                table[i][(1 << r) + j] = table[i][j] + conductance;
                variances[i][(1 << r) + j] = variances[i][j] + variance;
            }
        }
    }
    int fraction = (int)p->fraction;
    int32_t start = p->start[(block * p->groups + group) * p->columns + column] + (1 << (fraction - 1));
    int32_t bottom = p->lowest[column], top = bottom + (1 << p->adc_bits) - 1;
    int64_t constant = block == 0 ? (int64_t)p->base[column] * ((1 << p->input_bits) - 1) * p->n_blocks : 0;
    for (int64_t t = 0; t < n_vectors; t++) {
        int64_t total[LANES] = {0};
        for (int b = (int)p->input_bits - 1; b >= 0; b--) {
            int32_t sum[LANES], variance[LANES] = {0};
            for (int lane = 0; lane < LANES; lane++) sum[lane] = start;
            for (int64_t i = 0; i < pairs; i++) {
                const uint16_t *index = (const uint16_t *)(w->index + (t * w->pairs + i) * p->input_bits + b);
                for (int lane = 0; lane < LANES; lane++)
                    sum[lane] += table[2 * i][index[lane] & 255] + table[2 * i + 1][index[lane] >> 8];
                if (p->variance)
                    for (int lane = 0; lane < LANES; lane++)
                        variance[lane] += variances[2 * i][index[lane] & 255] + variances[2 * i + 1][index[lane] >> 8];
            }
            if (p->noisy)
                for (int lane = 0; lane < LANES; lane++) {
                    uint16_t u = ((uint16_t *)(w->at[0] + t))[lane] ^ w->words[b][0];
                    uint16_t v = ((uint16_t *)(w->at[1] + t))[lane] ^ w->words[b][1];
                    for (int i = 0; i < ROUNDS; i++) {
                        uint32_t product = u * (uint32_t)p->multiplier;
                        u = (product >> 16) ^ v ^ w->words[b][(i + 2) % ROUNDS];
                        v = product;
                    }
                    int64_t z = p->normal[u & 31] + p->normal[(u >> 5) & 31];
                    z += p->normal[v & 31] + p->normal[(v >> 5) & 31];
                    int64_t sigma = (int64_t)rintf(sqrtf((float)variance[lane] * p->variance_unit + p->floor));
                    int shift = NORMAL_BITS + SIGMA_BITS;
                    sum[lane] += (sigma * z + (1 << (shift - 1))) >> shift;
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
    int64_t n_vectors = smaller(w->vectors, (p->positions - tile + LANES - 1) / LANES);
    if (p->noisy)
        for (int64_t i = 0; i < n_vectors * LANES; i++) {
            uint32_t hash = at_position(p->key, p->first + tile + i);
            ((uint16_t *)w->at[0])[i] = hash, ((uint16_t *)w->at[1])[i] = hash >> 16;
        }
    for (int64_t block = 0; block < p->n_blocks; block++) {
        int64_t low = p->blocks[2 * block], high = p->blocks[2 * block + 1];
        for (int64_t t = 0; t < n_vectors; t++) {
            gather(w, group, tile + t * LANES, low, high);
            build_indices(w, t, pairs_of(high - low));
        }
        for (int64_t column = first_column; column < last_column; column++) {
            if (p->noisy)
                for (int64_t b = 0; b < p->input_bits; b++) at_column(w->words[b], p->key, block, b, group, column);
#if defined(__AVX512BW__)
            if (p->narrow && p->out_bytes == 4) {
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
    int64_t vectors, pairs, tiles, parts;
    _Atomic int64_t next;
    atomic_int failed;
};

static void *member(void *argument) {
    struct team *team = argument;
    const struct problem *p = team->p;
    struct work w = {.p = p, .vectors = team->vectors, .pairs = team->pairs};
    size_t index_bytes = w.vectors * w.pairs * p->input_bits * sizeof(Lanes);
    size_t table_bytes = 4 * w.pairs * ENTRIES * sizeof(int32_t);
    size_t codes_bytes = (2 * w.pairs * 2 * ROWS + SPARE) * sizeof *w.codes;
    char *memory = aligned_alloc(
        64, index_bytes + 2 * w.vectors * sizeof(Lanes) + codes_bytes + table_bytes + 16 * sizeof *w.words
    );
    if (!memory) return atomic_store(&team->failed, 1), NULL;
    w.index = (Lanes *)memory, memory += index_bytes;
    w.at[0] = (Lanes *)memory, w.at[1] = w.at[0] + w.vectors, memory += 2 * w.vectors * sizeof(Lanes);
    w.codes = (void *)memory, memory += codes_bytes;
    w.table = (void *)memory, memory += table_bytes;
    w.words = (void *)memory;
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
    struct team team = {.p = p};
    for (int64_t i = 0; i < p->n_blocks; i++) {
        int64_t pairs = pairs_of(p->blocks[2 * i + 1] - p->blocks[2 * i]);
        if (pairs > team.pairs) team.pairs = pairs;
    }
    int64_t vectors = (p->positions + LANES - 1) / LANES;
    team.vectors = smaller(vectors, 1 + TILE_BYTES / (team.pairs * p->input_bits * (int64_t)sizeof(Lanes)));
    team.tiles = (vectors + team.vectors - 1) / team.vectors;
    team.vectors = (vectors + team.tiles - 1) / team.tiles;
    team.parts = 1;
    if (p->threads > 1) team.parts = smaller((p->columns + 7) / 8, 1 + 4 * p->threads / (p->groups * team.tiles));
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

const char *instruction_set(void) {
#if defined(__AVX512BW__)
    return "avx512bw";
#else
    return "plain";
#endif
}
