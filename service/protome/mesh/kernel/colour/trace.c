/* Draw a trace: which point of the photo each node of the atlas shows. */

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "texture.h"
#include "walk.h"

/* Triangles longer than this share of the atlas bridge places far apart. */
static const float BRIDGE = 1.0F / 32;
/* Weight of a node that is drawn but hardly seen. */
static const float LEAST = 1e-6F;
/* Nodes beside each other whose points are farther apart, a share of the photo's side, show
   different layers. */
static const float JUMP = 0.05F;

/* Whether a triangle lies the other way round. */
static int is_overhang(const tx_four at[3]) {
    const tx_four p = at[1] - at[0], q = at[2] - at[0];
    return p[0] * q[1] > p[1] * q[0];
}

/* Draw what the corners show; what is ``below`` only where nothing is. */
static void draw_trace(const tx_walk *walk, const float *a, const float *b, const float *c,
                       int below, size_t nodes, float *trace) {
    for (int y = walk->top; y < walk->bottom; y++) {
        float *out = trace + 3 * (nodes * (size_t)y + (size_t)walk->left);
        for (int x = walk->left; x < walk->right; x++, out += 3) {
            float second, third;
            if ((below && out[2] > 0) || !weigh(walk, x, y, &second, &third)) continue;
            const float first = 1 - second - third;
            for (int i = 0; i < 3; i++) out[i] = first * a[i] + second * b[i] + third * c[i];
            out[2] = out[2] > LEAST ? out[2] : LEAST;
        }
    }
}

/* Set the weights of nodes at the border of two layers to 0: what lies between them would show all
   of the photo between their points. */
static void cut(size_t nodes, size_t top, size_t bottom, float *trace) {
    float *const begin = trace + 3 * nodes * top, *const end = trace + 3 * nodes * bottom;
    const size_t steps[2] = {3, 3 * nodes};
    for (float *node = begin; node < end; node += 3) {
        for (int k = 0; k < 2; k++) {
            float *next = node + steps[k];
            if (next >= end || node[2] == 0 || next[2] == 0) continue;
            if (k == 0 && (size_t)(next - trace) % (3 * nodes) == 0) continue;
            if (fabsf(next[0] - node[0]) <= JUMP && fabsf(next[1] - node[1]) <= JUMP) continue;
            node[2] = -fabsf(node[2]), next[2] = -fabsf(next[2]);
        }
    }
    for (float *node = begin; node < end; node += 3) node[2] = node[2] > 0 ? node[2] : 0;
}

/* Give nodes beside the trace the points that follow from the two next to them, with no weight:
   what lies between two nodes is interpolated. */
static void extend(size_t nodes, size_t top, size_t bottom, float *trace) {
    const ptrdiff_t row = 3 * (ptrdiff_t)nodes;
    const ptrdiff_t steps[8] = {3, -3, row, -row, row + 3, row - 3, 3 - row, -row - 3};
    for (size_t y = top > 2 ? top - 1 : 2; y <= bottom && y + 2 < nodes; y++) {
        float *node = trace + 3 * (nodes * y + 2);
        for (size_t x = 2; x + 2 < nodes; x++, node += 3) {
            if (node[2] > 0) continue;
            float sum[2] = {0, 0}, count = 0;
            for (int k = 0; k < 8; k++) {
                const float *near = node + steps[k], *next = near + steps[k];
                if (!(near[2] > 0)) continue;
                const float more = next[2] > 0 ? 1 : 0;
                sum[0] += near[0] + more * (near[0] - next[0]);
                sum[1] += near[1] + more * (near[1] - next[1]);
                count++;
            }
            if (count > 0) node[0] = sum[0] / count, node[1] = sum[1] / count;
        }
    }
}

void tx_trace(const tx_mesh *mesh, size_t nodes, float *trace) {
    const float scale = (float)nodes;
    const uint32_t *place = mesh->triangles;
    size_t top = nodes, bottom = 0; /* of what is drawn */
    memset(trace, 0, 3 * nodes * nodes * sizeof *trace);
    for (size_t t = 0; t < mesh->triangle_count; t++, place += 3) {
        if ((place[0] < mesh->first) | (place[1] < mesh->first) | (place[2] < mesh->first))
            continue;
        const float *seen[3];
        for (int k = 0; k < 3; k++) seen[k] = mesh->seen + 3 * (size_t)(place[k] - mesh->first);
        if (!((seen[0][2] > 0) | (seen[1][2] > 0) | (seen[2][2] > 0))) continue;
        tx_four at[3];
        for (int k = 0; k < 3; k++) {
            const float *spot = mesh->places + 2 * (size_t)place[k];
            at[k] = (tx_four){scale * spot[0], scale * spot[1], 0, 0};
        }
        tx_walk walk;
        if (!set_walk(&walk, at[0], at[1], at[2], (int)nodes)) continue;
        const tx_four size = upper(upper(at[0], at[1]), at[2]) - lower(lower(at[0], at[1]), at[2]);
        const int below = (size[0] > BRIDGE * scale) | (size[1] > BRIDGE * scale) |
                          is_overhang(at);
        top = (size_t)walk.top < top ? (size_t)walk.top : top;
        bottom = (size_t)walk.bottom > bottom ? (size_t)walk.bottom : bottom;
        draw_trace(&walk, seen[0], seen[1], seen[2], below, nodes, trace);
    }
    if (top < bottom) cut(nodes, top, bottom, trace);
    extend(nodes, top, bottom, trace);
}

int tx_trace_head(const tx_nodes *table, const float *seen, size_t count, float *trace) {
    tx_four *padded = malloc((count + 1) * sizeof *padded);
    if (!padded) return 0;
    for (size_t k = 0; k < count; k++)
        padded[k] = (tx_four){seen[3 * k], seen[3 * k + 1], seen[3 * k + 2], 0};
    const int32_t *corner = table->corners;
    const float *share = table->shares;
    for (size_t k = 0; k < table->count; k++, corner += 3, share += 2, trace += 3) {
        const tx_four first = all(1 - share[0] - share[1]);
        const tx_four shown = first * padded[corner[0]] + all(share[0]) * padded[corner[1]] +
                              all(share[1]) * padded[corner[2]];
        trace[0] = shown[0], trace[1] = shown[1];
        trace[2] = shown[2] > 0 ? shown[2] : 0;
    }
    free(padded);
    return 1;
}
