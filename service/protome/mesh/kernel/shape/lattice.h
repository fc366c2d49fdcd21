/* The lattice of nodes that a surface is extracted on. No Python in here.
 *
 * Node (i, j, k) of the lattice lies at ((origin + (i, j, k) + 1/2) * step) crop pixels, axes x, y,
 * z. Bit i of word w of a row of nodes is node 64 w + i of that row.
 */

#ifndef PROTOME_LATTICE_H
#define PROTOME_LATTICE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum { PM_OK, PM_NO_MEMORY, PM_BAD_SHAPE } pm_status;

enum { LANES = 64 }; /* nodes a word of bits */

/* Four floats in one register: x, y, z and one more. GCC and Clang, any processor. */
typedef float pm_four __attribute__((vector_size(16)));

typedef int32_t pm_four_ints __attribute__((vector_size(16)));

typedef struct {
    int step;            /* crop pixels between nodes: 1, 2 or 4 */
    ptrdiff_t origin[3]; /* x, y, z */
    size_t size[3];      /* nodes along x, y, z; the outermost ones are outside of everything */
    size_t words;        /* of a row */
    size_t stride;       /* nodes a row has room for, 64 words */
} pm_lattice;

/* Words of the bits of all nodes, and one more: see shifted. */
static inline size_t pm_words_of(const pm_lattice *lattice) {
    return lattice->size[1] * lattice->size[2] * lattice->words + 1;
}

static inline int bit_at(const uint64_t *bits, size_t node) {
    return (int)(bits[node / LANES] >> node % LANES & 1);
}

static inline int lowest_bit(uint64_t word) { return __builtin_ctzll(word); }

/* Number of bits that are set. The builtin is a call of a function on processors of 2003. */
static inline uint32_t count_bits(uint64_t word) {
    word -= word >> 1 & 0x5555555555555555U;
    word = (word & 0x3333333333333333U) + (word >> 2 & 0x3333333333333333U);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fU;
    return (uint32_t)(word * 0x0101010101010101U >> 56);
}

/* The word whose bit i is the node after node i. The last node of a row is outside, and so is the
 * first of the next row, or a word after the last. */
static inline uint64_t shifted(const uint64_t *word) { return word[0] >> 1 | word[1] << 63; }

static inline pm_four four_at(const float *values) {
    pm_four four;
    memcpy(&four, values, sizeof four);
    return four;
}

/* Part by part the smaller one; that of ``b`` where they cannot be compared. */
static inline pm_four smaller(pm_four a, pm_four b) {
    const pm_four_ints less = a < b;
    return (pm_four)((less & (pm_four_ints)a) | (~less & (pm_four_ints)b));
}

/* The product of the first three parts. */
static inline float dot3(pm_four a, pm_four b) {
    const pm_four product = a * b;
    return product[0] + product[1] + product[2];
}

/* Parts of two vectors, numbered from 0 to 7. */
#if defined(__clang__) || __GNUC__ >= 12
#define PM_SHUFFLE(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#define PM_SHUFFLE(a, b, i, j, k, l) __builtin_shuffle(a, b, (pm_four_ints){i, j, k, l})
#endif

/* The sums of the first three parts of each, added in the order of dot3. */
static inline pm_four sums3(pm_four a, pm_four b, pm_four c, pm_four d) {
    const pm_four low_ab = PM_SHUFFLE(a, b, 0, 4, 1, 5), low_cd = PM_SHUFFLE(c, d, 0, 4, 1, 5);
    const pm_four high_ab = PM_SHUFFLE(a, b, 2, 6, 3, 7), high_cd = PM_SHUFFLE(c, d, 2, 6, 3, 7);
    return PM_SHUFFLE(low_ab, low_cd, 0, 1, 4, 5) + PM_SHUFFLE(low_ab, low_cd, 2, 3, 6, 7) +
           PM_SHUFFLE(high_ab, high_cd, 0, 1, 4, 5);
}

static inline pm_four cross(pm_four a, pm_four b) {
    return PM_SHUFFLE(a, a, 1, 2, 0, 3) * PM_SHUFFLE(b, b, 2, 0, 1, 3) -
           PM_SHUFFLE(a, a, 2, 0, 1, 3) * PM_SHUFFLE(b, b, 1, 2, 0, 3);
}

#endif
