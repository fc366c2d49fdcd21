/* Make the table of cases of marching cubes (Lorensen and Cline, "Marching Cubes", SIGGRAPH 1987).
 *
 * A cell is the cube between eight nodes; corner c of it lies at (c & 1, c >> 1 & 1, c >> 2) in
 * (x, y, z); edge 4 a + n runs along axis a.
 */

#include "cases.h"

#include <string.h>

mc_case mc_cases[256];

/* Each face's corners, counter-clockwise seen from outside. */
static const uint8_t faces[6][4] = {{0, 4, 6, 2}, {1, 3, 7, 5}, {0, 1, 5, 4},
                                    {2, 6, 7, 3}, {0, 2, 3, 1}, {4, 5, 7, 6}};

static int edge_between(int a, int b) {
    const int low = a < b ? a : b;
    switch (a ^ b) {
    case 1: return low >> 1;
    case 2: return 4 + ((low & 1) | (low >> 2 << 1));
    default: return 8 + low;
    }
}

/* One bit for each face that the edge lies on. */
static int faces_of(int edge) {
    int bits = 0;
    for (int f = 0; f < 6; f++)
        for (int i = 0; i < 4; i++)
            bits |= (edge_between(faces[f][i], faces[f][(i + 1) % 4]) == edge) << f;
    return bits;
}

/* For each crossed edge the one that the surface's outline goes on to.
 *
 * On a face each run of outside corners is cut off by a line of its own, so inside corners that
 * face each other across a diagonal are joined. Both cells at a face see the same corners and so
 * draw the same line: the surface is closed.
 */
static void outline(int inside, int8_t next[12]) {
    memset(next, -1, 12);
    for (int f = 0; f < 6; f++) {
        for (int i = 0; i < 4; i++) {
            const uint8_t *q = faces[f];
            const int last = q[i], after = q[(i + 1) % 4];
            if ((inside >> last & 1) || !(inside >> after & 1)) continue;
            int first = i;
            while (!(inside >> q[(first + 3) % 4] & 1)) first = (first + 3) % 4;
            next[edge_between(last, after)] = (int8_t)edge_between(q[(first + 3) % 4], q[first]);
        }
    }
}

/* Cut a loop into a fan whose diagonals lie on no face of the cell.
 *
 * A diagonal on a face might be drawn by the neighbour too and be an edge of four triangles.
 * Every loop of every case has such a fan.
 */
static void add_fan(mc_case *entry, const int8_t *loop, int n) {
    int apex = 0;
    for (; apex < n; apex++) {
        int clear = 1;
        for (int k = 2; k < n - 1; k++)
            clear &= !(faces_of(loop[apex]) & faces_of(loop[(apex + k) % n]));
        if (clear) break;
    }
    for (int k = 1; k < n - 1; k++) {
        uint8_t *corner = entry->edges + 3 * entry->count++;
        corner[0] = (uint8_t)loop[apex];
        corner[1] = (uint8_t)loop[(apex + k) % n];
        corner[2] = (uint8_t)loop[(apex + k + 1) % n];
    }
}

static void find_steps(int inside, pm_four_ints along[3]) {
    const int x = inside ^ inside >> 1, y = inside ^ inside >> 2, z = inside ^ inside >> 4;
    along[0] = (pm_four_ints){x & 1, x >> 2 & 1, x >> 4 & 1, x >> 6 & 1};
    along[1] = (pm_four_ints){0, y & 1, 0, y >> 4 & 1};
    along[2] = (pm_four_ints){0, z & 1, 0, z >> 2 & 1};
}

void mc_prepare(void) {
    for (int inside = 0; inside < 256; inside++) {
        int8_t next[12], loop[12];
        mc_cases[inside].count = 0;
        find_steps(inside, mc_cases[inside].along);
        outline(inside, next);
        for (int start = 0; start < 12; start++) {
            int n = 0;
            for (int edge = start; next[edge] >= 0;) {
                const int following = next[edge];
                loop[n++] = (int8_t)edge;
                next[edge] = -1;
                edge = following;
            }
            if (n) add_fan(&mc_cases[inside], loop, n);
        }
    }
}
