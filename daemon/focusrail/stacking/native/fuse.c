/* Frames folded into one: the sharpest pixel kept, or running means in one or two bands. */
#include "kernels.h"

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
