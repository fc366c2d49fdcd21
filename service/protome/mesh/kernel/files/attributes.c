/* Round positions to a grid and normals to bytes. */

#include <math.h>
#include <stdlib.h>

#include "codec.h"

size_t mo_snap(const float *positions, size_t count, const double low[3], double step,
               uint16_t *points) {
    int bits = 4;
    while ((size_t)1 << bits < 2 * count) bits++;
    /* The points by a hash of their coordinates, as one number above 0; 0: none. */
    uint64_t *places = calloc((size_t)1 << bits, sizeof *places);
    const size_t last = ((size_t)1 << bits) - 1;
    size_t found = 0;
    for (size_t v = 0; places && v < count; v++) {
        uint64_t point = 1;
        for (int a = 0; a < 3; a++) {
            const double at = rint(((double)positions[3 * v + (size_t)a] - low[a]) / step);
            points[3 * v + (size_t)a] = (uint16_t)(at < 0 ? 0 : at > UINT16_MAX ? UINT16_MAX : at);
            point += (uint64_t)points[3 * v + (size_t)a] << 16 * a;
        }
        size_t place = (size_t)(point * 0x9e3779b97f4a7c15U >> (64 - bits));
        while (places[place] && places[place] != point) place = (place + 1) & last;
        found += !places[place];
        places[place] = point;
    }
    free(places);
    return found;
}

static int8_t byte_of(float share) {
    const float scaled = 127 * (share < -1 ? -1 : share > 1 ? 1 : share);
    return (int8_t)(scaled + (scaled < 0 ? -0.5F : 0.5F));
}

void mo_octahedral(const float *normals, size_t count, int8_t *out) {
    for (size_t v = 0; v < count; v++) {
        float x = normals[3 * v], y = normals[3 * v + 1];
        const float z = normals[3 * v + 2], sum = fabsf(x) + fabsf(y) + fabsf(z);
        const float scale = sum > 0 ? 1 / sum : 0;
        x *= scale;
        y *= scale;
        /* The lower half is folded over the diagonals. */
        const float over_x = x < 0 ? fabsf(y) - 1 : 1 - fabsf(y);
        const float over_y = y < 0 ? fabsf(x) - 1 : 1 - fabsf(x);
        out[4 * v] = byte_of(z < 0 ? over_x : x);
        out[4 * v + 1] = byte_of(z < 0 ? over_y : y);
        out[4 * v + 2] = 127;
        out[4 * v + 3] = 0;
    }
}
