/* Tangential Laplacian smoothing; afterwards each vertex returns to the surface that it came from:
 * on the head by walking from triangle to triangle, on the hair by a step of Newton's method.
 *
 * Marching cubes leaves slivers wherever the surface passes close to a node.
 */

#include "relax.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Share of the way to the middle of the neighbours. */
static const float PACE = 0.8F;
/* Most triangles that a vertex walks over. */
#define MOST_STEPS 12

/* One round: ``spots`` move in the planes across the mesh's normals. The fourth part of a spot is 1,
 * so that of a sum is the number of neighbours: each is the end of one directed edge, as the mesh is
 * closed. ``sums`` are 0 before and after. */
static void smooth(const pm_mesh *mesh, pm_four *sums, pm_four *spots) {
    for (size_t k = 0; k < mesh->triangle_count; k++) {
        const uint32_t *t = mesh->triangles + 3 * k;
        const pm_four a = spots[t[0]], b = spots[t[1]], c = spots[t[2]];
        sums[t[0]] += b;
        sums[t[1]] += c;
        sums[t[2]] += a;
    }
    for (size_t v = 0; v < mesh->vertex_count; v++) {
        const pm_four normal = mesh->normals[v], way = sums[v] / sums[v][3] - spots[v];
        spots[v] += PACE * (way - dot3(way, normal) * normal);
        sums[v] = (pm_four){0};
    }
}

/* ---- on the head */

/* Walk from triangle ``*t`` to the one below a point; ``weights`` get the barycentric weights of
 * the nearest place found. 0: none. */
static int walk(const pm_face *faces, const pm_point *points, pm_four point, int32_t *t,
                float weights[3]) {
    int32_t before = -1;
    for (int n = 0; n < MOST_STEPS; n++) {
        const pm_face *face = faces + *t;
        const pm_four start = points[face->corners[0]].place, to = point - start;
        const pm_four along = points[face->corners[1]].place - start;
        const pm_four aside = points[face->corners[2]].place - start;
        const float aa = dot3(along, along), ab = dot3(along, aside), bb = dot3(aside, aside);
        const float ta = dot3(to, along), tb = dot3(to, aside), square = aa * bb - ab * ab;
        if (!(square > 0)) return 0;
        weights[1] = (bb * ta - ab * tb) / square;
        weights[2] = (aa * tb - ab * ta) / square;
        weights[0] = 1 - weights[1] - weights[2];
        int worst = weights[1] < weights[0] ? 1 : 0;
        if (weights[2] < weights[worst]) worst = 2;
        if (!(weights[worst] < 0)) return 1;
        const int from = (worst + 1) % 3, end = (worst + 2) % 3;
        const int32_t over = face->next[from];
        if (over < 0) return 0;
        if (over == before) {
            /* The point is beyond the ridge between the two: the nearest place is on it. */
            const pm_four base = points[face->corners[from]].place;
            const pm_four ridge = points[face->corners[end]].place - base;
            const float share = dot3(point - base, ridge) / dot3(ridge, ridge);
            weights[worst] = 0;
            weights[end] = share < 0 ? 0 : share > 1 ? 1 : share;
            weights[from] = 1 - weights[end];
            return 1;
        }
        before = *t;
        *t = over;
    }
    return 0;
}

static int is_near(pm_four place, pm_four other, int step) {
    const pm_four way = place - other;
    return dot3(way, way) < (float)(step * step);
}

static void return_to_head(const pm_face *faces, const pm_point *points, int step, pm_four spot,
                           pm_mesh *mesh, size_t v) {
    int32_t t = mesh->source[v];
    float weights[3];
    if (!walk(faces, points, spot, &t, weights)) return;
    const int32_t *corners = faces[t].corners;
    const pm_point *a = points + corners[0], *b = points + corners[1], *c = points + corners[2];
    const pm_four place = weights[0] * a->place + weights[1] * b->place + weights[2] * c->place;
    const pm_four normal = weights[0] * a->normal + weights[1] * b->normal + weights[2] * c->normal;
    const float square = dot3(normal, normal);
    if (!is_near(place, mesh->places[v], step) || !(square > 0)) return;
    mesh->source[v] = t;
    memcpy(mesh->weights + 2 * v, weights + 1, 2 * sizeof *weights);
    mesh->places[v] = place;
    mesh->normals[v] = normal / sqrtf(square);
}

/* ---- on the hair */

static void return_to_hair(const pm_hair *hair, int step, pm_four spot, pm_mesh *mesh, size_t v) {
    pm_four slope;
    const float value = pm_hair_at(hair, spot, &slope), square = dot3(slope, slope);
    if (!(square > 0)) return;
    const pm_four place = spot - value / square * slope;
    if (!is_near(place, mesh->places[v], step)) return;
    mesh->places[v] = place;
    mesh->normals[v] = slope / -sqrtf(square);
}

pm_status pm_relax(const pm_head *head, const pm_scan *scan, const pm_hair *hair, int step,
                   int rounds, pm_mesh *mesh) {
    const size_t n = mesh->vertex_count;
    pm_four *spots = malloc((n + 1) * sizeof *spots), *sums = calloc(n + 1, sizeof *sums);
    const pm_status status = spots && sums ? PM_OK : PM_NO_MEMORY;
    if (status == PM_OK) {
        for (size_t v = 0; v < n; v++) {
            spots[v] = mesh->places[v];
            spots[v][3] = 1;
        }
        for (int r = 0; r < rounds; r++) smooth(mesh, sums, spots);
        for (size_t v = 0; v < n; v++) {
            if (mesh->source[v] >= 0)
                return_to_head(head->faces, scan->points, step, spots[v], mesh, v);
            else if (hair->values)
                return_to_hair(hair, step, spots[v], mesh, v);
        }
    }
    free(spots);
    free(sums);
    return status;
}
