/* The scores of accelerators/kv260/reference.py, compiled: both planes in one walk over the picture, row by row. */
#include <stdint.h>
#include <stdlib.h>

#include "loops.h"

/* A row of luma and those above and below it to the Laplacian's positive and negative part, each 0 to 255. */
FAST static void laplacian(uint8_t *restrict positive, uint8_t *restrict negative, const uint8_t *restrict above,
                           const uint8_t *restrict here, const uint8_t *restrict below, int from, int to) {
    for (int x = from; x < to; x++) {
        int16_t l = (int16_t)(above[x] + below[x] + here[x - 1] + here[x + 1] - 4 * here[x]), m = (int16_t)-l;
        int16_t p = l > 0 ? l : 0, n = m > 0 ? m : 0; /* written so that compilers see a maximum and a minimum */
        positive[x] = (uint8_t)(p < 255 ? p : 255);
        negative[x] = (uint8_t)(n < 255 ? n : 255);
    }
}

FAST static void across(uint16_t *restrict out, const uint8_t *restrict in, int width) {
    for (int x = 0; x < width; x++) out[x] = (uint16_t)(in[x - 1] + 2 * in[x] + in[x + 1]);
}

/* Three rows of both parts, smoothed along the row, to scores at one shift. */
FAST static void scores(uint16_t *restrict out, uint16_t *const *p, uint16_t *const *n, int shift, int width) {
    const uint16_t *restrict p0 = p[0], *restrict p1 = p[1], *restrict p2 = p[2];
    const uint16_t *restrict n0 = n[0], *restrict n1 = n[1], *restrict n2 = n[2];
    for (int x = 0; x < width; x++) {
        uint16_t a = (uint16_t)((uint16_t)(p0[x] + 2 * p1[x] + p2[x]) >> shift);
        uint16_t b = (uint16_t)((uint16_t)(n0[x] + 2 * n1[x] + n2[x]) >> shift);
        a = a > 255 ? 255 : a;
        b = b > 255 ? 255 : b;
        out[x] = (uint16_t)(a > b ? a - b : b - a);
    }
}

/* The same where both shifts of a bracket are joined: the coarse one where one of the fine parts is full. */
FAST static void joined(uint16_t *restrict out, uint16_t *const *p, uint16_t *const *n, int fine, int coarse, int width) {
    const uint16_t *restrict p0 = p[0], *restrict p1 = p[1], *restrict p2 = p[2];
    const uint16_t *restrict n0 = n[0], *restrict n1 = n[1], *restrict n2 = n[2];
    for (int x = 0; x < width; x++) {
        uint16_t sp = (uint16_t)(p0[x] + 2 * p1[x] + p2[x]), sn = (uint16_t)(n0[x] + 2 * n1[x] + n2[x]);
        uint16_t a = (uint16_t)(sp >> fine), b = (uint16_t)(sn >> fine);
        uint16_t c = (uint16_t)(sp >> coarse), d = (uint16_t)(sn >> coarse);
        c = c > 255 ? 255 : c;
        d = d > 255 ? 255 : d;
        uint16_t near = (uint16_t)(a > b ? a - b : b - a), far = (uint16_t)(c > d ? c - d : d - c);
        out[x] = a >= 255 || b >= 255 ? (uint16_t)(far << (coarse - fine)) : near;
    }
}

/* (height, width) bytes of luma to scores; `coarse` is `fine` unless it is a bracket. 0, or 1 for want of memory. */
int kv260_score(const uint8_t *luma, int height, int width, int fine, int coarse, uint16_t *out) {
    size_t padded = (size_t)width + 2;
    uint8_t *bytes = malloc(2 * padded);
    uint16_t *words = malloc(6 * (size_t)width * sizeof(uint16_t));
    if (!bytes || !words) {
        free(bytes);
        free(words);
        return 1;
    }
    uint8_t *part[2] = {bytes + 1, bytes + padded + 1};
    int ready = 0; /* rows whose smoothed parts lie in `words`, the last three of them */
    for (int y = 0; y < height; y++) {
        for (; ready < height && ready <= y + 1; ready++) {
            const uint8_t *here = luma + (size_t)ready * width;
            const uint8_t *above = luma + (size_t)mirror(ready - 1, height) * width;
            const uint8_t *below = luma + (size_t)mirror(ready + 1, height) * width;
            laplacian(part[0], part[1], above, here, below, 1, width - 1);
            for (int edge = 0; edge < 2; edge++) { /* the first and the last column, whose neighbours are mirrored */
                int x = edge ? width - 1 : 0;
                int l = above[x] + below[x] + here[mirror(x - 1, width)] + here[mirror(x + 1, width)] - 4 * here[x];
                part[0][x] = (uint8_t)(l < 0 ? 0 : l > 255 ? 255 : l);
                part[1][x] = (uint8_t)(l > 0 ? 0 : l < -255 ? 255 : -l);
            }
            for (int sign = 0; sign < 2; sign++) {
                part[sign][-1] = part[sign][mirror(-1, width)];
                part[sign][width] = part[sign][mirror(width, width)];
                across(words + ((size_t)sign * 3 + ready % 3) * width, part[sign], width);
            }
        }
        uint16_t *p[3], *n[3];
        for (int k = 0; k < 3; k++) {
            int row = mirror(y - 1 + k, height) % 3;
            p[k] = words + (size_t)row * width;
            n[k] = words + (size_t)(3 + row) * width;
        }
        if (fine == coarse)
            scores(out + (size_t)y * width, p, n, fine, width);
        else
            joined(out + (size_t)y * width, p, n, fine, coarse, width);
    }
    free(bytes);
    free(words);
    return 0;
}
