/* What the inner loops of stacking share.
 *
 * kernels_plain.py has the same arithmetic in numpy, operation by operation. Floating point is single precision and is
 * never contracted to fused multiply-adds, so that every processor, and numpy, rounds alike. Addresses are integers: a
 * pixel does not depend on the block or stripe in which it is computed.
 */
#ifndef FOCUSRAIL_KERNELS_H
#define FOCUSRAIL_KERNELS_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "loops.h"

/* Memory that a thread keeps for its next stripe. */
typedef struct {
    float *data;
    size_t size;
} room_t;

HELPER float *room(room_t *of, size_t floats) {
    if (of->size < floats) {
        free(of->data);
        of->data = aligned_alloc(64, (floats * sizeof(float) + 63) / 64 * 64);
        of->size = of->data ? floats : 0;
    }
    return of->data;
}

HELPER inline int64_t clamp(int64_t value, int64_t low, int64_t high) {
    return value < low ? low : value > high ? high : value;
}

HELPER inline int smaller(int a, int b) { return a < b ? a : b; }

/* Positive floats are kept, where memory counts, as the upper half of their bits without the sign: 8 bits of mantissa,
 * and in the order of the numbers. */
typedef union {
    float number;
    uint32_t bits;
} float_t32;

HELPER inline uint16_t encode(float number) {
    float_t32 it = {number};
    return (uint16_t)((it.bits + 0x4000u) >> 15);
}

HELPER inline float decode(uint16_t code) {
    float_t32 it = {.bits = (uint32_t)code << 15};
    return it.number;
}

#endif
