/* The inner loops of stacking, compiled. kernels_plain.py has the same arithmetic in numpy, operation by operation.
 *
 * Floating point is single precision and is never contracted to fused multiply-adds, so that every processor, and numpy,
 * rounds alike. Addresses are integers: a pixel does not depend on the block or stripe in which it is computed.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(ONE_TARGET)
#if __GNUC__ >= 12
#define FAST __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define FAST __attribute__((target_clones("avx2", "default")))
#endif
#else
#define FAST
#endif

#define BLOCK 512  /* columns warped at a time: what they need stays in the second-level cache */
#define TAPS 6     /* samples at -2..3 */
#define REACH 3    /* the farthest of them */
#define ONE 4294967296.0 /* coordinates have 32 fractional bits */

/* Memory that a thread keeps for its next stripe. */
typedef struct {
    float *data;
    size_t size;
} room_t;

static float *room(room_t *of, size_t floats) {
    if (of->size < floats) {
        free(of->data);
        of->data = aligned_alloc(64, (floats * sizeof(float) + 63) / 64 * 64);
        of->size = of->data ? floats : 0;
    }
    return of->data;
}

static inline int64_t clamp(int64_t value, int64_t low, int64_t high) {
    return value < low ? low : value > high ? high : value;
}

static inline int smaller(int a, int b) { return a < b ? a : b; }

/* Six-point cubic convolution, exact for cubics (Keys 1981, doi:10.1109/TASSP.1981.1163711): the weights of the samples
 * at -2..3 for a position t in [0, 1) between samples 0 and 1. */
static inline void keys(float t, float *w) {
    float s = 1.0f - t;
    w[0] = ((1.0f / 12.0f) * t * s) * s;
    w[1] = t * (-2.0f / 3.0f + t * (5.0f / 4.0f + t * (-7.0f / 12.0f)));
    w[2] = 1.0f + t * t * (-7.0f / 3.0f + t * (4.0f / 3.0f));
    w[3] = 1.0f + s * s * (-7.0f / 3.0f + s * (4.0f / 3.0f));
    w[4] = s * (-2.0f / 3.0f + s * (5.0f / 4.0f + s * (-7.0f / 12.0f)));
    w[5] = ((1.0f / 12.0f) * s * t) * t;
}

static inline float fraction(uint32_t start, uint32_t step, int i) {
    return (float)(int32_t)((start + (uint32_t)i * step) >> 8) * 0x1p-24f;
}

/* The numbers start + k * step have the same integer part from k = i on up to where? `count` at most. */
static int same_until(int64_t start, int64_t step, int i, int count) {
    int64_t whole = (start + i * step) >> 32, edge, next;
    if (step == 0) return count;
    edge = step > 0 ? (whole + 1) << 32 : (whole << 32) - 1; /* the first value that has another */
    next = step > 0 ? (edge - start + step - 1) / step : (start - edge - step - 1) / -step;
    return next < count ? (int)next : count;
}

/* Along a row: out[c][i] at in[c][i + t(i)], for the three channels. */
FAST static void along(float *restrict out, const float *restrict in, size_t out_plane, size_t in_plane, uint32_t start,
                       uint32_t step, int from, int to) {
    for (int i = from; i < to; i++) {
        float w[TAPS];
        keys(fraction(start, step, i), w);
        for (int c = 0; c < 3; c++) {
            const float *p = in + c * in_plane + i;
            out[c * out_plane + i] =
                w[0] * p[-2] + w[1] * p[-1] + w[2] * p[0] + w[3] * p[1] + w[4] * p[2] + w[5] * p[3];
        }
    }
}

/* Across rows: out[c][i] between rows[2][c][i] and rows[3][c][i]. */
FAST static void across(float *restrict out, const float *const *rows, size_t plane, uint32_t start, uint32_t step,
                        int from, int to) {
    const float *restrict r0 = rows[0], *restrict r1 = rows[1], *restrict r2 = rows[2];
    const float *restrict r3 = rows[3], *restrict r4 = rows[4], *restrict r5 = rows[5];
    for (int i = from; i < to; i++) {
        float w[TAPS];
        keys(fraction(start, step, i), w);
        for (int c = 0; c < 3; c++) {
            size_t k = c * plane + i;
            out[k] = w[0] * r0[k] + w[1] * r1[k] + w[2] * r2[k] + w[3] * r3[k] + w[4] * r4[k] + w[5] * r5[k];
        }
    }
}

FAST static void split8(float *restrict out, size_t plane, const uint8_t *restrict pixels, int count) {
    for (int i = 0; i < count; i++)
        for (int c = 0; c < 3; c++) out[c * plane + i] = (float)pixels[3 * i + c];
}

FAST static void split16(float *restrict out, size_t plane, const uint16_t *restrict pixels, int count) {
    for (int i = 0; i < count; i++)
        for (int c = 0; c < 3; c++) out[c * plane + i] = (float)pixels[3 * i + c];
}

FAST static void quantise(uint16_t *restrict out, const float *restrict in, float gain, int count) {
    for (int i = 0; i < count; i++) {
        float v = in[i] * gain + 0.5f;
        v = v < 0.0f ? 0.0f : v;
        v = v > 65535.0f ? 65535.0f : v;
        out[i] = (uint16_t)(int32_t)v;
    }
}

/* The frame's row `y` from column `first` on, its edges repeated, as three planes of floats. */
static void read_row(float *out, size_t plane, const void *frame, int depth, int width, int64_t y, int64_t first,
                     int count) {
    int64_t a = clamp(first, 0, width - 1), b = clamp(first + count - 1, 0, width - 1);
    int skip = (int)clamp(a - first, 0, count - 1), seen = (int)(b - a + 1);
    size_t at = ((size_t)y * width + a) * 3;
    if (depth == 8)
        split8(out + skip, plane, (const uint8_t *)frame + at, seen);
    else
        split16(out + skip, plane, (const uint16_t *)frame + at, seen);
    for (int c = 0; c < 3; c++) {
        float *row = out + c * plane;
        for (int i = 0; i < skip; i++) row[i] = row[skip];
        for (int i = skip + seen; i < count; i++) row[i] = row[skip + seen - 1];
    }
}

/* Rows top..top+rows of the canvas, `width` wide, into three planes of 16 bits.
 *
 * m leads from the canvas to the frame: u = m0 x + m1 y + m2, v = m3 x + m4 y + m5, with m1 and m3 small against m0 and
 * m4. Done in two passes (Catmull and Smith 1980, doi:10.1145/800250.807505): along the frame's rows to the canvas's
 * columns, then across. Returns 0, or 1 for want of memory.
 */
int warp(const void *frame, int depth, int height, int width, const double *m, float gain, int top, int rows,
         uint16_t *out) {
    static _Thread_local room_t resampled, frame_row, canvas_row;
    const int64_t u_step = llrint((m[0] - m[1] * m[3] / m[4]) * ONE), v_step = llrint(m[3] * ONE);
    const double u_per_row = m[1] / m[4], u_base = m[2] - m[1] * m[5] / m[4];
    for (int left = 0; left < width; left += BLOCK) {
        int count = smaller(BLOCK, width - left);
        double v_left = m[3] * left + m[5], v_right = m[3] * (left + count) + m[5];
        double lowest = fmin(v_left, v_right) + m[4] * top, highest = fmax(v_left, v_right) + m[4] * (top + rows);
        int64_t first = clamp((int64_t)floor(lowest) - REACH, 0, height - 1);
        int64_t last = clamp((int64_t)floor(highest) + REACH + 1, 0, height - 1);
        size_t plane = BLOCK, stride = 3 * plane;
        float *between = room(&resampled, (size_t)(last - first + 1) * stride);
        float *canvas = room(&canvas_row, stride);
        if (!between || !canvas) return 1;
        for (int64_t v = first; v <= last; v++) {
            int64_t start = llrint((u_per_row * (double)v + u_base) * ONE) + left * u_step;
            int64_t end = start + (count - 1) * u_step;
            int64_t u_first = ((start < end ? start : end) >> 32) - REACH;
            int needed = (int)(((start > end ? start : end) >> 32) + REACH + 1 - u_first + 1);
            float *row = room(&frame_row, 3 * (size_t)needed);
            if (!row) return 1;
            read_row(row, needed, frame, depth, width, v, u_first, needed);
            start -= u_first << 32;
            int64_t drift = u_step - (1LL << 32); /* how the place in the row runs away from i */
            for (int i = 0, to; i < count; i = to) {
                to = same_until(start, drift, i, count);
                along(between + (v - first) * stride, row + ((start + i * drift) >> 32), plane, needed,
                      (uint32_t)start, (uint32_t)drift, i, to);
            }
        }
        for (int y = 0; y < rows; y++) {
            int64_t start = llrint((m[4] * (top + y) + m[5]) * ONE) + left * v_step;
            for (int i = 0, to; i < count; i = to) {
                const float *around[TAPS];
                to = same_until(start, v_step, i, count);
                for (int k = 0; k < TAPS; k++)
                    around[k] = between + (clamp(((start + i * v_step) >> 32) - 2 + k, first, last) - first) * stride;
                across(canvas, around, plane, (uint32_t)start, (uint32_t)v_step, i, to);
            }
            for (int c = 0; c < 3; c++)
                quantise(out + ((size_t)c * rows + y) * width + left, canvas + c * plane, gain, count);
        }
    }
    return 0;
}

/* Interleaved pixels times a gain as three planes of 16 bits. Returns 0, or 1 for want of memory. */
int split(const void *frame, int depth, int height, int width, float gain, uint16_t *out) {
    static _Thread_local room_t frame_row;
    float *row = room(&frame_row, 3 * (size_t)width);
    if (!row) return 1;
    for (int y = 0; y < height; y++) {
        read_row(row, width, frame, depth, width, y, 0, width);
        for (int c = 0; c < 3; c++) quantise(out + ((size_t)c * height + y) * width, row + c * width, gain, width);
    }
    return 0;
}

/* Rec. 601 luma of three planes of 16 bits, rounded once to 8 bits: OpenCV's, where the planes hold 257 times 8 bits. */
FAST void luma(uint8_t *restrict out, const uint16_t *restrict tile, size_t plane, size_t count) {
    const uint16_t *restrict b = tile, *restrict g = tile + plane, *restrict r = tile + 2 * plane;
    for (size_t i = 0; i < count; i++)
        out[i] = (uint8_t)((b[i] * 3735u + g[i] * 19235u + r[i] * 9798u + 257u * 16384u) / (257u * 32768u));
}

/* Three planes of 16 bits as interleaved pixels of 8 or of 16 bits. */
FAST static void join8(uint8_t *restrict out, const uint16_t *restrict tile, size_t plane, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (int c = 0; c < 3; c++) out[3 * i + c] = (uint8_t)((tile[c * plane + i] + 128u) / 257u);
}

FAST static void join16(uint16_t *restrict out, const uint16_t *restrict tile, size_t plane, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (int c = 0; c < 3; c++) out[3 * i + c] = tile[c * plane + i];
}

void join(void *out, int depth, const uint16_t *tile, size_t plane, size_t count) {
    if (depth == 8)
        join8(out, tile, plane, count);
    else
        join16(out, tile, plane, count);
}

/* Where the measure is no smaller than the largest so far: keep it and the frame's number, and set `won` to all ones. */
#define COMPARE(name, measure_t)                                                                                      \
    FAST static void name(const measure_t *restrict measure, measure_t *restrict largest, uint16_t *restrict winner,  \
                          uint16_t *restrict won, uint16_t frame, int count) {                                        \
        for (int i = 0; i < count; i++) {                                                                             \
            measure_t now = measure[i], before = largest[i];                                                          \
            uint16_t mask = (uint16_t)-(now >= before);                                                               \
            largest[i] = now >= before ? now : before;                                                                \
            winner[i] = (uint16_t)((winner[i] & ~mask) | (frame & mask));                                             \
            won[i] = mask;                                                                                            \
        }                                                                                                             \
    }
COMPARE(compare_int16, int16_t)
COMPARE(compare_float, float)

FAST static void take8(uint8_t *restrict best, const uint16_t *restrict pixels, const uint16_t *restrict won, int count) {
    for (int i = 0; i < count; i++) {
        uint16_t mask = won[i];
        best[i] = (uint8_t)((best[i] & ~mask) | (((pixels[i] + 128u) / 257u) & mask));
    }
}

FAST static void take16(uint16_t *restrict best, const uint16_t *restrict pixels, const uint16_t *restrict won,
                        int count) {
    for (int i = 0; i < count; i++) best[i] = (uint16_t)((best[i] & ~won[i]) | (pixels[i] & won[i]));
}

/* Keep the pixels of a tile, whose planes are `tile_plane` apart, where the measure (int16, or float when `is_float`) is
 * no smaller than the largest so far. The planes of `best` (8 or 16 bit) are `plane` apart. Returns 0, or 1 for want of
 * memory. */
int choose(const void *measure, int is_float, const uint16_t *tile, size_t tile_plane, void *largest, void *best,
           int depth, size_t plane, uint16_t *winner, int frame, int rows, int width) {
    static _Thread_local room_t mask;
    uint16_t *won = (uint16_t *)room(&mask, (size_t)width / 2 + 1);
    if (!won) return 1;
    for (int y = 0; y < rows; y++) {
        size_t at = (size_t)y * width;
        if (is_float)
            compare_float((const float *)measure + at, (float *)largest + at, winner + at, won, (uint16_t)frame, width);
        else
            compare_int16((const int16_t *)measure + at, (int16_t *)largest + at, winner + at, won, (uint16_t)frame,
                          width);
        for (int c = 0; c < 3; c++) {
            const uint16_t *pixels = tile + c * tile_plane + at;
            if (depth == 8)
                take8((uint8_t *)best + c * plane + at, pixels, won, width);
            else
                take16((uint16_t *)best + c * plane + at, pixels, won, width);
        }
    }
    return 0;
}

/* Squared scores, times the square of `scale`. */
FAST void square(float *restrict out, const uint16_t *restrict score, float scale, size_t count) {
    for (size_t i = 0; i < count; i++) {
        float s = (float)score[i] * scale;
        out[i] = s * s;
    }
}

FAST static void halve_row(float *restrict out, const float *restrict above, const float *restrict below, int width) {
    for (int x = 0; x < width / 2; x++)
        out[x] = ((above[2 * x] + above[2 * x + 1]) + (below[2 * x] + below[2 * x + 1])) * 0.25f;
    if (width % 2) out[width / 2] = (above[width - 1] + below[width - 1]) * 0.5f;
}

/* Means of 2 x 2, or of what there is at the end of an odd side. */
void halve(float *out, const float *plane, int height, int width) {
    for (int y = 0; y < (height + 1) / 2; y++)
        halve_row(out + (size_t)y * ((width + 1) / 2), plane + (size_t)2 * y * width,
                  plane + (size_t)smaller(2 * y + 1, height - 1) * width, width);
}

/* A symmetric kernel of 7, its middle and one side in `k`, along a row and across rows. */
FAST static void smooth_along(float *restrict out, const float *restrict in, const float *restrict k, int width) {
    for (int x = 0; x < width; x++) {
        const float *p = in + x;
        out[x] = k[0] * p[0] + k[1] * (p[-1] + p[1]) + k[2] * (p[-2] + p[2]) + k[3] * (p[-3] + p[3]);
    }
}

FAST static void smooth_across(float *restrict out, const float *const *rows, const float *restrict k, int width) {
    const float *restrict a = rows[0], *restrict b = rows[1], *restrict c = rows[2], *restrict d = rows[3];
    const float *restrict e = rows[4], *restrict f = rows[5], *restrict g = rows[6];
    for (int x = 0; x < width; x++)
        out[x] = k[0] * d[x] + k[1] * (c[x] + e[x]) + k[2] * (b[x] + f[x]) + k[3] * (a[x] + g[x]);
}

/* The place that a place beyond the edge mirrors, the edge itself not repeated. */
static inline int mirror(int at, int size) {
    while (at < 0 || at >= size) at = size == 1 ? 0 : at < 0 ? -at : 2 * size - 2 - at;
    return at;
}

/* Smooth a plane by that kernel; beyond its edges it is mirrored. Returns 0, or 1 for want of memory. */
int smooth(float *out, const float *plane, int height, int width, const float *k) {
    static _Thread_local room_t padded, lines;
    float *line = room(&padded, (size_t)width + 2 * REACH), *ring = room(&lines, 8 * (size_t)width);
    if (!line || !ring) return 1;
    line += REACH;
    for (int ready = 0, y = 0; y < height; y++) {
        const float *around[2 * REACH + 1];
        for (; ready < smaller(y + REACH + 1, height); ready++) {
            memcpy(line, plane + (size_t)ready * width, (size_t)width * sizeof(float));
            for (int i = 1; i <= REACH; i++) {
                line[-i] = line[mirror(-i, width)];
                line[width - 1 + i] = line[mirror(width - 1 + i, width)];
            }
            smooth_along(ring + (size_t)(ready & 7) * width, line, k, width);
        }
        for (int i = 0; i <= 2 * REACH; i++) around[i] = ring + (size_t)(mirror(y - REACH + i, height) & 7) * width;
        smooth_across(out + (size_t)y * width, around, k, width);
    }
    return 0;
}

/* Positive floats are kept, where memory counts, as the upper half of their bits without the sign: 8 bits of mantissa,
 * and in the order of the numbers. */
typedef union {
    float number;
    uint32_t bits;
} float_t32;

static inline uint16_t encode(float number) {
    float_t32 it = {number};
    return (uint16_t)((it.bits + 0x4000u) >> 15);
}

static inline float decode(uint16_t code) {
    float_t32 it = {.bits = (uint32_t)code << 15};
    return it.number;
}

FAST static void track_row(const float *restrict fine, const float *restrict coarse, float fine_floor,
                           float coarse_floor, uint16_t *restrict best, uint16_t *restrict before,
                           uint16_t *restrict after, uint16_t *restrict previous, uint16_t *restrict rank,
                           uint16_t now, int count) {
    for (int i = 0; i < count; i++) {
        uint16_t code = encode(sqrtf((fine[i] + fine_floor) * (coarse[i] + coarse_floor)));
        uint16_t won = (uint16_t)-(code > best[i]), next = (uint16_t)-(rank[i] == (uint16_t)(now - 1));
        after[i] = (uint16_t)(~won & ((code & next) | (after[i] & ~next)));
        before[i] = (uint16_t)((previous[i] & won) | (before[i] & ~won));
        rank[i] = (uint16_t)((now & won) | (rank[i] & ~won));
        best[i] = (uint16_t)((code & won) | (best[i] & ~won));
        previous[i] = code;
    }
}

/* Remember the largest energy, and those of the frames just before and after it. Planes of energy have rows of their
 * own length; those of the state are `width` wide and apart by `plane` in the order best, before, after, previous,
 * rank. `now` counts frames from 0. */
void track(const float *fine, int fine_stride, const float *coarse, int coarse_stride, float fine_floor,
           float coarse_floor, uint16_t *state, size_t plane, int now, int rows, int width) {
    for (int y = 0; y < rows; y++) {
        uint16_t *at = state + (size_t)y * width;
        track_row(fine + (size_t)y * fine_stride, coarse + (size_t)y * coarse_stride, fine_floor, coarse_floor, at,
                  at + plane, at + 2 * plane, at + 3 * plane, at + 4 * plane, (uint16_t)now, width);
    }
}

/* A weight focus^power, relative to that of the largest focus so far (rounded, as it is kept): nothing overflows, and the
 * sum of weights stays between about 1 and the number of frames. `share` is the pixel's share of the mean. */
FAST static void weigh(float *restrict share, const float *restrict focus, uint16_t *restrict largest,
                       float *restrict weight, uint16_t *restrict winner, uint16_t frame, int power, int count) {
    for (int i = 0; i < count; i++) {
        uint16_t code = encode(focus[i]), won = (uint16_t)-(code > largest[i]);
        uint16_t kept = (uint16_t)((code & won) | (largest[i] & ~won));
        float unit = 1.0f / decode(kept), old = decode(largest[i]) * unit, now = focus[i] * unit;
        float w = power == 3 ? now * now * now : now * now, v = power == 3 ? old * old * old : old * old;
        float sum = weight[i] * v + w;
        share[i] = w / sum;
        weight[i] = sum;
        largest[i] = kept;
        winner[i] = (uint16_t)((frame & won) | (winner[i] & ~won));
    }
}

FAST static void mix(uint16_t *restrict mean, const uint16_t *restrict pixels, const float *restrict share, int count) {
    for (int i = 0; i < count; i++) {
        float before = (float)mean[i];
        mean[i] = (uint16_t)(int32_t)(before + share[i] * ((float)pixels[i] - before) + 0.5f);
    }
}

/* The same for details, whose zero is at 32768. */
FAST static void mix_detail(uint16_t *restrict mean, const uint16_t *restrict pixels, const float *restrict base,
                            const float *restrict share, int count) {
    for (int i = 0; i < count; i++) {
        float before = (float)mean[i], detail = ((float)pixels[i] - base[i]) * 0.5f + 32768.0f;
        float after = before + share[i] * (detail - before) + 0.5f;
        after = after < 0.0f ? 0.0f : after;
        after = after > 65535.0f ? 65535.0f : after;
        mean[i] = (uint16_t)(int32_t)after;
    }
}

/* A plane reduced 2^level times, whose pixel j stands for the place 2^level j + 1/2, enlarged by a cubic B-spline. */
typedef struct {
    const float *plane;
    int height, width, level;
} base_t;

static inline void spline(float t, float *w) {
    float s = 1.0f - t;
    w[0] = s * s * s * (1.0f / 6.0f);
    w[1] = 2.0f / 3.0f - t * t * (1.0f - t * 0.5f);
    w[2] = 2.0f / 3.0f - s * s * (1.0f - s * 0.5f);
    w[3] = t * t * t * (1.0f / 6.0f);
}

/* For places 1/2 .. size - 1/2 beyond pixel j: the weights of j-1..j+2, one row a tap. */
static void phases(float *weights, int size) {
    for (int r = 0; r < size; r++) {
        float w[4];
        spline(((float)r + 0.5f) / (float)size, w);
        for (int k = 0; k < 4; k++) weights[k * size + r] = w[k];
    }
}

static inline void widen(float *restrict out, const float *restrict row, const float *restrict weights, int size,
                         int pixels) {
    for (int j = 0; j < pixels; j++)
        for (int r = 0; r < size; r++)
            out[j * size + r] = weights[r] * row[j] + weights[size + r] * row[j + 1] + weights[2 * size + r] * row[j + 2] +
                                weights[3 * size + r] * row[j + 3];
}

FAST static void widen4(float *out, const float *row, const float *weights, int pixels) { widen(out, row, weights, 4, pixels); }
FAST static void widen8(float *out, const float *row, const float *weights, int pixels) { widen(out, row, weights, 8, pixels); }
FAST static void widen16(float *out, const float *row, const float *weights, int pixels) { widen(out, row, weights, 16, pixels); }

FAST static void combine4(float *restrict out, const float *restrict a, const float *restrict b, const float *restrict c,
                          const float *restrict d, const float *w, int count) {
    for (int i = 0; i < count; i++) out[i] = w[0] * a[i] + w[1] * b[i] + w[2] * c[i] + w[3] * d[i];
}

/* Row `y` of the enlarged plane: (width). `line` has room for the plane's width and 6 more, `wide` for the enlarged one
 * and two pixels more; returns where in `wide` the row begins. */
static const float *enlarged_row(const base_t *base, const float *plane, int y, float *line, float *wide,
                                 const float *weights) {
    int size = 1 << base->level, j = (y + size - 1) / size - 1, pixels = base->width + 1;
    const float *rows[4];
    float w[4];
    spline(((float)(y - 1 - j * size) + 0.5f) / (float)size, w);
    for (int k = 0; k < 4; k++) rows[k] = plane + clamp(j - 1 + k, 0, base->height - 1) * base->width;
    combine4(line + 2, rows[0], rows[1], rows[2], rows[3], w, base->width);
    line[0] = line[1] = line[2];
    for (int k = 0; k < 4; k++) line[base->width + 2 + k] = line[base->width + 1];
    if (size == 4)
        widen4(wide, line, weights, pixels);
    else if (size == 8)
        widen8(wide, line, weights, pixels);
    else
        widen16(wide, line, weights, pixels);
    return wide + size - 1;
}

/* Fold the pixels of a tile, whose planes are `tile_plane` apart, into their running mean; with a base (three planes of
 * (base_height, base_width), reduced 2, 3 or 4 times `level`) into that of the details above it. `top` is the first row
 * on the canvas. Returns 0, or 1 for want of memory. */
int blend(const float *focus, const uint16_t *tile, size_t tile_plane, const float *base, int base_height,
          int base_width, int level, int top, uint16_t *mean, size_t plane, uint16_t *largest,
          float *weight, uint16_t *winner, int frame, int power, int rows, int width) {
    static _Thread_local room_t shares, lines, wides;
    base_t below = {base, base_height, base_width, level};
    size_t size = (size_t)1 << level;
    float *share = room(&shares, (size_t)width), *line = 0, *wide = 0, weights[64];
    if (!share) return 1;
    if (base) {
        line = room(&lines, (size_t)base_width + 8);
        wide = room(&wides, (size_t)(base_width + 2) * size);
        if (!line || !wide) return 1;
        phases(weights, (int)size);
    }
    for (int y = 0; y < rows; y++) {
        size_t at = (size_t)y * width;
        weigh(share, focus + at, largest + at, weight + at, winner + at, (uint16_t)frame, power, width);
        for (int c = 0; c < 3; c++) {
            const uint16_t *pixels = tile + c * tile_plane + at;
            if (base) {
                const float *plane_c = base + (size_t)c * base_height * base_width;
                mix_detail(mean + c * plane + at, pixels, enlarged_row(&below, plane_c, top + y, line, wide, weights),
                           share, width);
            } else {
                mix(mean + c * plane + at, pixels, share, width);
            }
        }
    }
    return 0;
}

FAST static void add_detail(uint16_t *restrict out, const uint16_t *restrict mean, const float *restrict base,
                            float gain, int count) {
    for (int i = 0; i < count; i++) {
        float v = ((float)mean[i] - 32768.0f) * gain + base[i] + 0.5f;
        v = v < 0.0f ? 0.0f : v;
        v = v > 65535.0f ? 65535.0f : v;
        out[i] = (uint16_t)(int32_t)v;
    }
}

/* Base and mean details, times `gain`, together: rows top, top + step, ... of the canvas. Returns 0, or 1 for want of memory. */
int compose(const uint16_t *mean, size_t plane, const float *base, int base_height, int base_width, int level,
            float gain, int top, int step, int rows, int width, uint16_t *out) {
    static _Thread_local room_t lines, wides;
    base_t below = {base, base_height, base_width, level};
    size_t size = (size_t)1 << level;
    float *line = room(&lines, (size_t)base_width + 8), *wide = room(&wides, (size_t)(base_width + 2) * size), weights[64];
    if (!line || !wide) return 1;
    phases(weights, (int)size);
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < rows; y++) {
            int row = top + y * step;
            add_detail(out + ((size_t)c * rows + y) * width, mean + c * plane + (size_t)row * width,
                       enlarged_row(&below, base + (size_t)c * base_height * base_width, row, line, wide, weights),
                       2.0f * gain, width);
        }
    return 0;
}

static inline uint8_t to_byte(float v) { return (uint8_t)(int32_t)(v > 255.0f ? 255.0f : v < 0.0f ? 0.0f : v); }

/* Of sums of four 16-bit pixels. */
static inline uint8_t red_of(float b, float g, float r) {
    return to_byte((r * 0.5f - g * 0.4187f - b * 0.0813f) * (1.0f / 1028.0f) + 128.5f);
}

static inline uint8_t blue_of(float b, float g, float r) {
    return to_byte((b * 0.5f - g * 0.3313f - r * 0.1687f) * (1.0f / 1028.0f) + 128.5f);
}

FAST static void chroma_row(uint8_t *restrict red, uint8_t *restrict blue, const uint16_t *restrict above,
                            const uint16_t *restrict below, size_t plane, int width) {
    const uint16_t *ga = above + plane, *ra = above + 2 * plane, *gb = below + plane, *rb = below + 2 * plane;
    for (int x = 0; x < width / 2; x++) {
        float b = (float)(above[2 * x] + above[2 * x + 1] + below[2 * x] + below[2 * x + 1]);
        float g = (float)(ga[2 * x] + ga[2 * x + 1] + gb[2 * x] + gb[2 * x + 1]);
        float r = (float)(ra[2 * x] + ra[2 * x + 1] + rb[2 * x] + rb[2 * x + 1]);
        red[x] = red_of(b, g, r);
        blue[x] = blue_of(b, g, r);
    }
    if (width % 2) {
        int x = width - 1;
        float b = 2.0f * (float)(above[x] + below[x]), g = 2.0f * (float)(ga[x] + gb[x]), r = 2.0f * (float)(ra[x] + rb[x]);
        red[x / 2] = red_of(b, g, r);
        blue[x / 2] = blue_of(b, g, r);
    }
}

/* Red and blue against luma (Rec. 601) of means of 2 x 2 pixels, or of what there is at the end of an odd side; 128 is
 * grey. */
void chroma(const uint16_t *tile, size_t plane, int rows, int width, uint8_t *red, uint8_t *blue) {
    for (int y = 0; y < (rows + 1) / 2; y++) {
        size_t at = (size_t)y * ((width + 1) / 2);
        chroma_row(red + at, blue + at, tile + (size_t)2 * y * width,
                   tile + (size_t)smaller(2 * y + 1, rows - 1) * width, plane, width);
    }
}

FAST static void least_across(float *restrict out, const float *const *rows, int width) {
    const float *restrict a = rows[0], *restrict b = rows[1], *restrict c = rows[2], *restrict d = rows[3];
    const float *restrict e = rows[4];
    for (int x = 0; x < width; x++) {
        float m = a[x] < b[x] ? a[x] : b[x], n = c[x] < d[x] ? c[x] : d[x];
        m = m < n ? m : n;
        out[x] = m < e[x] ? m : e[x];
    }
}

FAST static void focus_row(float *restrict out, const float *restrict fine, const float *restrict least,
                           const float *restrict colour, float fine_share, float colour_share, float floor,
                           int width) {
    for (int x = 0; x < width; x++) {
        const float *p = least + x;
        float m = p[-2] < p[-1] ? p[-2] : p[-1], n = p[1] < p[2] ? p[1] : p[2];
        m = m < n ? m : n;
        m = m < p[0] ? m : p[0];
        float a = fine[x] * fine_share + floor, b = m * fine_share + floor, c = colour[x] * colour_share + floor;
        out[x] = (a * a) * (b * c);
    }
}

/* A half-size row, three quarters of one and a quarter of another, at full width. */
FAST static void widen2(float *restrict out, float *restrict mixed, const float *restrict near, const float *restrict far,
                        int width) {
    int half = (width + 1) / 2;
    for (int x = 0; x < half; x++) mixed[x] = near[x] * 0.75f + far[x] * 0.25f;
    mixed[-1] = mixed[0];
    mixed[half] = mixed[half - 1];
    for (int x = 0; x < width / 2; x++) {
        out[2 * x] = mixed[x] * 0.75f + mixed[x - 1] * 0.25f;
        out[2 * x + 1] = mixed[x] * 0.75f + mixed[x + 1] * 0.25f;
    }
    if (width % 2) out[width - 1] = mixed[half - 1] * 0.75f + mixed[half - 2] * 0.25f;
}

/* The focus of rows top..top+rows of a stripe of (height, width): (F + f)^2 (M + f) (C + f), where F is the fine energy,
 * M its least value within two pixels and C the energy of the colour at half size, each in units of its noise, and f the
 * floor. Returns 0, or 1 for want of memory. */
int focus(const float *fine, int height, int width, const float *colour, int colour_rows, float fine_share,
          float colour_share, float floor, int top, int rows, float *out) {
    static _Thread_local room_t leasts, mixes, wides;
    int half = (width + 1) / 2;
    float *least = room(&leasts, (size_t)width + 4), *mixed = room(&mixes, (size_t)half + 2), *wide = room(&wides, width);
    if (!least || !mixed || !wide) return 1;
    least += 2;
    mixed += 1;
    for (int y = top; y < top + rows; y++) {
        const float *around[5];
        int near = y / 2, far = (int)clamp(y % 2 ? near + 1 : near - 1, 0, colour_rows - 1);
        for (int k = 0; k < 5; k++) around[k] = fine + clamp(y - 2 + k, 0, height - 1) * width;
        least_across(least, around, width);
        least[-2] = least[-1] = least[0];
        least[width] = least[width + 1] = least[width - 1];
        widen2(wide, mixed, colour + (size_t)near * half, colour + (size_t)far * half, width);
        focus_row(out + (size_t)(y - top) * width, fine + (size_t)y * width, least, wide, fine_share, colour_share, floor, width);
    }
    return 0;
}
