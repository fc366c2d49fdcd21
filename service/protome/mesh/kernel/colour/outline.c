/* Measure how near cells of a depth map are to its outline. */

#include <math.h>
#include <stdlib.h>

#include "../wide.h"
#include "grid.h"
#include "texture.h"

/* Steps along an axis and a diagonal (Borgefors, "Distance transformations in digital images",
   CVGIP 1986), as OpenCV has them. Four of them lead as far as visibility asks. */
static const float STRAIGHT = 0.955F, DIAGONAL = 1.3693F, FAR = 5;
enum { STEPS = 4 };

static inline float least(float a, float b) { return a < b ? a : b; }

/* One more step; pictures have a border of one cell. */
static WIDE void step(const float *restrict in, size_t side, float *restrict out) {
    const size_t row = side + 2;
    for (size_t y = 1; y <= side; y++) {
        const float *above = in + row * (y - 1), *here = above + row, *below = here + row;
        float *to = out + row * y;
        for (size_t x = 1; x <= side; x++) {
            const float straight =
                least(least(above[x], below[x]), least(here[x - 1], here[x + 1]));
            const float diagonal = least(least(above[x - 1], above[x + 1]),
                                         least(below[x - 1], below[x + 1]));
            to[x] = least(here[x], least(straight + STRAIGHT, diagonal + DIAGONAL));
        }
    }
}

int tx_outline(const float *maps, size_t side, float *around, float *inside) {
    const size_t count = side * side, row = side + 2;
    float *room = malloc((count + 2 * row * row) * sizeof *room);
    if (!room) return 0;
    float *away = room + count, *next = away + row * row;
    /* What lies beyond the border is not outside. */
    for (size_t k = 0; k < 2 * row * row; k++) away[k] = FAR;
    for (size_t y = 0; y < side; y++) {
        for (size_t x = 0; x < side; x++) {
            const size_t k = side * y + x;
            away[row * (y + 1) + x + 1] = least(maps[k], maps[count + k]) < INFINITY ? FAR : 0;
        }
    }
    for (int k = 0; k < STEPS; k++) {
        step(away, side, next);
        float *done = next;
        next = away, away = done;
    }
    for (size_t y = 0; y < side; y++)
        for (size_t x = 0; x < side; x++)
            inside[side * y + x] = away[row * (y + 1) + x + 1];
    for (size_t k = 0; k < 2 * count; k += count) {
        gr_erode(maps + k, side, room, next);
        gr_erode(next, side, room, around + k);
    }
    free(room);
    return 1;
}
