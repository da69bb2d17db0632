/* The focus measure of accelerators/cpu.py, compiled: |LoB| of 8-bit luma in exact integers. */
#include <stdint.h>
#include <stdlib.h>

#include "loops.h"

FAST static void columns(int16_t *restrict smooth, int16_t *restrict second, const uint8_t *restrict a,
                         const uint8_t *restrict b, const uint8_t *restrict c, const uint8_t *restrict d,
                         const uint8_t *restrict e, int width) {
    for (int x = 0; x < width; x++) {
        smooth[x] = (int16_t)(b[x] + 2 * c[x] + d[x]);
        second[x] = (int16_t)(a[x] - 2 * c[x] + e[x]);
    }
}

FAST static void rows(uint16_t *restrict out, const int16_t *restrict smooth, const int16_t *restrict second,
                      int width) {
    for (int x = 0; x < width; x++) {
        int16_t lob = (int16_t)(smooth[x - 2] - 2 * smooth[x] + smooth[x + 2] + second[x - 1] + 2 * second[x] +
                                second[x + 1]);
        out[x] = (uint16_t)(lob < 0 ? -lob : lob);
    }
}

/* (height, width) bytes to (height, width) of 16 times |LoB|. Returns 0, or 1 for want of memory. */
int lob(const uint8_t *luma, int height, int width, uint16_t *out) {
    int16_t *line = malloc(2 * (size_t)(width + 4) * sizeof(int16_t));
    if (!line) return 1;
    int16_t *smooth = line + 2, *second = smooth + width + 4;
    for (int y = 0; y < height; y++) {
        const uint8_t *row[5];
        for (int k = 0; k < 5; k++) row[k] = luma + (size_t)mirror(y - 2 + k, height) * width;
        columns(smooth, second, row[0], row[1], row[2], row[3], row[4], width);
        for (int k = 1; k <= 2; k++) {
            smooth[-k] = smooth[mirror(-k, width)];
            second[-k] = second[mirror(-k, width)];
            smooth[width - 1 + k] = smooth[mirror(width - 1 + k, width)];
            second[width - 1 + k] = second[mirror(width - 1 + k, width)];
        }
        rows(out + (size_t)y * width, smooth, second, width);
    }
    free(line);
    return 0;
}
