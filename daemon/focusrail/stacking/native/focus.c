/* How sharp is each pixel: energies, their peaks over the frames, and the focus that weighs frames. */
#include "kernels.h"

#define REACH 3 /* of the smoothing kernel */

/* What is to be smoothed, row by row: a plane, or the energy of one or two planes of scores. */
typedef struct {
    const float *plane;
    const uint16_t *score, *more; /* `more` may be NULL */
    float scale;                  /* of the scores, before they are squared */
    int height, width;            /* of the scores */
    int halved;                   /* means of 2 x 2 squares, or of what there is at the end of an odd side */
} source_t;

FAST static void squares(float *restrict out, const uint16_t *restrict score, float scale, int width) {
    for (int i = 0; i < width; i++) {
        float s = (float)score[i] * scale;
        out[i] = s * s;
    }
}

FAST static void sums_of_squares(float *restrict out, const uint16_t *restrict score, const uint16_t *restrict more,
                                 float scale, int width) {
    for (int i = 0; i < width; i++) {
        float s = (float)score[i] * scale, t = (float)more[i] * scale;
        out[i] = s * s + t * t;
    }
}

FAST static void halve_row(float *restrict out, const float *restrict above, const float *restrict below, int width) {
    for (int x = 0; x < width / 2; x++)
        out[x] = ((above[2 * x] + above[2 * x + 1]) + (below[2 * x] + below[2 * x + 1])) * 0.25f;
    if (width % 2) out[width / 2] = (above[width - 1] + below[width - 1]) * 0.5f;
}

static void energy_row(float *out, const source_t *from, int y) {
    const uint16_t *score = from->score + (size_t)y * from->width;
    if (from->more)
        sums_of_squares(out, score, from->more + (size_t)y * from->width, from->scale, from->width);
    else
        squares(out, score, from->scale, from->width);
}

/* Returns 0, or 1 for want of memory. */
static int source_row(float *out, const source_t *from, int y, int width) {
    static _Thread_local room_t pair;
    if (from->plane) {
        memcpy(out, from->plane + (size_t)y * width, (size_t)width * sizeof(float));
    } else if (!from->halved) {
        energy_row(out, from, y);
    } else {
        float *above = room(&pair, 2 * (size_t)from->width);
        if (!above) return 1;
        float *below = above + from->width;
        energy_row(above, from, 2 * y);
        energy_row(below, from, smaller(2 * y + 1, from->height - 1));
        halve_row(out, above, below, from->width);
    }
    return 0;
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

/* Smoothed by that kernel, (height, width); beyond its edges the source is mirrored. Returns 0, or 1 for want of
 * memory. */
static int smoothed(float *out, const source_t *from, int height, int width, const float *k) {
    static _Thread_local room_t padded, lines;
    float *line = room(&padded, (size_t)width + 2 * REACH), *ring = room(&lines, 8 * (size_t)width);
    if (!line || !ring) return 1;
    line += REACH;
    for (int ready = 0, y = 0; y < height; y++) {
        const float *around[2 * REACH + 1];
        for (; ready < smaller(y + REACH + 1, height); ready++) {
            if (source_row(line, from, ready, width)) return 1;
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

int smooth(float *out, const float *plane, int height, int width, const float *k) {
    source_t from = {.plane = plane};
    return smoothed(out, &from, height, width, k);
}

/* Scores (height, width) times a scale, squared, those of a second plane (or NULL) added, at half the size if `halved`,
 * and smoothed. */
int energy(float *out, const uint16_t *score, const uint16_t *more, float scale, int height, int width, int halved,
           const float *k) {
    source_t from = {.score = score, .more = more, .scale = scale, .height = height, .width = width, .halved = halved};
    return halved ? smoothed(out, &from, (height + 1) / 2, (width + 1) / 2, k) : smoothed(out, &from, height, width, k);
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

/* (1 4 6 4 1) and (1 0 -2 0 1) across five rows. */
FAST static void lob5_columns(int16_t *restrict smooth, int16_t *restrict second, const uint8_t *const *rows, int width) {
    const uint8_t *restrict a = rows[0], *restrict b = rows[1], *restrict c = rows[2], *restrict d = rows[3];
    const uint8_t *restrict e = rows[4];
    for (int x = 0; x < width; x++) {
        smooth[x] = (int16_t)(a[x] + 4 * b[x] + 6 * c[x] + 4 * d[x] + e[x]);
        second[x] = (int16_t)(a[x] - 2 * c[x] + e[x]);
    }
}

FAST static void lob5_blur(uint8_t *restrict out, const int16_t *restrict smooth, int width) {
    for (int x = 0; x < width; x++) {
        const int16_t *p = smooth + x;
        out[x] = (uint8_t)((p[-2] + 4 * p[-1] + 6 * p[0] + 4 * p[1] + p[2] + 128) >> 8);
    }
}

FAST static void lob5_row(int16_t *restrict out, const int16_t *restrict smooth, const int16_t *restrict second,
                          int width) {
    for (int x = 0; x < width; x++) {
        const int16_t *p = smooth + x, *q = second + x;
        int lob = p[-2] - 2 * p[0] + p[2] + q[-2] + 4 * q[-1] + 6 * q[0] + 4 * q[1] + q[2];
        out[x] = (int16_t)(lob < 0 ? -lob : lob);
    }
}

static void mirror_ends(int16_t *line, int width) {
    for (int k = 1; k <= 2; k++) {
        line[-k] = line[mirror(-k, width)];
        line[width - 1 + k] = line[mirror(width - 1 + k, width)];
    }
}

/* |Laplacian of size 5 of the Gaussian of size 5| of bytes, exact, as OpenCV's. Returns 0, or 1 for want of memory. */
int lob5(const uint8_t *luma, int height, int width, int16_t *out) {
    static _Thread_local room_t lines, planes;
    int16_t *smooth = (int16_t *)room(&lines, (size_t)width + 4);
    uint8_t *blurred = (uint8_t *)room(&planes, (size_t)height * width / 4 + 1);
    if (!smooth || !blurred) return 1;
    smooth += 2;
    int16_t *second = smooth + width + 4;
    const uint8_t *rows[5];
    for (int y = 0; y < height; y++) {
        for (int k = 0; k < 5; k++) rows[k] = luma + (size_t)mirror(y - 2 + k, height) * width;
        lob5_columns(smooth, second, rows, width);
        mirror_ends(smooth, width);
        lob5_blur(blurred + (size_t)y * width, smooth, width);
    }
    for (int y = 0; y < height; y++) {
        for (int k = 0; k < 5; k++) rows[k] = blurred + (size_t)mirror(y - 2 + k, height) * width;
        lob5_columns(smooth, second, rows, width);
        mirror_ends(smooth, width);
        mirror_ends(second, width);
        lob5_row(out + (size_t)y * width, smooth, second, width);
    }
    return 0;
}
