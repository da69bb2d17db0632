/* Frames laid on the canvas: warped, split into planes, joined again. */
#include "kernels.h"

#define BLOCK 512  /* columns warped at a time: what they need stays in the second-level cache */
#define TAPS 6     /* samples at -2..3 */
#define REACH 3    /* the farthest of them */
#define ONE 4294967296.0 /* coordinates have 32 fractional bits */

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
    edge = step > 0 ? (whole + 1) * (1LL << 32) : whole * (1LL << 32) - 1; /* the first value that has another */
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

/* Rows top..top+rows of the canvas, `width` wide, times a gain for each channel, into three planes of 16 bits.
 *
 * m leads from the canvas to the frame: u = m0 x + m1 y + m2, v = m3 x + m4 y + m5, with m1 and m3 small against m0 and
 * m4. Done in two passes (Catmull and Smith 1980, doi:10.1145/800250.807505): along the frame's rows to the canvas's
 * columns, then across. Returns 0, or 1 for want of memory.
 */
int warp(const void *frame, int depth, int height, int width, const double *m, const float *gain, int top, int rows,
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
            start -= u_first * (1LL << 32);
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
                quantise(out + ((size_t)c * rows + y) * width + left, canvas + c * plane, gain[c], count);
        }
    }
    return 0;
}

/* Interleaved pixels, times a gain for each channel, as three planes of 16 bits. Returns 0, or 1 for want of memory. */
int split(const void *frame, int depth, int height, int width, const float *gain, uint16_t *out) {
    static _Thread_local room_t frame_row;
    float *row = room(&frame_row, 3 * (size_t)width);
    if (!row) return 1;
    for (int y = 0; y < height; y++) {
        read_row(row, width, frame, depth, width, y, 0, width);
        for (int c = 0; c < 3; c++) quantise(out + ((size_t)c * height + y) * width, row + c * width, gain[c], width);
    }
    return 0;
}

/* Rows are summed up first, whole, then squares of `side` pixels along them. */
#define SHRINK(name, pixel_t)                                                                                          \
    FAST static void name##_add(uint32_t *restrict sums, const pixel_t *restrict row, size_t count) {                  \
        for (size_t i = 0; i < count; i++) sums[i] += row[i];                                                          \
    }                                                                                                                  \
    FAST static void name##_means(pixel_t *restrict out, const uint32_t *restrict sums, int side, int columns) {       \
        float share = 1.0f / ((float)side * (float)side);                                                              \
        for (int x = 0; x < columns; x++, sums += 3 * side) {                                                          \
            uint32_t b = 0, g = 0, r = 0;                                                                              \
            for (int i = 0; i < side; i++) {                                                                           \
                b += sums[3 * i];                                                                                      \
                g += sums[3 * i + 1];                                                                                  \
                r += sums[3 * i + 2];                                                                                  \
            }                                                                                                          \
            out[3 * x] = (pixel_t)(int32_t)((float)b * share + 0.5f);                                                  \
            out[3 * x + 1] = (pixel_t)(int32_t)((float)g * share + 0.5f);                                              \
            out[3 * x + 2] = (pixel_t)(int32_t)((float)r * share + 0.5f);                                              \
        }                                                                                                              \
    }
SHRINK(shrink8, uint8_t)
SHRINK(shrink16, uint16_t)

/* Means of whole squares of `side` (256 at most) pixels; what is left over at the right and at the bottom is left out.
 * Returns 0, or 1 for want of memory. */
int shrink(const void *frame, int depth, int height, int width, int side, void *out) {
    static _Thread_local room_t kept;
    size_t columns = (size_t)(width / side), used = 3 * columns * (size_t)side;
    uint32_t *sums = (uint32_t *)room(&kept, used);
    if (!sums) return 1;
    for (int y = 0; y < height / side; y++) {
        memset(sums, 0, used * sizeof(uint32_t));
        for (int k = 0; k < side; k++) {
            size_t at = (size_t)(y * side + k) * 3 * (size_t)width;
            if (depth == 8)
                shrink8_add(sums, (const uint8_t *)frame + at, used);
            else
                shrink16_add(sums, (const uint16_t *)frame + at, used);
        }
        if (depth == 8)
            shrink8_means((uint8_t *)out + 3 * columns * (size_t)y, sums, side, (int)columns);
        else
            shrink16_means((uint16_t *)out + 3 * columns * (size_t)y, sums, side, (int)columns);
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
