/* Encode rows: the differences of each byte from the row before, in groups of 16. */

#include <string.h>

#include "codec.h"

enum { GROUP = 16, MOST_ROWS = 256, BLOCK_BYTES = 8192, LEAST_TAIL = 32 };

static size_t rows_of_block(size_t stride) {
    const size_t rows = BLOCK_BYTES / stride / GROUP * GROUP;
    return rows < MOST_ROWS ? rows : MOST_ROWS;
}

size_t mo_rows_bound(size_t count, size_t stride) {
    const size_t rows = rows_of_block(stride), blocks = (count + rows - 1) / rows;
    return 1 + blocks * stride * (rows + MOST_ROWS / GROUP / 4) + stride + LEAST_TAIL;
}

/* Write a group with 0, 2, 4 or 8 bits a value, whatever is shortest; ``*kind`` is 0, 1, 2 or 3, and
 * before that of the group before, which is kept if it is as short as 2 or 4 bits can be. A value that
 * has no room has all bits set, and follows as a byte. */
static uint8_t *put_group(const uint8_t *values, uint8_t *out, int *kind) {
    uint8_t any = 0, over2 = 0, over4 = 0;
    for (int i = 0; i < GROUP; i++) {
        any |= values[i];
        over2 = (uint8_t)(over2 + (values[i] >= 3));
        over4 = (uint8_t)(over4 + (values[i] >= 15));
    }
    if (!any) {
        *kind = 0;
        return out;
    }
    const int sizes[4] = {GROUP + 1, GROUP / 4 + over2, GROUP / 2 + over4, GROUP};
    int best = 3;
    for (int k = 1; k < 3; k++) best = sizes[k] < sizes[best] ? k : best;
    if (best == 3 || sizes[*kind] > sizes[best]) *kind = best;
    if (*kind == 3) {
        memcpy(out, values, GROUP);
        return out + GROUP;
    }
    const int bits = 2 * *kind, each = 8 / bits;
    const uint8_t most = (uint8_t)((1 << bits) - 1);
    uint8_t small[GROUP];
    for (int i = 0; i < GROUP; i++) small[i] = values[i] < most ? values[i] : most;
    for (int i = 0; i < GROUP; i += each) {
        unsigned packed = 0;
        for (int k = 0; k < each; k++) packed = packed << bits | small[i + k];
        *out++ = (uint8_t)packed;
    }
    for (int i = 0; i < GROUP; i++) {
        *out = values[i];
        out += values[i] >= most;
    }
    return out;
}

/* Write one byte of each of a block's rows. */
static uint8_t *put_column(const uint8_t *differences, size_t count, uint8_t *out) {
    const size_t groups = (count + GROUP - 1) / GROUP;
    uint8_t *kinds = out;
    memset(kinds, 0, (groups + 3) / 4);
    out += (groups + 3) / 4;
    int kind = 0;
    for (size_t g = 0; g < groups; g++) {
        out = put_group(differences + g * GROUP, out, &kind);
        kinds[g / 4] = (uint8_t)(kinds[g / 4] | kind << 2 * (g % 4));
    }
    return out;
}

size_t mo_encode_rows(const uint8_t *rows, size_t width, size_t stride, const uint32_t *order,
                      size_t count, uint8_t *out) {
    const size_t most = rows_of_block(stride);
    uint8_t *const begin = out;
    uint8_t columns[BLOCK_BYTES], last[MOST_ROWS] = {0};
    *out++ = 0xa0;
    if (count) memcpy(last, rows + order[0] * width, width);
    for (size_t first = 0; first < count; first += most) {
        const size_t here = count - first < most ? count - first : most;
        for (size_t i = 0; i < here; i++) {
            const uint8_t *row = rows + order[first + i] * width;
            for (size_t k = 0; k < width; k++) columns[k * most + i] = row[k];
        }
        for (size_t k = 0; k < stride; k++) {
            uint8_t *column = columns + k * most, differences[MOST_ROWS];
            if (k >= width) {
                memset(out, 0, (here + 4 * GROUP - 1) / GROUP / 4);
                out += (here + 4 * GROUP - 1) / GROUP / 4;
                continue;
            }
            memset(differences, 0, sizeof differences);
            differences[0] = (uint8_t)(column[0] - last[k]);
            for (size_t i = 1; i < here; i++)
                differences[i] = (uint8_t)(column[i] - column[i - 1]);
            /* The sign becomes the lowest bit. */
            for (size_t i = 0; i < here; i++)
                differences[i] = (uint8_t)(differences[i] << 1 ^ -(differences[i] >> 7));
            last[k] = column[here - 1];
            out = put_column(differences, here, out);
        }
    }
    /* The first row, after zeros. */
    const size_t tail = stride < LEAST_TAIL ? LEAST_TAIL : stride;
    memset(out, 0, tail);
    if (count) memcpy(out + tail - stride, rows + order[0] * width, width);
    return (size_t)(out + tail - begin);
}
