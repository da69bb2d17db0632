/* What all compiled loops share, of the drivers and of stacking (hatch_build.py tells the compiler where it is). */
#ifndef FOCUSRAIL_LOOPS_H
#define FOCUSRAIL_LOOPS_H

/* A function is compiled for each generation of processors, and chosen when the library is loaded. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(ONE_TARGET)
#if __GNUC__ >= 12
#define FAST __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define FAST __attribute__((target_clones("avx2", "default")))
#endif
#else
#define FAST
#endif

/* Not every file has a use for every helper. */
#if defined(__GNUC__)
#define HELPER __attribute__((unused)) static
#else
#define HELPER static
#endif

/* The place that a place beyond the edge mirrors, the edge itself not repeated (OpenCV's REFLECT_101). */
HELPER inline int mirror(int at, int size) {
    while (at < 0 || at >= size) at = size == 1 ? 0 : at < 0 ? -at : 2 * size - 2 - at;
    return at;
}

#endif
